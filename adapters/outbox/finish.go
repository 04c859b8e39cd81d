package outbox

import "strings"

// unitRow counts one unit until all of it is answered.
type unitRow struct {
	Counts
	Ended bool `json:"ended,omitempty"`
}

// finish adds counters, queues and verdicts to the batch, commits it, and
// only then changes what is in memory.
func (c *change) finish() error { // under mu
	totals := map[string]Counts{}
	for stream, sums := range c.counts {
		for key, n := range sums {
			if key[0] == tableUnit {
				c.finishUnit(stream, key, n)
				continue
			}
			var have Counts
			c.load([]byte(key), &have)
			have.add(n)
			c.set([]byte(key), encodeJSON(have))
			if strings.HasPrefix(key[1:], totalDay) {
				totals[stream] = have
			}
		}
	}
	for resource, q := range c.queues {
		c.set(nameKey(tableResource, resource), encodeJSON(q))
	}
	c.boundRefusals()
	added := c.writeVerdicts()
	if c.err != nil {
		return c.err
	}
	if err := c.b.commit(c.batch); err != nil {
		return err
	}
	c.remember(totals, added)
	return nil
}

func (c *change) load(key []byte, v any) {
	raw, err := c.b.get(key)
	c.check(err)
	if raw != nil {
		c.check(decodeJSON(raw, v))
	}
}

// finishUnit keeps a unit's counts; once it is whole and nothing of it waits,
// the sums go home and the row goes away. What was counted for it comes after
// every verdict on its records.
func (c *change) finishUnit(stream, key string, n Counts) {
	var u unitRow
	c.load([]byte(key), &u)
	u.add(n)
	if _, ok := c.ended[key]; ok {
		u.Ended = true
	}
	if !u.Ended || u.Waiting() != 0 {
		c.set([]byte(key), encodeJSON(u))
		return
	}
	c.check(c.batch.Delete([]byte(key), nil))
	_, unit, err := nameOf([]byte(key), 1)
	c.check(err)
	c.verdicts[stream] = append(c.verdicts[stream], Verdict{Status: StatusFinished, At: c.now, Unit: string(unit), Counts: &u.Counts})
}

// boundRefusals lets the oldest open refusals of a stream go past the bound.
func (c *change) boundRefusals() {
	for stream, added := range c.refusals {
		have := c.b.refusals[stream]
		over := len(have) - len(c.dropped[stream]) + len(added) - c.b.opt.MaxRefusals
		for i := 0; over > 0 && i < len(have); i++ {
			if !c.dropped[stream][have[i].n] {
				c.drop(stream, have[i].n)
				over--
			}
		}
	}
}

// writeVerdicts numbers the verdicts and returns their sizes.
func (c *change) writeVerdicts() map[string][]int64 {
	sizes := map[string][]int64{}
	for stream, vs := range c.verdicts {
		next := max(c.b.verdicts[stream].next, 1)
		for i, v := range vs {
			value := encodeJSON(v)
			c.set(numberKey(tableVerdict, stream, next+uint64(i)), value)
			sizes[stream] = append(sizes[stream], int64(len(value)))
		}
	}
	return sizes
}

// remember brings memory up to what was committed and wakes whoever waits.
func (c *change) remember(totals map[string]Counts, verdictBytes map[string][]int64) {
	b := c.b
	for stream, n := range totals {
		b.totals[stream] = n
	}
	for resource, q := range c.queues {
		b.bytes += q.Bytes - b.queues[resource].Bytes
		b.queues[resource] = q
	}
	for stream, gone := range c.dropped {
		kept := b.refusals[stream][:0:0]
		for _, r := range b.refusals[stream] {
			if !gone[r.n] {
				kept = append(kept, r)
			}
		}
		b.refusals[stream] = kept
	}
	for stream, added := range c.refusals {
		b.nextRef[stream] += uint64(len(added))
		b.refusals[stream] = append(b.refusals[stream], added...)
	}
	for stream, sizes := range verdictBytes {
		s := b.verdicts[stream]
		if s.size == nil {
			s.size = map[uint64]int64{}
		}
		s.next = max(s.next, 1)
		for _, size := range sizes {
			s.size[s.next] = size
			s.next++
			b.bytes += size
		}
		b.verdicts[stream] = s
	}
	b.announce()
}
