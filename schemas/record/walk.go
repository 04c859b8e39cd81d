package record

import (
	"bytes"
	"unicode/utf8"
)

// Members calls f for every member of the object that compact is, in order:
// the name with escapes resolved, and the bytes of the value as they lie in
// compact. Nothing of the value is copied. compact MUST be a compact form as
// Decode gives it; values are passed over, not checked again.
//
// Members returns the first error of f as it is, or a *SyntaxError if compact
// is no object in compact form.
func Members(compact []byte, f func(name string, raw []byte) error) error {
	return walk(compact, '{', '}', func(i int) (int, error) {
		if i >= len(compact) || compact[i] != '"' {
			return 0, walkFault(i)
		}
		end, size, fault := scanString(compact, i+1)
		if fault != nil {
			return 0, fault
		}
		if end+1 >= len(compact) || compact[end+1] != ':' {
			return 0, walkFault(end + 1)
		}
		from := end + 2
		to := skip(compact, from)
		if to <= from {
			return 0, walkFault(from)
		}
		return to, f(unescape(compact[i+1:end], size), compact[from:to:to])
	})
}

// Elements calls f for every element of the array that compact is, in order,
// with the element's bytes. See Members.
func Elements(compact []byte, f func(raw []byte) error) error {
	return walk(compact, '[', ']', func(i int) (int, error) {
		to := skip(compact, i)
		if to <= i {
			return 0, walkFault(i)
		}
		return to, f(compact[i:to:to])
	})
}

func walkFault(at int) *SyntaxError { return &SyntaxError{Offset: int64(at), Rule: RuleSyntax} }

// walk goes through b between the opening and closing byte; each handles what
// begins at i and says where it ended.
func walk(b []byte, opening, closing byte, each func(i int) (int, error)) error {
	if len(b) < 2 || b[0] != opening {
		return walkFault(0)
	}
	i := 1
	for b[i] != closing {
		to, err := each(i)
		if err != nil {
			return err
		}
		if to >= len(b) {
			return walkFault(to)
		}
		switch {
		case b[to] == closing:
			i = to
		case b[to] == ',' && to+1 < len(b) && b[to+1] != closing:
			i = to + 1
		default:
			return walkFault(to)
		}
	}
	if i != len(b)-1 {
		return walkFault(i + 1)
	}
	return nil
}

// skip gives the end of the value that begins at i, or i if there is none.
func skip(b []byte, i int) int {
	depth := 0
	for at := i; at < len(b); {
		switch b[at] {
		case '"':
			if at = closingQuote(b, at+1); at < 0 {
				return i
			}
			at++
		case '{', '[':
			depth++
			at++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			at++
		case ',', ':':
			if depth == 0 {
				return i
			}
			at++
			continue
		case ' ', '\n', '\r', '\t':
			return i // not the compact form
		default:
			for at < len(b) && !structural(b[at]) {
				at++
			}
		}
		if depth == 0 {
			return at
		}
	}
	return i
}

func structural(c byte) bool {
	switch c {
	case ',', ':', '{', '}', '[', ']', '"', ' ', '\n', '\r', '\t':
		return true
	}
	return false
}

// closingQuote finds the end of the string whose text begins at i; -1 if none.
func closingQuote(b []byte, i int) int {
	for {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return -1
		}
		q += i
		back := q
		for back > i && b[back-1] == '\\' {
			back--
		}
		if (q-back)%2 == 0 {
			return q
		}
		i = q + 1
	}
}

// Unquote gives the text of a JSON string as it lies in a compact form,
// quotation marks included; ok is false if raw is anything else.
func Unquote(raw []byte) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	end, size, fault := scanString(raw, 1)
	if fault != nil || end != len(raw)-1 {
		return "", false
	}
	return unescape(raw[1:end], size), true
}

// AppendString appends s as a JSON string, escaping only what RFC 8259
// demands, so that the same text always gives the same bytes. Bytes that are
// not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if !plain[c] {
				dst = append(dst, s[from:i]...)
				switch c {
				case '"', '\\':
					dst = append(dst, '\\', c)
				case '\n':
					dst = append(dst, '\\', 'n')
				case '\r':
					dst = append(dst, '\\', 'r')
				case '\t':
					dst = append(dst, '\\', 't')
				default:
					dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
				}
				from = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, lost...)
			from = i + 1
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
