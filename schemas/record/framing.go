package record

import (
	"encoding/binary"
	"math"
)

// writer appends the framing of sections: uvarints, and texts behind their
// length.
type writer struct{ b []byte }

func (w *writer) uvarint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) varint(n int64)   { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) text(s string) {
	w.uvarint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(b []byte) {
	w.uvarint(uint64(len(b)))
	w.b = append(w.b, b...)
}

// reader takes the same framing apart. After the first fault bad is set and
// everything read is zero, so that callers check once. Numbers must be in
// their shortest form: one value has one coding.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) uvarint() uint64 {
	n, used := binary.Uvarint(r.b)
	if used <= 0 || used > 1 && r.b[used-1] == 0 {
		r.fail()
		return 0
	}
	r.b = r.b[used:]
	return n
}

func (r *reader) varint() int64 {
	n := r.uvarint()
	v := int64(n >> 1)
	if n&1 != 0 {
		v = ^v
	}
	return v
}

func (r *reader) uint32() uint32 {
	n := r.uvarint()
	if n > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(n)
}

// upTo reads a number of at most limit.
func (r *reader) upTo(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail()
		return 0
	}
	return int(n)
}

// below reads an index into a list of n.
func (r *reader) below(n int) int {
	i := r.uvarint()
	if i >= uint64(n) {
		r.fail()
		return 0
	}
	return int(i)
}

func (r *reader) byte() byte {
	b := r.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *reader) hash(to *[32]byte) { copy(to[:], r.take(len(to))) }

// take gives the next n bytes, nil for none.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail()
	}
	if n == 0 || r.bad {
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) bytes() []byte { return r.take(r.upTo(len(r.b))) }
func (r *reader) text() string  { return string(r.bytes()) }
