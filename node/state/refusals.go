package state

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of quarantine (FORMATS §6, invariant 9), per system.
const (
	MaxQuarantineItems = 10_000
	MaxQuarantineBytes = 256 << 20
	QuarantineMs       = 30 * 24 * 3600 * 1000 // log time an item is kept
)

// maxExpired bounds how many expired items one section removes.
const maxExpired = 1000

// maxReasons bounds the reason codes a leaf lists.
const maxReasons = 16

// refusedDraft is a refusal that will be quarantined.
type refusedDraft struct {
	place  int
	system uint32
	number uint64
	row    quarantineRow
}

// refusalsWork is what the judging of a section of refusals adds to recordsWork.
type refusalsWork struct {
	rs     []record.Refusal
	drafts []refusedDraft
	held   map[uint32]*held  // as the section leaves them
	ids    map[sectionID]int // refused ids → index of their draft
}

// refusals applies a section of refused records.
func (w *work) refusals(s []byte, res *Result) {
	h, rs, err := record.DecodeRefusals(s)
	if err != nil {
		w.unreadable(res, err)
		return
	}
	r := w.cat.resource(h.Resource)
	if r == nil {
		res.Err = &Refusal{Code: CodeNotFound, Detail: "no resource with this number"}
		return
	}
	if h.Revision != r.Resource.Revision {
		res.Code = Revalidate
		return
	}
	x := &w.rec
	x.begin(w, h, r, len(rs))
	x.refused = refusalsWork{rs: rs, held: make(map[uint32]*held), ids: make(map[sectionID]int)}
	for i := range x.systems {
		if e := x.systems[i].entry; e != nil && x.refused.held[e.Number] == nil {
			w.expire(e.Number)
			now := w.heldBy(e.Number)
			x.refused.held[e.Number] = &now
		}
	}
	for i := range rs {
		x.results[i] = w.judgeRefusal(i)
	}
	res.Records, res.Code = x.results, Applied
	w.quarantine(res)
	w.saveProducers()
}

// judgeRefusal says what becomes of one refusal.
func (w *work) judgeRefusal(i int) RecordResult {
	x := &w.rec
	ref := &x.refused.rs[i]
	sys := &x.systems[ref.System]
	if sys.entry == nil {
		return RecordResult{Status: StatusNotGranted}
	}
	var prod *sectionProducer
	var id sectionID
	if ref.Producer >= 0 {
		prod = &x.prods[ref.Producer]
		if res, done := w.sequence(prod, sys, ref.Seq, i); done {
			return res
		}
	} else if ref.ID != "" {
		id = sectionID{sys.entry.Number, idHash("", ref.ID)}
		if offset, ok := w.knownID(id); ok {
			return w.duplicate(offset, i, 0)
		}
		if number, leaf, ok := w.sameRefusal(id, ref); ok {
			return RecordResult{Status: StatusRejected, Quarantine: number, Leaf: leaf, HasLeaf: leaf != 0}
		}
	}
	if !sys.may {
		return RecordResult{Status: StatusNotGranted}
	}
	row := w.quarantineRow(ref, prod)
	size := row.size()
	now := x.refused.held[sys.entry.Number]
	if now.items >= MaxQuarantineItems || now.bytes+size > MaxQuarantineBytes {
		return RecordResult{Status: StatusQuarantineFull}
	}
	now.next, now.items, now.bytes = now.next+1, now.items+1, now.bytes+size
	if prod != nil {
		prod.take(StatusRejected, now.next)
	} else if ref.ID != "" {
		x.refused.ids[id] = len(x.refused.drafts)
	}
	x.refused.drafts = append(x.refused.drafts, refusedDraft{place: i, system: sys.entry.Number, number: now.next, row: row})
	return RecordResult{Status: StatusRejected, Quarantine: now.next}
}

func (w *work) quarantineRow(ref *record.Refusal, prod *sectionProducer) quarantineRow {
	row := quarantineRow{
		resource: w.rec.h.Resource, id: ref.ID, key: ref.Key, op: ref.Op, schemaVersion: ref.SchemaVersion,
		errors: ref.Errors, more: ref.More, body: ref.Body, at: w.time,
	}
	if prod != nil {
		row.id, row.producer, row.epoch, row.seq = w.rec.h.RefusalID(ref), prod.id, prod.epoch, ref.Seq
	}
	return row
}

// sameRefusal finds the refusal of the same id with the same content: a resend.
// Another content is a new refusal (a corrected record that is still wrong).
func (w *work) sameRefusal(id sectionID, ref *record.Refusal) (number, leaf uint64, ok bool) {
	x := &w.rec
	if i, ok := x.refused.ids[id]; ok {
		d := &x.refused.drafts[i]
		return d.number, 0, sameContent(&d.row, ref)
	}
	number, ok = w.newestUnder(x.h.Resource, id)
	if !ok {
		return 0, 0, false
	}
	row, ok := w.quarantined(id.system, number)
	if !ok || !sameContent(&row, ref) {
		return 0, 0, false
	}
	return number, row.leaf, true
}

func sameContent(row *quarantineRow, ref *record.Refusal) bool {
	return row.key == ref.Key && row.op == ref.Op && bytes.Equal(row.errors, ref.Errors) && bytes.Equal(row.body, ref.Body)
}

// drafted says whether this section itself puts a number into quarantine.
func (x *recordsWork) drafted(system uint32, number uint64) bool {
	return slices.ContainsFunc(x.refused.drafts, func(d refusedDraft) bool { return d.system == system && d.number == number })
}

// quarantine writes the drafts and one leaf for each system of the header.
func (w *work) quarantine(res *Result) {
	x := &w.rec
	bySystem := make([][]*refusedDraft, len(x.systems))
	for i := range x.refused.drafts {
		d := &x.refused.drafts[i]
		n := x.refused.rs[d.place].System
		bySystem[n] = append(bySystem[n], d)
	}
	leaves := make(map[[2]uint64]uint64, len(x.refused.drafts))
	for i, mine := range bySystem {
		if len(mine) == 0 {
			continue
		}
		leaf := w.leaf(audit.Leaf{
			Type: audit.SubmissionRejected, Resource: x.r.Resource.Resource, Revision: x.h.Revision, Systems: []string{x.systems[i].name},
			First: mine[0].number, Count: uint64(len(mine)), Outcome: audit.OutcomeRefused, Reasons: reasonCodes(mine), Salt: salt(x.h.Secret, i),
		}, Subject{SubjectResource, x.r.Resource.Resource}, Subject{SubjectSystem, x.systems[i].name})
		if !res.HasLeaf {
			res.Leaf, res.HasLeaf = leaf, true
		}
		for _, d := range mine {
			w.quarantineOne(d, leaf)
			leaves[[2]uint64{uint64(d.system), d.number}] = leaf
		}
		number := x.systems[i].entry.Number
		w.saveHeld(number, *x.refused.held[number])
	}
	for i := range x.results {
		if r := &x.results[i]; r.Status == StatusRejected && r.Quarantine != 0 && !r.HasLeaf {
			system := x.systems[x.refused.rs[i].System].entry.Number
			r.Leaf, r.HasLeaf = leaves[[2]uint64{uint64(system), r.Quarantine}]
		}
	}
}

func (w *work) quarantineOne(d *refusedDraft, leaf uint64) {
	d.row.leaf = leaf
	w.set(quarantineKey(d.system, d.number), d.row.encode())
	if hash, ok := d.row.waitsUnder(); ok {
		key := waitingKey(d.row.resource, sectionID{d.system, hash}, d.number)
		w.set(key, binary.AppendUvarint(w.val[:0], d.row.size()))
	}
}

// reasonCodes lists the codes of the violations, sorted, each once.
func reasonCodes(drafts []*refusedDraft) []string {
	var codes []string
	for _, d := range drafts {
		var violations []struct {
			Code    string `json:"code"`
			Keyword string `json:"keyword"`
		}
		if json.Unmarshal(d.row.errors, &violations) != nil {
			continue
		}
		for _, v := range violations {
			if v.Code == "" {
				v.Code = v.Keyword
			}
			if v.Code != "" && len(v.Code) <= 64 {
				codes = append(codes, v.Code)
			}
		}
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	return codes[:min(len(codes), maxReasons)]
}

func (w *work) heldBy(system uint32) held {
	if h := w.held[system]; h != nil {
		return *h
	}
	return held{}
}

func (w *work) saveHeld(system uint32, h held) {
	w.held[system] = &h
	var b writer
	b.uint(h.next)
	b.uint(h.items)
	b.uint(h.bytes)
	w.set(systemKey(store.TableHeld, system), b.b)
}

// expire removes what has stood in a system's quarantine for its time.
func (w *work) expire(system uint32) {
	h := w.heldBy(system)
	if h.items == 0 || w.time < w.expires[system] {
		return
	}
	w.expires[system] = w.time + 1 // what comes later is younger
	var gone []uint64
	it := w.batch.NewIter(systemKey(store.TableQuarantine, system), systemKey(store.TableQuarantine, system+1))
	for ok := it.First(); ok && len(gone) < maxExpired; ok = it.Next() {
		row, err := decodeQuarantine(it.Value())
		if err != nil || row.at > w.time-QuarantineMs {
			w.fail(err)
			w.expires[system] = row.at + QuarantineMs
			break
		}
		gone = append(gone, lastNumber(it.Key()))
	}
	w.fail(it.Close())
	if len(gone) == maxExpired {
		w.expires[system] = 0 // there may be more
	}
	for _, number := range gone {
		w.release(system, number)
	}
}

// release removes one item, if it is there.
func (w *work) release(system uint32, number uint64) {
	row, ok := w.quarantined(system, number)
	if !ok {
		return
	}
	w.del(quarantineKey(system, number))
	if hash, ok := row.waitsUnder(); ok {
		w.del(waitingKey(row.resource, sectionID{system, hash}, number))
	}
	w.forgo(system, row.size())
}
