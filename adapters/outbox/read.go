package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble"

	"github.com/hutong-bus/hutong/adapters"
)

// Cursor is the stream's cursor as the last batch left it; nil before the
// first.
func (b *Box) Cursor(stream string) ([]byte, error) {
	return b.value(nameKey(tableCursor, stream))
}

// Ledger is the reading side of a stream's ledger.
func (b *Box) Ledger(stream string) adapters.Ledger { return ledger{b, stream} }

type ledger struct {
	b      *Box
	stream string
}

// Seen implements adapters.Ledger.
func (l ledger) Seen(_ context.Context, digest string) (adapters.LedgerEntry, bool, error) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	var e adapters.LedgerEntry
	if err := l.b.usable(); err != nil {
		return e, false, err
	}
	raw, err := l.b.get(tailKey(tableLedger, l.stream, digest))
	if err != nil || raw == nil {
		return e, false, err
	}
	return e, true, decodeJSON(raw, &e)
}

func (b *Box) value(key []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return nil, err
	}
	raw, err := b.get(key)
	if err != nil || raw == nil {
		return nil, err
	}
	if len(raw) == 0 || raw[0] != formatByte {
		return nil, fmt.Errorf("read outbox: %w", ErrFormat)
	}
	return raw[1:], nil
}

// Waiting returns the first waiting records of resource, at most maxRows of
// them and at most maxBytes of lines (but one at least, if one waits).
func (b *Box) Waiting(resource string, maxRows, maxBytes int) ([]Line, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return nil, err
	}
	q := b.queues[resource]
	if q.Low == q.Next {
		return nil, nil
	}
	var lines []Line
	total := 0
	err := b.scan(numberKey(tableQueue, resource, q.Low), numberKey(tableQueue, resource, q.Next), func(key, value []byte) error {
		e, err := decodeEntry(value)
		if err != nil {
			return err
		}
		if seq := lastNumber(key); seq != q.Low+uint64(len(lines)) {
			return fmt.Errorf("record %d of %s is not where it should be: %w", seq, resource, ErrCorrupt)
		}
		total += len(e.wire) + 1
		if len(lines) > 0 && total > maxBytes {
			return errStop
		}
		lines = append(lines, Line{Seq: lastNumber(key), Stream: e.stream, Key: e.key, Wire: bytes.Clone(e.wire), QueuedAt: time.UnixMilli(e.at)})
		if len(lines) == maxRows {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("waiting records of %s are gone: %w", resource, ErrCorrupt)
	}
	return lines, nil
}

// Verdicts returns at most limit verdicts of a stream that were not reported
// yet, oldest first.
func (b *Box) Verdicts(stream string, limit int) ([]Verdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return nil, err
	}
	var out []Verdict
	prefix := nameKey(tableVerdict, stream)
	err := b.scan(prefix, prefixEnd(prefix), func(key, value []byte) error {
		var v Verdict
		if err := decodeJSON(value, &v); err != nil {
			return err
		}
		v.N = lastNumber(key)
		if out = append(out, v); len(out) == limit {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	return out, nil
}

// Reported forgets the verdicts of stream up to and including n: the source
// has them.
func (b *Box) Reported(stream string, n uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	s := b.verdicts[stream]
	var freed int64
	for i, size := range s.size {
		if i <= n {
			freed += size
		}
	}
	if freed == 0 {
		return nil
	}
	batch := b.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if err := batch.DeleteRange(nameKey(tableVerdict, stream), numberKey(tableVerdict, stream, n+1), nil); err != nil {
		return fmt.Errorf("forget verdicts: %w", err)
	}
	if err := b.commit(batch); err != nil {
		return err
	}
	for i := range s.size {
		if i <= n {
			delete(s.size, i)
		}
	}
	b.bytes -= freed
	b.announce()
	return nil
}

// Resources lists the resources that have a queue, sorted.
func (b *Box) Resources() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]string, 0, len(b.queues))
	for r := range b.queues {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// Backlog is what waits.
type Backlog struct {
	Next    uint64    `json:"next"`    // next sequence number
	Waiting uint64    `json:"waiting"` // records
	Bytes   int64     `json:"bytes"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the first waiting record was queued
}

// Backlog says what waits of one resource.
func (b *Box) Backlog(resource string) (Backlog, error) {
	lines, err := b.Waiting(resource, 1, 1)
	if err != nil {
		return Backlog{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[resource]
	out := Backlog{Next: max(q.Next, 1), Waiting: q.Next - q.Low, Bytes: q.Bytes}
	if len(lines) > 0 && out.Waiting > 0 {
		out.Oldest = lines[0].QueuedAt
	}
	return out, nil
}

// Usage is how full the outbox is; Blocked: the sources wait.
type Usage struct {
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
	Blocked  bool  `json:"blocked"`
}

// Usage says how full the outbox is.
func (b *Box) Usage() Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := Usage{Bytes: b.bytes, MaxBytes: b.opt.MaxBytes, Blocked: b.bytes >= b.opt.MaxBytes/100*stopPercent}
	if free, err := b.opt.FS.GetDiskUsage(b.opt.Dir); err == nil && free.AvailBytes < b.opt.MinFreeBytes {
		u.Blocked = true
	}
	return u
}

// Totals is the counting equation of a stream since the outbox began.
func (b *Box) Totals(stream string) Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.totals[stream]
}

// Day is the counting equation of a stream for one day (YYYY-MM-DD, UTC+8):
// answers count on the day on which their record was queued.
func (b *Box) Day(stream, day string) (Counts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return Counts{}, err
	}
	var n Counts
	raw, err := b.get(counterKey(day, stream))
	if err != nil || raw == nil {
		return n, err
	}
	return n, decodeJSON(raw, &n)
}

// Refusals returns at most limit open refusals of a stream, newest last, and
// how many there are.
func (b *Box) Refusals(stream string, limit int) (list []Refusal, open int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return nil, 0, err
	}
	all := b.refusals[stream]
	for _, r := range all[max(0, len(all)-limit):] {
		raw, err := b.get(numberKey(tableRefusal, stream, r.n))
		if err != nil {
			return nil, 0, err
		}
		var f Refusal
		if err := decodeJSON(raw, &f); err != nil {
			return nil, 0, err
		}
		list = append(list, f)
	}
	return list, len(all), nil
}

// Copy writes a consistent copy of the outbox's database to dir, for backups
// and for tests of what a restored copy does.
func (b *Box) Copy(dir string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	if err := b.opt.FS.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("copy outbox: %w", err)
	}
	if err := b.db.Checkpoint(b.opt.FS.PathJoin(dir, "db"), pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy outbox: %w", err)
	}
	return writeMarker(b.opt.FS, dir, b.id)
}
