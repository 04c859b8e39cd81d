package record

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits bound what Decode and DecodeRecord take. A zero field stands for its
// default.
type Limits struct {
	RecordBytes int // length of the input, white space included
	Depth       int // nesting of objects and arrays; one object is depth 1
	Members     int // members and elements in the whole value, all levels together
	NumberBytes int // length of one number literal
	Exponent    int // magnitude of a number's exponent, as written
}

// DefaultLimits gives the limits of CONTRACT §5: 256 KiB, depth 64, 10,000
// members, number literals of 64 bytes with exponents up to ±400. Beyond the
// last two the schema validator would panic or spend seconds on one number.
func DefaultLimits() Limits {
	return Limits{RecordBytes: 256 << 10, Depth: 64, Members: 10_000, NumberBytes: 64, Exponent: 400}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&l.RecordBytes, &d.RecordBytes}, {&l.Depth, &d.Depth}, {&l.Members, &d.Members},
		{&l.NumberBytes, &d.NumberBytes}, {&l.Exponent, &d.Exponent},
	} {
		if *f.have <= 0 {
			*f.have = *f.def
		}
	}
	return l
}

// Decode reads exactly one JSON value, strictly. compact is the compact form:
// the bytes of the value without insignificant white space, with order,
// escapes and numbers as received, in memory of its own. value is
// map[string]any, []any, string, json.Number, bool or nil; its texts may share
// one piece of memory as long as the input, apart from compact.
//
// The error is always a *SyntaxError.
func Decode(raw []byte, lim Limits) (compact []byte, value any, err error) {
	s, fault := newScanner(raw, lim)
	if fault != nil {
		return nil, nil, fault
	}
	defer s.release()
	if value, fault = s.value(); fault == nil {
		fault = s.end()
	}
	if fault != nil {
		return nil, nil, fault
	}
	return s.compact(), value, nil
}

// Inputs up to this length are copied once as a string of which all plain
// strings of the value are parts: one allocation instead of hundreds. Longer
// ones are not, so that a hostile input costs about three times its length.
const shareBytes = 1 << 20

// Items of usual records, for which a scanner that is used again keeps room.
const keptItems = 512

// item is a member or element read but not yet placed in its object or array.
type item struct {
	name  string
	value any
	at    int // offset of the name
}

// scanner reads a value in one pass, checking, compacting and building at
// once. It belongs to one call; between calls only its room for items is kept.
type scanner struct {
	raw   []byte
	text  string // raw, where it is short enough to share
	pos   int    // next byte
	out   []byte // compact form of raw[:run]
	run   int    // raw[run:pos] is not yet copied to out
	lim   Limits
	depth int
	count int    // members and elements so far
	stack []item // of all open objects and arrays, innermost last
}

var scanners = sync.Pool{New: func() any { return &scanner{stack: make([]item, 0, 48)} }}

// newScanner checks the length and stands at the first byte of the value. The
// caller releases the scanner.
func newScanner(raw []byte, lim Limits) (*scanner, *SyntaxError) {
	lim = lim.orDefault()
	if len(raw) > lim.RecordBytes {
		return nil, &SyntaxError{Offset: int64(lim.RecordBytes), Rule: RuleTooLarge}
	}
	s := scanners.Get().(*scanner)
	s.raw, s.lim = raw, lim
	if len(raw) <= shareBytes {
		s.text = string(raw)
	}
	s.space()
	return s, nil
}

// release gives the scanner back, holding on to nothing that was read.
func (s *scanner) release() {
	if cap(s.stack) > keptItems {
		return
	}
	stack := s.stack[:cap(s.stack)]
	clear(stack)
	*s = scanner{stack: stack[:0]}
	scanners.Put(s)
}

// end checks that only white space follows.
func (s *scanner) end() *SyntaxError {
	s.space()
	if s.pos != len(s.raw) {
		return s.fail(s.pos, RuleTrailing)
	}
	return nil
}

// compact gives the compact form of what was read.
func (s *scanner) compact() []byte {
	if s.out == nil {
		return bytes.Clone(s.raw[s.run:s.pos])
	}
	s.out = append(s.out, s.raw[s.run:s.pos]...)
	s.run = s.pos
	return s.out
}

// mark is the length of the compact form up to here.
func (s *scanner) mark() int { return len(s.out) + s.pos - s.run }

// part is raw[from:to] as a string.
func (s *scanner) part(from, to int) string {
	if s.text != "" {
		return s.text[from:to]
	}
	return string(s.raw[from:to])
}

func (s *scanner) fail(at int, rule string) *SyntaxError {
	return &SyntaxError{Offset: int64(at), Rule: rule}
}

// space skips white space and leaves it out of the compact form.
func (s *scanner) space() {
	i := s.pos
	for i < len(s.raw) && (s.raw[i] == ' ' || s.raw[i] == '\n' || s.raw[i] == '\r' || s.raw[i] == '\t') {
		i++
	}
	if i == s.pos {
		return
	}
	if s.pos > s.run {
		if s.out == nil {
			s.out = make([]byte, 0, len(s.raw))
		}
		s.out = append(s.out, s.raw[s.run:s.pos]...)
	}
	s.pos, s.run = i, i
}

// next takes the byte c, or fails.
func (s *scanner) next(c byte) *SyntaxError {
	if s.pos >= len(s.raw) || s.raw[s.pos] != c {
		return s.fail(s.pos, RuleSyntax)
	}
	s.pos++
	return nil
}

// more is asked after a member or element: true after a comma, false after the
// closing byte; both are taken.
func (s *scanner) more(closing byte) (bool, *SyntaxError) {
	s.space()
	if s.pos < len(s.raw) {
		switch s.raw[s.pos] {
		case ',':
			s.pos++
			s.space()
			return true, nil
		case closing:
			s.pos++
			return false, nil
		}
	}
	return false, s.fail(s.pos, RuleSyntax)
}

// value reads the value that begins at the next byte.
func (s *scanner) value() (any, *SyntaxError) {
	if s.pos >= len(s.raw) {
		return nil, s.fail(s.pos, RuleSyntax)
	}
	switch c := s.raw[s.pos]; c {
	case '"':
		t, err := s.str()
		if err != nil {
			return nil, err
		}
		return t, nil
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		return nil, s.word("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return nil, s.fail(s.pos, RuleSyntax)
		}
		n, err := s.number()
		if err != nil {
			return nil, err
		}
		return n, nil
	}
}

func (s *scanner) word(w string) *SyntaxError {
	if len(s.raw)-s.pos < len(w) || string(s.raw[s.pos:s.pos+len(w)]) != w {
		return s.fail(s.pos, RuleSyntax)
	}
	s.pos += len(w)
	return nil
}

// enter takes the opening byte of an object or array; empty says that the
// closing byte followed at once and was taken too.
func (s *scanner) enter(closing byte) (empty bool, err *SyntaxError) {
	if s.depth++; s.depth > s.lim.Depth {
		return false, s.fail(s.pos, RuleDepth)
	}
	s.pos++
	s.space()
	if s.pos < len(s.raw) && s.raw[s.pos] == closing {
		s.pos++
		s.depth--
		return true, nil
	}
	return false, nil
}

func (s *scanner) counted() *SyntaxError {
	if s.count++; s.count > s.lim.Members {
		return s.fail(s.pos, RuleMembers)
	}
	return nil
}

// name reads a member name and its colon, and stands at the value.
func (s *scanner) name() (string, *SyntaxError) {
	if s.pos >= len(s.raw) || s.raw[s.pos] != '"' {
		return "", s.fail(s.pos, RuleSyntax)
	}
	name, err := s.str()
	if err != nil {
		return "", err
	}
	s.space()
	if err := s.next(':'); err != nil {
		return "", err
	}
	s.space()
	return name, nil
}

func (s *scanner) object() (any, *SyntaxError) {
	base := len(s.stack)
	empty, err := s.enter('}')
	if err != nil {
		return nil, err
	}
	if empty {
		return map[string]any{}, nil
	}
	for more := true; more; {
		at := s.pos
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		if err := s.counted(); err != nil {
			return nil, err
		}
		v, err := s.value()
		if err != nil {
			return nil, err.within(name)
		}
		s.stack = append(s.stack, item{name, v, at})
		if more, err = s.more('}'); err != nil {
			return nil, err
		}
	}
	s.depth--
	items := s.stack[base:]
	m := make(map[string]any, len(items))
	for i := range items {
		m[items[i].name] = items[i].value
		if len(m) != i+1 {
			return nil, s.fail(items[i].at, RuleDuplicateName).within(items[i].name)
		}
	}
	s.stack = s.stack[:base]
	return m, nil
}

func (s *scanner) array() (any, *SyntaxError) {
	base := len(s.stack)
	empty, err := s.enter(']')
	if err != nil {
		return nil, err
	}
	if empty {
		return []any{}, nil
	}
	for more := true; more; {
		if err := s.counted(); err != nil {
			return nil, err
		}
		v, err := s.value()
		if err != nil {
			return nil, err.within(index(len(s.stack) - base))
		}
		s.stack = append(s.stack, item{value: v})
		if more, err = s.more(']'); err != nil {
			return nil, err
		}
	}
	s.depth--
	a := make([]any, len(s.stack)-base)
	for i := range a {
		a[i] = s.stack[base+i].value
	}
	s.stack = s.stack[:base]
	return a, nil
}

// Longest pointer worth giving, and longest name in it, in bytes.
const (
	pointerBytes = 1 << 10
	nameBytes    = 64
)

// within puts the place one level lower: under the member or element called
// name.
func (e *SyntaxError) within(name string) *SyntaxError {
	if len(e.Pointer) < pointerBytes {
		e.Pointer = "/" + pointerToken.Replace(cut(name)) + e.Pointer
	}
	return e
}

var pointerToken = strings.NewReplacer("~", "~0", "/", "~1")

// cut shortens a name to nameBytes at a character border.
func cut(name string) string {
	if len(name) <= nameBytes {
		return name
	}
	n := nameBytes
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n] + "…"
}
