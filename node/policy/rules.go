package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas"
)

// Schema is what policy needs of a compiled schema: an annotation of every field
// it declares, the fields of nested objects and of array elements included.
// *schemas.Schema is one.
type Schema interface {
	Annotations() []schemas.Annotation
}

// class is a sharing class; the greater one is the stricter.
type class uint8

const (
	classUnconditional class = iota
	classConditional
	classWithheld
)

// portal is what the portal may show of a field, as the words on the way down to
// it add up.
type portal struct {
	named   bool // some word lets it onto the portal
	never   bool // some word keeps it off
	decided bool // only when the publication was decided
	masked  bool // only through a mask
}

// rule is one field of a schema with the words of schema and resource on it and
// on everything above it. What a word above says, a word below can only tighten.
type rule struct {
	class       class
	portal      portal
	masks       []string // for every recipient
	portalMasks []string // for the portal only
	declared    bool     // by the schema, not only named by the resource
	kids        map[string]*rule
}

// ruleSet is the rules of one resource under one schema version.
type ruleSet struct{ root *rule }

// compileRules joins the annotations of the schema with the rules of the
// resource. It returns a *Denial of class ErrRule for a word it does not know.
//
// A mask beside the portal rule "mask" is for the portal only; beside any other
// portal rule, or none, it is for every recipient.
func compileRules(r schemas.Resource, s Schema) (ruleSet, error) {
	base, err := classOf(r.Sharing, r.Resource)
	if err != nil {
		return ruleSet{}, err
	}
	annotations := slices.Clone(s.Annotations())
	slices.SortStableFunc(annotations, func(a, b schemas.Annotation) int { return len(a.Pointer) - len(b.Pointer) })
	words := make(map[string][]schemas.FieldRule)
	declared := make(map[string]bool)
	var paths [][]string
	for _, a := range annotations {
		at := joinPath(a.Pointer)
		declared[at] = true
		if _, seen := words[at]; !seen {
			paths = append(paths, a.Pointer)
		}
		words[at] = append(words[at], schemas.FieldRule{Sharing: a.Sharing, Portal: a.Portal, Mask: a.Mask})
	}
	for name, w := range r.Fields {
		at := joinPath([]string{name})
		if len(words[at]) == 0 {
			paths = append(paths, []string{name})
		}
		words[at] = append(words[at], w)
	}
	slices.SortStableFunc(paths, func(a, b []string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(a, b)
	})
	set := ruleSet{root: &rule{class: base}}
	for _, p := range paths {
		if len(p) > maxPathDepth {
			return ruleSet{}, unknownRule(joinPath(p), "depth")
		}
		n := set.grow(p)
		n.declared = declared[joinPath(p)]
		for _, w := range words[joinPath(p)] {
			if err := n.tighten(w, joinPath(p)); err != nil {
				return ruleSet{}, err
			}
		}
		if n.portal.masked && len(n.portalMasks)+len(n.masks) == 0 {
			return ruleSet{}, unknownRule(joinPath(p), "mask")
		}
	}
	return set, set.checkKey(r)
}

// strictRules joins the rules of a record's own schema version with those of the
// resource's newest, the stricter word winning at each path. Where newest is nil
// there are only those of s.
func strictRules(r schemas.Resource, s, newest Schema) (ruleSet, error) {
	own, err := compileRules(r, s)
	if err != nil || newest == nil {
		return own, err
	}
	now, err := compileRules(r, newest)
	if err != nil {
		return ruleSet{}, err
	}
	return ruleSet{root: strictest(own.root, now.root)}, nil
}

// strictest is the rule that allows only what both allow. A path that one of them
// does not have stands in it under what was said above it: nothing withheld by
// either passes, and nothing that either does not name for the portal. Which
// fields there are to be granted is for own alone.
func strictest(own, now *rule) *rule {
	n := &rule{
		class: max(own.class, now.class),
		portal: portal{
			named:   own.portal.named && now.portal.named,
			never:   own.portal.never || now.portal.never,
			decided: own.portal.decided || now.portal.decided,
			masked:  own.portal.masked || now.portal.masked,
		},
		masks:       union(own.masks, now.masks),
		portalMasks: union(own.portalMasks, now.portalMasks),
		declared:    own.declared,
	}
	for _, from := range []map[string]*rule{own.kids, now.kids} {
		for name := range from {
			if n.kids[name] != nil {
				continue
			}
			if n.kids == nil {
				n.kids = make(map[string]*rule)
			}
			n.kids[name] = strictest(own.below(name), now.below(name))
		}
	}
	return n
}

// below is the rule of a member; where there is none, what was said above it.
func (n *rule) below(name string) *rule {
	if kid := n.kids[name]; kid != nil {
		return kid
	}
	return &rule{class: n.class, portal: n.portal, masks: n.masks, portalMasks: n.portalMasks}
}

// union is the masks of a, then those of b that a does not have.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, m := range b {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// checkKey refuses a resource whose key tells what policy hides: keys go to every
// recipient as they are. (Entries of a feed are named without them, so a mask for
// the portal only does no harm.)
func (s ruleSet) checkKey(r schemas.Resource) error {
	for _, name := range r.Key {
		if n := s.root.kids[name]; n != nil && (n.class == classWithheld || len(n.masks) > 0) {
			return &Denial{Class: ErrRule, Reason: "key_hidden", Member: name,
				Zh: "主键字段“" + name + "”不予共享或须遮盖，不能作主键", En: "key field " + name + " is withheld or masked and cannot be a key"}
		}
	}
	return nil
}

// grow finds or makes the node of a path. Paths come shortest first, so a new node
// starts from all that was said above it.
func (s ruleSet) grow(path []string) *rule {
	n := s.root
	for _, name := range path {
		kid := n.kids[name]
		if kid == nil {
			kid = &rule{class: n.class, portal: n.portal,
				masks: slices.Clone(n.masks), portalMasks: slices.Clone(n.portalMasks)}
			if n.kids == nil {
				n.kids = make(map[string]*rule)
			}
			n.kids[name] = kid
		}
		n = kid
	}
	return n
}

// tighten adds one word. Nothing it does can loosen what stands.
func (n *rule) tighten(w schemas.FieldRule, at string) error {
	if w.Sharing != "" {
		c, err := classOf(w.Sharing, at)
		if err != nil {
			return err
		}
		n.class = max(n.class, c)
	}
	switch w.Portal {
	case "":
	case schemas.PortalPublish:
		n.portal.named = true
	case schemas.PortalMask:
		n.portal.named, n.portal.masked = true, true
	case schemas.PortalDecided:
		n.portal.named, n.portal.decided = true, true
	case schemas.PortalNever:
		n.portal.never = true
	default:
		return unknownRule(at, "portal")
	}
	if w.Mask == "" {
		return nil
	}
	if _, known := masks[w.Mask]; !known {
		return unknownRule(at, "mask")
	}
	into := &n.masks
	if w.Portal == schemas.PortalMask {
		into = &n.portalMasks
	}
	if !slices.Contains(*into, w.Mask) {
		*into = append(*into, w.Mask)
	}
	return nil
}

// conditional tells whether the field, or something below it that may be granted,
// is shared under conditions only.
func (n *rule) conditional() bool {
	if n.class != classUnconditional {
		return n.class == classConditional
	}
	for _, kid := range n.kids {
		if kid.conditional() {
			return true
		}
	}
	return false
}

// find is the rule of a path that the schema declares, itself or by a field below.
func (s ruleSet) find(path []string) (*rule, bool) {
	n := s.root
	for _, name := range path {
		if n = n.kids[name]; n == nil {
			return nil, false
		}
	}
	return n, len(path) > 0 && n.known()
}

func (n *rule) known() bool {
	if n.declared {
		return true
	}
	for _, kid := range n.kids {
		if kid.known() {
			return true
		}
	}
	return false
}

func classOf(word, at string) (class, error) {
	switch word {
	case schemas.SharingUnconditional:
		return classUnconditional, nil
	case schemas.SharingConditional:
		return classConditional, nil
	case schemas.SharingWithheld:
		return classWithheld, nil
	}
	return classWithheld, unknownRule(at, "sharing")
}

func unknownRule(at, what string) error {
	return &Denial{Class: ErrRule, Reason: what + "_unknown", Member: at,
		Zh: fmt.Sprintf("“%s”的%s规则不明或缺失，不能按它提供数据", at, what),
		En: fmt.Sprintf("the %s rule of %q is unknown or missing, nothing is handed out by it", what, at)}
}

// joinPath writes a path as Fields has it.
func joinPath(path []string) string {
	escaped := make([]string, len(path))
	for i, name := range path {
		escaped[i] = pathEscaper.Replace(name)
	}
	return strings.Join(escaped, "/")
}

var (
	pathEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pathUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// parsePath reads what joinPath writes.
func parsePath(s string) ([]string, error) {
	if s == "" || len(s) > 1024 {
		return nil, ErrInvalid
	}
	path := strings.Split(s, "/")
	if len(path) > maxPathDepth {
		return nil, ErrInvalid
	}
	for i, name := range path {
		path[i] = pathUnescaper.Replace(name)
		if name == "" || pathEscaper.Replace(path[i]) != name {
			return nil, ErrInvalid
		}
	}
	return path, nil
}
