package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// FuzzDecode compares with two other readers: what is taken, encoding/json
// takes too, with the same value and the same compact form; what jsontext
// takes is refused only by a rule of our own.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e-3,"中\u0041\ud83d\ude00",true,null],"b":{}}`, " [ 1 , 2 ] ", `{"a":1,"a":2}`, `"\ud800"`, "\"\ufffd\"",
		"1e401", strings.Repeat("[", 70), `{"a":1}x`, "\"\xff\"", "-0.0E+1", `"\"`, "[1,]", "01", `["\uFFFD"]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		compact, value, err := Decode(raw, Limits{})
		if err != nil {
			var fault *SyntaxError
			if !errors.As(err, &fault) || fault.Offset < 0 || fault.Offset > int64(len(raw)) {
				t.Fatalf("error %#v", err)
			}
			strict := jsontext.Value(raw).IsValid()
			ours := fault.Rule == RuleDepth || fault.Rule == RuleNumber || fault.Rule == RuleMembers || fault.Rule == RuleTooLarge ||
				fault.Rule == RuleUTF8 && (bytes.Contains(raw, lost) || bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)))
			if strict && !ours {
				t.Fatalf("%q is strict JSON, but: %v", raw, err)
			}
			return
		}
		if !jsontext.Value(raw).IsValid() {
			t.Fatalf("%q is taken, but is not strict JSON", raw)
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if diff := cmp.Diff(want, value); diff != "" {
			t.Fatalf("(-encoding/json +got)\n%s", diff)
		}
		var plain bytes.Buffer
		if err := json.Compact(&plain, raw); err != nil || !bytes.Equal(plain.Bytes(), compact) {
			t.Fatalf("compact %q, encoding/json has %q, %v", compact, plain.Bytes(), err)
		}
		again, _, err := Decode(compact, Limits{})
		if err != nil || !bytes.Equal(again, compact) {
			t.Fatalf("compact form %q becomes %q, %v", compact, again, err)
		}
		walked(t, compact, value)
	})
}

// walked compares what Members and Elements find with the value.
func walked(t *testing.T, compact []byte, value any) {
	same := func(raw []byte, want any) error {
		_, got, err := Decode(raw, Limits{})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("range %q: %v (-want +got)\n%s", raw, err, diff)
		}
		return nil
	}
	n := 0
	var err error
	switch v := value.(type) {
	case map[string]any:
		err = Members(compact, func(name string, raw []byte) error { n++; return same(raw, v[name]) })
		n -= len(v)
	case []any:
		err = Elements(compact, func(raw []byte) error { n++; return same(raw, v[n-1]) })
		n -= len(v)
	case string:
		if got, ok := Unquote(compact); !ok || got != v {
			t.Fatalf("Unquote(%q) = %q", compact, got)
		}
	}
	if err != nil || n != 0 {
		t.Fatalf("walk of %q: %v, %d too many", compact, err, n)
	}
}

// FuzzDecodeRecord holds that a record that was taken is the same after Encode.
func FuzzDecodeRecord(f *testing.F) {
	for _, s := range []string{
		`{"op":"upsert","data":{"a":1}}`, `{"op":"withdraw","key":"k","reason":"r"}`,
		`{"id":"i","key":"k","op":"upsert","occurred_at":"2025-02-03T04:05:06.7+08:00","data":[ ],"schema_version":1,"source_version":-1,"seq":1}`,
		`{"op":"upsert","data":1,"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","traceparent":"` + trace + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := DecodeRecord(raw, Limits{})
		if err != nil {
			var syntax *SyntaxError
			var member *MemberError
			if !errors.As(err, &syntax) && !errors.As(err, &member) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		line := r.Encode()
		if bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("more than one line: %q", line)
		}
		again, err := DecodeRecord(line, Limits{RecordBytes: 4 * (256 << 10)})
		if diff := cmp.Diff(r, again); diff != "" || err != nil {
			t.Fatalf("%q: %v (-want +got)\n%s", line, err, diff)
		}
	})
}

// FuzzWalk holds that the walkers end, whatever they are given.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\""}]}`, `[1,"]",[]]`, `[[ ]]`, `{"a":`, `["\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		_ = Members(b, func(_ string, raw []byte) error { total += len(raw); return nil })
		_ = Elements(b, func(raw []byte) error { total += len(raw); return nil })
		if total > 2*len(b) {
			t.Fatalf("%d bytes of ranges in %d", total, len(b))
		}
	})
}

// fuzzSection gives each input a right checksum, so that the decoder is
// reached, and holds that what was read is written with the same bytes.
func fuzzSection(f *testing.F, name string) {
	decoder := samples(f, CodecNone)[name]
	for _, codec := range []uint8{CodecNone, CodecS2} {
		for _, s := range samples(f, codec) {
			f.Add(s.section)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			b[0] = SectionFormat
		}
		section := resum(b)
		if _, err := ParseHeader(section); err != nil && !errors.Is(err, ErrSection) {
			t.Fatal(err)
		}
		h, v, err := decoder.decode(section)
		if err != nil {
			if !errors.Is(err, ErrSection) {
				t.Fatal(err)
			}
			return
		}
		again, err := decoder.encode(h, v)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		if h.Codec == CodecNone && !bytes.Equal(section, again) {
			t.Fatalf("read\n%x\nwritten as\n%x", section, again)
		}
		h2, v2, err := decoder.decode(again)
		h.Codec, h2.Codec = 0, 0
		if diff := cmp.Diff(v, v2); diff != "" || err != nil || !cmp.Equal(h, h2) {
			t.Fatalf("written and read again: %v (-want +got)\n%s", err, diff)
		}
	})
}

func FuzzDecodeRecords(f *testing.F)  { fuzzSection(f, "records") }
func FuzzDecodeRefusals(f *testing.F) { fuzzSection(f, "refusals") }
func FuzzDecodeCursors(f *testing.F)  { fuzzSection(f, "cursors") }
func FuzzDecodeCommand(f *testing.F)  { fuzzSection(f, "command") }
func FuzzDecodeMark(f *testing.F)     { fuzzSection(f, "mark") }
