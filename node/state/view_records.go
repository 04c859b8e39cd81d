package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// KeyState is what is known of a key without reading its record.
type KeyState struct {
	Version       uint64 // newest
	Offset        uint64 // of the newest version
	Owner         string // department that first published it
	Withdrawn     bool
	SourceVersion *int64
}

// ProducerState is where a producer stands in a resource.
type ProducerState struct {
	Epoch uint64 // newest epoch seen; 0 none
	Last  uint64 // last seq taken in it
	Fence uint64 // least epoch accepted, by fence or by Epoch
}

func notFound(what, name string) error { return fmt.Errorf("%s %s: %w", what, name, ErrNotFound) }

// need reads a value, or ErrNotFound.
func (v *View) need(key []byte, what, name string) ([]byte, error) {
	b, err := v.snap.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(what, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", what, name, err)
	}
	return b, nil
}

func (v *View) number(resource string) (uint32, error) {
	if e := v.cat.resources[resource]; e != nil {
		return e.Number, nil
	}
	return 0, notFound("resource", resource)
}

func (v *View) head(resource uint32) (head, error) {
	b, ok, err := optional(v.snap, headKey(resource))
	if err != nil || !ok {
		return head{}, err
	}
	return decodeHead(b)
}

// Head is the last offset of a resource, 0 for none. ErrNotFound: no such
// resource.
func (v *View) Head(resource string) (uint64, error) {
	n, err := v.number(resource)
	if err != nil {
		return 0, err
	}
	h, err := v.head(n)
	return h.last, err
}

// segments calls f for the segments of a resource from the one that holds, or
// follows, an offset, until f says false.
func (v *View) segments(resource uint32, from uint64, f func(*Segment) bool) error {
	prefix := store.ResourceKey(nil, store.TableSegment, resource)
	it := v.snap.NewIter(prefix, store.PrefixEnd(prefix))
	ok := it.SeekLT(store.SegmentKey(nil, resource, from+1))
	if !ok {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		seg, err := v.segment(resource, binary.BigEndian.Uint64(it.Key()[5:]), it)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !f(seg) {
			break
		}
	}
	return it.Close()
}

// segment decodes the segment an iterator stands on, or finds it decoded.
func (v *View) segment(resource uint32, first uint64, it *store.Iter) (*Segment, error) {
	id := segmentID{resource, first}
	if seg := v.home.cache.get(id); seg != nil {
		return seg, nil
	}
	value := append([]byte(nil), it.Value()...)
	seg, bytes, err := v.decodeSegment(resource, first, value)
	if err != nil {
		return nil, fmt.Errorf("segment %d of resource %d: %w", first, resource, err)
	}
	v.home.cache.put(id, seg, bytes)
	return seg, nil
}

func (v *View) decodeSegment(resource uint32, first uint64, value []byte) (*Segment, int64, error) {
	stored, err := store.DecodeSegment(first, value)
	if err != nil {
		return nil, 0, err
	}
	h, recs, err := record.DecodeRecords(stored.Section)
	if errors.Is(err, record.ErrFormat) {
		return nil, 0, fmt.Errorf("%w: %w", ErrUpgrade, err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	seg := &Segment{
		Resource: resource, First: first, Leaf: stored.Leaf, Time: stored.Time, Revision: h.Revision,
		Records: make([]StoredRecord, len(stored.Rows)),
	}
	systems, departments := make([]string, len(h.Systems)), make([]string, len(h.Systems))
	for i, s := range h.Systems {
		systems[i], _ = splitSystem(s)
		departments[i] = v.departmentOf(systems[i])
	}
	for i, row := range stored.Rows {
		if row.Place >= len(recs) {
			return nil, 0, fmt.Errorf("row %d: %w", i, ErrCorrupt)
		}
		rec := &recs[row.Place]
		r := &seg.Records[i]
		*r = StoredRecord{
			Resource: resource, Offset: first + uint64(i), Version: row.Version, Previous: row.Previous, Counter: row.Counter,
			Key: rec.Key, Op: rec.Op, ID: h.RecordID(rec), Source: rec.Source,
			System: systems[rec.System], Department: departments[rec.System],
			OccurredAt: rec.OccurredAt, AcceptedAt: stored.Time, SchemaVersion: rec.SchemaVersion, SourceVersion: rec.SourceVersion,
			Reason: rec.Reason, Traceparent: rec.Traceparent, Secret: h.RecordSecret(rec, row.Place), Body: rec.Body,
			Leaf: stored.Leaf, Ordinal: i,
		}
		if r.OccurredAt == 0 {
			r.OccurredAt = stored.Time
		}
	}
	return seg, int64(len(value) + h.RawBytes + 320*len(seg.Records)), nil
}

// departmentOf is the department of a system; systems are never removed.
func (v *View) departmentOf(system string) string {
	if e := v.cat.systems[system]; e != nil {
		return e.System.Department
	}
	return ""
}

// Records calls f for the records after an offset, ascending, at most limit,
// until f says false.
func (v *View) Records(resource string, after uint64, limit int, f func(*StoredRecord) bool) error {
	n, err := v.number(resource)
	if err != nil {
		return err
	}
	return v.segments(n, after+1, func(seg *Segment) bool {
		for i := range seg.Records {
			r := &seg.Records[i]
			if r.Offset <= after {
				continue
			}
			if limit--; limit < 0 || !f(r) {
				return false
			}
		}
		return limit > 0
	})
}

// Segment is the whole section that the record at offset came in, or
// ErrNotFound.
func (v *View) Segment(resource string, offset uint64) (*Segment, error) {
	n, err := v.number(resource)
	if err != nil {
		return nil, err
	}
	return v.segmentOf(n, offset)
}

func (v *View) segmentOf(resource uint32, offset uint64) (*Segment, error) {
	var found *Segment
	err := v.segments(resource, offset, func(seg *Segment) bool {
		found = seg
		return false
	})
	if err != nil {
		return nil, err
	}
	if found == nil || offset < found.First || offset-found.First >= uint64(len(found.Records)) {
		return nil, notFound("offset", uintText(offset))
	}
	return found, nil
}

// RecordAt is the record at an offset, or ErrNotFound.
func (v *View) RecordAt(resource string, offset uint64) (StoredRecord, error) {
	seg, err := v.Segment(resource, offset)
	if err != nil {
		return StoredRecord{}, err
	}
	return seg.Records[offset-seg.First], nil
}

// KeyState is the newest version, offset and owner of a key.
func (v *View) KeyState(resource, key string) (KeyState, bool, error) {
	n, err := v.number(resource)
	if err != nil {
		return KeyState{}, false, err
	}
	b, ok, err := optional(v.snap, keyKey(nil, n, key))
	if err != nil || !ok {
		return KeyState{}, false, err
	}
	row, err := decodeKeyRow(b)
	if err != nil {
		return KeyState{}, false, err
	}
	s := KeyState{Version: row.version, Offset: row.offset, Owner: row.owner, Withdrawn: row.withdrawn}
	if row.hasSource {
		s.SourceVersion = &row.source
	}
	return s, true, nil
}

// Current is the newest version of a key, which may be a withdrawal, or
// ErrNotFound.
func (v *View) Current(resource, key string) (StoredRecord, error) {
	k, ok, err := v.KeyState(resource, key)
	if err != nil {
		return StoredRecord{}, err
	}
	if !ok {
		return StoredRecord{}, notFound("key of", resource)
	}
	return v.RecordAt(resource, k.Offset)
}

// History gives the versions of a key, newest first, at most limit, or
// ErrNotFound.
func (v *View) History(resource, key string, limit int) ([]StoredRecord, error) {
	r, err := v.Current(resource, key)
	if err != nil {
		return nil, err
	}
	out := []StoredRecord{r}
	for r.Previous != 0 && len(out) < limit {
		if r, err = v.RecordAt(resource, r.Previous); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out[:min(len(out), max(limit, 0))], nil
}

// KnownID is the offset of a record by the id form, for a node that wants to
// know before it proposes.
func (v *View) KnownID(resource, system, source, id string) (offset uint64, ok bool, err error) {
	n, err := v.number(resource)
	e := v.cat.systems[system]
	if err != nil || e == nil {
		return 0, false, err
	}
	b, ok, err := optional(v.snap, idKey(nil, store.TableDedup, n, e.Number, idHash(source, id)))
	if err != nil || !ok {
		return 0, false, err
	}
	r := reader{b: b}
	offset = r.uint()
	return offset, true, r.done("dedup row")
}

// Producer is where a producer of a system stands in a resource; zero when it
// is unknown.
func (v *View) Producer(resource, system, producer string) (ProducerState, error) {
	n, err := v.number(resource)
	e := v.cat.systems[system]
	if err != nil || e == nil {
		return ProducerState{}, err
	}
	b, ok, err := optional(v.snap, producerKey(nil, n, producer))
	if err != nil || !ok {
		return ProducerState{Fence: e.Fence}, err
	}
	p, err := decodeProducer(b)
	return ProducerState{Epoch: p.epoch, Last: p.last, Fence: max(e.Fence, p.epoch)}, err
}

// QuarantineItem gives one refused record by its number; false when it is gone
// or its time is over.
func (v *View) QuarantineItem(system string, number uint64) (QuarantineItem, bool, error) {
	e := v.cat.systems[system]
	if e == nil {
		return QuarantineItem{}, false, nil
	}
	b, ok, err := optional(v.snap, quarantineKey(e.Number, number))
	if err != nil || !ok {
		return QuarantineItem{}, false, err
	}
	item, err := v.quarantineItem(system, number, b)
	return item, err == nil && item.At > v.time-QuarantineMs, err
}

// Quarantine lists a system's refused records after a number, at most limit.
func (v *View) Quarantine(system string, after uint64, limit int) ([]QuarantineItem, error) {
	e := v.cat.systems[system]
	if e == nil {
		return nil, notFound("system", system)
	}
	var out []QuarantineItem
	it := v.snap.NewIter(quarantineKey(e.Number, after+1), systemKey(store.TableQuarantine, e.Number+1))
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		item, err := v.quarantineItem(system, lastNumber(it.Key()), append([]byte(nil), it.Value()...))
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		if item.At > v.time-QuarantineMs {
			out = append(out, item)
		}
	}
	return out, it.Close()
}

func (v *View) quarantineItem(system string, number uint64, b []byte) (QuarantineItem, error) {
	q, err := decodeQuarantine(b)
	if err != nil {
		return QuarantineItem{}, err
	}
	item := QuarantineItem{
		System: system, Number: number, RecordID: q.id, Key: q.key, Op: q.op, SchemaVersion: q.schemaVersion,
		Errors: q.errors, More: q.more, Body: q.body, At: q.at, Leaf: q.leaf, Producer: q.producer, Epoch: q.epoch, Seq: q.seq,
	}
	if r := v.cat.resource(q.resource); r != nil {
		item.Resource = r.Resource.Resource
	}
	return item, nil
}

// Reader reads the state's database as of the view, until Close: for
// node/payload, which finds bodies in the segments.
func (v *View) Reader() store.Reader { return v.snap }
