package record

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func number(n int64) *int64 { return &n }

func TestDecodeRecord(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	for _, tt := range []struct {
		name, in string
		want     Record
	}{
		{"least", `{"op":"upsert","data":{"a":1}}`,
			Record{Op: Upsert, Data: []byte(`{"a":1}`), Value: map[string]any{"a": json.Number("1")}}},
		{"all", ` { "id" : "018f-x 1", "key":"川A|7", "op":"upsert", "occurred_at":"2025-02-03T04:05:06.789+08:00",
			"data" : { "名" : [ 1.0 ] }, "reason":"更正", "schema_version":3, "source_version":-7, "traceparent":"` + trace + `",
			"secret":"` + base64.StdEncoding.EncodeToString(secret) + `" } `,
			Record{ID: "018f-x 1", Key: "川A|7", Op: Upsert, OccurredAt: 1738526706789, Data: []byte(`{"名":[1.0]}`),
				Value: map[string]any{"名": []any{json.Number("1.0")}}, Reason: "更正", SchemaVersion: 3,
				SourceVersion: number(-7), Secret: secret, Traceparent: trace}},
		{"withdrawal", `{"key":"k","op":"withdraw","reason":"重复登记"}`, Record{Key: "k", Op: Withdraw, Reason: "重复登记"}},
		{"sequence", `{"op":"upsert","data":null,"seq":18446744073709551615}`, Record{Op: Upsert, Data: []byte("null"), Seq: 1<<64 - 1}},
		{"sequence and its id", `{"id":"gov.sys.2-3-9","op":"upsert","data":1,"seq":9}`,
			Record{ID: "gov.sys.2-3-9", Op: Upsert, Data: []byte("1"), Value: json.Number("1"), Seq: 9}},
		{"before 1970", `{"op":"upsert","data":1,"occurred_at":"1949-10-01T00:00:00Z"}`,
			Record{Op: Upsert, Data: []byte("1"), Value: json.Number("1"), OccurredAt: -639100800000}},
		{"finer than a millisecond", `{"op":"upsert","data":1,"occurred_at":"2025-01-01T00:00:00.0019Z"}`,
			Record{Op: Upsert, Data: []byte("1"), Value: json.Number("1"), OccurredAt: 1735689600001}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeRecord([]byte(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			line := got.Encode()
			again, err := DecodeRecord(line, Limits{})
			if err != nil {
				t.Fatalf("own line %s: %v", line, err)
			}
			if d := cmp.Diff(got, again); d != "" {
				t.Errorf("through Encode (-want +got)\n%s", d)
			}
		})
	}
}

func TestEncodeOrder(t *testing.T) {
	r := Record{ID: "i", Key: "k\"", Op: Upsert, OccurredAt: 1500, Data: []byte(`{"a":1}`), Reason: "r\n\x01", SchemaVersion: 2,
		SourceVersion: number(0), Secret: make([]byte, 32), Traceparent: trace, Seq: 4}
	want := `{"id":"i","key":"k\"","op":"upsert","occurred_at":"1970-01-01T00:00:01.5Z","data":{"a":1},"reason":"r\n\u0001",` +
		`"schema_version":2,"source_version":0,"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","traceparent":"` + trace + `","seq":4}`
	if got := string(r.Encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeRecordRefusesMembers(t *testing.T) {
	with := func(member string) string { return `{"op":"upsert","data":{},` + member + `}` }
	for _, tt := range []struct{ name, in, member, rule string }{
		{"unknown", with(`"Key":"x"`), "Key", RuleUnknownMember},
		{"unknown before broken value", `{"nope":`, "", ""},
		{"not an object", `[1]`, "", RuleWrongType},
		{"empty", `{}`, "op", RuleMissing},
		{"no op", `{"data":1}`, "op", RuleMissing},
		{"no data", `{"op":"upsert"}`, "data", RuleMissing},
		{"no reason", `{"op":"withdraw","key":"k"}`, "reason", RuleMissing},
		{"data with withdraw", `{"op":"withdraw","reason":"x","data":null}`, "data", RuleNotAllowed},
		{"other op", `{"op":"delete"}`, "op", RuleMalformed},
		{"op by number", `{"op":1}`, "op", RuleWrongType},
		{"null is not absent", with(`"key":null`), "key", RuleWrongType},
		{"id by number", with(`"id":5`), "id", RuleWrongType},
		{"id empty", with(`"id":""`), "id", RuleMalformed},
		{"id too long", with(`"id":"` + strings.Repeat("x", 129) + `"`), "id", RuleMalformed},
		{"id of producers", with(`"id":"gov.sys-1-2"`), "id", RuleMalformed},
		{"id beside another seq", with(`"id":"gov.sys-1-2","seq":3`), "id", RuleMalformed},
		{"free id beside seq", with(`"id":"abc","seq":3`), "id", RuleMalformed},
		{"key with control", with(`"key":"a\u0000"`), "key", RuleMalformed},
		{"key not NFC", with(`"key":"e\u0301"`), "key", RuleMalformed},
		{"reason blank", with(`"reason":" \t"`), "reason", RuleMalformed},
		{"date only", with(`"occurred_at":"2025-01-01"`), "occurred_at", RuleMalformed},
		{"no zone", with(`"occurred_at":"2025-01-01T00:00:00"`), "occurred_at", RuleMalformed},
		{"hour of one digit", with(`"occurred_at":"2025-01-01T1:00:00Z"`), "occurred_at", RuleMalformed},
		{"comma in seconds", with(`"occurred_at":"2025-01-01T01:00:00,5Z"`), "occurred_at", RuleMalformed},
		{"zone of a day", with(`"occurred_at":"2025-01-01T01:00:00+24:00"`), "occurred_at", RuleMalformed},
		{"zone of sixty minutes", with(`"occurred_at":"2025-01-01T01:00:00-01:60"`), "occurred_at", RuleMalformed},
		{"space for T", with(`"occurred_at":"2025-01-01 01:00:00Z"`), "occurred_at", RuleMalformed},
		{"no such day", with(`"occurred_at":"2025-02-30T00:00:00Z"`), "occurred_at", RuleMalformed},
		{"no date written as 1970", with(`"occurred_at":"1970-01-01T08:00:00+08:00"`), "occurred_at", RuleMalformed},
		{"time by number", with(`"occurred_at":0`), "occurred_at", RuleWrongType},
		{"version as text", with(`"schema_version":"1"`), "schema_version", RuleWrongType},
		{"version zero", with(`"schema_version":0`), "schema_version", RuleMalformed},
		{"version with fraction", with(`"schema_version":1.0`), "schema_version", RuleMalformed},
		{"version too high", with(`"schema_version":4294967296`), "schema_version", RuleMalformed},
		{"source version with exponent", with(`"source_version":1e3`), "source_version", RuleMalformed},
		{"source version too high", with(`"source_version":9223372036854775808`), "source_version", RuleMalformed},
		{"source version as text", with(`"source_version":"1"`), "source_version", RuleWrongType},
		{"seq zero", with(`"seq":0`), "seq", RuleMalformed},
		{"secret short", with(`"secret":"AAAA"`), "secret", RuleMalformed},
		{"secret with line end", with(`"secret":"AAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAA="`), "secret", RuleMalformed},
		{"secret with stray bits", with(`"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="`), "secret", RuleMalformed},
		{"secret in the other alphabet", with(`"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-A="`), "secret", RuleMalformed},
		{"traceparent upper case", with(`"traceparent":"` + strings.ToUpper(trace) + `"`), "traceparent", RuleMalformed},
		{"traceparent of zeros", with(`"traceparent":"00-00000000000000000000000000000000-00f067aa0ba902b7-01"`), "traceparent", RuleMalformed},
		{"traceparent long", with(`"traceparent":"` + trace + `-00"`), "traceparent", RuleMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeRecord([]byte(tt.in), Limits{})
			if tt.rule == "" {
				tt.member, tt.rule = "nope", RuleUnknownMember
			}
			var got *MemberError
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(&MemberError{tt.member, tt.rule}, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestDecodeRecordRefusesSyntax(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     SyntaxError
	}{
		{"broken", `{"op":"upsert"`, SyntaxError{14, "", RuleSyntax}},
		{"nothing", ` `, SyntaxError{1, "", RuleSyntax}},
		{"twice", `{"op":"upsert","data":1, "op":"withdraw"}`, SyntaxError{25, "/op", RuleDuplicateName}},
		{"two records", `{"op":"upsert","data":1}{}`, SyntaxError{24, "", RuleTrailing}},
		{"inside data", `{"op":"upsert","data":{"x":[1,"` + "\ufffd" + `"]}}`, SyntaxError{31, "/data/x/1", RuleUTF8}},
		{"number in data", `{"op":"upsert","data":{"x":1e401}}`, SyntaxError{27, "/data/x", RuleNumber}},
		{"other value, broken", `[1`, SyntaxError{2, "", RuleSyntax}},
		{"too long", `"` + strings.Repeat("x", 256<<10), SyntaxError{256 << 10, "", RuleTooLarge}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeRecord([]byte(tt.in), Limits{})
			var got *SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(&tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// A body has in its envelope the same limits as alone.
func TestDataLimitsAreItsOwn(t *testing.T) {
	for name, data := range map[string]string{
		"depth":   strings.Repeat("[", 64) + strings.Repeat("]", 64),
		"members": "[" + strings.Repeat("0,", 9_999) + "0]",
	} {
		for _, tt := range []struct {
			data string
			ok   bool
		}{{data, true}, {"[" + data + "]", false}} {
			_, _, alone := Decode([]byte(tt.data), Limits{})
			_, within := DecodeRecord([]byte(`{"key":"k","op":"upsert","data":`+tt.data+`}`), Limits{})
			if (alone == nil) != tt.ok || (within == nil) != tt.ok {
				t.Errorf("%s: alone %v, in a record %v, want taken %v", name, alone, within, tt.ok)
			}
		}
	}
}

func TestOp(t *testing.T) {
	for _, op := range []Op{Upsert, Withdraw} {
		if got, err := ParseOp(op.String()); err != nil || got != op {
			t.Errorf("%v: %v %v", op, got, err)
		}
	}
	for _, word := range []string{"", "unknown", "UPSERT"} {
		if _, err := ParseOp(word); !errors.Is(err, ErrOp) {
			t.Errorf("%q: %v", word, err)
		}
	}
	if got := Op(9).String(); got != "unknown" {
		t.Error(got)
	}
}
