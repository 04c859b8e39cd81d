package schemas

import (
	"maps"
	"slices"
	"strings"
)

// expectation is what x-expected asks of a value and of what lies in it. It stands beside the
// validator: what is expected never refuses, so the validator need not spend time on it.
type expectation struct {
	names    []string
	same     []conditional
	members  map[string]*expectation
	elements *expectation
}

// conditional is an expectation that holds where every test does, or with negate where one does not.
type conditional struct {
	tests  []memberTest
	negate bool
	then   *expectation
}

// memberTest compares one member with the values of a const or enum.
type memberTest struct {
	name   string
	values []any // strings and booleans
	absent bool  // what the test says of a record without the member
}

func (c *conditional) holds(members map[string]any) bool {
	for _, t := range c.tests {
		v, there := members[t.name]
		ok := t.absent
		if there {
			ok = slices.ContainsFunc(t.values, func(w any) bool { return sameScalar(v, w) })
		}
		if !ok {
			return c.negate
		}
	}
	return !c.negate
}

func sameScalar(a, b any) bool {
	switch a := a.(type) {
	case string:
		s, ok := b.(string)
		return ok && a == s
	case bool:
		t, ok := b.(bool)
		return ok && a == t
	}
	return false
}

// expect builds the expectation of a node, nil where nothing is expected. The linter refused
// recursion, and conditions that testsOf cannot read.
func expect(n *node) *expectation {
	e := &expectation{members: map[string]*expectation{}}
	if list, ok := n.doc["x-expected"].([]any); ok {
		for _, v := range list {
			if name, is := v.(string); is {
				e.names = append(e.names, name)
			}
		}
	}
	same := n.kids["allOf"]
	if n.ref != nil {
		same = append(slices.Clone(same), n.ref)
	}
	for _, m := range same {
		e.add(nil, false, m)
	}
	if test := n.kids["if"]; test != nil {
		tests, _ := testsOf(test[0])
		for k, negate := range map[string]bool{"then": false, "else": true} {
			for _, m := range n.kids[k] {
				e.add(tests, negate, m)
			}
		}
	}
	for name, p := range n.props {
		if inner := expect(p); inner != nil {
			e.members[name] = inner
		}
	}
	for _, m := range n.kids["items"] {
		e.elements = expect(m)
	}
	if e.names == nil && e.same == nil && len(e.members) == 0 && e.elements == nil {
		return nil
	}
	return e
}

func (e *expectation) add(tests []memberTest, negate bool, n *node) {
	if inner := expect(n); inner != nil {
		e.same = append(e.same, conditional{tests, negate, inner})
	}
}

// testsOf reads an "if" of the form {properties: {name: {const | enum}…}, required}; ok is false for any other.
func testsOf(n *node) (tests []memberTest, ok bool) {
	required, _ := n.doc["required"].([]any)
	for k := range n.doc {
		if k != "properties" && k != "required" {
			return nil, false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.props)) {
		p := n.props[name]
		values, isEnum := p.doc["enum"].([]any)
		if c, isConst := p.doc["const"]; isConst {
			values = []any{c}
		} else if !isEnum {
			return nil, false
		}
		if len(p.doc) != 1 || slices.ContainsFunc(values, func(v any) bool { return !sameScalar(v, v) }) {
			return nil, false
		}
		tests = append(tests, memberTest{name, values, !slices.Contains(required, any(name))})
	}
	return tests, len(required) <= len(tests)
}

// warn adds to out the dotted names of expected members that are absent, null or empty.
func (e *expectation) warn(value any, path string, out map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range e.names {
			if m, ok := value[name]; !ok || m == nil || m == "" {
				out[path+name] = true
			}
		}
		for _, c := range e.same {
			if c.holds(value) {
				c.then.warn(value, path, out)
			}
		}
		for name, inner := range e.members {
			if m, ok := value[name]; ok {
				inner.warn(m, path+name+".", out)
			}
		}
	case []any:
		for _, v := range value {
			if e.elements != nil {
				e.elements.warn(v, path+"*.", out)
			}
		}
	}
}

// warnings lists what a fitting record lacks, sorted.
func (e *expectation) warnings(value any) []string {
	if e == nil {
		return nil
	}
	out := map[string]bool{}
	e.warn(value, "", out)
	return slices.Sorted(maps.Keys(out))
}

// lintExpectedBranches refuses x-expected where it would silently mean nothing.
func (l *linter) lintExpectedBranches(n *node) {
	for _, k := range []string{"anyOf", "oneOf", "not", "if", "dependentSchemas", "contains", "additionalProperties", "patternProperties", "prefixItems"} {
		for _, m := range n.kids[k] {
			if m.has("x-expected") {
				l.add(child(m.ptr, "x-expected"), "annotation", "x-expected 在 "+k+" 里不起作用。改法:移到外层,或放进 allOf、then", "x-expected means nothing under "+k+"; move it out, or under allOf or then")
			}
		}
	}
	test := n.kids["if"]
	if test == nil || n.kids["then"] == nil && n.kids["else"] == nil {
		return
	}
	if _, ok := testsOf(test[0]); ok {
		return
	}
	for _, m := range append(slices.Clone(n.kids["then"]), n.kids["else"]...) {
		if expect(m) != nil {
			l.add(child(m.ptr, "x-expected"), "annotation", "x-expected 的条件 if 只能由 properties 里的 const、enum 和 required 组成", "the if of an x-expected consists of const and enum under properties, and required")
		}
	}
}

// lighten takes out of the document the conditions that lead to expectations only: the validator
// pays for every branch with a copy of the record's member names.
func (l *linter) lighten() {
	for _, n := range l.nodes {
		if strings.Contains(n.text("$ref"), "/allOf/") || strings.Contains(n.text("$ref"), "/if") {
			return // a reference goes where something would be taken out
		}
		if n.has("unevaluatedProperties") || n.has("unevaluatedItems") {
			return // a condition, too, says which members are evaluated
		}
	}
	idle := func(list []*node) bool {
		return !slices.ContainsFunc(list, func(m *node) bool {
			for k := range m.doc {
				if k != "x-expected" && k != "$comment" {
					return true
				}
			}
			return m.doc == nil
		})
	}
	emptied := map[*node]bool{}
	for _, n := range l.nodes {
		if n.has("if") && idle(n.kids["then"]) && idle(n.kids["else"]) {
			for _, k := range []string{"if", "then", "else"} {
				delete(n.doc, k)
			}
			emptied[n] = len(n.doc) == 0
		}
	}
	for _, n := range l.nodes {
		var kept []any
		for _, m := range n.kids["allOf"] {
			switch {
			case emptied[m]:
			case m.doc == nil:
				kept = append(kept, m.always)
			default:
				kept = append(kept, m.doc)
			}
		}
		if len(kept) == 0 {
			delete(n.doc, "allOf")
		} else {
			n.doc["allOf"] = kept
		}
	}
}
