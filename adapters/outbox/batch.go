package outbox

import (
	"encoding/json"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Statuses. Refused is the adapter's word and Rejected the bus's; both, and
// the summary of a unit (Finished), go home to the source as verdicts. The
// other answers of the bus are counted only.
const (
	StatusRefused   = string(adapters.Refused)
	StatusRejected  = string(adapters.Rejected)
	StatusFinished  = string(adapters.Finished)
	StatusAccepted  = "accepted"
	StatusDuplicate = "duplicate" // the bus had it already
	StatusStale     = "stale"     // the bus has a newer one
)

// Row is one mapped and validated record. Origin says where it came from, in
// the runner's own coding; a rejection of the bus goes home only where it is
// set.
type Row struct {
	Record   record.Record // Seq is set by Append
	Origin   []byte
	Warnings int // quality warnings; counted where the record is queued, never a reason to refuse
}

// Refusal is a record that the adapter refused.
type Refusal struct {
	Key     string          `json:"key,omitempty"`
	Unit    string          `json:"unit,omitempty"` // set by Append
	Origin  []byte          `json:"origin,omitempty"`
	Reasons json.RawMessage `json:"reasons,omitempty"` // the runner's own coding
	At      int64           `json:"at"`                // ms UTC, set by Append
}

// Batch is what one call of the source gave, after mapping. It becomes durable
// as a whole or not at all. All counts are in records: a row that makes three
// counts three, a row that makes none counts one that is filtered.
type Batch struct {
	Stream   string
	Resource string
	Cursor   []byte // nil: stays as it is
	Read     int    // MUST be Filtered + len(Refusals) + len(Rows)
	Filtered int
	Rows     []Row
	Refusals []Refusal
	Ledger   *adapters.LedgerEntry

	Unit     string   // what all rows belong to (for filedrop a file); "" = nothing
	UnitEnd  bool     // with this batch the unit is whole: its summary goes home once all of it is answered
	Corrects []string // earlier units whose refusals this batch settles
}

// Result is what became of a batch.
type Result struct {
	Queued, Unchanged, Refused int
	Warnings                   int    // of the queued records
	First, Last                uint64 // sequence numbers given; 0 = none
}

// Line is one waiting record as it goes over the wire.
type Line struct {
	Seq      uint64
	Stream   string
	Key      string
	Wire     []byte // one line without its newline
	QueuedAt time.Time
}

// Answer is what the bus said of one sequence number.
type Answer struct {
	Seq     uint64
	Status  string // StatusAccepted, StatusDuplicate, StatusStale or StatusRejected
	Offset  uint64
	Version uint64
	Leaf    string
	Reasons json.RawMessage
}

// Verdict is the last word on one record that somebody has to correct, or the
// summary of a unit, on its way home to the source.
type Verdict struct {
	N       uint64          `json:"-"` // ascending per stream; see Reported
	Status  string          `json:"status"`
	At      int64           `json:"at"` // ms UTC
	Unit    string          `json:"unit,omitempty"`
	Key     string          `json:"key,omitempty"`
	Origin  []byte          `json:"origin,omitempty"`
	Seq     uint64          `json:"seq,omitempty"`
	Reasons json.RawMessage `json:"reasons,omitempty"`
	Counts  *Counts         `json:"counts,omitempty"` // StatusFinished only
}

// Counts is the counting equation of a stream, of one day of it, or of
// a unit.
type Counts struct {
	Read      uint64 `json:"read"`
	Filtered  uint64 `json:"filtered"`
	Refused   uint64 `json:"refused"`
	Unchanged uint64 `json:"unchanged"`
	Queued    uint64 `json:"queued"`
	Accepted  uint64 `json:"accepted"`
	Duplicate uint64 `json:"duplicate"`
	Stale     uint64 `json:"stale"`
	Rejected  uint64 `json:"rejected"`
	Warnings  uint64 `json:"warnings"` // quality warnings of queued records; beside the equation
}

// Waiting is what was queued and not answered yet.
func (c Counts) Waiting() uint64 {
	return c.Queued - c.Accepted - c.Duplicate - c.Stale - c.Rejected
}

// Balanced reports whether the counting equation holds.
func (c Counts) Balanced() bool {
	return c.Read == c.Filtered+c.Refused+c.Unchanged+c.Queued &&
		c.Queued >= c.Accepted+c.Duplicate+c.Stale+c.Rejected
}

func (c *Counts) add(o Counts) {
	c.Read += o.Read
	c.Filtered += o.Filtered
	c.Refused += o.Refused
	c.Unchanged += o.Unchanged
	c.Queued += o.Queued
	c.Accepted += o.Accepted
	c.Duplicate += o.Duplicate
	c.Stale += o.Stale
	c.Rejected += o.Rejected
	c.Warnings += o.Warnings
}
