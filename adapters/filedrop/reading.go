package filedrop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hutong-bus/hutong/adapters"
)

// cursor is the position in the folder's history.
type cursor struct {
	V int `json:"v"`
	// Unit is the file being read, Rows how many of its rows are handed over, End that it is handed over whole.
	Unit string `json:"u"`
	Rows int    `json:"n"`
	End  bool   `json:"end,omitempty"`
}

func (c cursor) encode() adapters.Cursor {
	raw, _ := json.Marshal(c) // numbers and text only
	return raw
}

func decodeCursor(raw adapters.Cursor) (cursor, error) {
	var c cursor
	if len(raw) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.V != 1 || len(c.Unit) != 32 || c.Rows < 0 {
		return c, fmt.Errorf("%w: it was not written by filedrop", adapters.ErrCursor)
	}
	return c, nil
}

// reading is the unit whose rows go out.
type reading struct {
	unit    *unit
	rows    rowReader
	closer  io.Closer
	columns *columnSet
	doubles map[int][]double // by row
	out     int              // rows handed over
	drift   []adapters.Drift
	notices []adapters.Notice
}

// start opens a unit's rows after skip rows.
func (d *Drop) start(ctx context.Context, u *unit, skip int) error {
	rows, closer, err := openRows(u.data(), u.Layout, &d.c)
	if err != nil {
		return fmt.Errorf("read %s: %w", u.Name, err)
	}
	r := &reading{unit: u, rows: rows, closer: closer, columns: newColumnSet(u.Columns), doubles: map[int][]double{}, out: skip}
	for _, x := range u.Doubles {
		r.doubles[x.Row] = append(r.doubles[x.Row], x)
	}
	for i := range skip {
		if i%ctxRows == 0 {
			if err := d.ended(ctx); err != nil {
				return errors.Join(err, closer.Close())
			}
		}
		if _, err := rows.next(); err != nil {
			return errors.Join(fmt.Errorf("find row %d of %s: %w: %w", skip, u.Name, adapters.ErrCursor, err), closer.Close())
		}
	}
	d.reading = r
	return nil
}

// batch reads rows of the current unit.
func (d *Drop) batch(ctx context.Context, limits adapters.Limits) (adapters.Batch, error) {
	r := d.reading
	u := r.unit
	out := adapters.Batch{Columns: u.Columns, Unit: u.ID, Drift: r.drift, Notices: r.notices}
	size, n := 0, r.out
	for len(out.Rows) < limits.Rows && size < limits.Bytes && n < u.Rows {
		if len(out.Rows)%ctxRows == 0 {
			if err := d.ended(ctx); err != nil {
				return adapters.Batch{}, d.rewind(ctx, err)
			}
		}
		raw, err := r.rows.next()
		if err != nil {
			return adapters.Batch{}, fmt.Errorf("read row %d of %s: %w", n+1, u.Name, err)
		}
		row, err := u.row(raw, r.columns, false)
		if err != nil {
			return adapters.Batch{}, fmt.Errorf("read row %d of %s: %w", n+1, u.Name, err)
		}
		d.refuseDoubles(r, &row)
		out.Rows = append(out.Rows, row)
		size += raw.bytes
		n++
	}
	r.out, r.drift, r.notices = n, nil, nil
	at := cursor{V: 1, Unit: u.ID, Rows: n}
	if n == u.Rows {
		at.End = true
		out.UnitEnd, out.Corrects = true, u.Corrects
		out.Ledger = &adapters.LedgerEntry{Digest: u.Digest, Name: u.Name, At: d.env.Now().UnixMilli(), Rows: u.Rows}
	}
	out.Cursor = at.encode()
	return out, nil
}

// rewind puts the reader back to the last batch after a read that was given up.
func (d *Drop) rewind(ctx context.Context, cause error) error {
	r := d.reading
	_ = r.closer.Close() // only read from
	d.reading = nil
	if errors.Is(cause, adapters.ErrClosed) {
		return cause
	}
	if err := d.start(context.WithoutCancel(ctx), r.unit, r.out); err != nil {
		return errors.Join(cause, err)
	}
	d.reading.drift, d.reading.notices = r.drift, r.notices
	return cause
}

// refuseDoubles adds the faults that the look at the whole file found in this row.
func (d *Drop) refuseDoubles(r *reading, row *adapters.Row) {
	for _, x := range r.doubles[row.Origin.Row] {
		row.Errs = append(row.Errs, adapters.RowError{Index: x.Index, Problem: d.doubleProblem(r.unit.Columns, row.Origin, x.First)})
	}
}
