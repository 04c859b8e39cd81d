package schemas

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// A shaper turns the validator's error tree into violations. It keeps what it learned of each
// keyword, as ten thousand wrong elements fail at one.
type shaper struct {
	schema *Schema
	value  any
	places map[string]keywordPlace
}

// keywordPlace is a keyword in the schema document.
type keywordPlace struct {
	tokens []string
	last   string            // the keyword, or an index in it
	holder any               // what holds last
	schema map[string]any    // holder as a schema, nil where it is none
	params map[string]string // shared by the violations of the keyword
}

func (h *shaper) place(location string) keywordPlace {
	if p, ok := h.places[location]; ok {
		return p
	}
	p := keywordPlace{tokens: splitLocation(location)}
	if n := len(p.tokens); n > 0 {
		p.last = p.tokens[n-1]
		p.holder = lookup(h.schema.doc, p.tokens[:n-1])
		p.schema, _ = p.holder.(map[string]any)
		p.params = params(p.last, p.schema)
	}
	h.places[location] = p
	return p
}

// flatten collects the leaves of the tree. Of alternatives (anyOf, oneOf) it reports the
// reasons of the only one whose type fits, else that none fits.
func (h *shaper) flatten(e *jsonschema.ValidationError, out *[]Violation) {
	p := h.place(e.AbsoluteKeywordLocation)
	if len(e.Causes) == 0 || p.last == "minContains" {
		*out = append(*out, h.leaf(e, p)...)
		return
	}
	if _, alternatives := p.schema[p.last].([]any); !alternatives || p.last != "anyOf" && p.last != "oneOf" {
		for _, c := range e.Causes {
			h.flatten(c, out)
		}
		return
	}
	at := joinPointer(splitLocation(e.InstanceLocation))
	var fitting [][]Violation
	for _, c := range e.Causes {
		var leaves []Violation
		h.flatten(c, &leaves)
		if !slices.ContainsFunc(leaves, func(v Violation) bool { return v.Keyword == "type" && v.Pointer == at }) {
			fitting = append(fitting, leaves)
		}
	}
	if len(fitting) == 1 {
		*out = append(*out, fitting[0]...)
		return
	}
	*out = append(*out, h.leaf(e, p)...)
}

// leaf makes the violations of one failed keyword: one per name where the keyword is about several.
func (h *shaper) leaf(e *jsonschema.ValidationError, p keywordPlace) []Violation {
	s, at := h.schema, splitLocation(e.InstanceLocation)
	pointer := s.pointer(at)
	if aboutName(e.KeywordLocation) {
		return []Violation{newViolation(pointer, "propertyNames", nil)}
	}
	there := lookup(h.value, at)
	members, _ := there.(map[string]any)
	if names, ok := p.holder.([]any); ok && len(p.tokens) > 2 && p.tokens[len(p.tokens)-3] == "dependentRequired" {
		i, _ := strconv.Atoi(p.last)
		name, _ := names[i].(string)
		return []Violation{newViolation(child(pointer, name), "dependentRequired", nil)}
	}
	switch rule := p.schema[p.last]; {
	case p.last == "required":
		return s.missing(pointer, rule, members)
	case p.last == "additionalProperties" && rule == false:
		return s.unknown(at, p.schema, members)
	case rule == false && (p.last == "unevaluatedProperties" || p.last == "unevaluatedItems"):
		return []Violation{newViolation(pointer, p.last, nil)}
	case codes[p.last] == "" || p.schema == nil:
		return []Violation{newViolation(pointer, "false", nil)}
	}
	v := newViolation(pointer, p.last, p.params)
	if text, ok := there.(string); ok && p.last == "format" {
		v.Code = cmp.Or(CheckFormat(v.Params["format"], text), faultForm)
	}
	return []Violation{v}
}

// aboutName reports whether a keyword judged a member's name: propertyNames that is not itself a member's name.
func aboutName(location string) bool {
	if !strings.Contains(location, "propertyNames") {
		return false
	}
	tokens := splitLocation(location)
	i := slices.Index(tokens, "propertyNames")
	return i == 0 || i > 0 && tokens[i-1] != "properties"
}

func (s *Schema) missing(pointer string, rule any, members map[string]any) []Violation {
	names, _ := rule.([]any)
	var out []Violation
	for _, n := range names {
		if name, ok := n.(string); ok {
			if _, there := members[name]; !there {
				out = append(out, newViolation(child(pointer, name), "required", nil))
			}
		}
	}
	return out
}

func (s *Schema) unknown(at []string, schema, members map[string]any) []Violation {
	props, _ := schema["properties"].(map[string]any)
	patterns, _ := schema["patternProperties"].(map[string]any)
	free := make([]*regexp.Regexp, 0, len(patterns))
	for p := range patterns {
		if re, err := regexp.Compile(p); err == nil {
			free = append(free, re)
		}
	}
	matches := func(name string) bool {
		return slices.ContainsFunc(free, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}
	var out []Violation
	for name := range members {
		if _, ok := props[name]; !ok && !matches(name) {
			out = append(out, newViolation(s.pointer(append(slices.Clone(at), name)), "additionalProperties", nil))
		}
	}
	return out
}

// pointer writes the place of a value, hiding names that the schema does not have and that could be values.
func (s *Schema) pointer(at []string) string {
	var shown []string
	for i, t := range at {
		if isIndex(t) || showable(t) {
			continue
		}
		if path, known := s.placeOf(at[:i+1]); !known || path[i] == "*" {
			if shown == nil {
				shown = slices.Clone(at)
			}
			shown[i] = "*"
		}
	}
	if shown == nil {
		shown = at
	}
	return joinPointer(shown)
}

func isIndex(t string) bool { return t != "" && len(t) <= 5 && allDigits(t) }

// params takes from the schema what the sentence of a keyword needs.
func params(keyword string, schema map[string]any) map[string]string {
	p := map[string]string{}
	put := func(name, from string) {
		switch v := schema[from].(type) {
		case string:
			p[name] = v
		case json.Number:
			p[name] = v.String()
		}
	}
	switch keyword {
	case "type":
		put("types", "type")
		if list, ok := schema["type"].([]any); ok {
			p["types"] = joinValues(list)
		}
		put("format", "format")
		put("table", "x-code-table")
	case "enum":
		list, _ := schema["enum"].([]any)
		p["allowed"] = joinValues(list)
	case "const":
		p["allowed"] = joinValues([]any{schema["const"]})
	case "x-code-table":
		put("table", keyword)
	case "format", "pattern":
		put(keyword, keyword)
	default:
		put("limit", keyword)
	}
	if list, ok := schema["examples"].([]any); ok && len(list) > 0 {
		if text, is := list[0].(string); is {
			p["example"] = text
		}
	}
	for _, k := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
		put(k, k)
	}
	if schema["type"] == "integer" {
		p["whole"] = "1"
	}
	return p
}

// joinValues lists up to 12 values of a schema.
func joinValues(list []any) string {
	var out []string
	for _, v := range list[:min(len(list), 12)] {
		text, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if err != nil {
				continue
			}
			text = string(b)
		}
		out = append(out, text)
	}
	if len(list) > 12 {
		out = append(out, "…")
	}
	return strings.Join(out, listSeparator)
}
