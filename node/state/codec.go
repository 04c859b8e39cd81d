package state

import (
	"encoding/binary"
	"fmt"
)

// writer appends the framing of stored values: uvarints, and texts behind their
// length.
type writer struct{ b []byte }

func (w *writer) byte(v byte)     { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)   { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)     { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) text(v string)   { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) bytes(v []byte)  { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) hash(v [32]byte) { w.b = append(w.b, v[:]...) }

// reader takes stored values apart. After the first fault everything read is
// zero and done gives ErrCorrupt, so callers check once.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) int() int64 {
	n, w := binary.Varint(r.b)
	if w <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }
func (r *reader) text() string  { return string(r.bytes()) }

func (r *reader) hash() (h [32]byte) {
	copy(h[:], r.take(32))
	return h
}

// done says whether everything was read and nothing is left.
func (r *reader) done(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("read %s: %w", what, ErrCorrupt)
	}
	return nil
}
