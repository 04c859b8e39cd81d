package state

import (
	"encoding/binary"
	"fmt"
)

// EntryFormat is the format byte of the entries this program writes.
const EntryFormat = 1

// MaxEntryBytes is the hard limit of an entry: 1.25 MiB (FORMATS §3).
const MaxEntryBytes = 5 << 18

// maxSections bounds the sections of an entry; even empty ones have a prefix.
const maxSections = 1 << 14

// Entry is one entry of the replicated log. An entry without sections (a raft
// configuration, an empty pack) only moves the applied index.
type Entry struct {
	Index    uint64 // raft index, from 1; rising, not necessarily dense
	Time     int64  // log time, Unix milliseconds UTC; one below the last counts as the last
	Sections [][]byte
}

// EncodeEntry gives the bytes the packer proposes: format byte, log time,
// number of sections, and each section behind its length.
func EncodeEntry(timeMs int64, sections [][]byte) []byte {
	size := 1 + 8 + binary.MaxVarintLen32
	for _, s := range sections {
		size += binary.MaxVarintLen32 + len(s)
	}
	b := make([]byte, 0, size)
	b = append(b, EntryFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(timeMs))
	b = binary.AppendUvarint(b, uint64(len(sections)))
	for _, s := range sections {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// DecodeEntry reads what EncodeEntry wrote; Sections lie inside b. It returns
// ErrUpgrade for an unknown format and ErrEntry for anything else that is not
// an entry.
func DecodeEntry(index uint64, b []byte) (Entry, error) {
	if len(b) > 0 && b[0] != EntryFormat {
		return Entry{}, fmt.Errorf("decode entry %d of format %d: %w", index, b[0], ErrUpgrade)
	}
	if len(b) < 10 {
		return Entry{}, fmt.Errorf("decode entry %d of %d bytes: %w", index, len(b), ErrEntry)
	}
	e := Entry{Index: index, Time: int64(binary.BigEndian.Uint64(b[1:9]))}
	b = b[9:]
	n, w := binary.Uvarint(b)
	if w <= 0 || n > maxSections || n > uint64(len(b)) || w != uvarintLen(n) {
		return Entry{}, fmt.Errorf("decode entry %d: number of sections: %w", index, ErrEntry)
	}
	b = b[w:]
	if n > 0 {
		e.Sections = make([][]byte, 0, n)
	}
	for range n {
		size, w := binary.Uvarint(b)
		if w <= 0 || w != uvarintLen(size) || size > uint64(len(b)-w) {
			return Entry{}, fmt.Errorf("decode entry %d: section %d: %w", index, len(e.Sections), ErrEntry)
		}
		b = b[w:]
		e.Sections = append(e.Sections, b[:size:size])
		b = b[size:]
	}
	if len(b) != 0 {
		return Entry{}, fmt.Errorf("decode entry %d: %d bytes too many: %w", index, len(b), ErrEntry)
	}
	return e, nil
}

// uvarintLen is the length of the one accepted encoding of v.
func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
