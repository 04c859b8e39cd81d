package state

import (
	"fmt"
	"strings"
)

// MaxEpoch is the highest epoch a producer may have, so that a fence can always
// stand above it, in numbers that JSON carries.
const MaxEpoch = 1 << 53

// sectionProducer is one of the header's producers as the section so far leaves
// it.
type sectionProducer struct {
	id     string
	epoch  uint64
	loaded bool
	dirty  bool
	row    producerRow
	closed []run // runs this section finished, not yet written
	system *systemEntry
}

// sequence answers a record or refusal in the producer form that is not the next
// of its sequence; done is false when it is the next.
func (w *work) sequence(p *sectionProducer, sys *sectionSystem, seq uint64, result int) (res RecordResult, done bool) {
	if !belongs(p.id, sys.name) {
		return RecordResult{Status: StatusNotGranted}, true // forged
	}
	if p.epoch > MaxEpoch {
		return RecordResult{Status: StatusMalformed}, true
	}
	w.loadProducer(p)
	p.system = sys.entry
	if least := max(sys.entry.Fence, p.row.epoch); p.epoch < least {
		return RecordResult{Status: StatusFenced, Expected: least}, true
	}
	last := p.row.last
	if p.epoch > p.row.epoch {
		last = 0 // a newer epoch begins again at 1
	}
	switch {
	case seq == last+1:
		return RecordResult{}, false
	case seq > last || seq == 0:
		return RecordResult{Status: StatusSequenceGap, Expected: last + 1}, true
	}
	return w.repeated(p, seq, result), true
}

// belongs says whether a producer is one of the system's:
// <department>.<system>[.<n>].
func belongs(producer, system string) bool {
	rest, ok := strings.CutPrefix(producer, system)
	return ok && (rest == "" || rest[0] == '.' && len(rest) > 1)
}

// repeated answers a sequence number that was answered before.
func (w *work) repeated(p *sectionProducer, seq uint64, result int) RecordResult {
	r, ok := w.runOf(p, seq)
	if !ok {
		return RecordResult{}
	}
	res := RecordResult{Status: r.status(), Expected: p.row.last}
	switch res.Status {
	case StatusAccepted:
		return w.duplicate(r.value+seq-r.first, result, p.row.last)
	case StatusStale, StatusKeyOwned, StatusNotFound:
		return res
	}
	if res.Refused = true; r.value != 0 {
		number := r.value + seq - r.first
		if item, ok := w.quarantined(p.system.Number, number); ok {
			res.Quarantine, res.Leaf, res.HasLeaf = number, item.leaf, true
		} else if w.rec.drafted(p.system.Number, number) {
			res.Quarantine = number
		}
	}
	return res
}

// runOf finds the run that holds a taken seq.
func (w *work) runOf(p *sectionProducer, seq uint64) (run, bool) {
	if p.row.open.count > 0 && seq >= p.row.open.first {
		return p.row.open, true
	}
	for i := len(p.closed) - 1; i >= 0; i-- {
		if seq >= p.closed[i].first {
			return p.closed[i], true
		}
	}
	res := w.rec.h.Resource
	it := w.batch.NewIter(runPrefix(nil, res, p.id, p.epoch), runKey(nil, res, p.id, p.epoch, seq+1))
	found := it.Last()
	var r run
	if found {
		var err error
		r, err = decodeRun(lastNumber(it.Key()), it.Value())
		w.fail(err)
	}
	w.fail(it.Close())
	if w.err == nil && (!found || seq-r.first >= r.count) {
		w.fail(corrupt("run of producer", p.id))
	}
	return r, w.err == nil
}

func (w *work) loadProducer(p *sectionProducer) {
	if p.loaded {
		return
	}
	p.loaded = true
	w.key = producerKey(w.key[:0], w.rec.h.Resource, p.id)
	if b, ok := w.get(w.key); ok {
		row, err := decodeProducer(b)
		w.fail(err)
		p.row = row
	}
}

// take consumes the next sequence number with the answer it got; value is the
// offset of an accepted record or the quarantine number of a refused one.
func (p *sectionProducer) take(status Status, value uint64) {
	kind := byte(runAccepted)
	switch status {
	case StatusStale:
		kind, value = runStale, 0
	case StatusKeyOwned:
		kind, value = runOwned, 0
	case StatusNotFound:
		kind, value = runMissing, 0
	case StatusRejected:
		kind = runRefused
	}
	if p.epoch > p.row.epoch {
		p.row = producerRow{epoch: p.epoch} // what an older epoch was answered is fenced now
		p.closed = p.closed[:0]
	}
	p.dirty = true
	p.row.last++
	o := &p.row.open
	if o.count > 0 && o.kind == kind && (value == 0 && o.value == 0 || o.value != 0 && value == o.value+o.count) {
		o.count++
		return
	}
	if o.count > 0 {
		p.closed = append(p.closed, *o)
	}
	*o = run{first: p.row.last, kind: kind, value: value, count: 1}
}

// saveProducers writes what the section did to its producers.
func (w *work) saveProducers() {
	x := &w.rec
	for i := range x.prods {
		p := &x.prods[i]
		if !p.dirty {
			continue
		}
		for j := range p.closed {
			w.key = runKey(w.key[:0], x.h.Resource, p.id, p.row.epoch, p.closed[j].first)
			w.set(w.key, p.closed[j].encode(w.val[:0]))
		}
		w.key = producerKey(w.key[:0], x.h.Resource, p.id)
		w.set(w.key, p.row.encode(w.val[:0]))
		if c := w.counterOf(p.system.Number); p.row.epoch > c.epoch {
			c.epoch = p.row.epoch
			w.saveCounter(p.system.Number, c)
		}
	}
}

// quarantined reads a refused record that is still kept.
func (w *work) quarantined(system uint32, number uint64) (quarantineRow, bool) {
	b, ok := w.get(quarantineKey(system, number))
	if !ok {
		return quarantineRow{}, false
	}
	q, err := decodeQuarantine(append([]byte(nil), b...))
	w.fail(err)
	return q, err == nil
}

func corrupt(what, name string) error { return fmt.Errorf("%s %s: %w", what, name, ErrCorrupt) }
