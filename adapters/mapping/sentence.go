package mapping

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas"
)

// shownCharacters is how much of a cell a sentence shows.
const shownCharacters = 40

func numberOf(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// columnLetters names a column as a spreadsheet does: 0 is A, 26 is AA.
func columnLetters(i int) string {
	out := ""
	for i++; i > 0; i = (i - 1) / 26 {
		out = string(rune('A'+(i-1)%26)) + out
	}
	return out
}

// placeZh begins a sentence with its place, as schemas.Sentence does: 第12行 C列“承诺时限”:
func placeZh(o adapters.Origin, letters, title string) string {
	b := ""
	if o.Row > 0 {
		b = "第" + strconv.Itoa(o.Row) + "行"
	}
	if letters != "" {
		b = join(b, letters+"列", " ")
	}
	if title != "" {
		b += "“" + title + "”"
	}
	if b != "" {
		b += ":"
	}
	return b
}

func placeEn(o adapters.Origin, letters, title string) string {
	b := ""
	if o.Row > 0 {
		b = "Row " + strconv.Itoa(o.Row)
	}
	if letters != "" {
		b = join(b, "column "+letters, ", ")
	}
	if title != "" {
		b = join(b, "“"+title+"”", ", ")
	}
	if b != "" {
		b += ": "
	}
	return b
}

func join(a, b, sep string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + sep + b
}

// SourceProblem makes a sentence in the same form for a fault a source found itself: place, what should be, remedy.
// column is the position of the column it concerns, -1 for none.
func SourceProblem(o adapters.Origin, rule string, column int, name, shouldZh, fixZh, shouldEn, fixEn string) adapters.Problem {
	letters := ""
	if o.Grid && column >= 0 {
		letters = columnLetters(column)
	}
	return adapters.Problem{Column: name, Title: name, Rule: rule,
		Zh: placeZh(o, letters, name) + shouldZh + "。改法:" + fixZh,
		En: placeEn(o, letters, name) + shouldEn + ". Remedy: " + fixEn}
}

// KeyProblem is SourceProblem for a fault of a record's key: it stands at the members that make the key.
func (j *Judge) KeyProblem(columns []string, o adapters.Origin, rule, shouldZh, fixZh, shouldEn, fixEn string) adapters.Problem {
	j.bind(columns)
	p := adapters.Problem{Rule: rule}
	var places, labels, zh, en []string
	for _, target := range j.m.key {
		zh, en = append(zh, j.title(target)), append(en, j.titleEn(target))
		f := j.fieldOf(target)
		if f != nil && f.label != "" {
			labels = append(labels, f.label)
		}
		if l := letters(o, f); l != "" {
			places = append(places, l)
		}
	}
	if len(j.m.key) == 1 {
		p.Pointer = "/" + j.m.key[0]
	}
	p.Column, p.Title = strings.Join(labels, "、"), strings.Join(zh, "、")
	p.Zh = placeZh(o, strings.Join(places, "、"), p.Title) + shouldZh + "。改法:" + fixZh
	p.En = placeEn(o, strings.Join(places, ", "), strings.Join(en, ", ")) + shouldEn + ". Remedy: " + fixEn
	return p
}

func (j *Judge) title(target string) string {
	if t := j.titles[target].zh; t != "" {
		return t
	}
	return target
}

func (j *Judge) titleEn(target string) string {
	if t := j.titles[target].en; t != "" {
		return t
	}
	return target
}

// letters is the column letter of a field read from one column of a grid.
func letters(o adapters.Origin, f *boundField) string {
	if o.Grid && f != nil && f.column >= 0 {
		return columnLetters(f.column)
	}
	return ""
}

// shown is what stands in the source, cut to what a sentence can hold; "" if nothing does.
func shown(v any) string {
	text := textOf(v)
	if utf8.RuneCountInString(text) > shownCharacters {
		text = cutRunes(text, shownCharacters) + "…"
	}
	return text
}

// problem is a mapping fault in words.
func (j *Judge) problem(row adapters.Row, f *boundField, e *element, bad *fault) adapters.Problem {
	got := shown(f.get(e))
	title := j.title(f.target)
	p := adapters.Problem{Column: f.label, Title: title, Pointer: "/" + f.target, Rule: bad.rule,
		Zh: placeZh(row.Origin, letters(row.Origin, f), title) + bad.shouldZh,
		En: placeEn(row.Origin, letters(row.Origin, f), j.titleEn(f.target)) + bad.shouldEn}
	if got != "" {
		p.Zh += ",实为“" + got + "”"
		p.En += ", found “" + got + "”"
	}
	p.Zh += "。改法:" + bad.fixZh
	p.En += ". Remedy: " + bad.fixEn
	return p
}

// violation is a schema's verdict in words.
func (j *Judge) violation(row adapters.Row, e *element, v schemas.Violation) adapters.Problem {
	target := targetOf(v)
	f := j.fieldOf(target)
	place := &schemas.Place{Row: row.Origin.Row}
	p := adapters.Problem{Title: j.title(target), Pointer: v.Pointer, Rule: v.Keyword}
	got := ""
	if f != nil {
		p.Column = f.label
		got = shown(f.get(e))
		place.Column = letters(row.Origin, f)
	}
	p.Zh = j.s.Sentence(v, schemas.Chinese, place, got)
	p.En = j.s.Sentence(v, schemas.English, place, got)
	return p
}
