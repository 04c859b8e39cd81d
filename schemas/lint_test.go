package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// object writes a schema of one resource with these properties and further root members.
func object(properties string, more ...string) []byte {
	return []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"试","type":"object","additionalProperties":false,"properties":{` +
		properties + `}` + strings.Join(append([]string{""}, more...), ",") + `}`)
}

func TestLint(t *testing.T) {
	field := func(body string) []byte { return object(`"a":{"title":"甲",` + body + `}`) }
	tests := []struct {
		name   string
		schema []byte
		want   []string // "pointer rule" of the refusing findings
	}{
		{"fits", field(`"type":"string","maxLength":10`), nil},
		{"format is an end", field(`"type":"string","format":"uuid"`), nil},
		{"enum is an end", field(`"enum":["x","y"]`), nil},
		{"const is an end", field(`"const":"x"`), nil},
		{"code table is an end", field(`"type":"string","x-code-table":"case_status"`), nil},
		{"reference has the end", object(`"a":{"$ref":"#/$defs/t"}`, `"$defs":{"t":{"title":"甲","type":"string","maxLength":3}}`), nil},
		{"reference is percent-encoded", object(`"a":{"$ref":"#/$defs/%E7%94%B2"}`, `"$defs":{"甲":{"type":"string","maxLength":3}}`), nil},
		{"nullable", field(`"anyOf":[{"type":"null"},{"type":"string","maxLength":5}]`), nil},
		{"one alternative has no end", field(`"anyOf":[{"type":"null"},{"type":"string"}]`), []string{"/properties/a unbounded_string"}},
		{"branch only judges", object(`"a":{"type":"string","maxLength":9}`, `"if":{"properties":{"a":{"const":"x"}}},"then":{"properties":{"a":{"minLength":1}},"required":["a"]}`), nil},
		{"open map of bounded texts", field(`"type":"object","additionalProperties":{"type":"string","maxLength":5}`), nil},
		{"closed by unevaluatedProperties", []byte(`{"$schema":"` + dialect + `","title":"试","type":"object","unevaluatedProperties":false,"allOf":[{"properties":{"a":{"title":"甲","type":"integer"}}}]}`), nil},
		{"property in a branch without an end", []byte(`{"$schema":"` + dialect + `","title":"试","type":"object","unevaluatedProperties":false,"allOf":[{"properties":{"a":{"type":"string"}}}]}`), []string{"/allOf/0/properties/a unbounded_string"}},
		{"no dialect", []byte(`{"type":"object","additionalProperties":false}`), []string{"/$schema dialect"}},
		{"old dialect", []byte(`{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","additionalProperties":false}`), []string{"/$schema dialect"}},
		{"not an object", []byte(`{"$schema":"` + dialect + `","type":"array","maxItems":1,"items":{"type":"null"}}`), []string{" open_root", " root_not_object"}},
		{"open root", []byte(`{"$schema":"` + dialect + `","type":"object"}`), []string{" open_root"}},
		{"root of true", []byte(`true`), []string{" schema_form"}},
		{"not JSON", []byte(`{`), []string{" json"}},
		{"a name twice", []byte(`{"type":"object","type":"object"}`), []string{"/type json"}},
		{"unknown keyword", field(`"type":"string","maxlength":10`), []string{"/properties/a unbounded_string", "/properties/a/maxlength unknown_keyword"}},
		{"unknown annotation", field(`"type":"integer","x-personel":true`), []string{"/properties/a/x-personel unknown_keyword"}},
		{"definitions", object(``, `"definitions":{}`), []string{"/definitions unknown_keyword"}},
		{"dynamic reference", field(`"$dynamicRef":"#x"`), []string{"/properties/a type_missing", "/properties/a/$dynamicRef dynamic_ref"}},
		{"empty enum", field(`"enum":[]`), []string{"/properties/a/enum enum_empty"}},
		{"no type", field(`"description":"x"`), []string{"/properties/a type_missing"}},
		{"true as a field", object(`"a":true`), []string{"/properties/a type_missing"}},
		{"false as a field", object(`"a":false`), nil},
		{"string without an end", field(`"type":"string"`), []string{"/properties/a unbounded_string"}},
		{"end beyond a record", field(`"type":"string","maxLength":999999999`), []string{"/properties/a/maxLength bound_too_large"}},
		{"array without an end", field(`"type":"array","items":{"type":"integer"}`), []string{"/properties/a unbounded_array"}},
		{"array without items", field(`"type":"array","maxItems":3`), []string{"/properties/a items_missing"}},
		{"elements without an end", field(`"type":"array","maxItems":3,"items":{"type":"string"}`), []string{"/properties/a/items unbounded_string"}},
		{"open object", field(`"type":"object"`), []string{"/properties/a open_object"}},
		{"object open to anything", field(`"type":"object","additionalProperties":true`), []string{"/properties/a/additionalProperties type_missing"}},
		{"unique without an end", field(`"type":"array","maxItems":5000,"uniqueItems":true,"items":{"type":"integer"}`), []string{"/properties/a/uniqueItems unique_unbounded"}},
		{"unknown format", field(`"type":"string","maxLength":9,"format":"hostname"`), []string{"/properties/a/format format_unknown"}},
		{"nested id", field(`"$id":"x","type":"integer"`), []string{"/properties/a nested_id"}},
		{"reference to a file", field(`"$ref":"file:///etc/passwd"`), []string{"/properties/a type_missing", "/properties/a/$ref ref_outside"}},
		{"reference to an address", field(`"$ref":"https://example.com/s.json"`), []string{"/properties/a type_missing", "/properties/a/$ref ref_outside"}},
		{"reference to a neighbour", field(`"$ref":"other.json#/a"`), []string{"/properties/a type_missing", "/properties/a/$ref ref_outside"}},
		{"reference to nothing", field(`"$ref":"#/$defs/none"`), []string{"/properties/a type_missing", "/properties/a/$ref ref_unknown"}},
		{"reference to no schema", field(`"$ref":"#/title"`), []string{"/properties/a type_missing", "/properties/a/$ref ref_unknown"}},
		{"recursion", field(`"$ref":"#"`), []string{" recursion"}},
		{"recursion in place", object(`"a":{"$ref":"#/$defs/t"}`, `"$defs":{"t":{"allOf":[{"$ref":"#/$defs/t"}]}}`), []string{"/$defs/t recursion"}},
		{"look-ahead", field(`"type":"string","maxLength":9,"pattern":"^(?=.*a)b"`), []string{"/properties/a/pattern pattern"}},
		{"back-reference", field(`"type":"string","maxLength":9,"pattern":"(a)\\1"`), []string{"/properties/a/pattern pattern"}},
		{"escape of another dialect", field(`"type":"string","maxLength":9,"pattern":"[\\u4e00-\\u9fa5]"`), []string{"/properties/a/pattern pattern"}},
		{"script of another dialect", field(`"type":"string","maxLength":9,"pattern":"\\p{Script=Han}"`), []string{"/properties/a/pattern pattern"}},
		{"script in RE2", field(`"type":"string","maxLength":9,"pattern":"^\\p{Han}+$"`), nil},
		{"repeats of repeats", field(`"type":"string","maxLength":9,"pattern":"((x{1,100}){1,10}){1,10}"`), []string{"/properties/a/pattern pattern"}},
		{"pattern too long", field(`"type":"string","maxLength":9,"pattern":"` + strings.Repeat("a", 513) + `"`), []string{"/properties/a/pattern pattern"}},
		{"not a pattern", field(`"type":"string","maxLength":9,"pattern":"(a"`), []string{"/properties/a/pattern pattern"}},
		{"pattern of names", field(`"type":"object","additionalProperties":false,"patternProperties":{"(?!x)":{"type":"integer"}}`), []string{"/properties/a/patternProperties/(?!x) pattern"}},
		{"unknown sharing class", field(`"type":"integer","x-sharing":"public"`), []string{"/properties/a/x-sharing annotation"}},
		{"unknown portal rule", field(`"type":"integer","x-portal":"yes"`), []string{"/properties/a/x-portal annotation"}},
		{"mask without a mask", field(`"type":"integer","x-portal":"mask"`), []string{"/properties/a/x-portal annotation"}},
		{"unknown mask", field(`"type":"integer","x-mask":"stars"`), []string{"/properties/a/x-mask annotation"}},
		{"withheld on the portal", field(`"type":"integer","x-sharing":"withheld","x-portal":"publish"`), []string{"/properties/a/x-portal annotation"}},
		{"personal is a word", field(`"type":"integer","x-personal":"yes"`), []string{"/properties/a/x-personal annotation"}},
		{"unknown code table", field(`"type":"string","x-code-table":"none"`), []string{"/properties/a/x-code-table code_table"}},
		{"expected is unknown", object(`"a":{"type":"integer"}`, `"x-expected":["b"]`), []string{"/x-expected annotation"}},
		{"expected under anyOf", object(`"a":{"type":"integer"}`, `"anyOf":[{"x-expected":["a"]}]`), []string{"/anyOf/0/x-expected annotation"}},
		{"expected under a condition too hard", object(`"a":{"type":"integer"}`, `"if":{"properties":{"a":{"minimum":1}}},"then":{"x-expected":["a"]}`), []string{"/then/x-expected annotation"}},
		{"class of the whole", object(``, `"x-sharing":"withheld"`), []string{"/x-sharing annotation"}},
		{"title is a number", field(`"type":"integer","x-title-en":7`), []string{"/properties/a/x-title-en annotation"}},
		{"required is a text", object(`"a":{"type":"integer"}`, `"required":"a"`), []string{"/required schema_form"}},
		{"properties is a list", []byte(`{"$schema":"` + dialect + `","type":"object","additionalProperties":false,"properties":[]}`), []string{"/properties schema_form"}},
		{"zero multiple", field(`"type":"number","multipleOf":0`), []string{"/properties/a/multipleOf schema_form"}},
		{"unknown type", field(`"type":"text"`), []string{"/properties/a/type schema_form"}},
		{"allOf is empty", object(``, `"allOf":[]`), []string{"/allOf schema_form"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			findings := Lint(tt.schema)
			var got []string
			for _, f := range findings {
				if f.Zh == "" || f.En == "" {
					t.Errorf("a finding without words: %+v", f)
				}
				if !f.Advice {
					got = append(got, f.Pointer+" "+f.Rule)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, slices.Compact(got)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			_, err := Compile("test.schema", 1, tt.schema)
			if (err == nil) != (tt.want == nil) || err != nil && !errors.Is(err, ErrProfile) {
				t.Errorf("Compile: %v", err)
			}
		})
	}
}

func TestLintAdvice(t *testing.T) {
	raw := []byte(`{"$schema":"` + dialect + `","type":"object","additionalProperties":false,"properties":{"a":{"type":"integer"}}}`)
	findings := Lint(raw)
	if findings.Refused() || findings.Err() != nil || len(findings) != 2 {
		t.Errorf("missing titles are advice: %+v", findings)
	}
}

func TestLintSuggestsTheKeyword(t *testing.T) {
	for _, f := range Lint(object(`"a":{"type":"string","maxlength":3}`)) {
		if f.Rule == "unknown_keyword" && strings.Contains(f.Zh, "maxLength") && strings.Contains(f.En, "maxLength") {
			return
		}
	}
	t.Error("maxlength was not answered with maxLength")
}

func TestLintReportIsBoundedAndStable(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, `"f%d":{"type":"string"},`, i)
	}
	raw := object(strings.TrimSuffix(b.String(), ","))
	first := Lint(raw)
	if len(first) != maxFindings+1 || first[maxFindings].Rule != "more" || !first.Refused() {
		t.Fatalf("%d findings, the last %+v", len(first), first[len(first)-1])
	}
	for range 5 {
		if diff := cmp.Diff(first, Lint(raw)); diff != "" {
			t.Fatalf("two reports of one schema differ:\n%s", diff)
		}
	}
}

func TestAnnotationsTakeTheStrictest(t *testing.T) {
	raw := []byte(`{"$schema":"` + dialect + `","title":"试","type":"object","additionalProperties":false,
		"properties":{"a":{"title":"甲","type":"string","maxLength":9,"x-sharing":"unconditional","x-portal":"publish"},
			"list":{"title":"表","type":"array","maxItems":3,"items":{"$ref":"#/$defs/row"}},
			"map":{"title":"图","type":"object","additionalProperties":{"type":"string","maxLength":9,"x-personal":true}}},
		"allOf":[{"properties":{"a":{"x-sharing":"withheld","x-portal":"never"}}}],
		"$defs":{"row":{"type":"object","additionalProperties":false,"properties":{"phone":{"type":"string","maxLength":20,"x-title-en":"Phone","x-sharing":"conditional","x-portal":"mask","x-mask":"phone"}}}}}`)
	s, err := Compile("test.schema", 3, raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []Annotation{
		{Pointer: []string{"a"}, TitleZh: "甲", Sharing: SharingWithheld, Portal: PortalNever},
		{Pointer: []string{"list"}, TitleZh: "表"},
		{Pointer: []string{"list", "*"}},
		{Pointer: []string{"list", "*", "phone"}, TitleEn: "Phone", Sharing: SharingConditional, Portal: PortalMask, Mask: MaskPhone},
		{Pointer: []string{"map"}, TitleZh: "图"},
		{Pointer: []string{"map", "*"}, Personal: true},
	}
	if diff := cmp.Diff(want, s.Annotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if !s.Personal() || s.Resource() != "test.schema" || s.Version() != 3 || string(s.Raw()) != string(raw) || s.Title().Zh != "试" {
		t.Error("the schema does not know itself")
	}
	if diff := cmp.Diff([]string{"a", "list", "map"}, s.Fields()); diff != "" {
		t.Error(diff)
	}
	if a, ok := s.Field("a"); !ok || a.Sharing != SharingWithheld {
		t.Error("Field(a)")
	}
	if _, ok := s.Field("phone"); ok {
		t.Error("a nested field was found at the top")
	}
}
