package filedrop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
)

// metaVersion is the format of meta.json.
const metaVersion = 1

// meta is what a sealed file is known by; it lies beside its copy.
type meta struct {
	V int `json:"v"`
	// ID is the first half of the SHA-256 of the bytes, in hex; it is Origin.Unit.
	ID     string   `json:"id"`
	Digest string   `json:"digest"`
	Name   string   `json:"name"`
	Size   int64    `json:"size"`
	At     int64    `json:"at"` // ms, when it was sealed
	Layout layoutOf `json:"layout"`
	// Columns are those of all rows; in JSON the members in the order they were first seen.
	Columns []string `json:"columns"`
	Rows    int      `json:"rows"`
	Records int      `json:"records"`
	// Doubles are rows whose key stands in an earlier row with other content.
	Doubles []double `json:"doubles,omitempty"`
	// Corrects are units whose error file came back as this file.
	Corrects []string `json:"corrects,omitempty"`
	// Feedback is the base of the names of its feedback files.
	Feedback string `json:"feedback"`
	// Handed says that every row is durable in the outbox.
	Handed bool `json:"handed,omitempty"`
}

// double is one record with the key of an earlier one.
type double struct {
	Row   int `json:"row"`
	Index int `json:"index,omitempty"`
	First int `json:"first"`
}

// place identifies a record of a unit.
type place struct{ row, index int }

// unit is a sealed file until its last record is answered.
type unit struct {
	meta
	dir     string
	journal *os.File // append-only verdicts, opened at the first
	// bad are the refused and rejected records.
	bad map[place]adapters.Verdict
	// counts is set once every record is answered.
	counts *adapters.Counts
	// stale says that the feedback files lag behind.
	stale bool
}

func (u *unit) data() string { return filepath.Join(u.dir, "data") }

func (u *unit) saveMeta() error {
	return writeAtomic(filepath.Join(u.dir, "meta.json"), func(w io.Writer) error { return json.NewEncoder(w).Encode(u.meta) })
}

// loadUnit reads a sealed unit and its verdicts. A journal line cut short by a crash was never confirmed and is
// dropped.
func loadUnit(dir string) (*unit, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return nil, err
	}
	u := &unit{dir: dir, bad: map[place]adapters.Verdict{}, stale: true}
	if err := json.Unmarshal(raw, &u.meta); err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	if u.V != metaVersion {
		return nil, fmt.Errorf("%s was written by a newer adapter (version %d)", dir, u.V)
	}
	raw, err = os.ReadFile(u.verdictsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	for line := range bytes.Lines(raw[:whole]) {
		var v adapters.Verdict
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("read verdicts of %s: %w", u.Name, err)
		}
		u.learn(v)
	}
	if whole < len(raw) {
		if err := os.Truncate(u.verdictsFile(), int64(whole)); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (u *unit) verdictsFile() string { return filepath.Join(u.dir, "verdicts.ndjson") }

// learn takes one verdict in memory and reports whether it says something new.
func (u *unit) learn(v adapters.Verdict) bool {
	if v.Outcome == adapters.Finished {
		if u.counts != nil || v.Counts == nil {
			return false
		}
		u.counts = v.Counts
		return true
	}
	at := place{v.Origin.Row, v.Index}
	if _, known := u.bad[at]; known {
		return false
	}
	u.bad[at] = v
	return true
}

// record makes verdicts durable and learns them.
func (u *unit) record(verdicts []adapters.Verdict) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for _, v := range verdicts {
		if _, known := u.bad[place{v.Origin.Row, v.Index}]; known && v.Outcome != adapters.Finished {
			continue
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	if u.journal == nil {
		f, err := os.OpenFile(u.verdictsFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		if err := syncDir(u.dir); err != nil {
			return errors.Join(err, f.Close())
		}
		u.journal = f
	}
	if _, err := u.journal.Write(lines.Bytes()); err != nil {
		return u.reopen(err)
	}
	if err := u.journal.Sync(); err != nil {
		return u.reopen(err)
	}
	for _, v := range verdicts {
		if u.learn(v) {
			u.stale = true
		}
	}
	return nil
}

// reopen gives the journal up after a failed write: what is half written is cut off before anything else is added.
func (u *unit) reopen(cause error) error {
	_ = u.journal.Close() // the cause tells
	u.journal = nil
	if raw, err := os.ReadFile(u.verdictsFile()); err == nil {
		whole := bytes.LastIndexByte(raw, '\n') + 1
		cause = errors.Join(cause, os.Truncate(u.verdictsFile(), int64(whole)))
	}
	return cause
}

func (u *unit) close() error {
	if u.journal == nil {
		return nil
	}
	err := u.journal.Close()
	u.journal = nil
	return err
}

// badInOrder are the refused and rejected records by row and element.
func (u *unit) badInOrder() []adapters.Verdict {
	out := make([]adapters.Verdict, 0, len(u.bad))
	for _, v := range u.bad {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b adapters.Verdict) int {
		return cmp.Or(a.Origin.Row-b.Origin.Row, a.Index-b.Index)
	})
	return out
}

// origin is the place of a row of this unit.
func (u *unit) origin(row int) adapters.Origin {
	return adapters.Origin{Unit: u.ID, File: u.Name, Row: row, Grid: u.Layout.Format == formatCSV}
}

// columnSet puts rows under one list of columns that grows as members are seen.
type columnSet struct {
	names []string
	at    map[string]int
}

// maxColumns bounds the members a JSON file may have in all.
const maxColumns = 2000

func newColumnSet(names []string) *columnSet {
	s := &columnSet{names: names, at: make(map[string]int, len(names))}
	for i, n := range names {
		s.at[n] = i
	}
	return s
}

// align gives the cells of a row by position. grow adds names not seen before; ok is false where there are too many,
// or without grow any.
func (s *columnSet) align(r rawRow, grow bool) (cells []adapters.Value, ok bool) {
	if len(r.columns) == len(s.names) && slices.Equal(r.columns, s.names) {
		return r.cells, true
	}
	for _, name := range r.columns {
		if _, known := s.at[name]; known {
			continue
		}
		if !grow || len(s.names) >= maxColumns {
			return nil, false
		}
		s.at[name] = len(s.names)
		s.names = append(s.names, name)
	}
	cells = make([]adapters.Value, len(s.names))
	for i, name := range r.columns {
		cells[s.at[name]] = r.cells[i]
	}
	return cells, true
}

// Columns that an error file adds and that are ignored when it is dropped again.
const (
	addedRow     = "_行号"
	addedResult  = "_结果"
	addedField   = "_字段"
	addedReason  = "_原因"
	addedAdvice  = "_建议"
	addedRawText = "_原文" // JSON only: a row that could not be read, as it stood
)

var addedColumns = []string{addedRow, addedResult, addedField, addedReason, addedAdvice}

func isAdded(name string) bool {
	return strings.HasPrefix(name, "_") && (name == addedRawText || slices.Contains(addedColumns, name))
}

// unitMark finds the unit id in a cell of _结果; "" if there is none.
func unitMark(cell string) string {
	_, id, ok := strings.Cut(cell, "#")
	if !ok || len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}
