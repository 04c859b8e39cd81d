package state

import (
	"bytes"
	"slices"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// maxKeyBytes bounds a record's key (FORMATS §11); the table of versions relies
// on it.
const maxKeyBytes = 512

// recordsWork is the judging of one section: nothing of it is written before all
// of it is judged, so that a strict section leaves no trace.
type recordsWork struct {
	h       record.Header
	r       *resourceEntry
	recs    []record.SectionRecord
	systems []sectionSystem
	prods   []sectionProducer
	keys    map[string]*keyRow   // keys as the section leaves them
	ids     map[sectionID]uint64 // ids accepted in this section → offset
	drafts  []draft
	again   []repeat
	results []RecordResult
	first   uint64 // offset of the first draft
	seg     knownSegment
	refused refusalsWork
}

// sectionSystem is one of the header's systems, looked up once.
type sectionSystem struct {
	entry      *systemEntry // nil: no such system
	name       string
	department string
	may        bool // CanPublish, and its credential stands
}

type sectionID struct {
	system uint32
	hash   [16]byte
}

// draft is a record that will be accepted.
type draft struct {
	place   int
	row     *keyRow // shared by all drafts of the key
	version uint64
	back    uint64 // offset of the version before
	id      sectionID
}

// repeat is a result that repeats a draft of the same section.
type repeat struct{ result, draft int }

// knownSegment is the segment a repeated record was last found in.
type knownSegment struct {
	resource uint32
	first    uint64
	seg      store.Segment
}

// records applies a section of records.
func (w *work) records(s []byte, res *Result) {
	h, recs, err := record.DecodeRecords(s)
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
	x.begin(w, h, r, len(recs))
	x.recs = recs
	strictBad := false
	for i := range recs {
		x.results[i] = w.judge(i)
		if st := x.results[i].Status; st != StatusAccepted && st != StatusDuplicate {
			strictBad = true
		}
	}
	res.Records = x.results
	res.Code = Applied
	if h.Strict && strictBad {
		x.unapply()
		res.Code = Refused
		res.Err = &Refusal{Code: CodeStrict, Detail: "a record of an all-or-nothing batch was not accepted"}
		return
	}
	if len(x.drafts) > 0 {
		res.Leaf, res.HasLeaf = w.accept(s), true
	}
	w.saveProducers()
}

// begin prepares the judging of a section of n records or refusals.
func (x *recordsWork) begin(w *work, h record.Header, r *resourceEntry, n int) {
	x.h, x.r = h, r
	x.recs, x.refused = nil, refusalsWork{} // nothing of the section before
	x.systems, x.prods = x.systems[:0], x.prods[:0]
	x.drafts, x.again = x.drafts[:0], x.again[:0]
	if x.keys == nil {
		x.keys, x.ids = make(map[string]*keyRow), make(map[sectionID]uint64)
	}
	clear(x.keys)
	clear(x.ids)
	x.results = make([]RecordResult, n)
	x.first = w.headOf(h.Resource).last + 1
	for _, name := range h.Systems {
		name, credential := splitSystem(name)
		s := sectionSystem{name: name, entry: w.cat.systems[name]}
		if caller, ok := w.cat.caller(name, credential, w.time); ok {
			s.may = policy.CanPublish(caller, r.Resource, w.cat.groupMembers) == nil
		}
		if s.entry != nil {
			s.department = s.entry.System.Department
		}
		x.systems = append(x.systems, s)
	}
	for _, p := range h.Producers {
		x.prods = append(x.prods, sectionProducer{id: p.ID, epoch: p.Epoch})
	}
}

// judge says what becomes of one record and drafts it if it is to be accepted.
func (w *work) judge(i int) RecordResult {
	x := &w.rec
	rec := &x.recs[i]
	sys := &x.systems[rec.System]
	if sys.entry == nil {
		return RecordResult{Status: StatusNotGranted}
	}
	var id sectionID
	var prod *sectionProducer
	if rec.Producer >= 0 {
		prod = &x.prods[rec.Producer]
		if res, done := w.sequence(prod, sys, rec.Seq, i); done {
			return res
		}
	} else {
		if rec.ID == "" {
			return RecordResult{Status: StatusRejected} // the node gives every record an id
		}
		id = sectionID{sys.entry.Number, idHash(rec.Source, rec.ID)}
		if offset, ok := w.knownID(id); ok {
			return w.duplicate(offset, i, 0)
		}
	}
	if !sys.may {
		return RecordResult{Status: StatusNotGranted}
	}
	row := w.keyRow(rec.Key)
	status := x.statusOf(rec, row, sys.department)
	offset := x.first + uint64(len(x.drafts))
	if status != StatusAccepted {
		if prod != nil {
			prod.take(status, 0)
		}
		return RecordResult{Status: status}
	}
	if prod != nil {
		prod.take(status, offset)
	}
	d := draft{place: i, row: row, version: row.version + 1, back: row.offset, id: id}
	if !row.exists {
		row.owner = sys.department
	}
	row.exists, row.version, row.offset = true, d.version, offset
	row.withdrawn = rec.Op == record.Withdraw
	if row.hasSource = rec.SourceVersion != nil; row.hasSource {
		row.source = *rec.SourceVersion
	}
	x.drafts = append(x.drafts, d)
	if prod == nil {
		x.ids[id] = offset
	}
	return RecordResult{Status: StatusAccepted, Offset: offset, Version: d.version, HasLeaf: true, Ordinal: len(x.drafts) - 1}
}

// statusOf judges a record that is new by the key it is about (invariant 13).
func (x *recordsWork) statusOf(rec *record.SectionRecord, row *keyRow, department string) Status {
	switch {
	case rec.Key == "" || len(rec.Key) > maxKeyBytes,
		rec.Op == record.Upsert && (rec.SchemaVersion == 0 || rec.SchemaVersion > x.r.Resource.SchemaVersion):
		return StatusRejected // the node would not have let it pass
	case rec.Op == record.Withdraw && !row.exists:
		return StatusNotFound // nobody becomes a key's owner by withdrawing it
	case row.exists && row.owner != department && !x.r.Resource.SharedKeys:
		return StatusKeyOwned
	case row.hasSource && rec.SourceVersion != nil && *rec.SourceVersion <= row.source:
		return StatusStale
	}
	return StatusAccepted
}

// keyRow gives the key as the section so far leaves it.
func (w *work) keyRow(key string) *keyRow {
	if row := w.rec.keys[key]; row != nil {
		return row
	}
	row := new(keyRow)
	w.key = keyKey(w.key[:0], w.rec.h.Resource, key)
	if b, ok := w.get(w.key); ok {
		got, err := decodeKeyRow(b)
		w.fail(err)
		*row = got
	}
	w.rec.keys[key] = row
	return row
}

// knownID finds a record by the id form.
func (w *work) knownID(id sectionID) (offset uint64, ok bool) {
	if offset, ok = w.rec.ids[id]; ok {
		return offset, true
	}
	w.key = idKey(w.key[:0], store.TableDedup, w.rec.h.Resource, id.system, id.hash)
	b, ok := w.get(w.key)
	if !ok {
		return 0, false
	}
	r := reader{b: b}
	offset = r.uint()
	w.fail(r.done("dedup row"))
	return offset, true
}

// duplicate answers a record that was accepted before, with the first values.
// Inside a strict section, where no node can compare before the rest is stored,
// other content under the id or seq is not taken for a repeat.
func (w *work) duplicate(offset uint64, result int, last uint64) RecordResult {
	x := &w.rec
	res := RecordResult{Status: StatusDuplicate, Offset: offset, Known: offset, Expected: last, HasLeaf: true}
	if offset >= x.first {
		n := int(offset - x.first)
		if rec := &x.recs[result]; x.h.Strict && !sameRecord(rec, &x.recs[x.drafts[n].place]) {
			if rec.Producer >= 0 {
				return RecordResult{Status: StatusAhead, Expected: last}
			}
			return RecordResult{Status: StatusConflict}
		}
		x.again = append(x.again, repeat{result, n})
		res.Version, res.Ordinal = x.drafts[n].version, n
		return res
	}
	row, seg, ordinal := w.stored(x.h.Resource, offset)
	if row == nil {
		return res
	}
	res.Version, res.Leaf, res.Ordinal = row.Version, seg.Leaf, ordinal
	return res
}

// sameRecord compares what makes a record the one its id names (FORMATS §2).
func sameRecord(a, b *record.SectionRecord) bool {
	return a.Op == b.Op && a.Key == b.Key && a.Reason == b.Reason && bytes.Equal(a.Body, b.Body)
}

// stored finds what acceptance added to the record at offset.
func (w *work) stored(resource uint32, offset uint64) (*store.SegmentRow, *store.Segment, int) {
	k := &w.rec.seg
	if k.resource != resource || offset < k.first || offset-k.first >= uint64(len(k.seg.Rows)) {
		first, seg, err := store.SegmentAt(w.batch, resource, offset)
		if err != nil {
			w.fail(err)
			return nil, nil, 0
		}
		*k = knownSegment{resource, first, seg}
	}
	n := int(offset - k.first)
	return &k.seg.Rows[n], &k.seg, n
}

// unapply answers the records of a refused strict section: what would have been
// accepted changed nothing.
func (x *recordsWork) unapply() {
	for i := range x.results {
		if r := &x.results[i]; r.Status == StatusAccepted {
			*r = RecordResult{Status: StatusUnapplied}
		}
	}
	for _, a := range x.again {
		x.results[a.result] = RecordResult{Status: StatusUnapplied}
	}
}

// accept writes the drafts: leaf, segment, keys, ids, counters, publications. It
// gives the leaf's index.
func (w *work) accept(section []byte) uint64 {
	x := &w.rec
	res := x.h.Resource
	items := make([][]byte, len(x.drafts))
	rows := make([]store.SegmentRow, len(x.drafts))
	for n := range x.drafts {
		d := &x.drafts[n]
		rec := &x.recs[d.place]
		sys := &x.systems[rec.System]
		c := w.counterOf(sys.entry.Number)
		c.records++
		rows[n] = store.SegmentRow{Place: d.place, Version: d.version, Previous: d.back, Counter: c.records}
		f := audit.Facts{
			Offset: x.first + uint64(n), Version: d.version, Previous: d.back, Withdraw: rec.Op == record.Withdraw,
			System: sys.name, Counter: c.records, ID: x.h.RecordID(rec), Key: rec.Key, Body: rec.Body,
			Secret: x.h.RecordSecret(rec, d.place), SchemaVersion: rec.SchemaVersion,
		}
		if f.Withdraw {
			f.Body = []byte(rec.Reason)
		}
		items[n] = audit.NewItem(f).Encode()
	}
	acting := x.acting()
	leaf := w.leaf(audit.Leaf{
		Type: audit.SubmissionAccepted, Resource: x.r.Resource.Resource, Revision: x.h.Revision, Systems: acting,
		First: x.first, Count: uint64(len(x.drafts)), Outcome: audit.OutcomeOK, Root: audit.InnerRoot(items), Salt: salt(x.h.Secret, 0),
	}, Subject{SubjectResource, x.r.Resource.Resource})
	for i := range x.results {
		if r := &x.results[i]; r.Status == StatusAccepted || r.Status == StatusDuplicate && r.Known >= x.first {
			r.Leaf = leaf
		}
	}
	segment := store.Segment{Leaf: leaf, Time: w.time, Rows: rows, Section: section}
	w.set(store.SegmentKey(nil, res, x.first), store.AppendSegment(make([]byte, 0, len(section)+32+24*len(rows)), x.first, len(x.recs), segment))
	w.writeKeys()
	w.corrected()
	h := w.headOf(res)
	h.last += uint64(len(x.drafts))
	w.disclose(h)
	w.saveHead(res, h)
	for _, name := range acting {
		number := w.cat.systems[name].Number
		w.saveCounter(number, w.counterOf(number))
	}
	return leaf
}

// writeKeys writes the keys and ids of the drafts, each key once.
func (w *work) writeKeys() {
	x := &w.rec
	for n := range x.drafts {
		d := &x.drafts[n]
		rec := &x.recs[d.place]
		if offset := x.first + uint64(n); d.row.offset == offset {
			w.key = keyKey(w.key[:0], x.h.Resource, rec.Key)
			w.set(w.key, d.row.encode(w.val[:0]))
		}
		if rec.Producer < 0 {
			w.key = idKey(w.key[:0], store.TableDedup, x.h.Resource, d.id.system, d.id.hash)
			v := writer{w.val[:0]}
			v.uint(x.first + uint64(n))
			w.set(w.key, v.b)
		}
	}
}

// acting lists the systems that have a draft, in the header's order.
func (x *recordsWork) acting() []string {
	seen := make([]bool, len(x.systems))
	for n := range x.drafts {
		seen[x.recs[x.drafts[n].place].System] = true
	}
	var names []string
	for i := range x.systems {
		if seen[i] && !slices.Contains(names, x.systems[i].name) {
			names = append(names, x.systems[i].name)
		}
	}
	return names
}
