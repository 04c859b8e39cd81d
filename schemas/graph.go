package schemas

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A shape says how a keyword holds subschemas.
type shape uint8

const (
	shapePlain shape = iota // none
	shapeOne
	shapeList
	shapeNamed
)

// keywords is the profile: what it does not list is refused, so that a misspelt keyword never
// silently means nothing. x- keywords are annotations; their values are checked in lintAnnotations.
var keywords = map[string]shape{
	"$schema": shapePlain, "$id": shapePlain, "$comment": shapePlain, "$ref": shapePlain, "$defs": shapeNamed,
	"title": shapePlain, "description": shapePlain, "default": shapePlain, "examples": shapePlain,
	"deprecated": shapePlain, "readOnly": shapePlain, "writeOnly": shapePlain,
	"type": shapePlain, "enum": shapePlain, "const": shapePlain, "format": shapePlain, "pattern": shapePlain,
	"minLength": shapePlain, "maxLength": shapePlain,
	"minimum": shapePlain, "maximum": shapePlain, "exclusiveMinimum": shapePlain, "exclusiveMaximum": shapePlain, "multipleOf": shapePlain,
	"properties": shapeNamed, "patternProperties": shapeNamed, "additionalProperties": shapeOne, "unevaluatedProperties": shapeOne,
	"propertyNames": shapeOne, "required": shapePlain, "minProperties": shapePlain, "maxProperties": shapePlain,
	"dependentRequired": shapePlain, "dependentSchemas": shapeNamed,
	"items": shapeOne, "prefixItems": shapeList, "contains": shapeOne, "unevaluatedItems": shapeOne,
	"minContains": shapePlain, "maxContains": shapePlain, "minItems": shapePlain, "maxItems": shapePlain, "uniqueItems": shapePlain,
	"allOf": shapeList, "anyOf": shapeList, "oneOf": shapeList, "not": shapeOne, "if": shapeOne, "then": shapeOne, "else": shapeOne,
	"x-title-en": shapePlain, "x-sharing": shapePlain, "x-portal": shapePlain, "x-mask": shapePlain, "x-personal": shapePlain,
	"x-code-table": shapePlain, "x-expected": shapePlain,
}

// Keywords by what their subschemas are applied to. inPlace ones judge the same value as the
// schema that holds them; those in defining also say what the value may contain.
var (
	inPlace  = []string{"allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas", "if", "not"}
	defining = inPlace[:6]
	mapped   = []string{"additionalProperties", "patternProperties", "unevaluatedProperties"}
	listed   = []string{"items", "prefixItems", "unevaluatedItems"}
	judging  = []string{"contains", "propertyNames"}
)

// node is one subschema of the document.
type node struct {
	ptr    string
	doc    map[string]any // nil for a boolean schema
	always bool           // the value of a boolean schema
	ref    *node          // target of $ref; nil without one, or where it is unknown
	props  map[string]*node
	kids   map[string][]*node // subschemas of every other keyword
	size   int                // number of nodes in its expansion, saturating; 0 = not counted yet
	facts  *facts
}

// same returns the subschemas applied to the same value, those that define it first.
func (n *node) same(which []string) []*node {
	var out []*node
	if n.ref != nil {
		out = append(out, n.ref)
	}
	for _, k := range which {
		out = append(out, n.kids[k]...)
	}
	return out
}

// below returns the subschemas applied to members, elements and names.
func (n *node) below() []*node {
	out := make([]*node, 0, len(n.props))
	for _, name := range slices.Sorted(maps.Keys(n.props)) {
		out = append(out, n.props[name])
	}
	for _, group := range [][]string{mapped, listed, judging} {
		for _, k := range group {
			out = append(out, n.kids[k]...)
		}
	}
	return out
}

// text returns a keyword's string value, "" without one.
func (n *node) text(keyword string) string {
	s, _ := n.doc[keyword].(string)
	return s
}

func (n *node) has(keyword string) bool {
	_, ok := n.doc[keyword]
	return ok
}

// build turns the value at ptr into a node with everything below it, and checks each keyword's form.
func (l *linter) build(ptr string, value any, depth int) *node {
	n := &node{ptr: ptr}
	l.nodes[ptr] = n
	if len(l.nodes) > maxSubschemas {
		l.once("subschemas", fmt.Sprintf("子模式多于%d个。改法:拆成几个资源,或删去不用的部分", maxSubschemas),
			fmt.Sprintf("more than %d subschemas; split the resource or drop what is not used", maxSubschemas))
		return n
	}
	if depth > maxDepth {
		l.once("depth", fmt.Sprintf("嵌套深于%d层。改法:把内层放进 $defs,减少层数", maxDepth),
			fmt.Sprintf("nested deeper than %d; flatten the record", maxDepth))
		return n
	}
	switch v := value.(type) {
	case bool:
		n.always = v
	case map[string]any:
		n.doc, n.kids = v, map[string][]*node{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			l.buildKeyword(n, k, v[k], depth)
		}
		l.lintKeywords(n)
	default:
		l.add(ptr, "schema_form", "这里应是一个模式(对象,或 true/false)", "a schema is an object or a boolean here")
	}
	return n
}

func (l *linter) buildKeyword(n *node, k string, v any, depth int) {
	sh, known := keywords[k]
	at := child(n.ptr, k)
	switch {
	case !known:
		l.unknownKeyword(at, k)
	case sh == shapeOne:
		n.kids[k] = []*node{l.build(at, v, depth+1)}
	case sh == shapeList:
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			l.add(at, "schema_form", k+" 应是非空的模式数组", k+" is a non-empty array of schemas")
			return
		}
		for i, e := range list {
			n.kids[k] = append(n.kids[k], l.build(child(at, strconv.Itoa(i)), e, depth+1))
		}
	case sh == shapeNamed:
		named, ok := v.(map[string]any)
		if !ok {
			l.add(at, "schema_form", k+" 应是对象,每个成员是一个模式", k+" is an object of schemas")
			return
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			m := l.build(child(at, name), named[name], depth+1)
			switch k {
			case "properties":
				if n.props == nil {
					n.props = map[string]*node{}
				}
				n.props[name] = m
			case "$defs":
			case "patternProperties":
				l.lintPattern(child(at, name), name)
				n.kids[k] = append(n.kids[k], m)
			default:
				n.kids[k] = append(n.kids[k], m)
			}
		}
	}
}

func (l *linter) unknownKeyword(at, k string) {
	switch k {
	case "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor":
		l.add(at, "dynamic_ref", k+" 不在规范子集内。改法:改用 $ref 引用 #/$defs 下的定义", k+" is not in the profile; use $ref to a definition under #/$defs")
		return
	case "definitions":
		l.add(at, "unknown_keyword", "definitions 是旧版写法。改法:改用 $defs", "definitions is of an older draft; use $defs")
		return
	}
	zh, en := "", ""
	if near := nearestName(k, slices.Sorted(maps.Keys(keywords))); near != "" {
		zh, en = ",是否应为 "+near+"?", ", did you mean "+near+"?"
	}
	l.add(at, "unknown_keyword", "规范子集没有这个关键字"+zh+"。改法:改正拼写或删去", "the profile has no such keyword"+en+" Correct or remove it")
}

// resolveRefs points every $ref at its node. References leave the document never: a schema
// that names a file or an address is refused, not loaded.
func (l *linter) resolveRefs() {
	for _, ptr := range l.order() {
		n := l.nodes[ptr]
		if !n.has("$ref") {
			continue
		}
		at, ref := child(ptr, "$ref"), n.text("$ref")
		frag, local := strings.CutPrefix(ref, "#")
		if !local {
			l.add(at, "ref_outside", "只能引用本模式之内的定义,不读取文件或网址。改法:把所引用的定义抄入 $defs,写成 #/$defs/名称",
				"a reference stays inside the schema, nothing is loaded from a file or an address; copy the definition into $defs and write #/$defs/name")
			continue
		}
		frag, err := url.PathUnescape(frag)
		target, ok := l.nodes[frag]
		if err != nil || !ok {
			l.add(at, "ref_unknown", "引用的位置没有模式。改法:写成 #/$defs/名称,并在 $defs 中给出该名称",
				"there is no schema at the place referred to; write #/$defs/name and define the name under $defs")
			continue
		}
		n.ref = target
	}
}

// order lists all pointers in a fixed order.
func (l *linter) order() []string { return slices.Sorted(maps.Keys(l.nodes)) }

// measure refuses recursion and counts each node's expansion: the number of schemas applied to
// a record that has every member once, with every branch and reference followed. A pair of
// references in each of 22 levels is 2^22 and is refused here, before anything is compiled.
// It reports whether the graph may be walked.
func (l *linter) measure(root *node) bool {
	onPath := map[*node]bool{}
	var count func(n *node) bool
	count = func(n *node) bool {
		if onPath[n] {
			l.add(n.ptr, "recursion", "模式引用了自身。改法:按实际层数逐层写出", "the schema refers to itself; write out as many levels as there are")
			return false
		}
		if n.size > 0 {
			return true
		}
		onPath[n] = true
		defer delete(onPath, n)
		size := 1
		for _, list := range [][]*node{n.same(inPlace), n.below()} {
			for _, m := range list {
				if !count(m) {
					return false
				}
				size = min(size+m.size, maxBranchCost+1)
			}
		}
		n.size = size
		return true
	}
	if !count(root) {
		return false
	}
	if root.size > maxBranchCost {
		l.add("", "branch_cost", fmt.Sprintf("展开全部引用和分支后超过%d个模式,校验一条记录太慢。改法:减少 allOf、anyOf、oneOf 与 $ref 的层层重复", maxBranchCost),
			fmt.Sprintf("more than %d schemas when every reference and branch is followed, so a record takes too long; repeat allOf, anyOf, oneOf and $ref less", maxBranchCost))
		return false
	}
	if work := workOf(root, 1); work > maxWork {
		l.add("", "branch_cost", "数组元素乘以每个元素的模式数过大,校验一条记录太慢。改法:减小 maxItems,或简化元素的模式",
			"elements times schemas per element is too much, so a record takes too long; lower maxItems or simplify the elements")
		return false
	}
	return true
}

// workOf counts schema applications for the largest record: times is how many values of n there can be.
func workOf(n *node, times int) int {
	work := times
	for _, m := range n.same(inPlace) {
		work += workOf(m, times)
	}
	for _, m := range n.props {
		work += workOf(m, times)
	}
	many := times * maxElements
	if limit, ok := asInt(n.doc["maxItems"]); ok {
		many = times * max(1, min(limit, maxElements))
	}
	for _, group := range [][]string{mapped, judging, listed} {
		for _, k := range group {
			for _, m := range n.kids[k] {
				work += workOf(m, min(many, maxElements))
			}
		}
	}
	return work
}

// asInt reads a small whole number.
func asInt(v any) (int, bool) {
	num, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(num.String())
	return i, err == nil
}
