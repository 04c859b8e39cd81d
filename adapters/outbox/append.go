package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble"
)

// change collects one batch and what follows in memory once it is on disk.
type change struct {
	b     *Box
	batch *pebble.Batch
	now   int64
	err   error

	queues   map[string]queue
	counts   map[string]map[string]Counts // stream → counter key (day, total or unit) → what to add
	rows     map[string]rowState          // rows of table d touched by this batch
	refusals map[string][]openRefusal
	dropped  map[string]map[uint64]bool // refusals closed, per stream
	verdicts map[string][]Verdict
	ended    map[string]string // unit key → stream, of units that are whole with this batch
}

func (b *Box) newChange() *change {
	return &change{b: b, batch: b.db.NewBatch(), now: b.opt.Now().UnixMilli(), queues: map[string]queue{},
		counts: map[string]map[string]Counts{}, rows: map[string]rowState{}, refusals: map[string][]openRefusal{},
		dropped: map[string]map[uint64]bool{}, verdicts: map[string][]Verdict{}, ended: map[string]string{}}
}

// Append makes batch durable as one fsynced commit and returns what became of
// its rows. It blocks while the outbox is full (waiting bytes at 95 % of
// MaxBytes, or less free disk than MinFreeBytes) until answers of the bus make
// room or ctx ends; one batch may reach past the limit. Only after Append
// returned nil may the source be told that its cursor is durable.
// Errors: ErrCount, ErrClosed, ErrBroken, the cause of ctx.
func (b *Box) Append(ctx context.Context, batch Batch) (Result, error) {
	if batch.Read != batch.Filtered+len(batch.Refusals)+len(batch.Rows) {
		return Result{}, fmt.Errorf("append %d read, %d filtered, %d refused, %d rows of %s: %w",
			batch.Read, batch.Filtered, len(batch.Refusals), len(batch.Rows), batch.Stream, ErrCount)
	}
	if err := b.lockWithRoom(ctx); err != nil {
		return Result{}, err
	}
	defer b.mu.Unlock()
	c := b.newChange()
	defer func() { _ = c.batch.Close() }()
	res := c.appendBatch(batch)
	if err := c.finish(); err != nil {
		return Result{}, fmt.Errorf("append to outbox: %w", err)
	}
	return res, nil
}

// freePoll is how often a full disk is looked at again: nobody announces that
// a disk has room.
const freePoll = time.Second

// lockWithRoom returns with mu held and room for one batch.
func (b *Box) lockWithRoom(ctx context.Context) error {
	for {
		b.mu.Lock()
		if err := b.usable(); err != nil {
			b.mu.Unlock()
			return err
		}
		var poll <-chan time.Time
		full := b.bytes >= b.opt.MaxBytes/100*stopPercent
		if !full {
			if free, err := b.opt.FS.GetDiskUsage(b.opt.Dir); err != nil || free.AvailBytes >= b.opt.MinFreeBytes {
				b.warn()
				return nil //nolint:nilerr // a disk that cannot say how full it is stops nobody
			}
			poll = time.After(freePoll)
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for room in the outbox: %w", context.Cause(ctx))
		case <-changed:
		case <-poll:
		}
	}
}

// warn says once that the outbox fills, and once more when it does again.
func (b *Box) warn() { // under mu
	high := b.bytes >= b.opt.MaxBytes/100*warnPercent
	if high && !b.warned {
		b.opt.Logger.Warn("outbox fills up", "waiting_bytes", b.bytes, "max_bytes", b.opt.MaxBytes)
	}
	b.warned = high
}

func (c *change) appendBatch(batch Batch) Result {
	var res Result
	for _, unit := range batch.Corrects {
		c.closeRefusals(batch.Stream, func(r openRefusal) bool { return r.unit == unit })
	}
	q := c.queue(batch.Resource)
	for i := range batch.Rows {
		seq := c.appendRow(batch, &batch.Rows[i], &q)
		if seq == 0 {
			res.Unchanged++
			continue
		}
		res.Queued++
		res.Warnings += batch.Rows[i].Warnings
		res.Last = seq
		if res.First == 0 {
			res.First = seq
		}
	}
	c.queues[batch.Resource] = q
	for _, r := range batch.Refusals {
		c.refuse(batch, r)
	}
	res.Refused = len(batch.Refusals)
	if batch.UnitEnd && batch.Unit != "" {
		c.ended[string(tailKey(tableUnit, batch.Stream, batch.Unit))] = batch.Stream
	}
	c.count(batch.Stream, batch.Unit, c.now, Counts{Read: uint64(batch.Read), Filtered: uint64(batch.Filtered),
		Refused: uint64(res.Refused), Unchanged: uint64(res.Unchanged), Queued: uint64(res.Queued),
		Warnings: uint64(res.Warnings)})
	if batch.Cursor != nil {
		c.set(nameKey(tableCursor, batch.Stream), append([]byte{formatByte}, batch.Cursor...))
	}
	if l := batch.Ledger; l != nil {
		c.set(tailKey(tableLedger, batch.Stream, l.Digest), encodeJSON(l))
	}
	return res
}

// appendRow queues one row and returns its number, or finds it unchanged and
// returns 0.
func (c *change) appendRow(batch Batch, row *Row, q *queue) uint64 {
	rec := &row.Record
	rec.Seq = 0
	h := c.b.hash(byte(rec.Op), rec.Reason, rec.Data)
	var st rowState
	var dkey []byte
	if rec.Key != "" {
		dkey = tailKey(tableRow, batch.Resource, rec.Key)
		st = c.row(dkey)
		c.closeRefusals(batch.Stream, func(r openRefusal) bool {
			return r.key == rec.Key && (batch.Unit == "" || r.unit != batch.Unit)
		})
		if last, ok := st.current(); ok && last == h {
			return 0
		}
	}
	rec.Seq = q.Next
	e := entry{at: c.now, hash: h, stream: batch.Stream, unit: batch.Unit,
		key: rec.Key, origin: row.Origin, wire: rec.Encode()}
	value := e.encode()
	c.set(numberKey(tableQueue, batch.Resource, rec.Seq), value)
	q.Next++
	q.Bytes += int64(len(value))
	if dkey != nil {
		st.flags |= hasPending
		st.pending, st.seq = h, rec.Seq
		c.putRow(dkey, st)
	}
	return rec.Seq
}

// row is the state of one key as this batch sees it.
func (c *change) row(key []byte) rowState {
	if st, ok := c.rows[string(key)]; ok {
		return st
	}
	raw, err := c.b.get(key)
	if err != nil || raw == nil {
		c.check(err)
		return rowState{}
	}
	st, err := decodeRowState(raw)
	c.check(err)
	return st
}

func (c *change) putRow(key []byte, st rowState) {
	c.rows[string(key)] = st
	c.set(key, st.encode())
}

// refuse keeps a refusal open until it is corrected, and sends it home.
func (c *change) refuse(batch Batch, r Refusal) {
	r.Unit, r.At = batch.Unit, c.now
	s := batch.Stream
	n := c.b.nextRef[s] + uint64(len(c.refusals[s]))
	c.set(numberKey(tableRefusal, s, n), encodeJSON(r))
	c.refusals[s] = append(c.refusals[s], openRefusal{n, r.Key, r.Unit})
	if len(r.Origin) > 0 {
		c.verdicts[s] = append(c.verdicts[s], Verdict{Status: StatusRefused, At: c.now, Unit: r.Unit, Key: r.Key,
			Origin: r.Origin, Reasons: r.Reasons})
	}
}

// closeRefusals takes off the list what has been corrected: a later row of
// the same key came in order, or the corrected unit as a whole. A row of the
// same unit does not settle it: there the second row of a key is the fault.
func (c *change) closeRefusals(stream string, corrected func(openRefusal) bool) {
	for _, r := range c.b.refusals[stream] {
		if corrected(r) {
			c.drop(stream, r.n)
		}
	}
}

func (c *change) drop(stream string, n uint64) {
	if c.dropped[stream] == nil {
		c.dropped[stream] = map[uint64]bool{}
	}
	c.dropped[stream][n] = true
	c.check(c.batch.Delete(numberKey(tableRefusal, stream, n), nil))
}

func (c *change) queue(resource string) queue {
	if q, ok := c.queues[resource]; ok {
		return q
	}
	if q, ok := c.b.queues[resource]; ok {
		return q
	}
	return queue{Next: 1, Low: 1}
}

func (c *change) set(key, value []byte) { c.check(c.batch.Set(key, value, nil)) }

func (c *change) check(err error) {
	if c.err == nil {
		c.err = err
	}
}
