package schemas

import (
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of a pattern: its length, and the size of its program with counted repeats written
// out, as every character of a text may visit the whole program.
const (
	maxPatternBytes   = 512
	maxPatternProgram = 2_000
)

// lintKeywords checks the keywords of one subschema that need more than the meta-schema says.
func (l *linter) lintKeywords(n *node) {
	if v, ok := n.doc["enum"].([]any); ok && len(v) == 0 {
		l.add(child(n.ptr, "enum"), "enum_empty", "enum 为空,没有内容能通过。改法:列出允许的取值", "enum is empty, so nothing passes; list the values")
	}
	if n.ptr != "" && (n.has("$id") || n.has("$schema")) {
		l.add(n.ptr, "nested_id", "内层模式不能有 $id 或 $schema。改法:删去", "$id and $schema stand at the root only; remove them here")
	}
	if n.has("format") {
		l.lintFormat(n)
	}
	if p, ok := n.doc["pattern"].(string); ok {
		l.lintPattern(child(n.ptr, "pattern"), p)
	}
	l.lintBound(n, "maxLength", maxTextLength)
	l.lintBound(n, "maxItems", maxElements)
	l.lintBound(n, "maxProperties", maxElements)
	if n.doc["uniqueItems"] == true {
		if limit, ok := asInt(n.doc["maxItems"]); !ok || limit > maxUnique {
			l.add(child(n.ptr, "uniqueItems"), "unique_unbounded", fmt.Sprintf("要求各项不重复时,同处须写不超过%d的 maxItems", maxUnique),
				fmt.Sprintf("uniqueItems needs a maxItems of at most %d beside it", maxUnique))
		}
	}
	l.lintAnnotations(n)
	l.lintExpectedBranches(n)
}

func (l *linter) lintBound(n *node, keyword string, limit int) {
	if v, there := n.doc[keyword]; there {
		if i, ok := asInt(v); !ok || i < 0 || i > limit {
			l.add(child(n.ptr, keyword), "bound_too_large", fmt.Sprintf("%s 应是0至%d的整数", keyword, limit), fmt.Sprintf("%s is a whole number from 0 to %d", keyword, limit))
		}
	}
}

func (l *linter) lintFormat(n *node) {
	name := n.text("format")
	if _, ok := formats[name]; ok {
		return
	}
	list := strings.Join(Formats(), " ")
	l.add(child(n.ptr, "format"), "format_unknown", "没有这种 format。改法:从这些中选:"+list+";或改用 pattern", "there is no such format; choose one of "+list+", or use pattern")
}

// lintPattern checks that a pattern is one the linear-time engine takes, and says what to write instead.
func (l *linter) lintPattern(at, p string) {
	if len(p) > maxPatternBytes {
		l.add(at, "pattern", fmt.Sprintf("正则表达式超过%d字节。改法:拆成几条放进 allOf", maxPatternBytes), fmt.Sprintf("the pattern is longer than %d bytes; split it over allOf", maxPatternBytes))
		return
	}
	if zh, en := unsupportedPattern(p); zh != "" {
		l.add(at, "pattern", zh, en)
		return
	}
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		l.add(at, "pattern", "正则表达式不成立("+errCode(err)+")。改法:按 RE2 语法改写", "not a regular expression in RE2 syntax ("+errCode(err)+")")
		return
	}
	if programSize(re) > maxPatternProgram {
		l.add(at, "pattern", "正则表达式的重复次数过大。改法:用 maxLength 限制长度,正则里写 * 或 +", "the counted repeats are too large; bound the length with maxLength and write * or + in the pattern")
	}
}

func errCode(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return "syntax"
}

// unsupportedPattern names the constructs of other dialects that real schemas use.
func unsupportedPattern(p string) (zh, en string) {
	for i := 0; i+1 < len(p); i++ {
		rest := p[i:]
		switch {
		case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?<=") || strings.HasPrefix(rest, "(?<!"):
			return "不支持环视 (?= (?! (?<= (?<!。改法:把每个条件写成一条 pattern 放进 allOf,否定的条件放进 not",
				"look-around is not supported; write each condition as a pattern of its own under allOf, a negative one under not"
		case rest[0] != '\\':
			continue
		case rest[1] >= '1' && rest[1] <= '9' || rest[1] == 'k':
			return "不支持反向引用。改法:写出各种情形", "back-references are not supported; write the cases out"
		case rest[1] == 'u':
			return "不支持 \\uXXXX。改法:直接写该字符,或写 \\x{XXXX},如 [一-龥]", "\\uXXXX is not supported; write the character itself or \\x{XXXX}"
		case strings.HasPrefix(rest, `\p{Script=`) || strings.HasPrefix(rest, `\p{sc=`) || strings.HasPrefix(rest, `\p{Script_Extensions=`):
			return "不支持 \\p{Script=…}。改法:写 \\p{Han} 这样的简式", "\\p{Script=…} is not supported; write the short form, such as \\p{Han}"
		}
		i++
	}
	return "", ""
}

// programSize counts the instructions of a parsed pattern with repeats written out, saturating.
func programSize(re *syntax.Regexp) int {
	size := 1
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		size += len(re.Rune)
	case syntax.OpRepeat:
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, 1<<30)
}

// lintAnnotations checks the x- keywords and the title of one subschema.
func (l *linter) lintAnnotations(n *node) {
	for _, k := range []string{"title", "x-title-en"} {
		if v, ok := n.doc[k]; ok {
			if s, is := v.(string); !is || s == "" || len(s) > 300 {
				l.add(child(n.ptr, k), "annotation", k+" 应是1至100字的文字", k+" is a text of 1 to 100 characters")
			}
		}
	}
	l.lintChoice(n, "x-sharing", sharingClasses)
	l.lintChoice(n, "x-portal", portalRules)
	l.lintChoice(n, "x-mask", maskNames)
	if v, ok := n.doc["x-personal"]; ok && v != true && v != false {
		l.add(child(n.ptr, "x-personal"), "annotation", "x-personal 应为 true 或 false", "x-personal is true or false")
	}
	if n.text("x-portal") == PortalMask && !n.has("x-mask") {
		l.add(child(n.ptr, "x-portal"), "annotation", "x-portal 为 mask 时要写明 x-mask", "x-portal mask needs an x-mask beside it")
	}
	if p := n.text("x-portal"); n.text("x-sharing") == SharingWithheld && p != "" && p != PortalNever {
		l.add(child(n.ptr, "x-portal"), "annotation", "不予共享的字段不能上门户。改法:x-portal 写 never", "a withheld field is never on the portal; write never")
	}
	if v, ok := n.doc["x-code-table"]; ok {
		if name, _ := v.(string); !slices.Contains(CodeTables(), name) {
			list := strings.Join(CodeTables(), " ")
			l.add(child(n.ptr, "x-code-table"), "code_table", "没有这个代码表。改法:从这些中选:"+list+";或改用 enum", "there is no such code table; choose one of "+list+", or use enum")
		}
	}
	l.lintExpected(n)
}

func (l *linter) lintChoice(n *node, keyword string, choices []string) {
	v, there := n.doc[keyword]
	if s, _ := v.(string); there && !slices.Contains(choices, s) {
		list := strings.Join(choices, " ")
		l.add(child(n.ptr, keyword), "annotation", keyword+" 应为下列之一:"+list, keyword+" is one of "+list)
	}
}

func (l *linter) lintExpected(n *node) {
	v, there := n.doc["x-expected"]
	if !there {
		return
	}
	at := child(n.ptr, "x-expected")
	names, ok := v.([]any)
	if !ok {
		l.add(at, "annotation", "x-expected 应是字段名的数组", "x-expected is an array of member names")
		return
	}
	known := slices.Sorted(maps.Keys(n.props))
	for _, e := range names {
		name, is := e.(string)
		if !is || known != nil && !slices.Contains(known, name) {
			l.add(at, "annotation", "x-expected 里有 properties 没有的字段名。改法:改正拼写", "x-expected names a member that properties does not have; correct its spelling")
			return
		}
	}
}

// Values of the annotations, from the least to the most strict where they have an order.
var (
	sharingClasses = []string{SharingUnconditional, SharingConditional, SharingWithheld}
	portalRules    = []string{PortalPublish, PortalMask, PortalDecided, PortalNever}
	maskNames      = []string{MaskName, MaskID, MaskPhone, MaskAddress, MaskEmail, MaskAccount, MaskTail}
)
