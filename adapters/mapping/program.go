package mapping

import (
	"strings"

	"github.com/hutong-bus/hutong/adapters"
)

// program is a mapping bound to the columns of one source.
type program struct {
	m       *Mapping
	fields  []boundField
	each    func(row []any) any // the array, where the mapping has one
	members map[string]bool     // element members that are used or ignored
}

type boundField struct {
	field
	get    func(e *element) any
	column int // position of the only column it reads, -1 otherwise
	label  string
}

// element is one record's input.
type element struct {
	row   []any // converted cells
	value any   // the array element
	index int
}

// bind resolves names to positions; missing columns read as absent.
func (m *Mapping) bind(columns []string) *program {
	at := make(map[string]int, len(columns))
	have := make(map[string]bool, len(columns))
	for i, c := range columns {
		at[c], have[c] = i, true
	}
	fromRow := func(name string) (func(row []any) any, int) {
		if i, ok := at[name]; ok {
			return func(row []any) any { return row[i] }, i
		}
		head, rest, _ := strings.Cut(name, ".")
		if i, ok := at[head]; ok {
			return func(row []any) any { return member(row[i], rest) }, i
		}
		return func([]any) any { return nil }, -1
	}
	p := &program{m: m, members: map[string]bool{}}
	if m.each != "" {
		p.each, _ = fromRow(m.each)
	}
	for _, f := range m.fields {
		b := boundField{field: f, column: -1, label: strings.Join(f.from, "、")}
		gets := make([]func(e *element) any, len(f.from))
		for i, name := range f.from {
			gets[i] = p.getter(name, fromRow, &b.column)
		}
		switch {
		case len(gets) == 0:
			b.get = func(*element) any { return f.constant }
		case len(gets) == 1:
			b.get = gets[0]
		default:
			b.column = -1
			b.get = func(e *element) any {
				list := make([]any, 0, len(gets))
				for _, g := range gets {
					list = append(list, g(e)) // absent ones too: steps see what is missing
				}
				return list
			}
		}
		p.fields = append(p.fields, b)
	}
	for name := range m.ignore {
		p.members[name] = true
	}
	return p
}

func (p *program) getter(name string, fromRow func(string) (func([]any) any, int), column *int) func(e *element) any {
	outer, isOuter := strings.CutPrefix(name, outerMark)
	switch {
	case p.m.each == "" || isOuter && name != indexName:
		get, i := fromRow(outer)
		*column = i
		return func(e *element) any { return get(e.row) }
	case name == indexName:
		return func(e *element) any { return numberOf(e.index) }
	case name == elementName:
		return func(e *element) any { return e.value }
	default:
		p.members[name] = true
		head, _, _ := strings.Cut(name, ".")
		p.members[head] = true
		return func(e *element) any { return member(e.value, name) }
	}
}

// elements splits a row into records' inputs.
func (p *program) elements(row []any) []element {
	if p.each == nil {
		return []element{{row: row}}
	}
	list, _ := p.each(row).([]any)
	out := make([]element, len(list))
	for i, v := range list {
		out[i] = element{row: row, value: v, index: i + 1}
	}
	return out
}

// cells converts a row once.
func (p *program) cells(row adapters.Row) []any {
	out := make([]any, len(row.Fields))
	for i, v := range row.Fields {
		out[i] = valueOf(v, p.m.zone)
	}
	return out
}
