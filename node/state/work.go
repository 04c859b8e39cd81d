package state

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// work is the state as Apply works on it: what is looked at often is in memory,
// the rest is read through the batch, so that a later section sees an earlier
// one's writes. Only the applying goroutine touches it. After an error it is
// worth nothing and the machine stops.
type work struct {
	standing
	clusterID string // Config.ClusterID
	cat       *catalogue
	next      nextNumbers
	links     map[string]link
	heads     map[uint32]*head
	counters  map[uint32]*counter
	held      map[uint32]*held
	edge      edge
	fresh     bool // the format byte is not yet written

	// What is known to be gone, so that it is not looked for among tombstones. Not
	// state: without it the same is found.
	forgotten int64            // no remembered request is older (log time)
	expires   map[uint32]int64 // nothing of the system's quarantine expires before

	batch  *store.Batch
	hash   hash.Hash // running hash of the entry
	err    error     // first error; everything after it is void
	writes int       // changes in this call, to catch a refusal after a change
	touch  touched

	head9    [9]byte
	key, val []byte // scratch
	rec      recordsWork
}

// touched is what an Apply call changed and its waiters want to know.
type touched struct {
	links map[string]struct{}
	heads map[uint32]struct{}
}

// fail keeps the first error.
func (w *work) fail(err error) {
	if w.err == nil && err != nil {
		w.err = err
	}
}

// note adds one change to the entry's hash.
func (w *work) note(op byte, key, value []byte) {
	w.writes++
	w.head9[0] = op
	binary.BigEndian.PutUint32(w.head9[1:], uint32(len(key)))
	binary.BigEndian.PutUint32(w.head9[5:], uint32(len(value)))
	w.hash.Write(w.head9[:])
	w.hash.Write(key)
	w.hash.Write(value)
}

// set writes a value and notes it in the running hash.
func (w *work) set(key, value []byte) {
	if w.err != nil {
		return
	}
	w.note(1, key, value)
	w.fail(w.batch.Set(key, value))
}

// del removes a value and notes it in the running hash.
func (w *work) del(key []byte) {
	if w.err != nil {
		return
	}
	w.note(2, key, nil)
	w.fail(w.batch.Delete(key))
}

// get reads a value as the batch would leave it; the slice is valid until the
// next get.
func (w *work) get(key []byte) ([]byte, bool) {
	if w.err != nil {
		return nil, false
	}
	v, ok, err := w.batch.AppendGet(w.val[:0], key)
	w.val = v
	w.fail(err)
	return v, ok && err == nil
}

// entry applies one entry.
func (w *work) entry(e Entry) ([]Result, error) {
	w.time = max(w.time, e.Time)
	w.index = e.Index
	if len(e.Sections) > 0 {
		w.hash.Reset()
		w.hash.Write(w.running[:])
		binary.BigEndian.PutUint64(w.head9[:], e.Index)
		w.hash.Write(w.head9[:8])
		binary.BigEndian.PutUint64(w.head9[:], uint64(w.time))
		w.hash.Write(w.head9[:8])
	}
	results := make([]Result, len(e.Sections))
	for i, s := range e.Sections {
		results[i] = w.section(s)
		if w.err != nil {
			return nil, fmt.Errorf("apply entry %d, section %d: %w", e.Index, i, w.err)
		}
	}
	if len(e.Sections) > 0 {
		w.hash.Sum(w.running[:0])
	}
	w.fail(w.batch.Set(ringKey(w.index), w.standing.encode())) // not hashed: it holds the hash
	return results, w.err
}

// section applies one section.
func (w *work) section(s []byte) Result {
	res := Result{Code: Refused, Time: w.time, Index: w.index}
	h, err := record.ParseHeader(s)
	if err != nil {
		w.unreadable(&res, err)
		return res
	}
	res.Kind, res.Node, res.LinkEpoch, res.LinkNumber = h.Kind, h.Node, h.LinkEpoch, h.LinkNumber
	if code := w.order(h); code != Applied {
		res.Code = code
		return res
	}
	switch h.Kind {
	case record.KindRecords:
		w.records(s, &res)
	case record.KindRefusals:
		w.refusals(s, &res)
	case record.KindCursors:
		w.cursors(s, &res)
	case record.KindCommand:
		w.command(s, &res)
	case record.KindMark:
		w.mark(s, &res)
	}
	if w.err == nil && (res.Code == Applied || res.Code == Refused) {
		w.takeLink(h)
	}
	return res
}

// unreadable refuses a section that does not decode. One of a format that only a
// newer program knows stops the node.
func (w *work) unreadable(res *Result, err error) {
	if errors.Is(err, record.ErrFormat) {
		w.fail(fmt.Errorf("%w: %w", ErrUpgrade, err))
		return
	}
	res.Code = Refused
	res.Err = &Refusal{Code: CodeMalformed, Detail: "the section does not decode"}
}

// order says whether a section is the next of its node (FORMATS §4): Applied
// when it is.
func (w *work) order(h record.Header) Code {
	l := w.links[h.Node]
	switch {
	case h.LinkEpoch < l.epoch, h.LinkEpoch == l.epoch && h.LinkNumber <= l.number:
		return Superseded
	case h.LinkEpoch == l.epoch && h.LinkNumber == l.number+1, h.LinkEpoch > l.epoch && h.LinkNumber == 1:
		return Applied
	}
	return Resend
}

func (w *work) takeLink(h record.Header) {
	w.links[h.Node] = link{h.LinkEpoch, h.LinkNumber}
	w.touch.links[h.Node] = struct{}{}
	w.set(linkKey(h.Node), encodePair(h.LinkEpoch, h.LinkNumber))
}

// headOf gives the working head of a resource.
func (w *work) headOf(resource uint32) *head {
	h := w.heads[resource]
	if h == nil {
		h = new(head)
		w.heads[resource] = h
	}
	return h
}

func (w *work) saveHead(resource uint32, h *head) {
	w.touch.heads[resource] = struct{}{}
	w.set(headKey(resource), h.encode(nil))
}

func (w *work) counterOf(system uint32) *counter {
	c := w.counters[system]
	if c == nil {
		c = new(counter)
		w.counters[system] = c
	}
	return c
}

func (w *work) saveCounter(system uint32, c *counter) {
	w.set(systemKey(store.TableCounter, system), encodePair(c.records, c.epoch))
}

// edge holds the newest complete subtree of each level, which is all that
// appending a leaf reads.
type edge [64]struct {
	n    int64
	hash tlog.Hash
	have bool
}

// leaf appends a leaf to the audit log and lists it under its subjects.
func (w *work) leaf(l audit.Leaf, subjects ...Subject) uint64 {
	l.V, l.I, l.T = audit.FormatVersion, w.size, w.time
	b := l.Encode()
	n := int64(w.size)
	hashes, err := tlog.StoredHashes(n, b, tlog.HashReaderFunc(w.readEdge))
	if err != nil {
		w.fail(fmt.Errorf("append leaf %d: %w", n, err))
		return 0
	}
	row := make([]byte, 0, len(hashes)*tlog.HashSize)
	for level, h := range hashes {
		row = append(row, h[:]...)
		e := &w.edge[level]
		e.n, e.hash, e.have = n>>level, h, true
	}
	w.set(logKey(store.TableLeaf, l.I), b)
	w.set(logKey(store.TableHash, l.I), row)
	for _, s := range subjects {
		if s.Name != "" {
			w.set(subjectKey(s, l.I), nil)
		}
	}
	w.size++
	return l.I
}

func (w *work) readEdge(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := splitStored(x)
		if e := &w.edge[level]; e.have && e.n == n {
			out[i] = e.hash
			continue
		}
		row, ok := w.get(hashRowKey(level, n))
		if w.err != nil {
			return nil, w.err
		}
		h, err := hashInRow(row, ok, level, n)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// salt is 16 bytes that nobody outside can guess, from the section's secret, so
// that a public leaf hash confirms no guess of the leaf.
func salt(secret [32]byte, place int) []byte {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(place))
	c := record.Commitment("hutong/salt/1\n", secret, n[:])
	return c[:16]
}

func newWork() *work {
	return &work{
		cat: &catalogue{}, links: make(map[string]link), heads: make(map[uint32]*head),
		counters: make(map[uint32]*counter), held: make(map[uint32]*held), hash: sha256.New(),
		expires: make(map[uint32]int64),
	}
}
