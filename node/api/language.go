package api

import (
	"strings"
	"unicode"
)

// separator stands between the two languages of one text.
const separator = " / "

// In picks the part of a text for people that is in language ("en", else
// Chinese) where both stand in it as "中文 / English". Any other text is
// returned as it is.
func In(language, text string) string {
	for i := 0; ; {
		n := strings.Index(text[i:], separator)
		if n < 0 {
			return text
		}
		zh, en := text[:i+n], text[i+n+len(separator):]
		if hasHan(zh) && !hasHan(en) {
			if language == "en" {
				return en
			}
			return zh
		}
		i += n + len(separator)
	}
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}
