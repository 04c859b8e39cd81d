package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, in, compact string
		value             any
	}{
		{"object", " { \"b\" : [ 1 , 2.50 , -0 ] ,\n\t\"a\":\"x y\" }\r\n", `{"b":[1,2.50,-0],"a":"x y"}`,
			map[string]any{"b": []any{json.Number("1"), json.Number("2.50"), json.Number("-0")}, "a": "x y"}},
		{"escapes stay as received", `{"\u0061":"\u4e2d\/\ud83d\ude00\n"}`, `{"\u0061":"\u4e2d\/\ud83d\ude00\n"}`,
			map[string]any{"a": "中/😀\n"}},
		{"empty containers", "[ { } , [\n] ]", "[{},[]]", []any{map[string]any{}, []any{}}},
		{"words", `[true,false,null]`, `[true,false,null]`, []any{true, false, nil}},
		{"text alone", ` "承诺时限" `, `"承诺时限"`, "承诺时限"},
		{"number alone", `1E+400`, `1E+400`, json.Number("1E+400")},
		{"no white space to leave out", `{"a":1}`, `{"a":1}`, map[string]any{"a": json.Number("1")}},
		{"private use", "\"\ue000\"", "\"\ue000\"", "\ue000"},
		{"empty name", `{"":{"":1}}`, `{"":{"":1}}`, map[string]any{"": map[string]any{"": json.Number("1")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			compact, value, err := Decode([]byte(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if string(compact) != tt.compact {
				t.Errorf("compact %s, want %s", compact, tt.compact)
			}
			if d := cmp.Diff(tt.value, value); d != "" {
				t.Errorf("value (-want +got)\n%s", d)
			}
		})
	}
}

func TestDecodeCopies(t *testing.T) {
	raw := []byte(`{"a":"before"}`)
	compact, value, err := Decode(raw, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	copy(raw, bytes.Repeat([]byte("x"), len(raw)))
	if string(compact) != `{"a":"before"}` || value.(map[string]any)["a"] != "before" {
		t.Errorf("changed with the input: %s %v", compact, value)
	}
}

func TestDecodeRefuses(t *testing.T) {
	lim := Limits{Depth: 3, Members: 5, NumberBytes: 8, Exponent: 30, RecordBytes: 200}
	for _, tt := range []struct {
		name, in string
		offset   int64
		pointer  string
		rule     string
	}{
		{"nothing", "", 0, "", RuleSyntax},
		{"only white space", "  ", 2, "", RuleSyntax},
		{"byte order mark", "\ufeff1", 0, "", RuleSyntax},
		{"open object", `{"a":1`, 6, "", RuleSyntax},
		{"comma at the end", `{"a":1,}`, 7, "", RuleSyntax},
		{"comma at the end of an array", `[1,]`, 3, "/1", RuleSyntax},
		{"no colon", `{"a" 1}`, 5, "", RuleSyntax},
		{"name without quotes", `{a:1}`, 1, "", RuleSyntax},
		{"single quotes", `{'a':1}`, 1, "", RuleSyntax},
		{"comment", `{/**/"a":1}`, 1, "", RuleSyntax},
		{"wrong closing", `[1}`, 2, "", RuleSyntax},
		{"word cut", `{"a":tru}`, 5, "/a", RuleSyntax},
		{"NaN", `[NaN]`, 1, "/0", RuleSyntax},
		{"infinity", `[-Infinity]`, 2, "/0", RuleSyntax},
		{"leading zero", `01`, 2, "", RuleSyntax},
		{"plus", `+1`, 0, "", RuleSyntax},
		{"no digit after the point", `1.`, 2, "", RuleSyntax},
		{"no digit before the point", `.5`, 0, "", RuleSyntax},
		{"no digit in the exponent", `1e+`, 3, "", RuleSyntax},
		{"hexadecimal", `0x1`, 1, "", RuleTrailing},
		{"control character", "\"a\x01\"", 2, "", RuleSyntax},
		{"unknown escape", `"\x41"`, 1, "", RuleSyntax},
		{"short escape", `"\u12"`, 1, "", RuleSyntax},
		{"open text", `"abc`, 4, "", RuleSyntax},
		{"open escape", `"abc\`, 4, "", RuleSyntax},
		{"duplicate", `{"a":1, "b":{"x":1, "x":2}}`, 20, "/b/x", RuleDuplicateName},
		{"duplicate by escape", `{"a":1,"\u0061":2}`, 7, "/a", RuleDuplicateName},
		{"depth", `[[{"a":[1]}]]`, 7, "/0/0/a", RuleDepth},
		{"bad UTF-8", "[\"ab\xff\"]", 4, "/0", RuleUTF8},
		{"cut UTF-8", "[\"\xe4\xb8\"]", 2, "/0", RuleUTF8},
		{"overlong UTF-8", "[\"\xc0\xaf\"]", 2, "/0", RuleUTF8},
		{"surrogate in UTF-8", "[\"\xed\xa0\x80\"]", 2, "/0", RuleUTF8},
		{"bad UTF-8 in a name", "{\"\xff\":1}", 2, "", RuleUTF8},
		{"bad UTF-8 outside text", "[1\xff]", 2, "", RuleSyntax},
		{"lone high surrogate", `"\ud800"`, 1, "", RuleUTF8},
		{"lone low surrogate", `"a\udc00"`, 2, "", RuleUTF8},
		{"surrogates turned round", `"\ude00\ud83d"`, 1, "", RuleUTF8},
		{"high surrogate and a letter", `"\ud800\u0041"`, 1, "", RuleUTF8},
		{"lost character", "[\"王\ufffd\"]", 5, "/0", RuleUTF8},
		{"lost character as escape", `["\uFFFD"]`, 2, "/0", RuleUTF8},
		{"lost before broken", "\"\ufffd\xff\"", 1, "", RuleUTF8},
		{"number too long", `[123456789]`, 1, "/0", RuleNumber},
		{"exponent", `[1e31]`, 1, "/0", RuleNumber},
		{"negative exponent", `[1e-31]`, 1, "/0", RuleNumber},
		{"members", `{"a":1,"b":[1,2,3,4]}`, 18, "/b", RuleMembers},
		{"second value", `1 2`, 2, "", RuleTrailing},
		{"closing too many", `{}}`, 2, "", RuleTrailing},
		{"NUL at the end", "{}\x00", 2, "", RuleTrailing},
		{"too long", strings.Repeat(" ", 200) + "1", 200, "", RuleTooLarge},
		{"pointer escapes", `{"a/b":{"~":x}}`, 12, "/a~1b/~0", RuleSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Decode([]byte(tt.in), lim)
			want := &SyntaxError{Offset: tt.offset, Pointer: tt.pointer, Rule: tt.rule}
			var got *SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want %v", err, want)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// Exactly the default limits are taken, one more is not.
func TestDecodeAtTheLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	array := func(n int) string { return "[" + strings.Repeat("0,", n-1) + "0]" }
	for _, tt := range []struct {
		name     string
		in       func(n int) string
		n        int
		wantOver string
	}{
		{"depth", nested, 64, RuleDepth},
		{"members", array, 10_000, RuleMembers},
		{"literal", func(n int) string { return strings.Repeat("7", n) }, 64, RuleNumber},
		{"exponent", func(n int) string { return "1e-" + index(n) }, 400, RuleNumber},
		{"bytes", func(n int) string { return `"` + strings.Repeat("a", n-2) + `"` }, 256 << 10, RuleTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := Decode([]byte(tt.in(tt.n)), DefaultLimits()); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, _, err := Decode([]byte(tt.in(tt.n+1)), Limits{})
			var got *SyntaxError
			if !errors.As(err, &got) || got.Rule != tt.wantOver {
				t.Errorf("beyond the limit: %v, want %s", err, tt.wantOver)
			}
		})
	}
}

func TestErrorsShowNoValuesAndStayShort(t *testing.T) {
	long := strings.Repeat("名", 100)
	in := strings.Repeat(`{"`+long+`":`, 40) + `"440301199001011234\q"`
	_, _, err := Decode([]byte(in), Limits{})
	var got *SyntaxError
	if !errors.As(err, &got) || got.Rule != RuleSyntax {
		t.Fatalf("error %v", err)
	}
	if len(got.Pointer) > pointerBytes+2*nameBytes || strings.Contains(err.Error(), "4403") {
		t.Errorf("pointer of %d bytes: %v", len(got.Pointer), err)
	}
}

// hostile inputs, each of about 10 MiB; "" as rule: it is taken.
func hostile() map[string]struct {
	in   []byte
	rule string
} {
	const size = 10 << 20
	fill := func(head, unit, tail string) []byte {
		n := (size - len(head) - len(tail)) / len(unit)
		return []byte(head + strings.Repeat(unit, n) + tail)
	}
	some := func(unit string, n int, rest string) []byte { // n elements, then one long one
		b := []byte("[" + strings.Repeat(unit+",", n) + `"`)
		b = append(b, bytes.Repeat([]byte(rest), (size-len(b)-2)/len(rest))...)
		return append(b, `"]`...)
	}
	return map[string]struct {
		in   []byte
		rule string
	}{
		"nested arrays":             {fill("", "[", ""), RuleDepth},
		"nested objects":            {fill("", `{"a":`, ""), RuleDepth},
		"digits":                    {fill("", "1", ""), RuleNumber},
		"digits after the point":    {fill("0.", "1", ""), RuleNumber},
		"digits in the exponent":    {fill("1e", "9", ""), RuleNumber},
		"huge exponent":             {[]byte("1e10000000"), RuleNumber},
		"huge negative exponent":    {[]byte("1e-10000000"), RuleNumber},
		"zeros":                     {fill("[", "0,", "0]"), RuleMembers},
		"empty objects":             {fill("[", "{},", "0]"), RuleMembers},
		"one-member objects":        {fill("[", `{"":0},`, "0]"), RuleMembers},
		"one name again and again":  {fill("{", `"a":0,`, `"a":0}`), RuleMembers},
		"white space":               {fill("[0", " \n", "]"), ""},
		"white space between":       {fill("[", "1 , ", "1]"), RuleMembers},
		"plain text":                {fill(`"`, "a", `"`), ""},
		"Chinese text":              {fill(`"`, "中，", `"`), ""},
		"escapes":                   {fill(`"`, `\n`, `"`), ""},
		"long escapes":              {fill(`"`, `\u4e2d`, `"`), ""},
		"one escape at the end":     {fill(`"`, "a", `\n"`), ""},
		"backslashes":               {fill(`"`, `\\`, `"`), ""},
		"open text":                 {fill(`"`, "a", ""), RuleSyntax},
		"open escapes":              {fill(`"`, `\"`, ""), RuleSyntax},
		"bad at the end":            {fill(`"`, "中", "\xff\""), RuleUTF8},
		"lost at the end":           {fill(`"`, "a", "\ufffd\""), RuleUTF8},
		"long name":                 {fill(`{"`, "a", `":x}`), RuleSyntax},
		"maps, then text":           {some(`{"":0}`, 4_900, "a"), ""},
		"texts, then escaped text":  {some(`"\n"`, 9_900, `a\n`), ""},
		"open arrays after members": {fill("["+strings.Repeat("0,", 9_000), "[", ""), RuleDepth},
	}
}

// Reading allocates at most 32 MiB whatever 10 MiB hold, with the length limit
// out of the way; under the default limits nothing of it is even read.
func TestHostileInput(t *testing.T) {
	for name, tt := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			compact, _, err := Decode(tt.in, Limits{RecordBytes: 16 << 20})
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
				t.Errorf("allocated %.1f MiB", float64(n)/(1<<20))
			}
			var got *SyntaxError
			switch {
			case tt.rule == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.rule == "" && len(compact) == 0:
				t.Error("nothing read")
			case tt.rule != "" && (!errors.As(err, &got) || got.Rule != tt.rule):
				t.Errorf("error %v, want %s", err, tt.rule)
			}
			if _, _, err := Decode(tt.in, Limits{}); err == nil {
				t.Error("taken under the default limits")
			}
			if _, err := DecodeRecord(tt.in, Limits{}); err == nil {
				t.Error("taken as a record")
			}
		})
	}
}
