package record

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckKey(t *testing.T) {
	for _, tt := range []struct {
		name, key string
		ok        bool
	}{
		{"case number", "5116-2025/0001", true},
		{"Chinese", "川广安〔2025〕1号", true},
		{"spaces", "a b", true},
		{"three dots", "...", true},
		{"composed", "é", true},
		{"longest", strings.Repeat("k", 512), true},
		{"empty", "", false},
		{"too long", strings.Repeat("k", 513), false},
		{"dot", ".", false},
		{"dots", "..", false},
		{"decomposed", "e\u0301", false},
		{"compatibility ideograph", "\uf9dc", false},
		{"line end", "a\n", false},
		{"C1 control", "a\u0085", false},
		{"delete", "a\x7f", false},
		{"lost character", "a\ufffd", false},
		{"bad UTF-8", "a\xff", false},
	} {
		if err := CheckKey(tt.key); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want taken %v", tt.name, err, tt.ok)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, tt := range []struct {
		id string
		ok bool
	}{
		{"018f3c1e-7b1a-7cc0-8000-000000000001", true},
		{"01ARZ3NDEKTSV4RRFFQ69G5FAV", true},
		{"案卷 17", true},
		{"2025-01-02", true},
		{"gov.sys-1-02", true},
		{"gov.sys-1-a", true},
		{"gov.sys-1", true},
		{strings.Repeat("x", 128), true},
		{"", false},
		{strings.Repeat("x", 129), false},
		{"a\tb", false},
		{"a\u00a0b", false},
		{"a\u200bb", false},
		{"a\ufffd", false},
		{"a\xff", false},
		{"gov.sys-1-2", false},
		{"gov.sys.2-10-18446744073709551615", false},
	} {
		if err := CheckID(tt.id); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrID) {
			t.Errorf("%q: %v, want taken %v", tt.id, err, tt.ok)
		}
	}
}

func TestProducerID(t *testing.T) {
	id := ProducerID("xk-gov.sys-a.2", 3, 1<<64-1)
	if id != "xk-gov.sys-a.2-3-18446744073709551615" {
		t.Error(id)
	}
	p, epoch, seq, ok := SplitProducerID(id)
	if p != "xk-gov.sys-a.2" || epoch != 3 || seq != 1<<64-1 || !ok {
		t.Error(p, epoch, seq, ok)
	}
	for _, other := range []string{"", "a", "-", "a.b", "a.b-1", "a.b--1", "a-1-2", "a.b-1-", "a.b-01-2", "a.b-1-18446744073709551616"} {
		if _, _, _, ok := SplitProducerID(other); ok {
			t.Errorf("%q is of the shape", other)
		}
	}
}

func TestJoinKey(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		want  string
	}{
		{[]string{"a|b%"}, "a|b%"},
		{[]string{"county", "12"}, "county|12"},
		{[]string{"a|b", "c"}, "a%7Cb|c"},
		{[]string{"a", "b|c"}, "a|b%7Cc"},
		{[]string{"a%7Cb", "c"}, "a%257Cb|c"},
	} {
		if got := JoinKey(tt.parts); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.parts, got, tt.want)
		}
	}
}

func TestKeyOf(t *testing.T) {
	value := func(s string) any {
		_, v, err := Decode([]byte(s), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		name, value string
		fields      []string
		want        string
		err         string // rule, or "key"
	}{
		{"one", `{"case_no":"A|1"}`, []string{"case_no"}, "A|1", ""},
		{"two", `{"motion_no":12,"body":"县"}`, []string{"body", "motion_no"}, "县|12", ""},
		{"normal form", `{"a":"e\u0301"}`, []string{"a"}, "é", ""},
		{"absent", `{"a":"x"}`, []string{"a", "b"}, "", RuleMissing},
		{"null", `{"a":null}`, []string{"a"}, "", RuleWrongType},
		{"bool", `{"a":true}`, []string{"a"}, "", RuleWrongType},
		{"object", `{"a":{}}`, []string{"a"}, "", RuleWrongType},
		{"array", `{"a":["x"]}`, []string{"a"}, "", RuleWrongType},
		{"blank", `{"a":"x","b":""}`, []string{"a", "b"}, "", RuleMalformed},
		{"control", `{"a":"\u0007"}`, []string{"a"}, "", RuleMalformed},
		{"no object", `["a"]`, []string{"a"}, "", RuleWrongType},
		{"dot", `{"a":"."}`, []string{"a"}, "", "key"},
		{"no fields", `{"a":"."}`, nil, "", "key"},
		{"too long", `{"a":"` + strings.Repeat("k", 513) + `"}`, []string{"a"}, "", "key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := KeyOf(value(tt.value), tt.fields)
			var member *MemberError
			switch {
			case got != tt.want:
				t.Errorf("key %q, want %q", got, tt.want)
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err == "key" && !errors.Is(err, ErrKey):
				t.Errorf("error %v, want ErrKey", err)
			case tt.err != "" && tt.err != "key" && (!errors.As(err, &member) || member.Rule != tt.err):
				t.Errorf("error %v, want %s", err, tt.err)
			}
		})
	}
}

func TestNumbersInKeys(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.000", "0"}, {"0e99", "0"},
		{"12", "12"}, {"12.0", "12"}, {"1.2E1", "12"}, {"120e-1", "12"}, {"1200", "1200"},
		{"-3.50", "-3.5"}, {"0.050e1", "0.5"}, {"5e-3", "0.005"}, {"123456789012345678901234567890", "123456789012345678901234567890"},
		{"1e3", "1000"}, {"100.25e1", "1002.5"},
	} {
		got, err := KeyOf(map[string]any{"n": json.Number(tt.in)}, []string{"n"})
		if err != nil || got != tt.want {
			t.Errorf("%s: %q %v, want %q", tt.in, got, err, tt.want)
		}
	}
	for _, lit := range []string{"", "x", "1x", "01", "1e600"} {
		if got, err := KeyOf(map[string]any{"n": json.Number(lit)}, []string{"n"}); err == nil {
			t.Errorf("%q makes the key %q", lit, got)
		}
	}
}

// A field's name comes from the catalogue, but errors stay short all the same.
func TestMemberNamesAreCut(t *testing.T) {
	_, err := KeyOf(map[string]any{}, []string{strings.Repeat("名", 1000)})
	var m *MemberError
	if !errors.As(err, &m) || len(m.Member) > nameBytes+3 || !utf8.ValidString(m.Member) {
		t.Errorf("%v", err)
	}
}
