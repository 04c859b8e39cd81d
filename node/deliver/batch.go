package deliver

import (
	"fmt"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of one batch.
const (
	// MaxRecords is the greatest page (CONTRACT §5).
	MaxRecords = 1000
	// MaxBytes bounds the projected bytes of a batch; at least one record is in it.
	MaxBytes = 8 << 20
	// MaxSpan bounds the offsets a batch covers, those of which nothing is kept
	// included.
	MaxSpan = 10_000
)

// Stored is what a batch needs of a record as state keeps it.
type Stored struct {
	Offset, Version uint64
	Key             string
	Op              record.Op
	OccurredAt      int64 // ms
	AcceptedAt      int64 // ms
	Department      string
	SchemaVersion   uint32
	Reason          string   // of a withdrawal
	Secret          [32]byte // commitment secret; never leaves
	Body            []byte   // compact form; empty for a withdrawal
}

// Record is one record as the subscriber receives it.
type Record struct {
	Offset, Version uint64
	Key             string
	Op              record.Op
	OccurredAt      int64 // ms
	AcceptedAt      int64 // ms
	Department      string
	SchemaVersion   uint32
	Reason          string // of a withdrawal, as policy.Reason gives it
	Data            []byte // projection in compact form, may share memory with the stored body; nil for a withdrawal
}

// Order is where a subscription stands and under what it receives.
type Order struct {
	Subscription  string
	System        string // full name of the acting system, as the log is to name it
	GrantRevision uint64
	Cursor        uint64 // highest acknowledged offset
	Handed        uint64 // highest offset handed out
	Last          uint64 // last offset of the resource in the state that is read
}

// From is the first offset of the next batch.
func (o Order) From() uint64 { return o.Cursor + 1 }

// end is the last offset that the next batch may reach: what was handed out and
// not acknowledged is handed out again by itself, so that a range in the log is
// either new or known.
func (o Order) end() uint64 {
	end := o.Last
	if o.Handed > o.Cursor {
		end = min(end, o.Handed)
	}
	if end-o.Cursor > MaxSpan && end > o.Cursor {
		end = o.Cursor + MaxSpan
	}
	return end
}

// Batch is one page with its books.
type Batch struct {
	Records []Record
	Through uint64               // last offset looked at; the cursor where there was nothing
	End     bool                 // nothing later was there when the batch was made
	Items   []audit.DeliveryItem // one for every offset from the first to Through
	Move    record.CursorMove    // goes into the log before the batch leaves; see Empty
}

// Empty tells whether there is nothing to hand out and nothing to log.
func (b Batch) Empty() bool { return len(b.Items) == 0 }

// Views gives the projection for one schema version; an empty one filters.
type Views func(schemaVersion uint32) (*policy.View, error)

// Make projects the records after the order's cursor into its next batch. records
// are those that state keeps from o.From() on, ascending; more than fit may be
// given. An offset between them of which nothing is given is filtered, so no
// record that is kept may be left out: where fewer were read than there are, whole
// says false and the batch ends with the last one given.
//
// It returns ErrOrder for records that do not ascend, and the error of views or of
// the projection; then there is no batch.
func Make(o Order, records []Stored, whole bool, views Views) (Batch, error) {
	m := maker{o: o, end: o.end(), views: views, b: Batch{Through: o.Cursor}}
	full, err := m.all(records)
	if err != nil {
		return Batch{}, err
	}
	if !full && whole {
		m.skip(m.end + 1)
	}
	b := m.b
	b.End = b.Through >= o.Last
	if len(b.Items) == 0 {
		return b, nil
	}
	encoded := make([][]byte, len(b.Items))
	for i, item := range b.Items {
		encoded[i] = item.Encode()
	}
	b.Move = record.CursorMove{
		Subscription: o.Subscription, Action: record.ActionHanded, From: o.From(), Through: b.Through,
		Delivered: len(b.Records), Filtered: len(b.Items) - len(b.Records),
		GrantRevision: o.GrantRevision, Root: audit.InnerRoot(encoded), System: o.System,
	}
	return b, nil
}

// maker is a batch in the making.
type maker struct {
	o     Order
	end   uint64 // last offset that may be in it
	bytes int
	views Views
	b     Batch
}

// all takes records until the batch is full.
func (m *maker) all(records []Stored) (full bool, err error) {
	for i := range records {
		r := &records[i]
		if r.Offset <= m.b.Through || r.Offset > m.o.Last {
			return false, fmt.Errorf("%w: offset %d after %d, the last is %d", ErrOrder, r.Offset, m.b.Through, m.o.Last)
		}
		if r.Offset > m.end {
			m.skip(m.end + 1)
			return true, nil
		}
		m.skip(r.Offset)
		out, projection, err := m.project(r)
		if err != nil {
			return false, fmt.Errorf("make batch at offset %d: %w", r.Offset, err)
		}
		if projection != nil {
			if len(m.b.Records) == MaxRecords || len(m.b.Records) > 0 && m.bytes+len(projection) > MaxBytes {
				return true, nil
			}
			m.bytes += len(projection)
			m.b.Records = append(m.b.Records, out)
		}
		m.b.Items = append(m.b.Items, audit.NewDeliveryItem(r.Offset, m.o.Subscription, r.Secret, projection))
		m.b.Through = r.Offset
	}
	return false, nil
}

// skip filters the offsets before next of which nothing is kept.
func (m *maker) skip(next uint64) {
	for m.b.Through+1 < next {
		m.b.Through++
		m.b.Items = append(m.b.Items, audit.DeliveryItem{Offset: m.b.Through, Verdict: audit.VerdictFiltered})
	}
}

// project is the record as it leaves and the bytes its delivery item commits to:
// the projected data, or the reason of a withdrawal as this recipient is told it. nil bytes: it is filtered.
func (m *maker) project(r *Stored) (Record, []byte, error) {
	view, err := m.views(r.SchemaVersion)
	if err != nil {
		return Record{}, nil, fmt.Errorf("view of schema version %d: %w", r.SchemaVersion, err)
	}
	if view.Empty() {
		return Record{}, nil, nil
	}
	out := Record{
		Offset: r.Offset, Version: r.Version, Key: r.Key, Op: r.Op, OccurredAt: r.OccurredAt, AcceptedAt: r.AcceptedAt,
		Department: r.Department, SchemaVersion: r.SchemaVersion,
	}
	if r.Op == record.Withdraw {
		out.Reason = policy.Reason(view, r.Reason)
		return out, append([]byte{}, out.Reason...), nil
	}
	out.Data, err = policy.Project(view, r.Body)
	return out, out.Data, err
}
