package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// A section begins with a fixed prefix, so that the leader can stamp a place
// in the order without reading further:
//
//	0  format
//	1  kind
//	2  link epoch, big-endian
//	10 link number, big-endian
//	18 CRC-32C of all other bytes, big-endian
//	22 uvarint length of the header, header, payload
const (
	atKind   = 1
	atEpoch  = 2
	atNumber = 10
	atCRC    = 18
	atHeader = 22
)

const flagStrict = 1

// Longest section: payload, header, prefix and the header's length.
const maxSectionBytes = MaxRawBytes + MaxHeaderBytes + atHeader + binary.MaxVarintLen64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sectionCRC(section []byte) uint32 {
	return crc32.Update(crc32.Checksum(section[:atCRC], castagnoli), castagnoli, section[atHeader:])
}

// Restamp writes another place in the node's order into a section, in place,
// and renews its checksum. The section MUST have passed ParseHeader; of what is
// shorter than a section's prefix nothing is touched.
func Restamp(section []byte, linkEpoch, linkNumber uint64) {
	if len(section) < atHeader {
		return
	}
	binary.BigEndian.PutUint64(section[atEpoch:], linkEpoch)
	binary.BigEndian.PutUint64(section[atNumber:], linkNumber)
	binary.BigEndian.PutUint32(section[atCRC:], sectionCRC(section))
}

// RecordID is the id of a record of the section, in either form.
func (h *Header) RecordID(r *SectionRecord) string {
	return h.id(r.Producer, r.Seq, r.ID)
}

// RefusalID is the id of a refused record of the section, in either form.
func (h *Header) RefusalID(r *Refusal) string {
	return h.id(r.Producer, r.Seq, r.ID)
}

func (h *Header) id(producer int, seq uint64, id string) string {
	if producer >= 0 && producer < len(h.Producers) {
		p := h.Producers[producer]
		return ProducerID(p.ID, p.Epoch, seq)
	}
	return id
}

// RecordSecret is the secret of a record of the section at its place: the
// publisher's where it sent one, else derived from the section's.
func (h *Header) RecordSecret(r *SectionRecord, place int) [32]byte {
	if len(r.Secret) == 32 {
		return [32]byte(r.Secret)
	}
	return RecordSecret(h.Secret, place)
}

// seal makes a section of a header and its payload.
func seal(h Header, kind Kind, count int, payload []byte) ([]byte, error) {
	h.Kind, h.Count, h.RawBytes = kind, count, len(payload)
	if count > MaxCount || len(payload) > MaxRawBytes {
		return nil, fmt.Errorf("seal %s: %w", kind, ErrSectionTooLarge)
	}
	switch h.Codec {
	case CodecNone:
	case CodecS2:
		if packed := s2.Encode(nil, payload); len(packed) < len(payload) {
			payload = packed
		} else {
			h.Codec = CodecNone
		}
	default:
		return nil, fmt.Errorf("seal %s: %w: unknown codec", kind, ErrSection)
	}
	header := h.encode()
	if len(header) > MaxHeaderBytes {
		return nil, fmt.Errorf("seal %s: %w", kind, ErrSectionTooLarge)
	}
	b := make([]byte, atHeader, atHeader+binary.MaxVarintLen32+len(header)+len(payload))
	b[0], b[atKind] = SectionFormat, byte(kind)
	b = binary.AppendUvarint(b, uint64(len(header)))
	b = append(append(b, header...), payload...)
	Restamp(b, h.LinkEpoch, h.LinkNumber)
	return b, nil
}

func (h *Header) encode() []byte {
	var w writer
	flags := uint64(0)
	if h.Strict {
		flags |= flagStrict
	}
	w.uvarint(flags)
	w.uvarint(uint64(h.Resource))
	w.uvarint(h.Revision)
	w.text(h.Node)
	w.b = append(w.b, h.Codec)
	w.uvarint(uint64(h.Dictionary))
	w.uvarint(uint64(h.KeyEpoch))
	w.uvarint(uint64(h.Count))
	w.uvarint(uint64(h.RawBytes))
	w.b = append(w.b, h.Secret[:]...)
	w.uvarint(uint64(len(h.Systems)))
	for _, s := range h.Systems {
		w.text(s)
	}
	w.uvarint(uint64(len(h.Producers)))
	for _, p := range h.Producers {
		w.text(p.ID)
		w.uvarint(p.Epoch)
	}
	return w.b
}

// ParseHeader reads what a section says about itself and checks its checksum;
// the payload is not unpacked. It returns ErrSection, or ErrFormat for formats,
// kinds, flags and codecs that only a newer program knows.
func ParseHeader(section []byte) (Header, error) {
	h, _, err := parse(section)
	return h, err
}

// parse gives the header and the payload as it lies there.
func parse(section []byte) (h Header, payload []byte, err error) {
	if len(section) < atHeader || len(section) > maxSectionBytes {
		return Header{}, nil, fmt.Errorf("parse header: %w: %d bytes long", ErrSection, len(section))
	}
	if section[0] != SectionFormat {
		return Header{}, nil, fmt.Errorf("parse header: %w (format %d)", ErrFormat, section[0])
	}
	if binary.BigEndian.Uint32(section[atCRC:]) != sectionCRC(section) {
		return Header{}, nil, fmt.Errorf("parse header: %w: checksum differs", ErrSection)
	}
	h.Kind = Kind(section[atKind])
	if h.Kind < KindRecords || h.Kind > KindMark {
		return Header{}, nil, fmt.Errorf("parse header: %w (kind %d)", ErrFormat, h.Kind)
	}
	h.LinkEpoch = binary.BigEndian.Uint64(section[atEpoch:])
	h.LinkNumber = binary.BigEndian.Uint64(section[atNumber:])
	r := reader{b: section[atHeader:]}
	header := reader{b: r.take(r.upTo(MaxHeaderBytes))}
	if r.bad {
		return Header{}, nil, fmt.Errorf("parse header: %w: framing", ErrSection)
	}
	if err := h.decode(&header); err != nil {
		return Header{}, nil, fmt.Errorf("parse header: %w", err)
	}
	return h, r.b, nil
}

func (h *Header) decode(r *reader) error {
	flags := r.uvarint()
	h.Strict = flags&flagStrict != 0
	h.Resource = r.uint32()
	h.Revision = r.uvarint()
	h.Node = r.text()
	h.Codec = r.byte()
	h.Dictionary = r.uint32()
	h.KeyEpoch = r.uint32()
	h.Count = r.upTo(MaxCount)
	h.RawBytes = r.upTo(MaxRawBytes)
	r.hash(&h.Secret)
	for n := r.upTo(len(r.b)); n > 0 && !r.bad; n-- {
		h.Systems = append(h.Systems, r.text())
	}
	for n := r.upTo(len(r.b)); n > 0 && !r.bad; n-- {
		h.Producers = append(h.Producers, Producer{ID: r.text(), Epoch: r.uvarint()})
	}
	switch {
	case r.bad || len(r.b) != 0:
		return fmt.Errorf("%w: header", ErrSection)
	case flags&^uint64(flagStrict) != 0:
		return fmt.Errorf("%w (flags %#x)", ErrFormat, flags)
	case h.Codec > CodecS2:
		return fmt.Errorf("%w (codec %d)", ErrFormat, h.Codec)
	}
	return nil
}

// open gives the header and the unpacked payload of a section of a kind. With
// CodecNone the payload is part of the section.
func open(section []byte, want Kind) (Header, []byte, error) {
	h, payload, err := parse(section)
	if err != nil {
		return Header{}, nil, err
	}
	if h.Kind != want {
		return Header{}, nil, fmt.Errorf("open %s: %w: it is of kind %s", want, ErrSection, h.Kind)
	}
	if h.Codec == CodecS2 {
		if n, err := s2.DecodedLen(payload); err != nil || n != h.RawBytes {
			return Header{}, nil, fmt.Errorf("open %s: %w: unpacked length differs", want, ErrSection)
		}
		if payload, err = s2.Decode(nil, payload); err != nil {
			return Header{}, nil, fmt.Errorf("open %s: %w: it does not unpack", want, ErrSection)
		}
	}
	if len(payload) != h.RawBytes {
		return Header{}, nil, fmt.Errorf("open %s: %w: length differs", want, ErrSection)
	}
	return h, payload, nil
}
