package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMembers(t *testing.T) {
	in := []byte(`{"a":1,"\u4e2d\"":{"x":["}","\\\"]"]},"b":[],"c":"\"","d":-1.5e3}`)
	want := [][2]string{{"a", "1"}, {`中"`, `{"x":["}","\\\"]"]}`}, {"b", "[]"}, {"c", `"\""`}, {"d", "-1.5e3"}}
	var got [][2]string
	err := Members(in, func(name string, raw []byte) error {
		got = append(got, [2]string{name, string(raw)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestElements(t *testing.T) {
	var got []string
	err := Elements([]byte(`[1,"a,b",[2,[3]],{"k":[1,2]},null]`), func(raw []byte) error {
		got = append(got, string(raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"1", `"a,b"`, "[2,[3]]", `{"k":[1,2]}`, "null"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestWalkEmpty(t *testing.T) {
	never := func() error { t.Error("called"); return nil }
	if err := Members([]byte("{}"), func(string, []byte) error { return never() }); err != nil {
		t.Error(err)
	}
	if err := Elements([]byte("[]"), func([]byte) error { return never() }); err != nil {
		t.Error(err)
	}
}

func TestWalkPassesTheError(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	err := Members([]byte(`{"a":1,"b":2}`), func(string, []byte) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	if err := Elements([]byte(`[1,2]`), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestWalkRefuses(t *testing.T) {
	for _, in := range []string{
		"", "{", "1", "[1]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1`, `{"a":1}x`, `{,}`, `{"a":1 ,"b":2}`, `{ "a":1}`,
		`{"a": 1}`, `{"a":[1 ]}`, `{"a":"x}`, `{"a":{}`, `{"a":]}`, `{"a"`, `{"a":`, `{"a`, `{"a":1"b":2}`, `{"\q":1}`, `{a:1}`,
	} {
		err := Members([]byte(in), func(string, []byte) error { return nil })
		var fault *SyntaxError
		if !errors.As(err, &fault) {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"", "[", "{}", "[1,]", "[,1]", "[1", "[1]]", `["`, "[1 ]", "[ 1]", "[}", "[[1]", "[:]"} {
		err := Elements([]byte(in), func([]byte) error { return nil })
		var fault *SyntaxError
		if !errors.As(err, &fault) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What a callback appends to a range does not write into the next.
func TestRangesAreClosed(t *testing.T) {
	in := []byte(`{"a":1,"b":2}`)
	_ = Members(in, func(_ string, raw []byte) error { _ = append(raw, "XXX"...); return nil })
	if string(in) != `{"a":1,"b":2}` {
		t.Errorf("%s", in)
	}
}

func TestQuoting(t *testing.T) {
	for _, s := range []string{"", "a", "中\"\\/\n\r\t\x00\x1f\x7f😀", "\u2028<&>", strings.Repeat("长", 1000)} {
		quoted := AppendString(nil, s)
		if got, ok := Unquote(quoted); !ok || got != s {
			t.Errorf("%q came back as %q", s, got)
		}
		if _, v, err := Decode(quoted, Limits{}); err != nil || v != s {
			t.Errorf("%s: %v %v", quoted, v, err)
		}
	}
	if got := string(AppendString([]byte("x"), "<a>\x01\"")); got != `x"<a>\u0001\""` {
		t.Error(got)
	}
	if got := string(AppendString(nil, "a\xffb\xe4\xb8")); got != "\"a\ufffdb\ufffd\ufffd\"" {
		t.Errorf("%q", got)
	}
	for _, raw := range []string{"", `"`, "1", `"a`, `"a"b"`, `a"`, "\"\xff\"", `"\ud800"`} {
		if got, ok := Unquote([]byte(raw)); ok {
			t.Errorf("%q gives %q", raw, got)
		}
	}
}
