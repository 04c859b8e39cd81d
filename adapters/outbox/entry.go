package outbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// hashBytes is the length of a row hash: HMAC-SHA-256 cut to 128 bits, which
// two different rows of one key share by accident never in practice.
const hashBytes = 16

type rowHash [hashBytes]byte

// entry is one waiting record.
type entry struct {
	at     int64 // ms UTC when it was queued; names the day that counts it
	hash   rowHash
	stream string
	unit   string
	key    string
	origin []byte
	wire   []byte // the record's line, seq included
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, 64+len(e.stream)+len(e.unit)+len(e.key)+len(e.origin)+len(e.wire))
	b = append(b, formatByte)
	b = binary.AppendUvarint(b, uint64(e.at))
	b = append(b, e.hash[:]...)
	b = appendName(b, e.stream)
	b = appendName(b, e.unit)
	b = appendName(b, e.key)
	b = binary.AppendUvarint(b, uint64(len(e.origin)))
	b = append(b, e.origin...)
	return append(b, e.wire...)
}

// reader takes fields off a stored value; the first short field spoils it.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) name() string { return string(r.take(r.uvarint())) }

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// decodeEntry reads what encode wrote; wire and origin are slices of b.
func decodeEntry(b []byte) (entry, error) {
	r := reader{b: b}
	if f := r.byte(); f != formatByte {
		return entry{}, fmt.Errorf("entry format %d: %w", f, ErrFormat)
	}
	e := entry{at: int64(r.uvarint())}
	copy(e.hash[:], r.take(hashBytes))
	e.stream, e.unit, e.key = r.name(), r.name(), r.name()
	e.origin = r.take(r.uvarint())
	e.wire = r.b
	if r.bad {
		return entry{}, fmt.Errorf("entry is cut short: %w", ErrCorrupt)
	}
	return e, nil
}

// rowState is what was last sent of one key. Two hashes, because the newest
// may still be refused by the bus: then the settled one holds again.
type rowState struct {
	flags   byte // hasSettled, hasPending
	settled rowHash
	pending rowHash
	seq     uint64 // of pending
}

const (
	hasSettled = 1 << iota
	hasPending
)

func (s *rowState) current() (rowHash, bool) {
	if s.flags&hasPending != 0 {
		return s.pending, true
	}
	return s.settled, s.flags&hasSettled != 0
}

func (s *rowState) encode() []byte {
	b := append(make([]byte, 0, 64), formatByte, s.flags)
	if s.flags&hasSettled != 0 {
		b = append(b, s.settled[:]...)
	}
	if s.flags&hasPending != 0 {
		b = append(b, s.pending[:]...)
		b = binary.AppendUvarint(b, s.seq)
	}
	return b
}

func decodeRowState(b []byte) (rowState, error) {
	r := reader{b: b}
	if f := r.byte(); f != formatByte {
		return rowState{}, fmt.Errorf("row hash format %d: %w", f, ErrFormat)
	}
	s := rowState{flags: r.byte()}
	if s.flags&hasSettled != 0 {
		copy(s.settled[:], r.take(hashBytes))
	}
	if s.flags&hasPending != 0 {
		copy(s.pending[:], r.take(hashBytes))
		s.seq = r.uvarint()
	}
	if r.bad {
		return rowState{}, fmt.Errorf("row hash is cut short: %w", ErrCorrupt)
	}
	return s, nil
}

// encodeJSON stores the small rows that are written once a batch.
func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // only plain structs of ours come here
		panic(fmt.Sprintf("outbox: encode %T: %v", v, err))
	}
	return append([]byte{formatByte}, b...)
}

func decodeJSON(b []byte, v any) error {
	if len(b) == 0 || b[0] != formatByte {
		return fmt.Errorf("row of %T: %w", v, ErrFormat)
	}
	if err := json.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("row of %T: %w: %w", v, ErrCorrupt, err)
	}
	return nil
}
