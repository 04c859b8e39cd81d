package store

import (
	"encoding/binary"
	"fmt"
)

// SegmentFormat is the format byte of the segments this program writes.
const SegmentFormat = 1

// Segment is a section as the state keeps it. The first offset stands in its
// key; the record of Rows[i] has offset first + i.
type Segment struct {
	Leaf    uint64 // leaf index in the audit log
	Time    int64  // log time, ms
	Rows    []SegmentRow
	Section []byte // the section's bytes, untouched
}

// SegmentRow is what acceptance added to one record.
type SegmentRow struct {
	Place    int    // position in the section
	Version  uint64 // version of its key
	Previous uint64 // offset of the key's version before, 0 for the first
	Counter  uint64 // publisher's dense counter
}

// AppendSegment appends the bytes of a segment: format byte, log time, leaf,
// places of the section, accepted records, a bitmap of the places that became
// records (absent when all did), then per record its version, the distance
// back to the version before (0 none) and the counter, then the section.
func AppendSegment(dst []byte, first uint64, places int, s Segment) []byte {
	dst = append(dst, SegmentFormat)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Time))
	dst = binary.AppendUvarint(dst, s.Leaf)
	dst = binary.AppendUvarint(dst, uint64(places))
	dst = binary.AppendUvarint(dst, uint64(len(s.Rows)))
	if len(s.Rows) < places {
		at := len(dst)
		dst = append(dst, make([]byte, (places+7)/8)...)
		for _, r := range s.Rows {
			dst[at+r.Place/8] |= 1 << (r.Place % 8)
		}
	}
	for i, r := range s.Rows {
		back := uint64(0)
		if r.Previous != 0 {
			back = first + uint64(i) - r.Previous
		}
		dst = binary.AppendUvarint(dst, r.Version)
		dst = binary.AppendUvarint(dst, back)
		dst = binary.AppendUvarint(dst, r.Counter)
	}
	return append(dst, s.Section...)
}

// DecodeSegment reads what AppendSegment wrote for the segment whose first
// offset is first. Section lies inside b. It returns ErrUpgrade for an unknown
// format and ErrCorrupt for anything else that was not written here.
func DecodeSegment(first uint64, b []byte) (Segment, error) {
	if len(b) < 10 {
		return Segment{}, fmt.Errorf("segment of %d bytes: %w", len(b), ErrCorrupt)
	}
	if b[0] != SegmentFormat {
		return Segment{}, fmt.Errorf("segment of format %d: %w", b[0], ErrUpgrade)
	}
	s := Segment{Time: int64(binary.BigEndian.Uint64(b[1:9]))}
	b = b[9:]
	var places, count uint64
	for _, v := range []*uint64{&s.Leaf, &places, &count} {
		n, w := binary.Uvarint(b)
		if w <= 0 {
			return Segment{}, fmt.Errorf("segment header: %w", ErrCorrupt)
		}
		*v, b = n, b[w:]
	}
	if count > places || count > uint64(len(b)) || places > 1<<20 {
		return Segment{}, fmt.Errorf("segment of %d places: %w", places, ErrCorrupt)
	}
	var bitmap []byte
	if count < places {
		n := int(places+7) / 8
		if n > len(b) {
			return Segment{}, fmt.Errorf("segment bitmap: %w", ErrCorrupt)
		}
		bitmap, b = b[:n], b[n:]
	}
	s.Rows = make([]SegmentRow, count)
	place := 0
	for i := range s.Rows {
		for bitmap != nil && place < int(places) && bitmap[place/8]&(1<<(place%8)) == 0 {
			place++
		}
		if place >= int(places) {
			return Segment{}, fmt.Errorf("segment bitmap: %w", ErrCorrupt)
		}
		r := &s.Rows[i]
		r.Place = place
		place++
		for _, v := range []*uint64{&r.Version, &r.Previous, &r.Counter} {
			n, w := binary.Uvarint(b)
			if w <= 0 {
				return Segment{}, fmt.Errorf("segment row %d: %w", i, ErrCorrupt)
			}
			*v, b = n, b[w:]
		}
		if offset := first + uint64(i); r.Previous != 0 {
			if r.Previous >= offset {
				return Segment{}, fmt.Errorf("segment row %d: %w", i, ErrCorrupt)
			}
			r.Previous = offset - r.Previous
		}
	}
	s.Section = b
	return s, nil
}
