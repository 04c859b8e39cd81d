package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// rocOffset is what a year of the Republic of China calendar (民國) lacks to the Gregorian one: 民國1年 is 1912.
const rocOffset = 1911

// rocYear stands in a layout for the year of that calendar: the reference date 2006-01-02 is 民國95年1月2日.
const rocYear = "95"

// layout is one way to write a date.
type layout struct {
	prefix string // what stands before a 民國 year
	rest   string // Go layout; for a 民國 layout what follows the year, with the year before it
	roc    bool
	clock  bool // has a time of day
	zoned  bool // names its zone
}

type dateSpec struct {
	Layouts []string `json:"layouts"`
	// To is "date" to leave the time of day out; default: as the layout says.
	To string `json:"to"`
}

// dateStep: {date: [layouts]} reads a date by the first layout that fits, and writes 2006-01-02, or RFC 3339 with the
// mapping's zone where the layout has a time of day. Layouts show how 2 January 2006, 15:04:05 is written there, also
// 2006年1月2日 and 民國95年1月2日.
func dateStep(arg json.RawMessage, zone *time.Location) (step, error) {
	var s dateSpec
	if json.Unmarshal(arg, &s.Layouts) != nil {
		if err := strict(arg, &s); err != nil {
			return nil, err
		}
	}
	if len(s.Layouts) == 0 {
		return nil, errors.New("at least one layout is needed")
	}
	if s.To != "" && s.To != "date" {
		return nil, fmt.Errorf("to: %q is not date", s.To)
	}
	layouts := make([]layout, len(s.Layouts))
	for i, text := range s.Layouts {
		l, err := newLayout(text)
		if err != nil {
			return nil, err
		}
		layouts[i] = l
	}
	example := strings.NewReplacer(rocYear+"年", "113年").Replace(s.Layouts[0])
	bad := &fault{rule: "date", shouldZh: "应为日历上有的日期,写法如" + example, fixZh: "按" + example + "的写法填实有的日期",
		shouldEn: "must be a date of the calendar, written like " + example, fixEn: "write an existing date like " + example}
	return each(func(v any) (any, *fault) {
		text := textOf(v)
		for _, l := range layouts {
			if t, ok := l.parse(text, zone); ok {
				if l.clock && s.To == "" {
					return t.Format("2006-01-02T15:04:05Z07:00"), nil
				}
				return t.In(zone).Format("2006-01-02"), nil
			}
		}
		return nil, bad
	}), nil
}

func newLayout(text string) (layout, error) {
	l := layout{rest: text}
	if prefix, rest, ok := strings.Cut(text, rocYear); ok && !strings.Contains(text, "2006") {
		l = layout{roc: true, prefix: strings.ReplaceAll(prefix, "国", "國"), rest: "2006" + rest}
	}
	at := time.Date(2011, 10, 29, 13, 47, 58, 0, time.UTC)
	back, err := time.Parse(l.rest, at.Format(l.rest))
	if err != nil || back.Year() != 2011 || back.YearDay() != at.YearDay() {
		return l, fmt.Errorf("layout %q does not show year, month and day of 2 January 2006", text)
	}
	if l.roc && strings.ContainsAny(l.prefix, "0123456789") {
		return l, fmt.Errorf("layout %q: a 民國 year must stand first", text)
	}
	l.clock = back.Hour() == at.Hour()
	l.zoned = strings.Contains(l.rest, "07:00") || strings.Contains(l.rest, "0700")
	return l, nil
}

func (l layout) parse(text string, zone *time.Location) (time.Time, bool) {
	if l.roc {
		year, rest, ok := l.cutYear(text)
		if !ok {
			return time.Time{}, false
		}
		text = strconv.Itoa(year) + rest
	}
	t, err := time.ParseInLocation(l.rest, text, zone)
	if err != nil || t.Year() < 1000 || t.Year() > 2999 {
		return time.Time{}, false
	}
	if l.zoned {
		t = t.In(zone)
	}
	return t, true
}

// cutYear takes a 民國 year of one to three digits, or 元, off the front; 國 and 国 are equal.
func (l layout) cutYear(text string) (year int, rest string, ok bool) {
	rest = strings.Replace(text, "民国", "民國", 1)
	if rest, ok = strings.CutPrefix(rest, l.prefix); !ok {
		return 0, "", false
	}
	if after, first := strings.CutPrefix(rest, "元"); first {
		return 1 + rocOffset, after, true
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 3 {
		return 0, "", false
	}
	y, err := strconv.Atoi(rest[:n])
	if err != nil || y == 0 {
		return 0, "", false
	}
	return y + rocOffset, rest[n:], true
}
