package schemas

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// child appends a member name or an index to a JSON pointer (RFC 6901).
func child(ptr, token string) string { return ptr + "/" + pointerEscape.Replace(token) }

// splitPointer returns the tokens of a JSON pointer.
func splitPointer(ptr string) []string {
	if ptr == "" {
		return nil
	}
	tokens := strings.Split(ptr[1:], "/")
	for i, t := range tokens {
		tokens[i] = pointerUnescape.Replace(t)
	}
	return tokens
}

// joinPointer is the inverse of splitPointer.
func joinPointer(tokens []string) string {
	ptr := ""
	for _, t := range tokens {
		ptr = child(ptr, t)
	}
	return ptr
}

// splitLocation returns the tokens of a location as the validator writes it: percent-encoded.
func splitLocation(loc string) []string {
	if i := strings.IndexByte(loc, '#'); i >= 0 {
		loc = loc[i+1:]
	}
	if loc == "" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(loc, "/"), "/")
	for i, t := range tokens {
		if plain, err := url.PathUnescape(t); err == nil {
			t = plain
		}
		tokens[i] = pointerUnescape.Replace(t)
	}
	return tokens
}

// lookup follows tokens into a decoded JSON value; nil where they lead nowhere.
func lookup(value any, tokens []string) any {
	for _, t := range tokens {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[t]
			if !ok {
				return nil
			}
			value = next
		case []any:
			i, err := strconv.Atoi(t)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// comparePointers orders pointers token by token, indexes as numbers, without allocating:
// reports of ten thousand violations are sorted with it.
func comparePointers(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a = firstToken(a)
		y, b = firstToken(b)
		if x == y {
			continue
		}
		if isIndex(x) && isIndex(y) {
			return cmp.Or(cmp.Compare(number(x), number(y)), cmp.Compare(x, y))
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// firstToken splits "/a/b" into "a" and "/b".
func firstToken(ptr string) (token, rest string) {
	ptr = ptr[1:]
	if i := strings.IndexByte(ptr, '/'); i >= 0 {
		return ptr[:i], ptr[i:]
	}
	return ptr, ""
}

// nearestName returns the name most like the text, "" where none is like it.
func nearestName(text string, names []string) string {
	best, bestScore := "", 69
	for _, n := range names {
		if score := likeness(text, n); score > bestScore {
			best, bestScore = n, score
		}
	}
	return best
}

// showable reports whether a member name that is in no schema may be repeated in a report: a
// name, not a value that stands where a name should (a number of a person, a sentence).
func showable(name string) bool {
	if name == "" || utf8.RuneCountInString(name) > 40 {
		return false
	}
	digits := 0
	for _, r := range name {
		if unicode.IsDigit(r) {
			digits++
		} else if !unicode.IsLetter(r) && r != '_' && r != '-' && r != '.' {
			return false
		}
	}
	return digits <= 4
}
