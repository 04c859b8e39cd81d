package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Schema is what a Judge needs of *schemas.Schema.
type Schema interface {
	Raw() []byte
	Validate(value any) schemas.Verdict
	Sentence(v schemas.Violation, lang string, place *schemas.Place, got string) string
}

// Judge maps and validates rows; it is the adapters.Judge of hutong-adapter.
type Judge struct {
	m       *Mapping
	s       Schema
	lim     record.Limits
	titles  map[string]titles
	columns []string
	bound   *program
	unknown map[string]bool
}

// titles are what people call a member.
type titles struct{ zh, en string }

var _ adapters.Judge = (*Judge)(nil)

// NewJudge makes a Judge after m.Check(s).
func NewJudge(m *Mapping, s Schema) (*Judge, error) {
	if err := m.Check(s); err != nil {
		return nil, err
	}
	var top struct {
		Properties map[string]struct {
			Title   string `json:"title"`
			TitleEn string `json:"x-title-en"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(s.Raw(), &top); err != nil {
		return nil, fmt.Errorf("read schema of %s: %w", m.resource, err)
	}
	j := &Judge{m: m, s: s, lim: record.DefaultLimits(), titles: map[string]titles{}, unknown: map[string]bool{}}
	for name, p := range top.Properties {
		j.titles[name] = titles{p.Title, p.TitleEn}
	}
	return j, nil
}

// Columns is Mapping.Columns.
func (j *Judge) Columns(columns []string) (missing, unknown []string) { return j.m.Columns(columns) }

// Unknown lists members of array elements seen so far that the mapping neither uses nor ignores, sorted.
func (j *Judge) Unknown() []string { return sortedKeys(j.unknown) }

// Row returns one Judged per record of the row. The error is a fault of the caller: fields that do not fit the columns.
func (j *Judge) Row(columns []string, row adapters.Row) ([]adapters.Judged, error) {
	if len(row.Fields) == 0 && len(row.Errs) > 0 {
		return []adapters.Judged{{Op: opOf(row), At: row.At, Version: row.Version, Problems: j.sourceProblems(row, 0)}}, nil
	}
	if len(row.Fields) != len(columns) {
		return nil, fmt.Errorf("row %d of %s has %d fields for %d columns", row.Origin.Row, row.Origin.File, len(row.Fields), len(columns))
	}
	j.bind(columns)
	elements := j.bound.elements(j.bound.cells(row))
	out := make([]adapters.Judged, 0, len(elements))
	for i := range elements {
		out = append(out, j.element(row, &elements[i]))
	}
	if len(out) == 0 && len(row.Errs) > 0 {
		out = append(out, adapters.Judged{Op: opOf(row), At: row.At, Version: row.Version, Problems: j.sourceProblems(row, 0)})
	}
	return out, nil
}

// bind binds the mapping to columns where it is not bound to them already.
func (j *Judge) bind(columns []string) {
	if j.bound == nil || !slices.Equal(j.columns, columns) {
		j.columns, j.bound = slices.Clone(columns), j.m.bind(columns)
	}
}

func opOf(row adapters.Row) record.Op {
	if row.Op == record.Withdraw {
		return record.Withdraw
	}
	return record.Upsert
}

// sourceProblems are the faults the source found for this element.
func (j *Judge) sourceProblems(row adapters.Row, index int) []adapters.Problem {
	var out []adapters.Problem
	for _, e := range row.Errs {
		if e.Index == 0 || e.Index == index {
			out = append(out, e.Problem)
		}
	}
	return out
}

func (j *Judge) element(row adapters.Row, e *element) adapters.Judged {
	j.note(e.value)
	out := adapters.Judged{Index: e.index, Op: opOf(row), At: row.At, Version: row.Version}
	object := make(map[string]any, len(j.bound.fields))
	problems := j.sourceProblems(row, e.index)
	failed := map[string]bool{}
	for i := range j.bound.fields {
		f := &j.bound.fields[i]
		v, bad := f.value(e)
		if bad == nil && lost(v) {
			bad = lostText
		}
		switch {
		case bad != nil:
			failed[f.target] = true
			problems = append(problems, j.problem(row, f, e, bad))
		case v != nil:
			object[f.target] = v
		}
	}
	key, err := record.KeyOf(object, j.m.key)
	out.Key = key
	if out.Op == record.Withdraw {
		out.Reason = "deleted in the source"
		if err != nil {
			out.Problems = append(problems, j.keyProblem(row, err))
		}
		return out
	}
	out.Body = j.body(object)
	out.Value = object
	verdict := j.s.Validate(object)
	out.Warnings = verdict.Warnings
	for _, v := range verdict.Violations {
		if target := targetOf(v); !failed[target] {
			failed[target] = true
			problems = append(problems, j.violation(row, e, v))
		}
	}
	problems = append(problems, j.wholeProblems(row, verdict.More, len(out.Body))...)
	if err != nil && len(problems) == 0 {
		problems = append(problems, j.keyProblem(row, err))
	}
	out.Problems = problems
	return out
}

// body writes the object; members stand in the order of their names.
func (j *Judge) body(object map[string]any) []byte {
	out := append(make([]byte, 0, 512), '{')
	for i := range j.bound.fields {
		name := j.bound.fields[i].target
		v, ok := object[name]
		if !ok {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendJSON(append(record.AppendString(out, name), ':'), v)
	}
	return append(out, '}')
}

// note remembers element members nobody reads.
func (j *Judge) note(v any) {
	object, ok := v.(map[string]any)
	if !ok {
		return
	}
	for name := range object {
		if !j.bound.members[name] && len(j.unknown) < 1000 {
			j.unknown[name] = true
		}
	}
}

func (f *boundField) value(e *element) (any, *fault) {
	v := f.get(e)
	for _, s := range f.steps {
		var bad *fault
		if v, bad = s(v); bad != nil {
			return nil, bad
		}
	}
	if list, ok := v.([]any); ok && len(f.from) > 1 {
		v = slices.DeleteFunc(slices.Clone(list), func(e any) bool { return e == nil })
	}
	if v == nil {
		v = f.fallback
	}
	return v, nil
}

// lostText is said of text in which U+FFFD stands for a character that was lost.
var lostText = &fault{rule: record.RuleUTF8, shouldZh: "不应含有乱码字符(U+FFFD)", fixZh: "按原件重新录入该字",
	shouldEn: "must not hold the replacement character U+FFFD", fixEn: "enter the lost character again from the original"}

func lost(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, '\uFFFD')
	case []any:
		return slices.ContainsFunc(v, lost)
	case map[string]any:
		for name, e := range v {
			if lost(e) || lost(name) {
				return true
			}
		}
	}
	return false
}

func targetOf(v schemas.Violation) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(v.Pointer, "/"), "/")
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
}

func (j *Judge) fieldOf(target string) *boundField {
	i, ok := slices.BinarySearchFunc(j.bound.fields, target, func(f boundField, t string) int { return strings.Compare(f.target, t) })
	if !ok {
		return nil
	}
	return &j.bound.fields[i]
}

func (j *Judge) keyProblem(row adapters.Row, err error) adapters.Problem {
	p := adapters.Problem{Rule: "key"}
	name := strings.Join(j.m.key, "|")
	var m *record.MemberError
	if errors.As(err, &m) && m.Member != "" {
		name = m.Member
		p.Pointer = "/" + m.Member
	}
	title := j.title(name)
	p.Title = title
	p.Zh = placeZh(row.Origin, "", title) + "业务主键应为1至512字节、无控制字符的文字。改法:填全组成主键的各项"
	p.En = placeEn(row.Origin, "", j.titleEn(name)) + "the key must be 1 to 512 bytes of text without control characters. Remedy: fill in every part of the key"
	return p
}

func (j *Judge) wholeProblems(row adapters.Row, more, size int) []adapters.Problem {
	var out []adapters.Problem
	if more > 0 {
		n := strconv.Itoa(more)
		out = append(out, adapters.Problem{Rule: "more", Zh: placeZh(row.Origin, "", "") + "另有" + n + "处问题未列出",
			En: placeEn(row.Origin, "", "") + n + " more faults are not listed"})
	}
	if size > j.lim.RecordBytes {
		limit := strconv.Itoa(j.lim.RecordBytes)
		out = append(out, adapters.Problem{Rule: record.RuleTooLarge,
			Zh: placeZh(row.Origin, "", "") + "记录应不超过" + limit + "字节,实为" + strconv.Itoa(size) + "字节。改法:删减长文本,大文件另作附件",
			En: placeEn(row.Origin, "", "") + "a record must be at most " + limit + " bytes, it is " + strconv.Itoa(size) + ". Remedy: shorten long texts, send large files as attachments"})
	}
	return out
}
