package policy

import (
	"reflect"
	"slices"
	"strings"
)

func sortStrings(s []string) { slices.Sort(s) }

// trimLines cuts blanks off the end of every line.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// newOf makes a pointer to a zero value of the type of v.
func newOf(v any) any { return reflect.New(reflect.TypeOf(v)).Interface() }

func valueOf(p any) any { return reflect.ValueOf(p).Elem().Interface() }
