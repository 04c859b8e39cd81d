package sqlpoll

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/adapters"
)

// atom is one SQLite value of an order column: SQLite types values, not
// columns, and a moment may be a text, a whole number or a Julian day.
type atom struct{ value any }

// text is the atom's form in a cursor: its type, a colon, its digits.
func (a atom) text() string {
	switch v := a.value.(type) {
	case int64:
		return "i:" + strconv.FormatInt(v, 10)
	case float64:
		return "r:" + strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return "b:" + hex.EncodeToString(v)
	default:
		return fmt.Sprintf("t:%v", v)
	}
}

// parseAtom reads what text wrote; anything else is a text.
func parseAtom(s string) atom {
	kind, digits, ok := strings.Cut(s, ":")
	if !ok {
		return atom{s}
	}
	switch kind {
	case "i":
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			return atom{n}
		}
	case "r":
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return atom{f}
		}
	case "b":
		if b, err := hex.DecodeString(digits); err == nil {
			return atom{b}
		}
	}
	return atom{digits}
}

// less orders as SQLite does: numbers before texts before blobs.
func (a atom) less(b atom) bool {
	ra, rb := a.rank(), b.rank()
	if ra != rb {
		return ra < rb
	}
	switch ra {
	case 0:
		return a.number() < b.number()
	case 1:
		return fmt.Sprint(a.value) < fmt.Sprint(b.value)
	}
	return string(a.value.([]byte)) < string(b.value.([]byte))
}

func (a atom) rank() int {
	switch a.value.(type) {
	case int64, float64:
		return 0
	case []byte:
		return 2
	}
	return 1
}

func (a atom) number() float64 {
	if n, ok := a.value.(int64); ok {
		return float64(n)
	}
	f, _ := a.value.(float64)
	return f
}

// Whole numbers are Unix seconds, milliseconds or microseconds by their size:
// a second of this century has ten digits.
const (
	millisecondsFrom = 100_000_000_000
	microsecondsFrom = 100_000_000_000_000
	julianBelow      = 10_000_000 // as a real number: days since 4714 BC, else Unix seconds
	julianUnixEpoch  = 2_440_587.5
)

func ticksPerSecond(n int64) int64 {
	switch {
	case n >= microsecondsFrom:
		return 1_000_000
	case n >= millisecondsFrom:
		return 1_000
	}
	return 1
}

// momentLayouts are the texts in which SQLite and its users write moments.
var momentLayouts = []string{
	"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02",
}

// parseText reads a moment and returns the layout to write it back in, with
// as many decimals as it had: texts order only among their like.
func parseText(s string) (time.Time, string, bool) {
	for _, l := range momentLayouts {
		t, err := time.Parse(l, s) // a fraction after the seconds is taken too
		if err != nil {
			continue
		}
		if i := strings.IndexByte(s, '.'); i >= 0 {
			digits := len(s[i+1:]) - len(strings.TrimLeft(s[i+1:], "0123456789"))
			l = strings.Replace(l, "05", "05."+strings.Repeat("0", digits), 1)
		}
		return t, l, true
	}
	return time.Time{}, "", false
}

// back is the atom d earlier; one that is no known form of a moment stays.
func (a atom) back(d time.Duration) atom {
	switch v := a.value.(type) {
	case int64:
		perSecond := ticksPerSecond(v)
		return atom{v - int64(math.Ceil(d.Seconds()*float64(perSecond)))}
	case float64:
		if v < julianBelow {
			return atom{v - d.Hours()/24}
		}
		return atom{v - d.Seconds()}
	case string:
		if t, layout, ok := parseText(v); ok {
			return atom{t.Add(-d).Format(layout)}
		}
	}
	return a
}

// unixMs is the moment in Unix milliseconds, 0 where it is not certain: a text
// without zone needs the configured one.
func (a atom) unixMs(zone string) int64 {
	switch v := a.value.(type) {
	case int64:
		if p := ticksPerSecond(v); p > 1 {
			return v / (p / 1000)
		}
		return v * 1000
	case float64:
		if v < julianBelow {
			return int64((v - julianUnixEpoch) * 86_400_000)
		}
		return int64(v * 1000)
	case string:
		t, layout, ok := parseText(v)
		switch {
		case !ok:
		case strings.HasSuffix(layout, "Z07:00"):
			return t.UnixMilli()
		case zone != "":
			loc, err := time.LoadLocation(zone)
			if err == nil {
				return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc).UnixMilli()
			}
		}
	}
	return 0
}

func (q *sqlite) kind(typ string) adapters.ValueKind {
	t := strings.ToUpper(typ)
	switch {
	case strings.Contains(t, "INT"):
		return adapters.KindInt
	case strings.Contains(t, "BOOL"):
		return adapters.KindBool
	case strings.Contains(t, "REAL"), strings.Contains(t, "FLOA"), strings.Contains(t, "DOUB"), strings.Contains(t, "NUM"), strings.Contains(t, "DEC"):
		return adapters.KindDecimal
	case strings.Contains(t, "BLOB"):
		return adapters.KindBytes
	}
	return adapters.KindText
}

// sqliteValue hands a cell over by its own type; the column's says only that
// a 0 or 1 means no or yes.
func sqliteValue(c column, cell any) (adapters.Value, *adapters.Problem) {
	switch v := cell.(type) {
	case nil:
		return adapters.Null(), nil
	case int64:
		if strings.Contains(strings.ToUpper(c.Type), "BOOL") && (v == 0 || v == 1) {
			return adapters.Bool(v == 1), nil
		}
		return adapters.Int(v), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return adapters.Text(strconv.FormatFloat(v, 'g', -1, 64)), nil
		}
		return adapters.Decimal(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case []byte:
		return adapters.Bytes(v), nil
	case string:
		if utf8.ValidString(v) {
			return adapters.Text(v), nil
		}
	default:
		return adapters.Text(fmt.Sprint(v)), nil
	}
	return adapters.Value{}, &adapters.Problem{Column: c.Name, Title: c.Name, Rule: "charset",
		Zh: fmt.Sprintf("列“%s”:文字不是有效的UTF-8编码。改法:在来源系统中改正该字段的编码", c.Name),
		En: fmt.Sprintf("column %q: the text is not valid UTF-8; correct its encoding in the source system", c.Name)}
}
