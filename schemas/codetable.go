package schemas

import (
	"embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed codes/*.csv
var codeFiles embed.FS

// Code is one entry of a code table.
type Code struct {
	// Code is what a record holds.
	Code   string
	Zh, En string
	// Aliases are other spellings that real systems use; a record may not hold them, a mapping may translate them.
	Aliases []string
}

// CodeTable is an embedded list of the codes that a field may take (x-code-table).
type CodeTable struct {
	Name  string
	Title Title
	// Codes are in the order of the table.
	Codes  []Code
	byCode map[string]int
	byText map[string]int
}

// Code returns the entry with exactly this code.
func (t *CodeTable) Code(code string) (Code, bool) {
	i, ok := t.byCode[code]
	if !ok {
		return Code{}, false
	}
	return t.Codes[i], true
}

// Translate returns the code that a text means: a code, a Chinese or English name, or an alias.
// It is for mappings; Validate takes codes only.
func (t *CodeTable) Translate(text string) (code string, ok bool) {
	i, ok := t.byText[text]
	if !ok {
		return "", false
	}
	return t.Codes[i].Code, true
}

// Nearest returns up to n codes whose code, name or alias is most like the text, the most like
// first. Nothing is like a number.
func (t *CodeTable) Nearest(text string, n int) []Code {
	type scored struct{ score, place int }
	if allDigits(text) {
		return nil // no number is like another
	}
	var found []scored
	for i, c := range t.Codes {
		best := max(likeness(text, c.Code), likeness(text, c.Zh), likeness(text, c.En))
		for _, a := range c.Aliases {
			best = max(best, likeness(text, a))
		}
		if best > 0 {
			found = append(found, scored{best, i})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return b.score - a.score })
	out := make([]Code, 0, n)
	for _, f := range found[:min(n, len(found))] {
		out = append(out, t.Codes[f.place])
	}
	return out
}

// likeness is the share of characters in common, in per cent, and 0 below a half.
func likeness(a, b string) int {
	if a == "" || b == "" || len(a) > 256 {
		return 0
	}
	common, rest := 0, []rune(strings.ToLower(b))
	for _, r := range strings.ToLower(a) {
		if i := slices.Index(rest, r); i >= 0 {
			common++
			rest = slices.Delete(rest, i, i+1)
		}
	}
	score := 200 * common / (utf8.RuneCountInString(a) + utf8.RuneCountInString(b))
	if score < 50 {
		return 0
	}
	return score
}

// LookupCodeTable returns the embedded code table with this name. The table is shared: do not change it.
func LookupCodeTable(name string) (*CodeTable, bool) {
	t, ok := codeTables()[name]
	return t, ok
}

// CodeTables lists the names of the embedded code tables, sorted.
func CodeTables() []string {
	var names []string
	for n := range codeTables() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// codeTables reads the embedded files once. A file that cannot be read is a fault of the
// program, found by the package's tests, so it panics.
var codeTables = sync.OnceValue(func() map[string]*CodeTable {
	entries, err := codeFiles.ReadDir("codes")
	if err != nil {
		panic(err)
	}
	tables := make(map[string]*CodeTable, len(entries))
	for _, e := range entries {
		t, err := readCodeTable(strings.TrimSuffix(e.Name(), ".csv"))
		if err != nil {
			panic(fmt.Sprintf("schemas: code table %s: %v", e.Name(), err))
		}
		tables[t.Name] = t
	}
	return tables
})

// readCodeTable reads codes/<name>.csv: a line "#, zh, en," with the table's title, then code, zh, en, aliases.
func readCodeTable(name string) (*CodeTable, error) {
	f, err := codeFiles.Open("codes/" + name + ".csv")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 4
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 || rows[0][0] != "#" {
		return nil, fmt.Errorf("no title line or no codes")
	}
	t := &CodeTable{Name: name, Title: Title{Zh: rows[0][1], En: rows[0][2]}, byCode: map[string]int{}, byText: map[string]int{}}
	for i, row := range rows[1:] {
		c := Code{Code: row[0], Zh: row[1], En: row[2], Aliases: strings.Fields(row[3])}
		if _, twice := t.byCode[c.Code]; twice || c.Code == "" {
			return nil, fmt.Errorf("code %q is empty or there twice", c.Code)
		}
		t.Codes = append(t.Codes, c)
		t.byCode[c.Code] = i
	}
	for i, c := range t.Codes {
		t.byText[c.Code] = i
	}
	for i, c := range t.Codes {
		for _, text := range append([]string{c.Zh, c.En}, c.Aliases...) {
			if _, taken := t.byText[text]; !taken {
				t.byText[text] = i
			}
		}
	}
	return t, nil
}
