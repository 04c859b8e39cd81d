package outbox

import (
	"fmt"
	"time"
)

// county is the zone whose midnight ends a counting day: China has one, and it
// has no summer time.
var county = time.FixedZone("UTC+8", 8*60*60)

// DayOf is the counting day of a moment.
func DayOf(t time.Time) string { return t.In(county).Format(time.DateOnly) }

// Settle records the bus's answers for the first waiting records of resource
// and trims them, in one fsynced commit. Answers below the first waiting number
// are old news and ignored; the rest MUST be dense from it, or ErrOrder is
// returned and nothing changes.
func (b *Box) Settle(resource string, answers []Answer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	c := b.newChange()
	defer func() { _ = c.batch.Close() }()
	q := c.queue(resource)
	first := q.Low
	for _, a := range answers {
		if a.Seq < q.Low {
			continue
		}
		if a.Seq != q.Low || a.Seq >= q.Next {
			return fmt.Errorf("settle %d of %s, first waiting is %d: %w", a.Seq, resource, q.Low, ErrOrder)
		}
		size, err := c.settle(resource, a)
		if err != nil {
			return fmt.Errorf("settle %d of %s: %w", a.Seq, resource, err)
		}
		q.Low++
		q.Bytes -= size
	}
	if q.Low == first {
		return nil
	}
	c.check(c.batch.DeleteRange(numberKey(tableQueue, resource, first), numberKey(tableQueue, resource, q.Low), nil))
	c.queues[resource] = q
	if err := c.finish(); err != nil {
		return fmt.Errorf("settle in outbox: %w", err)
	}
	return nil
}

// settle counts one answer, on the day on which the record was queued, and
// returns the bytes that it frees.
func (c *change) settle(resource string, a Answer) (size int64, err error) {
	raw, err := c.b.get(numberKey(tableQueue, resource, a.Seq))
	if err != nil {
		return 0, err
	}
	if raw == nil {
		return 0, fmt.Errorf("a waiting record is gone: %w", ErrCorrupt)
	}
	e, err := decodeEntry(raw)
	if err != nil {
		return 0, err
	}
	var n Counts
	switch a.Status {
	case StatusAccepted:
		n.Accepted = 1
	case StatusDuplicate:
		n.Duplicate = 1
	case StatusStale:
		n.Stale = 1
	case StatusRejected:
		n.Rejected = 1
	default:
		return 0, fmt.Errorf("status %q: %w", a.Status, ErrOrder)
	}
	c.count(e.stream, e.unit, e.at, n)
	if e.key != "" {
		c.settleRow(tailKey(tableRow, resource, e.key), a, e.hash)
	}
	if a.Status == StatusRejected && len(e.origin) > 0 {
		c.verdicts[e.stream] = append(c.verdicts[e.stream], Verdict{Status: StatusRejected, At: c.now, Unit: e.unit, Key: e.key,
			Origin: e.origin, Seq: a.Seq, Reasons: a.Reasons})
	}
	return int64(len(raw)), nil
}

// settleRow makes the answered row the settled one of its key. A rejected row
// is forgotten, so that the same row is sent again when the source gives it
// again: the bus does not have it.
func (c *change) settleRow(key []byte, a Answer, h rowHash) {
	st := c.row(key)
	if a.Status != StatusRejected {
		st.flags |= hasSettled
		st.settled = h
	}
	if st.flags&hasPending != 0 && st.seq == a.Seq {
		st.flags &^= hasPending
		st.pending, st.seq = rowHash{}, 0
	}
	if st.flags == 0 {
		c.rows[string(key)] = st
		c.check(c.batch.Delete(key, nil))
		return
	}
	c.putRow(key, st)
}

// count adds n to the day, the total and the unit of a stream.
func (c *change) count(stream, unit string, atMs int64, n Counts) {
	if c.counts[stream] == nil {
		c.counts[stream] = map[string]Counts{}
	}
	keys := [][]byte{counterKey(DayOf(time.UnixMilli(atMs)), stream), counterKey(totalDay, stream)}
	if unit != "" {
		keys = append(keys, tailKey(tableUnit, stream, unit))
	}
	for _, key := range keys {
		sum := c.counts[stream][string(key)]
		sum.add(n)
		c.counts[stream][string(key)] = sum
	}
}
