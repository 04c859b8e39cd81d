package adapters

import (
	"context"
	"time"

	"github.com/hutong-bus/hutong/schemas/record"
)

// Cursor is a source's own note of how far it has read, opaque to everybody else. Empty means: from the beginning.
// A cursor carries everything the source needs to refuse it when it belongs to another source or another layout.
// It is kept for years: sources read cursors of their older versions.
type Cursor []byte

// Limits bounds one batch; whichever is reached first closes it. Zero fields mean the defaults of DefaultLimits.
type Limits struct {
	// Rows is the most rows in a batch.
	Rows int
	// Bytes is the most payload bytes in a batch; one row alone may be larger.
	Bytes int
	// Age is how long Next may wait for more rows once it has one.
	Age time.Duration
}

// DefaultLimits is 500 rows, 1 MiB, 1 second.
func DefaultLimits() Limits { return Limits{Rows: 500, Bytes: 1 << 20, Age: time.Second} }

// OrDefault replaces zero fields by the defaults.
func (l Limits) OrDefault() Limits {
	d := DefaultLimits()
	if l.Rows <= 0 {
		l.Rows = d.Rows
	}
	if l.Bytes <= 0 {
		l.Bytes = d.Bytes
	}
	if l.Age <= 0 {
		l.Age = d.Age
	}
	return l
}

// Stream names what is read: one entry of Config.Streams.
type Stream struct {
	// Name is unique within the adapter; outbox keys, ledger, counters and metrics carry it.
	Name string
	// Resource is the resource the records go to, <domain>.<name>.
	Resource string
	// ErrorThreshold is the share of refused records, 0 to 1, above which a source that hands over whole units
	// (a file) refuses the unit as a whole. 0 means DefaultErrorThreshold, 1 switches the rule off.
	ErrorThreshold float64
}

// DefaultErrorThreshold is the share of refused records above which a whole file is refused.
const DefaultErrorThreshold = 0.10

// Phase says whether a batch belongs to the first full reading or to what followed.
type Phase uint8

// A source that knows no difference says PhaseStream.
const (
	PhaseStream Phase = iota
	PhaseSnapshot
)

// Origin is the place a row comes from, in words a clerk understands. Together with the element's index (Judged.Index)
// it identifies a verdict: the runner stores it beside each record in the outbox and hands it back in Verdict.
type Origin struct {
	// Unit is the source's own id of the thing the row belongs to (a file's content hash, a table); it is the
	// address of Report. Empty where a source has no Feedback.
	Unit string `json:"unit,omitempty"`
	// File is the name of the file, table or endpoint as people know it.
	File string `json:"file,omitempty"`
	// Row is the row's number in it from 1, counted as a person counts lines of records in that format:
	// in CSV the line number in a spreadsheet (the header is row 1), in JSON the element's number. 0 = no number.
	Row int `json:"row,omitempty"`
	// Grid says that cells are addressed by column letters there (CSV, a workbook).
	Grid bool `json:"grid,omitempty"`
}

// Row is one row as the source has it.
type Row struct {
	// Op is record.Upsert, or record.Withdraw where the source has seen a deletion. Zero counts as Upsert.
	Op record.Op
	// Fields are the cells, by position in Batch.Columns.
	Fields []Value
	// Version orders two states of one key where the source knows an order (rowversion, LSN); nil otherwise.
	// It becomes the record's source_version.
	Version *int64
	// At is when the statement was made, Unix milliseconds; 0 = unknown (the runner takes the time of reading).
	At int64
	// Origin is where the row stands.
	Origin Origin
	// Errs are faults the source itself found; a row with a fault for index 0 is refused whole.
	Errs []RowError
}

// RowError is a fault the source found in a row. It never stops the stream: the runner refuses the row (or, where
// Index > 0, that element of it) with this reason and goes on.
type RowError struct {
	// Index is 0 for the whole row, else the element's number (^index) the fault belongs to.
	Index int `json:"index,omitempty"`
	Problem
}

// Batch is what Next hands over. Rows of one batch have the same columns and, where a source reads units (files),
// come from one unit.
type Batch struct {
	// Columns are the names of Row.Fields by position.
	Columns []string
	Rows    []Row
	// Cursor is the position after the last row of this batch; the runner stores it in the same outbox batch.
	Cursor Cursor
	Phase  Phase
	// Filtered counts rows the source read and left out on purpose (its own filter); they count as read.
	Filtered int
	// Drift lists changes of layout seen since the last batch that do not stop the stream.
	Drift []Drift
	// Unit is the unit all rows of the batch belong to (equal to their Origin.Unit), "" where there are no units.
	Unit string
	// UnitEnd says that with this batch the unit is handed over whole; once the last of its records is answered the
	// runner reports its summary (see Feedback). The batch may have no rows.
	UnitEnd bool
	// Ledger, if set, is written in the same outbox batch; set together with UnitEnd.
	Ledger *LedgerEntry
	// Corrects names earlier units whose refusals are settled by this one (a corrected error file came back); set
	// together with UnitEnd.
	Corrects []string
	// Notices are things an operator should see (a file was refused whole, a file was received before). A batch
	// may hold notices only: no rows, and the cursor unchanged.
	Notices []Notice
}

// Drift is one change of layout.
type Drift struct {
	// Kind is "added", "missing" or "retyped".
	Kind   string `json:"kind"`
	Column string `json:"column"`
	Zh     string `json:"zh"`
	En     string `json:"en"`
}

// Notice is a message for the operator, without field values.
type Notice struct {
	// Code is a stable word: file_refused, file_duplicate, file_changed, …
	Code string `json:"code"`
	// File is the file or table it is about.
	File string `json:"file,omitempty"`
	Zh   string `json:"zh"`
	En   string `json:"en"`
}

// LedgerEntry says that a unit (a file) was handed over whole. The outbox keeps it per stream under Digest.
type LedgerEntry struct {
	// Digest identifies the content: hex SHA-256.
	Digest string `json:"digest"`
	// Name is the name under which the content came.
	Name string `json:"name"`
	// At is when it was handed over, Unix milliseconds.
	At int64 `json:"at"`
	// Rows is how many rows it held.
	Rows int `json:"rows"`
}

// Ledger is the reading side of one stream's ledger, kept by the outbox.
type Ledger interface {
	// Seen returns the entry of that digest and whether there is one.
	Seen(ctx context.Context, digest string) (LedgerEntry, bool, error)
}

// Column describes one column a source offers.
type Column struct {
	Name string `json:"name"`
	// Kind is the kind of its values; KindText where the source cannot know better.
	Kind ValueKind `json:"kind"`
	// Nullable says that the source may leave it empty.
	Nullable bool `json:"nullable,omitempty"`
}

// Discovery is what a source knows about itself.
type Discovery struct {
	// Columns is empty where the source cannot know them before the first unit arrives.
	Columns []Column `json:"columns,omitempty"`
	// Keys are candidate keys, most likely first.
	Keys [][]string `json:"keys,omitempty"`
	// Notes are remarks for the person who sets up the stream (charset, waiting files, horizon in use), each in Chinese and
	// English.
	Notes []string `json:"notes,omitempty"`
}

// Source reads one stream of a department's system. All methods but Close are called by one goroutine, in the order
// Describe*, Open, (Next, Commit)*. Close may be called at any time after New, more than once, and makes a
// blocked Next return.
type Source interface {
	// Describe looks, without changing anything. It may be called without Open.
	Describe(ctx context.Context) (Discovery, error)
	// Open starts after cursor; an empty cursor is the first run. It returns an error wrapping ErrCursor for a
	// cursor it cannot honour; it never starts elsewhere than the cursor says.
	Open(ctx context.Context, stream Stream, cursor Cursor) error
	// Next returns the next rows in the source's order. The batch and its rows belong to the caller. It is called
	// again only after the batch before is durable in the outbox.
	// It returns *IdleError (ErrIdle) when there is nothing now, ErrEnd when there will be nothing ever,
	// ErrReconnect when the connection was lost and Open with the last durable cursor will heal it,
	// *DriftError (ErrDrift) when the layout no longer fits, anything else when the stream must stop.
	// After an error other than ErrIdle the source is to be closed.
	Next(ctx context.Context, limits Limits) (Batch, error)
	// Commit tells that everything up to cursor is durable. Calls come in order, may be repeated, and may be
	// skipped; the source must not depend on them for correctness. An error is logged and not fatal.
	Commit(ctx context.Context, cursor Cursor) error
	// Close releases everything. It is idempotent and waits for goroutines of the source.
	Close() error
}
