package mapping

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func gb(t testing.TB, s string) string {
	t.Helper()
	out, err := simplifiedchinese.GB18030.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDetect(t *testing.T) {
	long := strings.Repeat("互通", 50_000)
	for _, tc := range []struct {
		name, in string
		want     Charset
		offset   int64 // of the refusal, where want is 0
	}{
		{"empty", "", UTF8, 0},
		{"ascii", "a,b\r\n", UTF8, 0},
		{"utf-8", "部门,事项", UTF8, 0},
		{"utf-8 with mark", "\xEF\xBB\xBF部门", UTF8BOM, 0},
		{"mark only", "\xEF\xBB\xBF", UTF8BOM, 0},
		{"gb18030", gb(t, "部门,事项"), GB18030, 0},
		{"two characters that other detectors take for utf-8", gb(t, "联通"), GB18030, 0},
		{"four bytes", gb(t, "𠮷㐀𬭎"), GB18030, 0},
		{"one gb character", gb(t, "中"), GB18030, 0},
		{"long utf-8 over chunk borders", "x" + long, UTF8, 0},
		{"long gb18030 over chunk borders", "x" + gb(t, long), GB18030, 0},
		{"four-byte characters over chunk borders", "xyz" + gb(t, strings.Repeat("𠮷", 40_000)), GB18030, 0},
		{"utf-8 head, gb body", "部,门\n" + gb(t, "房"), 0, 8},
		{"gb cut short", gb(t, "部门")[:3], 0, 2},
		{"utf-8 with mark, gb body", "\xEF\xBB\xBF部门," + gb(t, "事项"), 0, 10},
		{"0x80", "a\x80b", 0, 1},
		{"0xFF", "a\xFFb", 0, 1},
		{"four bytes out of range", "\x84\x31\xA5\x30\x81\x30", 0, 0},
		{"utf-16", "\xFF\xFEa\x00", 0, 0},
		{"nul", "a\x00b", 0, 1},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"": func(r io.Reader) io.Reader { return r }, " byte by byte": iotest.OneByteReader} {
			if len(tc.in) > 1000 && name != "" {
				continue
			}
			got, err := Detect(wrap(strings.NewReader(tc.in)))
			var bad *CharsetError
			switch {
			case tc.want != 0 && (err != nil || got != tc.want):
				t.Errorf("%s%s: got %v, %v; want %v", tc.name, name, got, err, tc.want)
			case tc.want == 0 && !errors.As(err, &bad):
				t.Errorf("%s%s: got %v, %v; want *CharsetError", tc.name, name, got, err)
			case tc.want == 0 && bad.Offset != tc.offset:
				t.Errorf("%s%s: refused at byte %d, want %d: %v", tc.name, name, bad.Offset, tc.offset, err)
			}
		}
	}
	cause := errors.New("disk")
	if _, err := Detect(iotest.ErrReader(cause)); !errors.Is(err, cause) {
		t.Errorf("a read error became %v", err)
	}
}

func decode(t testing.TB, in []byte, c Charset) []byte {
	t.Helper()
	out, err := io.ReadAll(NewReader(bytes.NewReader(in), c))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t testing.TB, in []byte, c Charset) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestEveryTwoByteCode decodes all 23,940 two-byte codes. The 1,894 of the user-defined areas must come out by the
// standard's formula and go back; every code that is assigned at all must go back to where it came from.
func TestEveryTwoByteCode(t *testing.T) {
	codes, user, lostCodes := 0, 0, 0
	seen := map[rune]bool{}
	for lead := 0x81; lead <= 0xFE; lead++ {
		for trail := 0x40; trail <= 0xFE; trail++ {
			if trail == 0x7F {
				continue
			}
			codes++
			in := []byte{byte(lead), byte(trail)}
			if n, bad := validGB18030(in, true); n != 2 || bad {
				t.Fatalf("% x is not taken for a character", in)
			}
			out := decode(t, in, GB18030)
			r, size := utf8.DecodeRune(out)
			if size != len(out) {
				t.Fatalf("% x became %q", in, out)
			}
			if want, ok := udaRune(in[0], in[1]); ok {
				user++
				if r != want {
					t.Fatalf("% x became %U, want %U", in, r, want)
				}
			}
			if r == utf8.RuneError {
				lostCodes++
				continue
			}
			if seen[r] {
				t.Fatalf("% x became %U, as another code did", in, r)
			}
			seen[r] = true
			if back := encode(t, out, GB18030); !bytes.Equal(back, in) {
				t.Errorf("% x became %U and went back as % x", in, r, back)
			}
		}
	}
	if codes != 23_940 || user != 1_894 {
		t.Errorf("%d codes, %d user-defined; want 23940 and 1894", codes, user)
	}
	if lostCodes != 174 {
		t.Errorf("%d codes are lost, want the 149 reserved and 25 that editions differ on", lostCodes)
	}
	for code, want := range map[string]rune{"\xAA\xA1": 0xE000, "\xAF\xFE": 0xE233, "\xF8\xA1": 0xE234, "\xFE\xFE": 0xE4C5, "\xA1\x40": 0xE4C6, "\xA7\xA0": 0xE765, "\xA1\x7E": 0xE504, "\xA1\x80": 0xE505} {
		if got := decode(t, []byte(code), GB18030); string(got) != string(want) {
			t.Errorf("% x became %U, the standard says %U", code, []rune(string(got)), want)
		}
	}
}

// TestDecodingInPieces gives the decoder and encoder every split of a text with all lengths of characters.
func TestDecodingInPieces(t *testing.T) {
	text := "ab中\uE000\uE765文𠮷\uE4C6c"
	in := encode(t, []byte(text), GB18030)
	if got := decode(t, in, GB18030); string(got) != text {
		t.Fatalf("got %q, want %q", got, text)
	}
	for i := range in {
		r := NewReader(io.MultiReader(bytes.NewReader(in[:i]), iotest.OneByteReader(bytes.NewReader(in[i:]))), GB18030)
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("split at %d: %q, %v", i, got, err)
		}
	}
	for i := range text {
		var out bytes.Buffer
		w, _ := NewWriter(&out, GB18030)
		for _, part := range []string{text[:i], text[i:]} {
			for j := range len(part) {
				if _, err := w.Write([]byte{part[j]}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil || !bytes.Equal(out.Bytes(), in) {
			t.Errorf("encoding split at %d: % x, %v", i, out.Bytes(), err)
		}
	}
	long := strings.Repeat(text, 10_000)
	if got := decode(t, encode(t, []byte(long), GB18030), GB18030); string(got) != long {
		t.Error("a long text did not come back")
	}
}

// TestSeparatorInsideCharacter: the second byte of 東 is a backslash's neighbour, that of some characters is "|".
func TestSeparatorInsideCharacter(t *testing.T) {
	in := gb(t, "東西|南北")
	if got := decode(t, []byte(in), GB18030); string(got) != "東西|南北" {
		t.Errorf("got %q", got)
	}
}

func TestMarkIsDroppedAndWritten(t *testing.T) {
	for _, in := range []string{"\xEF\xBB\xBFa", "a", "", "\xEF\xBB", "ab"} {
		if got, want := string(decode(t, []byte(in), UTF8BOM)), strings.TrimPrefix(in, "\xEF\xBB\xBF"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := encode(t, []byte("a"), UTF8BOM); string(got) != "\xEF\xBB\xBFa" {
		t.Errorf("wrote %q", got)
	}
	for _, c := range []Charset{UTF8, UTF8BOM, GB18030} {
		if back, err := ParseCharset(c.String()); err != nil || back != c {
			t.Errorf("%v: %v, %v", c, back, err)
		}
	}
}

// FuzzCharset: what Detect takes decodes to UTF-8, and what decoded without loss encodes to the same bytes.
func FuzzCharset(f *testing.F) {
	for _, s := range []string{"", "a", "部门", "\xEF\xBB\xBF部门", gb(f, "联通"), gb(f, "𠮷"), "\xAA\xA1\x81\x30\x81\x30", "a\x80", "\xFF\xFE"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := Detect(bytes.NewReader(in))
		slow, slowErr := Detect(iotest.OneByteReader(bytes.NewReader(in)))
		if c != slow || (err == nil) != (slowErr == nil) {
			t.Fatalf("whole %v, %v; byte by byte %v, %v", c, err, slow, slowErr)
		}
		if err != nil {
			var bad *CharsetError
			if !errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > int64(len(in)) {
				t.Fatalf("got %v", err)
			}
			return
		}
		text := decode(t, in, c)
		if !utf8.Valid(text) {
			t.Fatalf("decoded to %q", text)
		}
		if bytes.ContainsRune(text, utf8.RuneError) {
			return
		}
		if back := encode(t, text, c); !bytes.Equal(back, in) && c != GB18030 {
			t.Fatalf("went back as % x", back)
		}
		if again := decode(t, encode(t, text, c), c); !bytes.Equal(again, text) {
			t.Fatalf("%q came back as %q", text, again)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	in := []byte(gb(b, strings.Repeat("区经信局,未分类,企业投资项目备案(技术改造),511602000000\r\n", 5000)))
	b.Run("detect", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := Detect(bytes.NewReader(in)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gb18030", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := io.Copy(io.Discard, NewReader(bytes.NewReader(in), GB18030)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
