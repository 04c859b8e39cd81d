package store

import (
	"encoding/binary"
	"fmt"
)

// Tables of the state database: the first byte of each key (FORMATS §3). Fields
// follow big-endian, the resource number first; a name stands last, or behind
// its length where a number must follow it.
const (
	TableMeta      = 0x01 // one byte naming the value
	TableRing      = 0x02 // u16 index mod 4096 → index, tree size, running hash
	TableCatalogue = 0x03 // kind byte, name → JSON
	TableSchema    = 0x04 // resource, u32 version → text
	TableRequest   = 0x05 // len+system, request id → answer
	TableRequested = 0x06 // u64 time, len+system, request id → nothing
	TableLink      = 0x07 // node → epoch, number

	TableSegment    = 0x10 // resource, u64 first offset → segment
	TableKey        = 0x11 // resource, key → newest version
	TableDedup      = 0x12 // resource, u32 system, 16-byte hash → offset
	TableRun        = 0x13 // resource, len+producer, u64 epoch, u64 first seq → kind, value, count
	TableProducer   = 0x14 // resource, producer → epoch, last seq, open run
	TableHead       = 0x15 // resource → last offset, last feed sequence
	TableCounter    = 0x16 // u32 system → publisher counter, newest producer epoch
	TableQuarantine = 0x17 // u32 system, u64 number → refused record
	TableHeld       = 0x18 // u32 system → next number, items, bytes
	TableRefusedID  = 0x19 // resource, u32 system, 16-byte hash of id (producer form: of key), u64 number → bytes held

	TableLeaf    = 0x20 // u32 log, u64 index → leaf
	TableHash    = 0x21 // u32 log, u64 leaf index → the hashes that leaf completed, level 0 first
	TableSubject = 0x22 // kind byte, len+name, u64 leaf index → nothing

	TableCursor   = 0x30 // subscription → acknowledged, handed
	TableDelivery = 0x31 // len+subscription, u64 from → through, leaf
	TableAck      = 0x32 // len+subscription, u64 through → leaf

	TablePublication  = 0x40 // u64 number → JSON
	TablePublished    = 0x41 // resource, key → publication number
	TablePublicStates = 0x42 // state byte, u64 number → nothing
	TableFeed         = 0x43 // resource, u64 sequence → feed entry
)

// Key begins a key of a table.
func Key(table byte) []byte { return append(make([]byte, 0, 32), table) }

// ResourceKey appends the beginning of a key of a table per resource.
func ResourceKey(dst []byte, table byte, resource uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, table), resource)
}

// AppendName appends a name that is followed by further fields: its length in
// two bytes, then the name. Names are at most 512 bytes long.
func AppendName(dst []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(name))), name...)
}

// CutName splits what AppendName appended off the front of key.
func CutName(key []byte) (name string, rest []byte, ok bool) {
	if len(key) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(key))
	if len(key) < 2+n {
		return "", nil, false
	}
	return string(key[2 : 2+n]), key[2+n:], true
}

// SegmentKey appends the key of the segment whose first record has this offset.
func SegmentKey(dst []byte, resource uint32, first uint64) []byte {
	return binary.BigEndian.AppendUint64(ResourceKey(dst, TableSegment, resource), first)
}

// PrefixEnd is the first key after all keys that begin with prefix; nil when
// there is none.
func PrefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// SegmentAt finds the segment that holds the record at offset and gives its
// first offset. It returns ErrNotFound when no segment does.
func SegmentAt(r Reader, resource uint32, offset uint64) (first uint64, seg Segment, err error) {
	lower := ResourceKey(nil, TableSegment, resource)
	it := r.NewIter(lower, SegmentKey(nil, resource, offset+1))
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	if !it.Last() {
		if err := it.Error(); err != nil {
			return 0, Segment{}, err
		}
		return 0, Segment{}, ErrNotFound
	}
	first = binary.BigEndian.Uint64(it.Key()[5:])
	seg, err = DecodeSegment(first, append([]byte(nil), it.Value()...))
	if err != nil {
		return 0, Segment{}, fmt.Errorf("segment %d of resource %d: %w", first, resource, err)
	}
	if offset-first >= uint64(len(seg.Rows)) {
		return 0, Segment{}, ErrNotFound
	}
	return first, seg, nil
}
