package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// masks are what each mask name leaves standing of a text. None leaves a text
// that is too short for it: then only stars remain.
var masks = map[string]func([]rune) string{
	schemas.MaskName:    maskName,
	schemas.MaskID:      func(s []rune) string { return ends(s, 3, 4) },
	schemas.MaskPhone:   func(s []rune) string { return ends(s, 3, 4) },
	schemas.MaskAddress: maskAddress,
	schemas.MaskEmail:   maskEmail,
	schemas.MaskAccount: func(s []rune) string { return ends(s, 0, 4) },
	schemas.MaskTail:    maskTail,
}

// Masks lists the names of the masks, sorted.
func Masks() []string {
	names := make([]string, 0, len(masks))
	for name := range masks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Mask applies the named mask to a text. It returns ErrRule for an unknown name,
// and then no text.
func Mask(name, s string) (string, error) {
	f, ok := masks[name]
	if !ok {
		return "", unknownRule(name, "mask")
	}
	if s == "" {
		return "", nil
	}
	return f([]rune(s)), nil
}

// stars stands for a text of which nothing may be left, whatever its length.
const stars = "****"

// ends keeps the first head and the last tail characters, where at least four are
// hidden between them.
func ends(s []rune, head, tail int) string {
	hidden := len(s) - head - tail
	if hidden < len(stars) {
		return stars
	}
	return string(s[:head]) + strings.Repeat("*", hidden) + string(s[len(s)-tail:])
}

// compoundSurnames are the two-character surnames still met in registers.
var compoundSurnames = []string{
	"欧阳", "太史", "上官", "端木", "司马", "东方", "独孤", "南宫", "万俟", "闻人", "夏侯", "诸葛", "尉迟", "公羊",
	"赫连", "澹台", "皇甫", "宗政", "濮阳", "公冶", "太叔", "申屠", "公孙", "慕容", "仲孙", "钟离", "长孙", "宇文",
	"司徒", "鲜于", "司空", "令狐", "轩辕", "呼延", "歐陽", "司馬", "東方", "諸葛", "尉遲", "長孫", "軒轅", "鮮于",
}

// maskName leaves the surname: the first character, or two of a compound surname
// where a given name follows.
func maskName(s []rune) string {
	if len(s) < 2 {
		return "*"
	}
	if len(s) > 2 && slices.Contains(compoundSurnames, string(s[:2])) {
		return string(s[:2]) + "*"
	}
	return string(s[:1]) + "*"
}

const addressHead = 6 // characters left of an address whose town is not found

// maskAddress leaves an address down to its town or street office (镇, 乡, 街道,
// 苏木), and where none is found before the first road, gate or number at most
// its first six characters, never more than half of it.
func maskAddress(s []rune) string {
	for i := range s {
		if end := townEnd(s, i); end > 0 {
			return string(s[:end]) + stars
		}
		if strings.ContainsRune("路街巷弄号栋幢室组村", s[i]) || unicode.IsNumber(s[i]) {
			break
		}
	}
	keep := min(addressHead, len(s)/2)
	for i := range keep {
		if unicode.IsNumber(s[i]) {
			keep = i
			break
		}
	}
	return string(s[:keep]) + stars
}

// townEnd is the place after the name of a town that ends at i, 0 where none does.
// 新乡市 and 镇江市 are no towns.
func townEnd(s []rune, i int) int {
	rest := s[i:]
	two := string(rest[:min(2, len(rest))])
	switch {
	case i == 0:
		return 0
	case two == "街道" || two == "苏木":
		return i + 2
	case rest[0] == '镇' || rest[0] == '乡':
		if len(rest) > 1 && strings.ContainsRune("市县区江", rest[1]) {
			return 0
		}
		return i + 1
	}
	return 0
}

// maskEmail leaves the first letter.
func maskEmail(s []rune) string {
	if len(s) < 2 {
		return stars
	}
	return string(s[:1]) + stars
}

// maskTail leaves the last six characters, never more than half of the text.
func maskTail(s []rune) string {
	return stars + string(s[len(s)-min(6, len(s)/2):])
}

// maskValue appends a value with every text in it masked. Names and structure
// stay; numbers and truth values, which no mask can shorten, become null.
func maskValue(dst, raw []byte, names []string) ([]byte, error) {
	if len(raw) == 0 {
		return dst, ErrRecord
	}
	switch raw[0] {
	case '"':
		s, ok := record.Unquote(raw)
		if !ok {
			return dst, ErrRecord
		}
		for _, name := range names {
			var err error
			if s, err = Mask(name, s); err != nil {
				return dst, err
			}
		}
		return record.AppendString(dst, s), nil
	case '{', '[':
		return maskContainer(dst, raw, names)
	}
	return append(dst, "null"...), nil
}

func maskContainer(dst, raw []byte, names []string) ([]byte, error) {
	open, end := raw[0], raw[0]+2 // '{' and '}', '[' and ']' lie two apart in ASCII
	dst = append(dst, open)
	first := true
	value := func(v []byte) (err error) {
		dst, err = maskValue(dst, v, names)
		return err
	}
	comma := func() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
	}
	var err error
	if open == '{' {
		err = eachMember(raw, func(_ string, head, v []byte) error {
			comma()
			dst = append(dst, head...)
			return value(v)
		})
	} else {
		err = record.Elements(raw, func(v []byte) error { comma(); return value(v) })
	}
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return append(dst, end), nil
}
