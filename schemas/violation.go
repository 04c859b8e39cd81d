package schemas

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/hutong-bus/hutong/schemas/record"
)

// MaxViolations is how many violations a verdict lists; More counts the rest.
const MaxViolations = 32

// Violation is one way in which a record does not fit its schema. It holds no value of the
// record; Pointer names members, and a member name that no schema has is shown as "*" where it
// could be a value.
type Violation struct {
	// Pointer is the JSON pointer of the value, of the missing member, or of the member too many.
	Pointer string `json:"pointer"`
	// Keyword is the schema keyword that is broken; "depth", "number" and "utf8" are the strict reader's rules.
	Keyword string `json:"keyword"`
	// Code is the stable name of the fault, see codes.
	Code string `json:"code"`
	// Message is a sentence for people; Validate leaves it empty, Explain fills it.
	Message string `json:"message"`
	// Params are what the sentence needs of the schema (limits, allowed values, nearest codes).
	Params map[string]string `json:"-"`
}

// Verdict is what Validate found.
type Verdict struct {
	// Violations are sorted by place, keyword and code; empty means that the record fits.
	Violations []Violation
	// More counts the violations that were left out.
	More int
	// Warnings are the dotted names of expected members that are missing ("*" for array elements), sorted.
	// They are counted, never refused, and there are none beside violations.
	Warnings []string
}

// OK reports whether the record fits.
func (v Verdict) OK() bool { return len(v.Violations) == 0 }

// codes gives each keyword's violation its code. Formats bring their own.
var codes = map[string]string{
	"required": "missing", "dependentRequired": "missing", "additionalProperties": "unknown_member", "unevaluatedProperties": "unknown_member",
	"false": "not_allowed", "type": "wrong_type", "enum": "not_in_list", "const": "not_in_list", "x-code-table": "unknown_code",
	"maxLength": "too_long", "minLength": "too_short", "pattern": faultForm, "format": faultForm,
	"minimum": "too_small", "exclusiveMinimum": "too_small", "maximum": "too_large", "exclusiveMaximum": "too_large", "multipleOf": "not_multiple",
	"minItems": "too_few", "maxItems": "too_many", "minProperties": "too_few", "maxProperties": "too_many",
	"uniqueItems": "repeated", "unevaluatedItems": "too_many", "minContains": "too_few", "maxContains": "too_many",
	"anyOf": "no_variant", "oneOf": "no_variant", "not": "forbidden", "propertyNames": "bad_name",
	"depth": "too_deep", "number": "bad_number", "utf8": "broken_text", "internal": "not_judged",
}

// Validate judges a value as record.Decode gives it. It lists every violation in a fixed order,
// and never panics: what the validator cannot digest is a violation.
func (s *Schema) Validate(value any) (verdict Verdict) {
	defer func() {
		if r := recover(); r != nil {
			verdict = Verdict{Violations: []Violation{newViolation("", "internal", nil)}}
		}
	}()
	g := guard{limits: record.DefaultLimits()}
	g.check(value, nil)
	found := g.found
	if !g.unsafe {
		if err := s.validator.root.Validate(value); err != nil {
			var invalid *jsonschema.ValidationError
			if !errors.As(err, &invalid) {
				return Verdict{Violations: []Violation{newViolation("", "internal", nil)}}
			}
			h := shaper{schema: s, value: value, places: map[string]keywordPlace{}}
			h.flatten(invalid, &found)
		}
	}
	if len(found) == 0 {
		return Verdict{Warnings: s.validator.expected.warnings(value)}
	}
	return s.verdict(found, value)
}

// verdict sorts, caps, and only then looks for what is nearest to a wrong code.
func (s *Schema) verdict(found []Violation, value any) Verdict {
	slices.SortFunc(found, func(a, b Violation) int {
		if c := cmp.Or(comparePointers(a.Pointer, b.Pointer), cmp.Compare(a.Keyword, b.Keyword), cmp.Compare(a.Code, b.Code)); c != 0 {
			return c
		}
		return cmp.Compare(fmt.Sprint(a.Params), fmt.Sprint(b.Params)) // fmt writes maps in the order of their keys
	})
	found = slices.CompactFunc(found, func(a, b Violation) bool {
		return a.Pointer == b.Pointer && a.Keyword == b.Keyword && a.Code == b.Code && maps.Equal(a.Params, b.Params)
	})
	v := Verdict{Violations: found}
	if len(found) > MaxViolations {
		v.Violations, v.More = slices.Clone(found[:MaxViolations]), len(found)-MaxViolations
	}
	for i := range v.Violations {
		if t, ok := LookupCodeTable(v.Violations[i].Params["table"]); ok {
			at := lookup(value, splitPointer(v.Violations[i].Pointer))
			text, _ := at.(string)
			var near []string
			for _, c := range t.Nearest(text, 3) {
				near = append(near, c.Code)
			}
			if near != nil {
				v.Violations[i].Params = maps.Clone(v.Violations[i].Params) // it is shared
				v.Violations[i].Params["nearest"] = strings.Join(near, listSeparator)
			}
		}
	}
	return v
}

const listSeparator = "、"

func newViolation(pointer, keyword string, params map[string]string) Violation {
	return Violation{Pointer: pointer, Keyword: keyword, Code: codes[keyword], Params: params}
}

// guard walks a value before the validator sees it: that one panics on long numbers and is slow
// on deep ones, and values that a mapping made have not been through the strict reader.
type guard struct {
	limits record.Limits
	found  []Violation
	unsafe bool
	values int
}

func (g *guard) check(value any, at []string) {
	g.values++
	if len(at) > g.limits.Depth || g.values > g.limits.Members+1 {
		g.refuse(nil, "depth")
		return
	}
	switch v := value.(type) {
	case nil, bool:
	case string:
		if strings.ContainsRune(v, '\uFFFD') {
			g.found = append(g.found, newViolation(joinPointer(at), "utf8", nil))
		}
	case json.Number:
		if !saneNumber(string(v), g.limits) {
			g.refuse(at, "number")
		}
	case []any:
		for i, e := range v {
			if g.unsafe {
				return
			}
			g.check(e, append(at, strconv.Itoa(i)))
		}
	case map[string]any:
		for name, m := range v {
			if g.unsafe {
				return
			}
			g.check(m, append(at, name))
		}
	default:
		g.refuse(nil, "internal")
	}
}

// refuse ends the walk. Members are walked in no fixed order, so the place is left out wherever
// another fault could have been met first.
func (g *guard) refuse(_ []string, keyword string) {
	g.unsafe = true
	g.found = []Violation{newViolation("", keyword, nil)}
}

// saneNumber reports whether a literal is JSON and within the reader's limits.
func saneNumber(s string, lim record.Limits) bool {
	if len(s) == 0 || len(s) > lim.NumberBytes || !json.Valid([]byte(s)) || s[0] != '-' && !isDigit(s[0]) {
		return false
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	exp, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
	return err == nil && exp <= lim.Exponent && exp >= -lim.Exponent
}
