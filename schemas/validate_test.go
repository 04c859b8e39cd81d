package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func compiled(t testing.TB, raw []byte) *Schema {
	t.Helper()
	s, err := Compile("test.schema", 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// brief writes violations as "pointer keyword code".
func brief(vs []Violation) []string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Pointer+" "+v.Keyword+" "+v.Code)
	}
	return out
}

func TestValidate(t *testing.T) {
	raw := object(`
		"name":{"type":"string","minLength":2,"maxLength":4},
		"n":{"type":"integer","minimum":1,"maximum":20},
		"m":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1,"multipleOf":0.01},
		"d":{"type":"string","format":"date"},
		"status":{"type":"string","x-code-table":"case_status"},
		"kind":{"enum":["a","b",3]},
		"list":{"type":"array","minItems":1,"maxItems":3,"uniqueItems":true,"items":{"type":"object","additionalProperties":false,"required":["k"],"properties":{"k":{"type":"integer"}}}},
		"map":{"type":"object","maxProperties":2,"propertyNames":{"pattern":"^[a-z]+$"},"additionalProperties":{"type":"integer"}},
		"alt":{"anyOf":[{"type":"null"},{"type":"string","format":"money"}]},
		"two":{"oneOf":[{"type":"integer"},{"type":"number"}]},
		"never":false,
		"odd/na~me":{"type":"integer"},
		"no":{"type":"integer","not":{"const":7}}`,
		`"required":["name"]`, `"dependentRequired":{"n":["d"]}`,
		`"if":{"properties":{"kind":{"const":"a"}},"required":["kind"]},"then":{"required":["m"]}`)
	s := compiled(t, raw)
	tests := []struct {
		name, body string
		want       []string
	}{
		{"fits", `{"name":"甲乙","n":20,"d":"2024-05-06","m":0.25,"status":"受理","kind":3,"list":[{"k":1}],"map":{"a":1},"alt":null,"odd/na~me":1}`, nil},
		{"characters are counted, not bytes", `{"name":"甲乙丙丁"}`, nil},
		{"a whole number with a fraction of zero", `{"name":"甲乙","n":2.0,"d":"2024-05-06"}`, nil},
		{"all at once", `{"n":21,"m":"x","d":"2024-02-30","status":"办结","kind":"c","list":[],"x":1}`,
			[]string{"/d format no_such_date", "/kind enum not_in_list", "/list minItems too_few", "/m type wrong_type", "/n maximum too_large",
				"/name required missing", "/status x-code-table unknown_code", "/x additionalProperties unknown_member"}},
		{"not an object", `[]`, []string{" type wrong_type"}},
		{"lengths", `{"name":"甲"}`, []string{"/name minLength too_short"}},
		{"too long", `{"name":"甲乙丙丁戊"}`, []string{"/name maxLength too_long"}},
		{"bounds left open", `{"name":"甲乙","m":1}`, []string{"/m exclusiveMaximum too_large"}},
		{"bounds and multiples", `{"name":"甲乙","m":-0.001}`, []string{"/m exclusiveMinimum too_small", "/m multipleOf not_multiple"}},
		{"depends", `{"name":"甲乙","n":1}`, []string{"/d dependentRequired missing"}},
		{"if and then", `{"name":"甲乙","kind":"a"}`, []string{"/m required missing"}},
		{"elements", `{"name":"甲乙","list":[{"k":1},{},{"k":"x","z":1}]}`,
			[]string{"/list/1/k required missing", "/list/2/k type wrong_type", "/list/2/z additionalProperties unknown_member"}},
		{"elements twice", `{"name":"甲乙","list":[{"k":1},{"k":1.0}]}`, []string{"/list uniqueItems repeated"}},
		{"too many elements", `{"name":"甲乙","list":[{"k":1},{"k":2},{"k":3},{"k":4}]}`, []string{"/list maxItems too_many"}},
		{"names of a map", `{"name":"甲乙","map":{"A":1}}`, []string{"/map/A propertyNames bad_name"}},
		{"values of a map", `{"name":"甲乙","map":{"a":"x"}}`, []string{"/map/a type wrong_type"}},
		{"too many members", `{"name":"甲乙","map":{"a":1,"b":2,"c":3}}`, []string{"/map maxProperties too_many"}},
		{"the alternative whose type fits", `{"name":"甲乙","alt":"1,000"}`, []string{"/alt format wrong_form"}},
		{"no alternative fits", `{"name":"甲乙","alt":true}`, []string{"/alt anyOf no_variant"}},
		{"two alternatives fit", `{"name":"甲乙","two":1}`, []string{"/two oneOf no_variant"}},
		{"not allowed", `{"name":"甲乙","never":1}`, []string{"/never false not_allowed"}},
		{"names are escaped", `{"name":"甲乙","odd/na~me":"x"}`, []string{"/odd~1na~0me type wrong_type"}},
		{"forbidden", `{"name":"甲乙","no":7}`, []string{"/no not forbidden"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := s.Validate(decode(t, []byte(tt.body)))
			if diff := cmp.Diff(tt.want, brief(v.Violations)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			for _, lang := range []string{Chinese, English} {
				for _, x := range s.Explain(v.Violations, lang) {
					if x.Message == "" || strings.Contains(x.Message, "/list/") {
						t.Errorf("message %q", x.Message)
					}
				}
			}
		})
	}
}

func TestUnevaluatedMembersAreNamed(t *testing.T) {
	s := compiled(t, []byte(`{"$schema":"`+dialect+`","title":"试","type":"object","unevaluatedProperties":false,
		"allOf":[{"properties":{"a":{"title":"甲","type":"integer"}}}]}`))
	conditional := compiled(t, []byte(`{"$schema":"`+dialect+`","title":"试","type":"object","unevaluatedProperties":false,
		"if":{"properties":{"a":{"const":"x"}},"required":["a"]},"then":{"x-expected":["a"]}}`))
	if v := conditional.Validate(decode(t, []byte(`{"a":"x"}`))); !v.OK() {
		t.Errorf("a member that the condition evaluates was refused: %v", brief(v.Violations))
	}
	v := s.Validate(decode(t, []byte(`{"a":1,"b":2}`)))
	if diff := cmp.Diff([]string{"/b unevaluatedProperties unknown_member"}, brief(v.Violations)); diff != "" {
		t.Error(diff)
	}
}

func TestValidateCapsAndCounts(t *testing.T) {
	s := compiled(t, object(`"list":{"title":"表","type":"array","maxItems":10000,"items":{"type":"integer"}}`))
	body := map[string]any{"list": make([]any, 100)}
	for i := range 100 {
		body["list"].([]any)[i] = "x"
	}
	v := s.Validate(body)
	if len(v.Violations) != MaxViolations || v.More != 100-MaxViolations {
		t.Fatalf("%d violations and %d more", len(v.Violations), v.More)
	}
	for i, x := range v.Violations {
		if want := fmt.Sprintf("/list/%d", i); x.Pointer != want {
			t.Errorf("violation %d at %s, want %s: the first elements come first, by number", i, x.Pointer, want)
		}
	}
}

// One body, judged again and again and by several schemas compiled from one text, gives one verdict (invariant 6).
func TestVerdictIsAlwaysTheSame(t *testing.T) {
	raw, _ := EmbeddedSchema("approvals.case", 1)
	body := []byte(`{"case_no":"1","status":"x","region":"1","zz":1,"yy":2,"xx":3,"agent":{"phone":"a","q":1,"id_number":"1"},"evaluation":9,"applicant_id_type":"USCC","applicant_id":"1","contractors":["",1,2,3]}`)
	want := ""
	for i := range 40 {
		s := compiled(t, raw)
		got := string(EncodeViolations(s.Validate(decode(t, body)).Violations))
		if i == 0 {
			want = got
		} else if got != want {
			t.Fatalf("verdicts differ:\n%s\n%s", want, got)
		}
	}
	if strings.Count(want, `"p"`) < 12 {
		t.Errorf("too few violations to prove anything: %s", want)
	}
}

func TestNoValueInAViolation(t *testing.T) {
	const secret = "11010519491231002X"
	raw := object(`"id":{"type":"string","format":"id_number"},"p":{"type":"string","maxLength":20,"pattern":"^a$"},"e":{"enum":["a"]},
		"c":{"type":"string","x-code-table":"case_status"},"n":{"type":"integer","maximum":1},"map":{"type":"object","additionalProperties":{"type":"integer"}},
		"short":{"type":"string","maxLength":2}`)
	s := compiled(t, raw)
	bad := strings.Replace(secret, "X", "1", 1)
	v := s.Validate(decode(t, []byte(`{"id":"`+bad+`","p":"`+secret+`","e":"`+secret+`","c":"`+secret+`","n":110105194912310021,"short":"`+secret+`",
		"map":{"`+secret+`":"x"},"`+secret+`":1,"a b c":true,"我的号码是11010519491231002":true}`)))
	if len(v.Violations) != 8 {
		t.Fatalf("violations: %v", brief(v.Violations))
	}
	text := string(EncodeViolations(v.Violations))
	for _, lang := range []string{Chinese, English} {
		text += fmt.Sprint(s.Explain(v.Violations, lang))
	}
	for _, part := range []string{secret, bad, "1101051949", "a b c"} {
		if strings.Contains(text, part) {
			t.Errorf("the report shows %q: %s", part, text)
		}
	}
}

func TestValidateRefusesWhatTheReaderWould(t *testing.T) {
	s := compiled(t, object(`"n":{"type":"number"},"s":{"type":"string","maxLength":10},"list":{"type":"array","maxItems":10000,"items":{"type":"number"}}`))
	deep := any("x")
	for range 5000 {
		deep = []any{deep}
	}
	tests := []struct {
		name  string
		value any
		want  []string
	}{
		{"a long exponent", map[string]any{"n": json.Number("1e10000000")}, []string{" number bad_number"}},
		{"a long negative exponent", map[string]any{"n": json.Number("1e-10000000")}, []string{" number bad_number"}},
		{"a million digits", map[string]any{"n": json.Number(strings.Repeat("9", 1<<20))}, []string{" number bad_number"}},
		{"not a number", map[string]any{"n": json.Number("NaN")}, []string{" number bad_number"}},
		{"an empty number", map[string]any{"n": json.Number("")}, []string{" number bad_number"}},
		{"a number that is true", map[string]any{"n": json.Number("true")}, []string{" number bad_number"}},
		{"five thousand deep", deep, []string{" depth too_deep"}},
		{"a million elements", map[string]any{"list": make([]any, 1<<20)}, []string{" depth too_deep"}},
		{"a Go value", map[string]any{"n": 3.5}, []string{" internal not_judged"}},
		{"a broken character", map[string]any{"s": "a\uFFFD"}, []string{"/s utf8 broken_text"}},
		{"a private-use character", map[string]any{"s": "\uE000\U000F0000"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, brief(s.Validate(tt.value).Violations)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateOutlivesThePanicOfTheValidator(t *testing.T) {
	s := compiled(t, object(`"a":{"title":"甲","type":"integer"}`))
	s.validator.root = nil // stands for any fault inside
	v := s.Validate(map[string]any{"a": json.Number("1")})
	if diff := cmp.Diff([]string{" internal not_judged"}, brief(v.Violations)); diff != "" {
		t.Error(diff)
	}
}

func TestWarnings(t *testing.T) {
	s := compiled(t, object(`"a":{"type":"string","maxLength":9},"b":{"type":"integer"},"status":{"enum":["open","closed"]},"closed_on":{"type":"string","format":"date"},"flag":{"type":"boolean"},
		"list":{"type":"array","maxItems":9,"items":{"$ref":"#/$defs/row"}}`,
		`"x-expected":["a","b"]`, `"allOf":[{"if":{"properties":{"status":{"const":"closed"}},"required":["status"]},"then":{"x-expected":["closed_on"]}},
			{"if":{"properties":{"flag":{"enum":[false]}}},"else":{"x-expected":["status"]}},{"required":[]}]`,
		`"$defs":{"row":{"type":"object","additionalProperties":false,"x-expected":["name"],"properties":{"name":{"type":"string","maxLength":9}}}}`))
	tests := []struct {
		body string
		want []string
	}{
		{`{}`, []string{"a", "b"}},
		{`{"a":"","b":1,"status":"open"}`, []string{"a"}},
		{`{"a":"x","b":0,"status":"closed"}`, []string{"closed_on"}},
		{`{"a":"x","b":0,"flag":true}`, []string{"status"}},
		{`{"a":"x","b":0,"flag":false}`, nil},
		{`{"a":"x","b":0,"list":[{"name":"n"},{},{}]}`, []string{"list.*.name"}},
		{`{"a":"x","b":0,"status":"closed","closed_on":"2024-05-06","list":[{"name":"n"}]}`, nil},
	}
	for _, tt := range tests {
		v := s.Validate(decode(t, []byte(tt.body)))
		if !v.OK() {
			t.Fatalf("%s: %v", tt.body, brief(v.Violations))
		}
		if diff := cmp.Diff(tt.want, v.Warnings); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", tt.body, diff)
		}
	}
}

func TestStoredViolations(t *testing.T) {
	s := embedded(t, "approvals.case")
	v := s.Validate(decode(t, []byte(`{"case_no":"KZ2024","task_name":"x","dept_code":"a","status":"办结","evaluation":6}`)))
	back, err := DecodeViolations(EncodeViolations(v.Violations))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.Violations, back); diff != "" {
		t.Errorf("violations after storing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.Explain(v.Violations, Chinese), s.Explain(back, Chinese)); diff != "" {
		t.Errorf("sentences after storing (-want +got):\n%s", diff)
	}
	if _, err := DecodeViolations([]byte(`{"p":1}`)); !errors.Is(err, ErrViolations) {
		t.Errorf("err = %v, want ErrViolations", err)
	}
}
