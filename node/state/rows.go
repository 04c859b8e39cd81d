package state

import (
	"encoding/binary"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// StateFormat is the format byte of the state database.
const StateFormat = 1

// Names of the values in store.TableMeta.
const (
	metaFormat  = 'f' // format byte
	metaApplied = 'a' // index, time, tree size, running hash
	metaCluster = 'c' // JSON of clusterInfo
	metaNext    = 'n' // next numbers
	metaMark    = 'm' // newest mark agreed with
)

func metaKey(name byte) []byte { return []byte{store.TableMeta, name} }

// ringSize is how many entries' hashes are kept for comparison with marks.
const ringSize = 4096

func ringKey(index uint64) []byte {
	return binary.BigEndian.AppendUint16([]byte{store.TableRing}, uint16(index%ringSize))
}

// standing is where the log stood after an entry.
type standing struct {
	index   uint64
	time    int64
	size    uint64 // leaves in the audit tree
	running [32]byte
}

func (s standing) encode() []byte {
	w := writer{make([]byte, 0, 64)}
	w.uint(s.index)
	w.int(s.time)
	w.uint(s.size)
	w.hash(s.running)
	return w.b
}

func decodeStanding(b []byte) (standing, error) {
	r := reader{b: b}
	s := standing{index: r.uint(), time: r.int(), size: r.uint(), running: r.hash()}
	return s, r.done("standing")
}

// nextNumbers are the last numbers given out.
type nextNumbers struct {
	resource, system                 uint32
	grant, subscription, publication uint64
}

func (n nextNumbers) encode() []byte {
	var w writer
	w.uint(uint64(n.resource))
	w.uint(uint64(n.system))
	w.uint(n.grant)
	w.uint(n.subscription)
	w.uint(n.publication)
	return w.b
}

func decodeNext(b []byte) (nextNumbers, error) {
	r := reader{b: b}
	n := nextNumbers{
		resource: uint32(r.uint()), system: uint32(r.uint()),
		grant: r.uint(), subscription: r.uint(), publication: r.uint(),
	}
	return n, r.done("numbers")
}

// link is the place of the last section applied from a node.
type link struct{ epoch, number uint64 }

// head is how far a resource has come.
type head struct {
	last         uint64 // last offset
	feed         uint64 // last feed sequence
	publications uint64 // publications ever made
}

func (h head) encode(dst []byte) []byte {
	w := writer{dst}
	w.uint(h.last)
	w.uint(h.feed)
	w.uint(h.publications)
	return w.b
}

func decodeHead(b []byte) (head, error) {
	r := reader{b: b}
	h := head{last: r.uint(), feed: r.uint(), publications: r.uint()}
	return h, r.done("head of a resource")
}

// counter is a system's publisher counter and newest producer epoch.
type counter struct{ records, epoch uint64 }

// held is what a system has in quarantine.
type held struct{ next, items, bytes uint64 }

// keyRow is the newest version of a key.
type keyRow struct {
	version, offset uint64
	owner           string // department that first published the key
	withdrawn       bool
	hasSource       bool
	source          int64
	exists          bool
}

const (
	keyWithdrawn = 1 << iota
	keySource
)

func (k *keyRow) encode(dst []byte) []byte {
	w := writer{dst}
	flags := byte(0)
	if k.withdrawn {
		flags |= keyWithdrawn
	}
	if k.hasSource {
		flags |= keySource
	}
	w.byte(flags)
	w.uint(k.version)
	w.uint(k.offset)
	if k.hasSource {
		w.int(k.source)
	}
	w.b = append(w.b, k.owner...)
	return w.b
}

func decodeKeyRow(b []byte) (keyRow, error) {
	r := reader{b: b}
	flags := r.byte()
	k := keyRow{
		exists: true, withdrawn: flags&keyWithdrawn != 0, hasSource: flags&keySource != 0,
		version: r.uint(), offset: r.uint(),
	}
	if k.hasSource {
		k.source = r.int()
	}
	k.owner = string(r.take(uint64(len(r.b))))
	return k, r.done("key row")
}

// Kinds of a producer's run.
const (
	runAccepted = 1 // value: offset of the first
	runRefused  = 2 // value: quarantine number of the first, 0 for none
	runStale    = 3
	runOwned    = 4
	runMissing  = 5
)

// run is count sequence numbers from first on with the same kind of answer; the
// values of accepted and refused ones rise by one.
type run struct {
	first uint64
	kind  byte
	value uint64
	count uint64
}

// status is the answer that the run's sequence numbers got.
func (r *run) status() Status {
	switch r.kind {
	case runAccepted:
		return StatusAccepted
	case runStale:
		return StatusStale
	case runOwned:
		return StatusKeyOwned
	case runMissing:
		return StatusNotFound
	}
	return StatusRejected
}

// producerRow is where a producer stands in a resource, with the run that still
// grows; finished runs have rows of their own.
type producerRow struct {
	epoch, last uint64
	open        run
}

func (p *producerRow) encode(dst []byte) []byte {
	w := writer{dst}
	w.uint(p.epoch)
	w.uint(p.last)
	w.uint(p.open.first)
	w.b = p.open.encode(w.b)
	return w.b
}

// encode leaves first out: it stands in the key of a finished run.
func (r *run) encode(dst []byte) []byte {
	w := writer{dst}
	w.byte(r.kind)
	w.uint(r.value)
	w.uint(r.count)
	return w.b
}

func decodeProducer(b []byte) (producerRow, error) {
	r := reader{b: b}
	p := producerRow{epoch: r.uint(), last: r.uint()}
	p.open = run{first: r.uint(), kind: r.byte(), value: r.uint(), count: r.uint()}
	return p, r.done("producer row")
}

func decodeRun(first uint64, b []byte) (run, error) {
	r := reader{b: b}
	v := run{first: first, kind: r.byte(), value: r.uint(), count: r.uint()}
	return v, r.done("producer run")
}

// cursorRow is how far a subscription has come.
type cursorRow struct {
	acked, handed uint64
}

func (c cursorRow) encode() []byte {
	var w writer
	w.uint(c.acked)
	w.uint(c.handed)
	return w.b
}

func decodeCursor(b []byte) (cursorRow, error) {
	r := reader{b: b}
	c := cursorRow{acked: r.uint(), handed: r.uint()}
	return c, r.done("cursor")
}

func encodePair(a, b uint64) []byte {
	var w writer
	w.uint(a)
	w.uint(b)
	return w.b
}

func decodePair(b []byte, what string) (x, y uint64, err error) {
	r := reader{b: b}
	x, y = r.uint(), r.uint()
	return x, y, r.done(what)
}

// quarantineRow is a refused record as it is stored.
type quarantineRow struct {
	resource      uint32
	id, key       string
	op            record.Op
	schemaVersion uint32
	errors        []byte
	more          int
	body          []byte
	at            int64
	leaf          uint64
	producer      string
	epoch, seq    uint64
}

func (q *quarantineRow) encode() []byte {
	w := writer{make([]byte, 0, len(q.errors)+len(q.body)+len(q.id)+len(q.key)+64)}
	w.uint(uint64(q.resource))
	w.text(q.id)
	w.text(q.key)
	w.byte(byte(q.op))
	w.uint(uint64(q.schemaVersion))
	w.bytes(q.errors)
	w.uint(uint64(q.more))
	w.bytes(q.body)
	w.int(q.at)
	w.uint(q.leaf)
	w.text(q.producer)
	w.uint(q.epoch)
	w.uint(q.seq)
	return w.b
}

func decodeQuarantine(b []byte) (quarantineRow, error) {
	r := reader{b: b}
	q := quarantineRow{
		resource: uint32(r.uint()), id: r.text(), key: r.text(), op: record.Op(r.byte()), schemaVersion: uint32(r.uint()),
		errors: r.bytes(), more: int(r.uint()), body: r.bytes(), at: r.int(), leaf: r.uint(),
		producer: r.text(), epoch: r.uint(), seq: r.uint(),
	}
	return q, r.done("quarantined record")
}

func (e FeedEntry) encode() []byte {
	var w writer
	flag := byte(0)
	if e.Tombstone {
		flag = 1
	}
	w.byte(flag)
	w.text(e.Key)
	w.uint(e.Version)
	w.uint(e.Offset)
	w.int(e.At)
	w.text(e.Publication)
	return w.b
}

func decodeFeed(seq uint64, b []byte) (FeedEntry, error) {
	r := reader{b: b}
	e := FeedEntry{Seq: seq, Tombstone: r.byte() == 1, Key: r.text(), Version: r.uint(), Offset: r.uint(), At: r.int(), Publication: r.text()}
	return e, r.done("feed entry")
}

func encodeMark(m MarkState) []byte {
	var w writer
	w.uint(m.Index)
	w.uint(m.Size)
	w.hash(m.Root)
	w.hash(m.Running)
	w.int(m.Time)
	return w.b
}

func decodeMark(b []byte) (MarkState, error) {
	r := reader{b: b}
	m := MarkState{Index: r.uint(), Size: r.uint(), Root: r.hash(), Running: r.hash(), Time: r.int()}
	return m, r.done("mark")
}
