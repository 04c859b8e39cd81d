package schemas

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of the profile. The record's own bounds are in schemas/record.
const (
	maxSchemaBytes = 256 << 10
	maxDepth       = 32        // nested subschemas
	maxSubschemas  = 4096      // in one document
	maxBranchCost  = 10_000    // schemas in the full expansion
	maxWork        = 2_000_000 // schema applications for one record
	maxElements    = 10_000    // members and elements of one record
	maxTextLength  = 256 << 10 // largest maxLength
	maxUnique      = 1_000     // largest maxItems beside uniqueItems
)

const dialect = "https://json-schema.org/draft/2020-12/schema"

// schemaLimits bound the schema document itself: 32 nested subschemas are at most 64 nested
// values, and a few more for what keywords hold.
func schemaLimits() record.Limits {
	lim := record.DefaultLimits()
	lim.RecordBytes, lim.Depth, lim.Members = maxSchemaBytes, 2*maxDepth+8, 65_536
	return lim
}

// Lint checks a schema against the profile: JSON Schema 2020-12, in which a schema is complete
// in itself, every string and array has an end, every object says which members it takes, no
// keyword is unknown, and no record can make a validation slow. It reports all findings, and
// never reads anything but raw. A schema that Lint does not refuse compiles.
func Lint(raw []byte) Findings {
	_, findings := analyse(raw)
	return findings
}

// analysis is what linting learned of a schema that it did not refuse.
type analysis struct {
	doc      map[string]any
	root     *node
	count    int // subschemas
	compiled *validator
}

type linter struct {
	nodes    map[string]*node
	findings Findings
	said     map[string]bool // rules reported once for the document
}

func (l *linter) add(ptr, rule, zh, en string) {
	l.findings = append(l.findings, Finding{Pointer: ptr, Rule: rule, Zh: zh, En: en})
}

func (l *linter) advise(ptr, rule, zh, en string) {
	l.findings = append(l.findings, Finding{Pointer: ptr, Rule: rule, Zh: zh, En: en, Advice: true})
}

func (l *linter) once(rule, zh, en string) {
	if !l.said[rule] {
		l.said[rule] = true
		l.add("", rule, zh, en)
	}
}

func analyse(raw []byte) (*analysis, Findings) {
	l := &linter{nodes: map[string]*node{}, said: map[string]bool{}}
	if len(raw) > maxSchemaBytes {
		l.add("", "size", fmt.Sprintf("模式超过%d KiB。改法:删去示例和说明,或拆成几个资源", maxSchemaBytes>>10),
			fmt.Sprintf("the schema is larger than %d KiB; drop examples and descriptions, or split the resource", maxSchemaBytes>>10))
		return nil, l.findings
	}
	_, value, err := record.Decode(raw, schemaLimits())
	if err != nil {
		l.syntax(err)
		return nil, l.findings
	}
	doc, ok := value.(map[string]any)
	if !ok {
		l.add("", "schema_form", "模式应是一个 JSON 对象", "a schema is a JSON object")
		return nil, l.findings
	}
	root := l.build("", doc, 0)
	a := &analysis{doc: doc, root: root, count: len(l.nodes)}
	if l.said["subschemas"] || l.said["depth"] {
		return nil, l.findings.sorted()
	}
	l.resolveRefs()
	l.lintRoot(root)
	if l.measure(root) {
		l.lintValue(root, true)
	}
	if l.findings.Refused() {
		return nil, l.findings.sorted()
	}
	if a.compiled = l.compile(a); a.compiled == nil {
		return nil, l.findings.sorted()
	}
	return a, l.findings.sorted()
}

// syntax reports a document that the strict reader refuses.
func (l *linter) syntax(err error) {
	zh, en, ptr := "不是合法的 JSON。改法:用 JSON 工具检查后再提交", "not valid JSON", ""
	var s *record.SyntaxError
	if errors.As(err, &s) {
		ptr, en = s.Pointer, fmt.Sprintf("not strict JSON: %s at byte %d", s.Rule, s.Offset)
		switch s.Rule {
		case record.RuleDepth:
			zh, en = "嵌套过深。改法:减少层数", "nested too deep; flatten the schema"
		case record.RuleDuplicateName:
			zh, en = "同一对象里有重名成员。改法:删去重复的", "a member name occurs twice in one object; remove one"
		case record.RuleNumber:
			zh, en = "数字过长或指数过大。改法:改用合理的数字", "a number is too long or its exponent too large"
		case record.RuleUTF8:
			zh, en = "含有乱码或非 UTF-8 字符。改法:以 UTF-8 保存后重新提交", "broken text; save the file as UTF-8"
		}
	}
	l.add(ptr, "json", zh, en)
}

// lintRoot checks what only the whole document must have.
func (l *linter) lintRoot(root *node) {
	if root.text("$schema") != dialect {
		l.add("/$schema", "dialect", "须写明 $schema 为 "+dialect, "$schema must be "+dialect)
	}
	f := l.factsOf(root)
	if !f.known || f.types != typeObject {
		l.add("", "root_not_object", "记录应是对象。改法:在最外层写 \"type\": \"object\"", "a record is an object; write \"type\": \"object\" at the root")
	}
	if root.doc["additionalProperties"] != false && root.doc["unevaluatedProperties"] != false {
		l.add("", "open_root", "最外层必须封闭,否则模式之外的字段没有共享规则。改法:写 \"additionalProperties\": false",
			"the root must be closed, or members without a sharing rule get in; write \"additionalProperties\": false")
	}
	for _, k := range []string{"x-sharing", "x-portal", "x-mask", "x-personal", "x-code-table"} {
		if root.has(k) {
			l.add("/"+k, "annotation", "这个标注只写在字段上;整个资源的共享类型写在目录条目里", "this belongs to a field; the class of the whole is in the catalogue entry")
		}
	}
	if root.text("title") == "" {
		l.advise("/title", "title_missing", "建议写中文名称 title", "a title in Chinese is missing")
	}
	for name, p := range root.props {
		if title, _ := p.inherited("title").(string); title == "" {
			l.advise(child(p.ptr, "title"), "title_missing", "字段“"+name+"”建议写中文名称 title,退回说明会用到", "field "+name+" has no title; refusals name it by its member name")
		}
	}
}

// inherited returns a keyword's value on the node or on what it refers to.
func (n *node) inherited(keyword string) any {
	for hops := 0; n != nil && hops < maxDepth; hops++ {
		if v, ok := n.doc[keyword]; ok {
			return v
		}
		n = n.ref
	}
	return nil
}

// A typeSet is a set of JSON types.
type typeSet uint8

const (
	typeString typeSet = 1 << iota
	typeNumber
	typeInteger
	typeBoolean
	typeObject
	typeArray
	typeNull
)

var typeNames = map[string]typeSet{"string": typeString, "number": typeNumber, "integer": typeInteger,
	"boolean": typeBoolean, "object": typeObject, "array": typeArray, "null": typeNull}

// facts say what a schema, with what it refers to, certainly demands of a value.
type facts struct {
	known    bool // types are limited to types
	types    typeSet
	endText  bool // strings have an end
	endArray bool // arrays have an end
	elements bool // arrays say what their elements are
	closed   bool // objects say what other members they take
}

// factsOf returns the facts of n. It follows references that may still form a circle, so it
// marks a node before it looks below.
func (l *linter) factsOf(n *node) *facts {
	if n.facts != nil {
		return n.facts
	}
	f := &facts{}
	n.facts = f
	if n.doc == nil {
		f.known = !n.always
		return f
	}
	f.own(n)
	var all []*node
	if n.ref != nil {
		all = append(all, n.ref)
	}
	for _, m := range append(all, n.kids["allOf"]...) {
		f.and(l.factsOf(m))
	}
	for _, k := range []string{"anyOf", "oneOf"} {
		if members := n.kids[k]; len(members) > 0 {
			either := *l.factsOf(members[0])
			for _, m := range members[1:] {
				either = either.or(*l.factsOf(m))
			}
			f.and(&either)
		}
	}
	return f
}

// own takes in what stands on the node itself.
func (f *facts) own(n *node) {
	values, fixed := n.doc["enum"].([]any)
	if c, ok := n.doc["const"]; ok {
		values, fixed = []any{c}, true
	}
	if fixed {
		f.known, f.endText, f.endArray, f.elements, f.closed = true, true, true, true, true
		for _, v := range values {
			f.types |= typeOf(v)
		}
	}
	switch t := n.doc["type"].(type) {
	case string:
		f.known, f.types = true, typeNames[t]
	case []any:
		f.known, f.types = true, 0
		for _, e := range t {
			name, _ := e.(string)
			f.types |= typeNames[name]
		}
	}
	f.endText = f.endText || n.has("maxLength") || formats[n.text("format")].bound > 0 || n.has("x-code-table")
	f.endArray = f.endArray || n.has("maxItems")
	f.elements = f.elements || n.has("items") || n.has("unevaluatedItems")
	f.closed = f.closed || n.has("additionalProperties") || n.has("unevaluatedProperties")
}

func (f *facts) and(g *facts) {
	if g.known && f.known {
		f.types &= g.types
	} else if g.known {
		f.known, f.types = true, g.types
	}
	f.endText, f.endArray = f.endText || g.endText, f.endArray || g.endArray
	f.elements, f.closed = f.elements || g.elements, f.closed || g.closed
}

// or joins two alternatives; one that cannot be a string leaves strings to the other.
func (f facts) or(g facts) facts {
	lacks := func(x facts, t typeSet) bool { return x.known && x.types&t == 0 }
	both := func(a, b bool, t typeSet) bool { return (a || lacks(f, t)) && (b || lacks(g, t)) }
	return facts{known: f.known && g.known, types: f.types | g.types,
		endText: both(f.endText, g.endText, typeString), endArray: both(f.endArray, g.endArray, typeArray),
		elements: both(f.elements, g.elements, typeArray), closed: both(f.closed, g.closed, typeObject)}
}

func typeOf(v any) typeSet {
	switch v.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case string:
		return typeString
	case []any:
		return typeArray
	case map[string]any:
		return typeObject
	}
	return typeNumber | typeInteger
}

// lintValue checks that every value n lets pass has an end, and everything below.
func (l *linter) lintValue(n *node, root bool) {
	f := l.factsOf(n)
	if !f.known {
		l.add(n.ptr, "type_missing", "没有限定类型,任何内容都能通过。改法:写明 type", "no type, so anything passes; write its type")
		return
	}
	if f.types&typeString != 0 && !f.endText {
		l.add(n.ptr, "unbounded_string", "文字没有长度上限。改法:写 maxLength(按字数),或用有长度的 format、enum", "the string has no end; write maxLength (in characters), or a format or enum that has one")
	}
	if f.types&typeArray != 0 && !f.endArray {
		l.add(n.ptr, "unbounded_array", "数组没有项数上限。改法:写 maxItems", "the array has no end; write maxItems")
	}
	if f.types&typeArray != 0 && !f.elements {
		l.add(n.ptr, "items_missing", "没有说明数组各项是什么。改法:写 items", "nothing says what the elements are; write items")
	}
	if f.types&typeObject != 0 && !f.closed && !root {
		l.add(n.ptr, "open_object", "没有说明能否有其他成员。改法:写 \"additionalProperties\": false", "nothing says whether other members may stand here; write \"additionalProperties\": false")
	}
	l.lintBelow(n, nil, false, false)
}

// lintBelow checks the values inside n. declared are members, and elements tells that array
// elements, are described by the schema around a branch: there the branch only judges them.
func (l *linter) lintBelow(n *node, declared []string, elements, branch bool) {
	for name, p := range n.props {
		if !slices.Contains(declared, name) {
			l.lintValue(p, false)
		}
	}
	for _, k := range mapped {
		for _, m := range n.kids[k] {
			if m.doc != nil || m.always && !branch {
				l.lintValue(m, false)
			}
		}
	}
	if !elements {
		for _, k := range listed {
			for _, m := range n.kids[k] {
				if m.doc != nil || m.always {
					l.lintValue(m, false)
				}
			}
		}
	}
	inside := slices.Concat(declared, l.declares(n))
	for _, m := range n.same(defining) {
		l.lintBelow(m, inside, elements || n.has("items"), true)
	}
}

// declares lists the members that n itself describes.
func (l *linter) declares(n *node) []string {
	var names []string
	for name, p := range n.props {
		if l.factsOf(p).known {
			names = append(names, name)
		}
	}
	return names
}
