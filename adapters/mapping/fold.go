package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// trim removes white space of any width and invisible characters at both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || isZeroWidth(r) })
}

// isZeroWidth reports characters nobody sees: zero-width space and joiners, word joiner, byte order mark.
func isZeroWidth(r rune) bool {
	switch r {
	case 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF:
		return true
	}
	return false
}

// isOddSpace reports spaces that are not U+0020 but look like it.
func isOddSpace(r rune) bool {
	switch r {
	case 0x00A0, 0x2007, 0x202F:
		return true
	}
	return false
}

// clean brings text into normal form C, makes no-break spaces plain and removes zero-width characters. Punctuation and
// width stay: this is the step for prose.
func clean(s string) string { return cleanFunc(s, func(r rune) rune { return r }) }

// fold is clean and makes full-width letters, digits, punctuation and spaces half-width: the step for codes, numbers
// and dates.
func fold(s string) string {
	return cleanFunc(s, func(r rune) rune {
		switch {
		case r >= 0xFF01 && r <= 0xFF5E:
			return r - 0xFEE0
		case r == 0x3000:
			return ' '
		}
		return r
	})
}

func cleanFunc(s string, width func(rune) rune) string {
	if isASCII(s) {
		return s
	}
	if !norm.NFC.IsNormalString(s) {
		s = norm.NFC.String(s)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case isZeroWidth(r):
			return -1
		case isOddSpace(r):
			return ' '
		}
		return width(r)
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// cutRunes keeps the first n characters, and fewer rather than tear a combined character apart.
func cutRunes(s string, n int) string {
	count := 0
	end := len(s)
	for i := range s {
		if count == n {
			end = i
			break
		}
		count++
	}
	for end > 0 && end < len(s) {
		next, _ := utf8.DecodeRuneInString(s[end:])
		last, size := utf8.DecodeLastRuneInString(s[:end])
		if !unicode.Is(unicode.M, next) && next != 0x200D && last != 0x200D {
			break
		}
		end -= size
	}
	return s[:end]
}
