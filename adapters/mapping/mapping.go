package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

// maxFileBytes bounds a mapping file.
const maxFileBytes = 1 << 20

// Names with a meaning of their own in `from`, where `each` is set.
const (
	outerMark    = "^"      // ^name is a column of the row around the element
	indexName    = "^index" // the element's number from 1
	elementName  = "."      // the element itself
	restOfOuters = "^*"     // in ignore: every outer column not used
)

// Mapping is one compiled mapping file.
type Mapping struct {
	resource string
	each     string
	key      []string
	fields   []field // sorted by target
	ignore   map[string]bool
	zone     *time.Location
}

// field is one target member.
type field struct {
	target   string
	from     []string // empty for a constant
	constant any
	fallback any // nil = none
	steps    []step
}

// file is the YAML form.
type file struct {
	// Resource is the resource the records belong to.
	Resource string `json:"resource"`
	// Each is the path of an array: one record per element.
	Each string `json:"each,omitempty"`
	// Key names the target members the business key is made of, as the resource says.
	Key []string `json:"key"`
	// Zone is the offset of local times; default +08:00.
	Zone string `json:"zone,omitempty"`
	// Codes are the code tables steps may name.
	Codes map[string]codeTable `json:"codes,omitempty"`
	// Fields maps target members to where they come from.
	Fields map[string]fieldFile `json:"fields"`
	// Ignore lists columns that are left out on purpose.
	Ignore []string `json:"ignore,omitempty"`
}

type fieldFile struct {
	From    names             `json:"from,omitempty"`
	Const   json.RawMessage   `json:"const,omitempty"`
	Default json.RawMessage   `json:"default,omitempty"`
	Steps   []json.RawMessage `json:"steps,omitempty"`
}

// names is one name or a list of names.
type names []string

// UnmarshalJSON implements json.Unmarshaler.
func (n *names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = names{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("from: a column name or a list of column names is needed (YAML wants y, n, yes, no, on, off and numbers in quotes)")
	}
	*n = many
	return nil
}

// Load reads and compiles a mapping file. Faults come all at once in an *adapters.FaultsError.
func Load(path string) (*Mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read mapping: %w", err)
	}
	defer f.Close()
	raw, err := readBounded(f, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read mapping %s: %w", path, err)
	}
	m, err := Parse(raw)
	var faults *adapters.FaultsError
	if errors.As(err, &faults) {
		faults.File = path
	}
	return m, err
}

// Parse is Load on bytes.
func Parse(raw []byte) (*Mapping, error) {
	var f file
	if err := yaml.UnmarshalStrict(raw, &f); err != nil {
		return nil, &adapters.FaultsError{Faults: []error{err}}
	}
	c := compiler{codes: map[string]*codeTable{}}
	m := c.compile(f)
	if len(c.faults) > 0 {
		return nil, &adapters.FaultsError{Faults: c.faults}
	}
	return m, nil
}

// Resource is the resource the records belong to.
func (m *Mapping) Resource() string { return m.resource }

// Key names the target members the key is made of.
func (m *Mapping) Key() []string { return slices.Clone(m.key) }

// Targets are the members the mapping sets, sorted.
func (m *Mapping) Targets() []string {
	out := make([]string, len(m.fields))
	for i, f := range m.fields {
		out[i] = f.target
	}
	return out
}

// Each is the path of the array whose elements become records, "" if a row is one record.
func (m *Mapping) Each() string { return m.each }

// Check holds the mapping against the schema it writes for: a target the schema does not know, or a required
// member that is never set, is a fault. Faults come all at once in an *adapters.FaultsError.
func (m *Mapping) Check(s Schema) error {
	var top struct {
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(s.Raw(), &top); err != nil {
		return fmt.Errorf("read schema of %s: %w", m.resource, err)
	}
	var faults []error
	set := map[string]bool{}
	for _, f := range m.fields {
		set[f.target] = true
		if _, known := top.Properties[f.target]; !known {
			faults = append(faults, fmt.Errorf("fields.%s: the schema of %s has no such member", f.target, m.resource))
		}
	}
	for _, name := range top.Required {
		if !set[name] {
			faults = append(faults, fmt.Errorf("fields.%s: is required by the schema of %s and not set", name, m.resource))
		}
	}
	if len(faults) > 0 {
		return &adapters.FaultsError{Faults: faults}
	}
	return nil
}

// Columns compares a source's columns with the mapping: missing are read by it and not there, unknown are there and
// neither used nor ignored. Both are sorted as they stand in the mapping or in columns.
func (m *Mapping) Columns(columns []string) (missing, unknown []string) {
	have := map[string]bool{}
	for _, c := range columns {
		have[c] = true
	}
	used := map[string]bool{}
	need := func(name string) {
		column := columnOf(name, have)
		if !used[column] && !have[column] {
			missing = append(missing, column)
		}
		used[column] = true
	}
	if m.each != "" {
		need(m.each)
	}
	for _, f := range m.fields {
		for _, name := range f.from {
			outer, isOuter := strings.CutPrefix(name, outerMark)
			switch {
			case m.each == "":
				need(name)
			case isOuter && name != indexName:
				need(outer)
			}
		}
	}
	mark := ""
	if m.each != "" {
		mark = outerMark
	}
	for _, c := range columns {
		if !used[c] && !m.ignore[mark+c] && !m.ignore[restOfOuters] {
			unknown = append(unknown, c)
		}
	}
	return missing, unknown
}

// columnOf finds the column a name starts from: the column of that name, else what stands before the first dot.
func columnOf(name string, have map[string]bool) string {
	if head, _, dotted := strings.Cut(name, "."); dotted && !have[name] && head != "" {
		return head
	}
	return name
}

// compiler collects faults while a file is compiled.
type compiler struct {
	faults []error
	codes  map[string]*codeTable
	used   map[string]bool
	zone   *time.Location
}

func (c *compiler) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

func (c *compiler) compile(f file) *Mapping {
	c.zone, c.used = c.zoneOf(f.Zone), map[string]bool{}
	m := &Mapping{resource: f.Resource, each: f.Each, key: f.Key, zone: c.zone, ignore: map[string]bool{}}
	if domain, name, ok := strings.Cut(f.Resource, "."); !ok || domain == "" || name == "" {
		c.fault("resource: %q is not of the form domain.name", f.Resource)
	}
	for name, table := range f.Codes {
		table.name = name
		for _, err := range table.check() {
			c.fault("codes.%s: %w", name, err)
		}
		c.codes[name] = &table
	}
	if len(f.Fields) == 0 {
		c.fault("fields: at least one is needed")
	}
	from := map[string]bool{}
	for _, target := range sortedKeys(f.Fields) {
		m.fields = append(m.fields, c.field(target, f.Fields[target], f.Each != ""))
		for _, n := range f.Fields[target].From {
			from[n] = true
		}
	}
	if len(f.Key) == 0 {
		c.fault("key: at least one target member is needed")
	}
	for _, k := range f.Key {
		if _, ok := f.Fields[k]; !ok {
			c.fault("key: %q is not among the fields", k)
		}
	}
	for _, n := range f.Ignore {
		if from[n] {
			c.fault("ignore: %q is used by a field", n)
		}
		if strings.HasPrefix(n, outerMark) && f.Each == "" {
			c.fault("ignore: %q needs each", n)
		}
		m.ignore[n] = true
	}
	for _, name := range sortedKeys(f.Codes) {
		if !c.used[name] {
			c.fault("codes.%s: no step uses it", name)
		}
	}
	return m
}

func (c *compiler) zoneOf(text string) *time.Location {
	if text == "" {
		text = "+08:00"
	}
	t, err := time.Parse("-07:00", text)
	if err != nil {
		c.fault("zone: %q is not an offset such as +08:00", text)
		return time.UTC
	}
	_, offset := t.Zone()
	return time.FixedZone(text, offset)
}

func (c *compiler) field(target string, f fieldFile, each bool) field {
	at := "fields." + target
	out := field{target: target, from: f.From}
	if (len(f.From) == 0) == (f.Const == nil) {
		c.fault("%s: exactly one of from and const is needed", at)
	}
	if f.Const != nil {
		out.constant = c.literal(at+".const", f.Const)
		if f.Default != nil || len(f.Steps) > 0 {
			c.fault("%s: const stands alone", at)
		}
	}
	if f.Default != nil {
		out.fallback = c.literal(at+".default", f.Default)
	}
	for _, n := range f.From {
		if n == "" {
			c.fault("%s.from: a name is empty", at)
		}
		if !each && (strings.HasPrefix(n, outerMark) || n == elementName) {
			c.fault("%s.from: %q needs each", at, n)
		}
	}
	for i, raw := range f.Steps {
		s, err := c.step(raw)
		if err != nil {
			c.fault("%s.steps[%d]: %w", at, i, err)
			continue
		}
		out.steps = append(out.steps, s)
	}
	return out
}

// literal reads a constant; null is refused, because an absent member says the same.
func (c *compiler) literal(at string, raw json.RawMessage) any {
	_, v, err := record.Decode(raw, record.DefaultLimits())
	if err != nil {
		c.fault("%s: %w", at, err)
		return nil
	}
	if v == nil {
		c.fault("%s: null is not a value; leave the field out", at)
	}
	return v
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
