package record

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes that stand for themselves in a JSON string; those
// above 0x7f are checked as UTF-8 afterwards, many at a time.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return t
}()

// short gives the character of an escape of two bytes by its second; 0: none.
var short = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hexValue gives the value of a hexadecimal digit; negative: none.
var hexValue = func() (t [256]rune) {
	for c := range t {
		t[c] = -1
	}
	for v, c := range []byte("0123456789abcdef") {
		t[c] = rune(v)
	}
	for v, c := range []byte("ABCDEF") {
		t[c] = rune(v + 10)
	}
	return t
}()

// lost is U+FFFD in UTF-8: what a careless conversion leaves of a character.
var lost = []byte("\uFFFD")

func index(i int) string { return strconv.Itoa(i) }

// str reads the string that begins at the next byte, a quotation mark.
func (s *scanner) str() (string, *SyntaxError) {
	start := s.pos + 1
	end, size, err := scanString(s.raw, start)
	if err != nil {
		return "", err
	}
	s.pos = end + 1
	if size == end-start {
		return s.part(start, end), nil
	}
	return unescape(s.raw[start:end], size), nil
}

// scanString checks the text of a string from start up to its closing
// quotation mark at end; size is the number of bytes it stands for, end-start
// if and only if it has no escapes (every escape is longer than its character).
func scanString(raw []byte, start int) (end, size int, err *SyntaxError) {
	i, bits, saved := start, byte(0), 0
	for {
		for i < len(raw) && plain[raw[i]] {
			bits |= raw[i]
			i++
		}
		if i == len(raw) {
			return 0, 0, &SyntaxError{Offset: int64(i), Rule: RuleSyntax}
		}
		if raw[i] == '"' {
			break
		}
		if raw[i] == '\\' && i+1 < len(raw) && short[raw[i+1]] != 0 {
			i += 2
			saved++
			continue
		}
		n, r, rule := escape(raw[i:])
		if rule != "" {
			return 0, 0, &SyntaxError{Offset: int64(i), Rule: rule}
		}
		i += n
		saved += n - utf8.RuneLen(r)
	}
	if bits >= utf8.RuneSelf {
		if at := badText(raw[start:i]); at >= 0 {
			return 0, 0, &SyntaxError{Offset: int64(start + at), Rule: RuleUTF8}
		}
	}
	return i, i - start - saved, nil
}

// badText finds the first byte that is not UTF-8 or begins U+FFFD; -1 if none.
func badText(b []byte) int {
	at := bytes.Index(b, lost)
	if utf8.Valid(b) {
		return at
	}
	i := 0
	for step := len(b) / 2; step >= utf8.UTFMax; step /= 2 { // halve towards the broken place
		end := i + step
		for end > i && !utf8.RuneStart(b[end]) {
			end--
		}
		if utf8.Valid(b[i:end]) {
			i = end
		}
	}
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	if at >= 0 && at < i {
		return at
	}
	return i
}

// escape reads the escape at the start of b: its length, the character, or the
// rule it breaks. A control character lands here too and is no escape.
func escape(b []byte) (n int, r rune, rule string) {
	if len(b) < 2 || b[0] != '\\' {
		return 0, 0, RuleSyntax
	}
	if c := short[b[1]]; c != 0 {
		return 2, rune(c), ""
	}
	r, ok := unit(b)
	if !ok {
		return 0, 0, RuleSyntax
	}
	if !utf16.IsSurrogate(r) {
		if r == utf8.RuneError {
			return 0, 0, RuleUTF8
		}
		return 6, r, ""
	}
	low, ok := unit(b[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0, RuleUTF8
	}
	return 12, r, ""
}

// unit reads \uXXXX at the start of b.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	v := hexValue[b[2]]<<12 | hexValue[b[3]]<<8 | hexValue[b[4]]<<4 | hexValue[b[5]]
	return v, v >= 0
}

// unescape gives the characters of checked text; size is their length.
func unescape(b []byte, size int) string {
	if size == len(b) {
		return string(b)
	}
	var out strings.Builder
	out.Grow(size)
	var buf [256]byte // written to out when nearly full
	n := 0
	for i := 0; i < len(b); {
		if n > len(buf)-utf8.UTFMax {
			out.Write(buf[:n])
			n = 0
		}
		c := b[i]
		if c != '\\' {
			buf[n] = c
			n++
			i++
			continue
		}
		if c = short[b[i+1]]; c != 0 {
			buf[n] = c
			n++
			i += 2
			continue
		}
		used, r, _ := escape(b[i:])
		n += utf8.EncodeRune(buf[n:], r)
		i += used
	}
	out.Write(buf[:n])
	return out.String()
}

// number reads the number that begins at the next byte.
func (s *scanner) number() (json.Number, *SyntaxError) {
	n, exponent, ok := scanNumber(s.raw[s.pos:])
	if !ok {
		return "", s.fail(s.pos+n, RuleSyntax)
	}
	if n > s.lim.NumberBytes || exponent > s.lim.Exponent {
		return "", s.fail(s.pos, RuleNumber)
	}
	lit := s.part(s.pos, s.pos+n)
	s.pos += n
	return json.Number(lit), nil
}

// scanNumber gives the length of the number literal at the start of b and the
// magnitude of its exponent (counted up to some millions). If there is none, n
// is where the grammar broke.
func scanNumber(b []byte) (n, exponent int, ok bool) {
	digits := func() int {
		from := n
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		return n - from
	}
	if n < len(b) && b[n] == '-' {
		n++
	}
	zero := n < len(b) && b[n] == '0'
	if d := digits(); d == 0 || zero && d > 1 {
		return n, 0, false
	}
	if n < len(b) && b[n] == '.' {
		n++
		if digits() == 0 {
			return n, 0, false
		}
	}
	if n < len(b) && b[n]|0x20 == 'e' {
		n++
		if n < len(b) && (b[n] == '+' || b[n] == '-') {
			n++
		}
		from := n
		if digits() == 0 {
			return n, 0, false
		}
		for _, c := range b[from:n] {
			if exponent < 1<<20 {
				exponent = exponent*10 + int(c-'0')
			}
		}
	}
	return n, exponent, true
}
