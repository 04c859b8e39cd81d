package tlog

import (
	"fmt"
	"strconv"
	"strings"
)

// LogName is the name of a log: "<origin>/<year>-<n>". It is the origin line of the log's checkpoints and the name of
// its key. n grows with each restore within a year.
func LogName(origin string, year, n int) string { return fmt.Sprintf("%s/%d-%d", origin, year, n) }

// ShortLogName is the last part of a log's name, "<year>-<n>", as it stands in leaf addresses and paths.
func ShortLogName(log string) string { return log[strings.LastIndexByte(log, '/')+1:] }

// IsShortLogName reports whether s has the form "<year>-<n>": four digits, a hyphen, a number from 1 without leading
// zeros.
func IsShortLogName(s string) bool {
	year, n, ok := strings.Cut(s, "-")
	if !ok || len(year) != 4 || len(n) == 0 || len(n) > 9 || n[0] == '0' {
		return false
	}
	_, err1 := strconv.ParseUint(year, 10, 32)
	_, err2 := strconv.ParseUint(n, 10, 32)
	return err1 == nil && err2 == nil && year[0] != '+' && n[0] != '+'
}
