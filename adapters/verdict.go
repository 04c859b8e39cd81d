package adapters

import (
	"context"
	"strings"

	"github.com/hutong-bus/hutong/schemas/record"
)

// Problem is one fault of one row in words for people. Values stand in it only as far as the department's own
// people may see them: a Problem never leaves the adapter host.
type Problem struct {
	// Column is the source column, "" if the fault belongs to no column.
	Column string `json:"column,omitempty"`
	// Title is the field's Chinese title or the column name: what stands in the error file's column _字段.
	Title string `json:"title,omitempty"`
	// Pointer is the target member (JSON pointer), "" if the fault was found before mapping.
	Pointer string `json:"pointer,omitempty"`
	// Rule is a stable word: a JSON Schema keyword, or duplicate_key, date, num, code, charset, columns, too_large, …
	Rule string `json:"rule"`
	// Zh and En are whole sentences in the form of CONTRACT §1: place, title, rule, what stood there, remedy.
	Zh string `json:"zh"`
	En string `json:"en"`
}

// Reason returns the sentence without its remedy, and the remedy ("" if it names none).
func (p Problem) Reason() (reason, remedy string) {
	for _, mark := range []string{"改法:", "改法："} {
		if i := strings.LastIndex(p.Zh, mark); i >= 0 {
			return strings.TrimRight(p.Zh[:i], "。 "), p.Zh[i+len(mark):]
		}
	}
	return p.Zh, ""
}

// Judged is one record made of a row: what the runner queues or refuses.
type Judged struct {
	// Index is the element's number from 1 where the mapping makes one record per array element, else 0.
	Index int
	Op    record.Op
	// Key is the business key; "" only if Problems say why there is none.
	Key string
	// Body is the record's compact JSON; nil for a withdrawal.
	Body []byte
	// Value is Body as schemas.Validate reads it.
	Value any
	// Reason is set for a withdrawal.
	Reason string
	// At and Version are Row.At and Row.Version.
	At      int64
	Version *int64
	// Warnings are expected members that are missing (quality warnings: counted, never refused).
	Warnings []string
	// Problems, if any, refuse the record.
	Problems []Problem
}

// Judge maps and validates one row and keeps nothing: the same row gives the same answer. The runner uses it for
// every row; a source that hands over whole units is given the same Judge to look at a unit before its first row
// goes out. It is used by one goroutine at a time.
type Judge interface {
	// Columns compares a header with the mapping: columns the mapping reads that are not there, and columns that
	// are there and are neither used nor ignored.
	Columns(columns []string) (missing, unknown []string)
	// Row returns one Judged per record; none if the row holds none (an empty array under `each`).
	Row(columns []string, row Row) ([]Judged, error)
}

// Outcome says what became of one record, or that a unit is finished.
type Outcome string

// Refused is said by the adapter, Rejected by the bus; Finished closes a unit.
const (
	Refused  Outcome = "refused"
	Rejected Outcome = "rejected"
	Finished Outcome = "finished"
)

// Counts is the counting equation of FORMATS §2:
// read = filtered + refused + unchanged + queued; queued = accepted + duplicate + stale + rejected + waiting.
// Records are counted, not rows: an array element under `each` is one.
type Counts struct {
	Read      int `json:"read"`
	Filtered  int `json:"filtered"`
	Refused   int `json:"refused"`
	Unchanged int `json:"unchanged"`
	Accepted  int `json:"accepted"`
	Duplicate int `json:"duplicate"`
	Stale     int `json:"stale"`
	Rejected  int `json:"rejected"`
}

// Verdict is the last word on one record that somebody has to correct, or the summary of a unit.
type Verdict struct {
	Origin Origin `json:"origin"`
	// Index is Judged.Index.
	Index int    `json:"index,omitempty"`
	Key   string `json:"key,omitempty"`
	// Outcome is Refused or Rejected for a record; Finished for a unit (only Origin.Unit and Counts are set then).
	Outcome  Outcome   `json:"outcome"`
	Problems []Problem `json:"problems,omitempty"`
	// Counts is the unit's summary.
	Counts *Counts `json:"counts,omitempty"`
	// At is when the outcome was known, Unix milliseconds.
	At int64 `json:"at,omitempty"`
}

// Feedback is the capability of telling the department what became of its rows (annotated file, status column).
//
// For rows with an Origin.Unit the runner calls Report with a verdict for every record that was refused (after the
// outbox batch that holds the refusal is durable) or rejected (when the bus's answer is durable), and, after
// Batch.UnitEnd, once every record of the unit has its outcome, with one Finished verdict after all others of the
// unit.
//
// The runner keeps a verdict in the outbox until Report has returned nil, so after a crash verdicts are reported
// again: Report MUST be idempotent by (Origin.Unit, Origin.Row, Index), MUST accept verdicts of units read before a
// restart, MUST ignore units it no longer knows, and MUST have made the verdicts durable on the department's side
// when it returns nil. An error means: the same verdicts will come again later.
//
// Report is called after Open, by one goroutine at a time, but possibly while Next or Commit runs.
type Feedback interface {
	Report(ctx context.Context, verdicts []Verdict) error
}

// Finding is what a preflight check saw.
type Finding struct {
	// Level is "ok", "warn" or "fail"; fail means the stream will not run.
	Level string `json:"level"`
	// Code is a stable word.
	Code string `json:"code"`
	Zh   string `json:"zh"`
	En   string `json:"en"`
}

// Preflighter is the capability of checking rights, settings, disk and clock before the first run, changing nothing.
type Preflighter interface {
	Check(ctx context.Context) []Finding
}

// Previewer is the capability of showing the first rows without claiming, moving or marking anything.
type Previewer interface {
	// Preview returns at most rows rows of what Next would read first; ErrIdle if nothing waits.
	Preview(ctx context.Context, rows int) (Batch, error)
}
