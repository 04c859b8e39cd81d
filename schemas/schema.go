package schemas

import (
	"slices"
	"strings"
)

// Annotation is what a schema says of one field beside its type.
type Annotation struct {
	// Pointer is the path of member names from the record's root; "*" stands for every element
	// of an array and for every member whose name the schema does not fix.
	Pointer          []string
	TitleZh, TitleEn string
	// Sharing is a sharing class; "" means that the resource's class holds.
	Sharing string
	// Portal is a portal rule; "" means never.
	Portal string
	// Mask is the name of a mask, or "".
	Mask string
	// CodeTable is the name of the code table the value is from, or "".
	CodeTable string
	// Personal marks data about a natural person.
	Personal bool
}

// Schema is one compiled, immutable schema version of a resource. It is safe for concurrent use.
type Schema struct {
	resource    string
	version     uint32
	raw         []byte
	doc         map[string]any
	title       Title
	annotations []Annotation   // sorted by path
	places      map[string]int // path, joined by pathSeparator → index in annotations
	required    []string
	keyable     map[string]bool // top-level fields that hold text or whole numbers only
	validator   *validator
	size        int64
}

const pathSeparator = "\x00"

// bytesPerSubschema is what a compiled subschema holds on to: 82.6 KiB were measured for 30 fields.
const bytesPerSubschema = 2800

// Compile lints raw and compiles it as one version of a resource. raw must not be changed
// afterwards. The only error is a *ProfileError, which wraps ErrProfile.
func Compile(resource string, version uint32, raw []byte) (*Schema, error) {
	a, findings := analyse(raw)
	if a == nil {
		if err := findings.Err(); err != nil {
			return nil, err
		}
		return nil, &ProfileError{Findings: Findings{{Rule: "compile", Zh: "模式不能编译", En: "the schema does not compile"}}}
	}
	s := &Schema{resource: resource, version: version, raw: raw, doc: a.doc, validator: a.compiled,
		title:  Title{Zh: a.root.text("title"), En: a.root.text("x-title-en")},
		places: map[string]int{}, keyable: map[string]bool{}}
	s.annotate(a.root)
	if names, ok := a.doc["required"].([]any); ok {
		for _, n := range names {
			if name, is := n.(string); is {
				s.required = append(s.required, name)
			}
		}
	}
	for name, p := range a.root.props {
		s.keyable[name] = p.facts != nil && p.facts.known && p.facts.types&^(typeString|typeInteger) == 0
	}
	s.size = int64(3*len(raw) + bytesPerSubschema*a.count)
	return s, nil
}

// annotate collects the annotations of every field. Where several branches speak of one field
// the strictest word of each kind holds, so that no branch can loosen another (invariant 5).
func (s *Schema) annotate(root *node) {
	found := map[string]*Annotation{}
	var walk func(n *node, path []string)
	walk = func(n *node, path []string) {
		if len(path) > 0 {
			key := strings.Join(path, pathSeparator)
			if found[key] == nil {
				found[key] = &Annotation{Pointer: path}
			}
			found[key].merge(n)
		}
		for _, m := range n.same(inPlace) {
			walk(m, path)
		}
		for name, p := range n.props {
			walk(p, append(slices.Clone(path), name))
		}
		for _, group := range [][]string{mapped, listed} {
			for _, k := range group {
				for _, m := range n.kids[k] {
					if m.doc != nil {
						walk(m, append(slices.Clone(path), "*"))
					}
				}
			}
		}
	}
	walk(root, nil)
	for _, a := range found {
		s.annotations = append(s.annotations, *a)
	}
	slices.SortFunc(s.annotations, func(a, b Annotation) int { return slices.Compare(a.Pointer, b.Pointer) })
	for i, a := range s.annotations {
		s.places[strings.Join(a.Pointer, pathSeparator)] = i
	}
}

func (a *Annotation) merge(n *node) {
	// A title may come in any order of branches: the least text holds, so the result never depends on it.
	a.TitleZh, a.TitleEn = least(a.TitleZh, n.text("title")), least(a.TitleEn, n.text("x-title-en"))
	a.Mask, a.CodeTable = least(a.Mask, n.text("x-mask")), least(a.CodeTable, n.text("x-code-table"))
	a.Sharing = Stricter(sharingClasses, a.Sharing, n.text("x-sharing"))
	a.Portal = Stricter(portalRules, a.Portal, n.text("x-portal"))
	a.Personal = a.Personal || n.doc["x-personal"] == true
}

func least(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// Stricter returns the one of a and b that stands later in order; "" is before all.
func Stricter(order []string, a, b string) string {
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// SharingClasses lists the sharing classes from the least to the most strict.
func SharingClasses() []string { return slices.Clone(sharingClasses) }

// PortalRules lists the portal rules from the least to the most strict.
func PortalRules() []string { return slices.Clone(portalRules) }

// Masks lists the names of the masks.
func Masks() []string { return slices.Clone(maskNames) }

// Resource returns the name of the resource.
func (s *Schema) Resource() string { return s.resource }

// Version returns the schema version, from 1.
func (s *Schema) Version() uint32 { return s.version }

// Raw returns the schema as it was registered.
func (s *Schema) Raw() []byte { return s.raw }

// Title returns the schema's own title.
func (s *Schema) Title() Title { return s.title }

// Annotations returns every field of the schema, nested ones too, sorted by path.
func (s *Schema) Annotations() []Annotation { return s.annotations }

// Field returns the annotation of a top-level field, and whether the schema has it.
func (s *Schema) Field(name string) (Annotation, bool) {
	i, ok := s.places[name]
	if !ok || name == "*" {
		return Annotation{}, false
	}
	return s.annotations[i], true
}

// Fields lists the names of the top-level fields, sorted.
func (s *Schema) Fields() []string {
	var names []string
	for _, a := range s.annotations {
		if len(a.Pointer) == 1 && a.Pointer[0] != "*" {
			names = append(names, a.Pointer[0])
		}
	}
	return names
}

// Required lists the top-level fields that every record has, in the schema's order.
func (s *Schema) Required() []string { return slices.Clone(s.required) }

// Personal reports whether any field is personal: such a resource must be erasable.
func (s *Schema) Personal() bool {
	return slices.ContainsFunc(s.annotations, func(a Annotation) bool { return a.Personal })
}

// Size estimates the memory that the compiled schema holds, in bytes.
func (s *Schema) Size() int64 { return s.size }

// placeOf returns the path of the schema that tokens of a record lead to: indexes and free names become "*".
func (s *Schema) placeOf(tokens []string) (path []string, known bool) {
	for _, t := range tokens {
		next := append(path, t)
		if _, ok := s.places[strings.Join(next, pathSeparator)]; !ok {
			next[len(next)-1] = "*"
			if _, ok := s.places[strings.Join(next, pathSeparator)]; !ok {
				return path, false
			}
		}
		path = next
	}
	return path, true
}
