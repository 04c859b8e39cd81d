package schemas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Languages of sentences.
const (
	Chinese = "zh"
	English = "en"
)

// maxGotRunes is how much of what stood there a sentence shows to its owner.
const maxGotRunes = 40

// Place says where in a source a value stood; adapters know it. Empty members are left out.
type Place struct {
	File   string
	Row    int    // as a person counts it in the file, from 1
	Column string // a letter, or the column's heading
	Cell   string // such as "C12", used where there is no row
}

// Sentence says a violation to a person (CONTRACT §1): place, title of the field, rule, what
// stood there, remedy; never a JSON pointer. lang is Chinese or English. place may be nil. got
// is what stood there and may be shown to the publisher of the record only; "" shows nothing.
func (s *Schema) Sentence(v Violation, lang string, place *Place, got string) string {
	tokens := splitPointer(v.Pointer)
	if v.Code == "unknown_member" {
		got = "" // the fault is its name
	}
	if lang == English {
		p := phraseEn(v, s.nearestField(v, tokens))
		b := placeEn(place.unlessSame(s.labelZh(tokens), s.labelEn(tokens)))
		if b != "" {
			b += ", "
		}
		b += s.labelEn(tokens) + ": " + p.rule
		if got != "" {
			b += ", found “" + trimGot(got) + "”"
		}
		return b + ". Remedy: " + p.fix
	}
	p := phraseZh(v, s.nearestField(v, tokens))
	b := placeZh(place.unlessSame(s.labelZh(tokens), s.labelEn(tokens))) + s.labelZh(tokens) + ":" + p.rule
	if got != "" {
		b += ",实为“" + trimGot(got) + "”"
	}
	return b + "。改法:" + p.fix
}

// Explain returns the violations with their messages filled in, without place or value.
func (s *Schema) Explain(vs []Violation, lang string) []Violation {
	out := slices.Clone(vs)
	for i := range out {
		out[i].Message = s.Sentence(out[i], lang, nil, "")
	}
	return out
}

// stored is the form in which refusals keep violations: with what their sentences need.
type stored struct {
	Pointer string            `json:"p"`
	Keyword string            `json:"k"`
	Code    string            `json:"c"`
	Params  map[string]string `json:"a,omitempty"`
}

// EncodeViolations writes violations, without messages, as the JSON array that a refusal keeps.
func EncodeViolations(vs []Violation) []byte {
	list := make([]stored, len(vs))
	for i, v := range vs {
		list[i] = stored{v.Pointer, v.Keyword, v.Code, v.Params}
	}
	b, err := json.Marshal(list)
	if err != nil { // a slice of strings and string maps always encodes
		return []byte("[]")
	}
	return b
}

// DecodeViolations reads what EncodeViolations wrote; it returns ErrViolations for anything else.
func DecodeViolations(b []byte) ([]Violation, error) {
	var list []stored
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrViolations, err)
	}
	vs := make([]Violation, len(list))
	for i, v := range list {
		vs[i] = Violation{Pointer: v.Pointer, Keyword: v.Keyword, Code: v.Code, Params: v.Params}
	}
	return vs, nil
}

func trimGot(got string) string {
	got = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, got)
	if runes := []rune(got); len(runes) > maxGotRunes {
		return string(runes[:maxGotRunes]) + "…"
	}
	return got
}

// nearestField names the field that a member too many was perhaps meant to be.
func (s *Schema) nearestField(v Violation, tokens []string) string {
	if s == nil || v.Code != "unknown_member" || len(tokens) == 0 {
		return ""
	}
	parent, ok := s.placeOf(tokens[:len(tokens)-1])
	if !ok {
		return ""
	}
	var names []string
	for _, a := range s.annotations {
		if n := len(parent); len(a.Pointer) == n+1 && slices.Equal(a.Pointer[:n], parent) && a.Pointer[n] != "*" {
			names = append(names, a.Pointer[n])
		}
	}
	return nearestName(tokens[len(tokens)-1], names)
}

// unlessSame leaves out a column whose heading is the field's own title.
func (p *Place) unlessSame(labels ...string) *Place {
	if p == nil || !slices.Contains(labels, "“"+p.Column+"”") {
		return p
	}
	q := *p
	q.Column = ""
	return &q
}

// letters reports whether a column is named by its letter, as in a spreadsheet.
func letters(column string) bool {
	return len(column) <= 3 && !strings.ContainsFunc(column, func(r rune) bool { return r < 'A' || r > 'Z' })
}

func placeZh(p *Place) string {
	if p == nil {
		return ""
	}
	var parts []string
	if p.File != "" {
		parts = append(parts, p.File)
	}
	switch {
	case p.Row > 0:
		parts = append(parts, "第"+strconv.Itoa(p.Row)+"行")
	case p.Cell != "":
		parts = append(parts, "单元格"+p.Cell)
	}
	switch {
	case p.Column == "":
	case letters(p.Column):
		parts = append(parts, p.Column+"列")
	default:
		parts = append(parts, "“"+p.Column+"”列")
	}
	return strings.Join(parts, " ")
}

func placeEn(p *Place) string {
	if p == nil {
		return ""
	}
	var parts []string
	if p.File != "" {
		parts = append(parts, p.File)
	}
	switch {
	case p.Row > 0:
		parts = append(parts, "row "+strconv.Itoa(p.Row))
	case p.Cell != "":
		parts = append(parts, "cell "+p.Cell)
	}
	switch {
	case p.Column == "":
	case letters(p.Column):
		parts = append(parts, "column "+p.Column)
	default:
		parts = append(parts, "column “"+p.Column+"”")
	}
	text := strings.Join(parts, ", ")
	if p.File == "" && text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text
}

func (s *Schema) labelZh(tokens []string) string {
	if len(tokens) == 0 {
		return "整条记录"
	}
	var b strings.Builder
	s.eachStep(tokens, func(name string, index int, a Annotation) {
		switch {
		case index > 0:
			b.WriteString("第" + strconv.Itoa(index) + "项")
		case a.TitleZh != "":
			b.WriteString("“" + a.TitleZh + "”")
		case name == "*":
			b.WriteString("“(名称不显示)”")
		default:
			b.WriteString("“" + name + "”")
		}
	})
	return b.String()
}

func (s *Schema) labelEn(tokens []string) string {
	if len(tokens) == 0 {
		return "The record"
	}
	var parts []string
	s.eachStep(tokens, func(name string, index int, a Annotation) {
		switch {
		case index > 0:
			parts = append(parts, "item "+strconv.Itoa(index))
		case a.TitleEn != "":
			parts = append(parts, "“"+a.TitleEn+"”")
		case name == "*":
			parts = append(parts, "“(name not shown)”")
		default:
			parts = append(parts, "“"+name+"”")
		}
	})
	return strings.Join(parts, " ")
}

// eachStep goes down a pointer: index is the place of an array element from 1, else 0, and a is
// the annotation of a member that the schema names.
func (s *Schema) eachStep(tokens []string, f func(name string, index int, a Annotation)) {
	for i, t := range tokens {
		var a Annotation
		free := true
		if s != nil {
			if path, ok := s.placeOf(tokens[:i+1]); ok {
				free = path[i] == "*"
				if !free {
					a = s.annotations[s.places[strings.Join(path, pathSeparator)]]
				}
			}
		}
		if n, err := strconv.Atoi(t); err == nil && free && i > 0 && isIndex(t) {
			f(t, n+1, a)
			continue
		}
		f(t, 0, a)
	}
}
