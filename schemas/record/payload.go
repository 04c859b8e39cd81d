package record

import "fmt"

// What a coded record has beside the fields that all have. A bit is set if and
// only if its field is not empty.
const (
	hasProducer      = 1 << iota // producer and seq instead of source and id
	hasOccurredAt                // varint
	hasSourceVersion             // varint
	hasReason
	hasSecret // 32 bytes
	hasTraceparent
	hasBody
)

// EncodeRecords makes a section of records, in the order given. It returns
// ErrSection for what DecodeRecords would refuse, ErrSectionTooLarge beyond the
// bounds.
func EncodeRecords(h Header, recs []SectionRecord) ([]byte, error) {
	size := 0
	for i := range recs {
		size += len(recs[i].Body) + 96
	}
	w := writer{make([]byte, 0, size)}
	for i := range recs {
		r := &recs[i]
		if r.Op != Upsert && r.Op != Withdraw || len(r.Secret) != 0 && len(r.Secret) != 32 || !h.names(r.System, r.Producer) {
			return nil, fmt.Errorf("encode record %d: %w", i, ErrSection)
		}
		if r.Producer >= 0 && (r.Source != "" || r.ID != "" && r.ID != h.RecordID(r)) {
			return nil, fmt.Errorf("encode record %d: %w: id of another form", i, ErrSection)
		}
		w.record(r)
	}
	return seal(h, KindRecords, len(recs), w.b)
}

// names says whether a system and a producer, or none, are in the lists.
func (h *Header) names(system, producer int) bool {
	return system >= 0 && system < len(h.Systems) && producer >= -1 && producer < len(h.Producers)
}

func (r *SectionRecord) bits() (bits byte) {
	for i, has := range [...]bool{
		r.Producer >= 0, r.OccurredAt != 0, r.SourceVersion != nil, r.Reason != "",
		len(r.Secret) != 0, r.Traceparent != "", len(r.Body) != 0,
	} {
		if has {
			bits |= 1 << i
		}
	}
	return bits
}

func (w *writer) record(r *SectionRecord) {
	bits := r.bits()
	w.b = append(w.b, byte(r.Op), bits)
	w.uvarint(uint64(r.System))
	if bits&hasProducer != 0 {
		w.uvarint(uint64(r.Producer))
		w.uvarint(r.Seq)
	} else {
		w.text(r.Source)
		w.text(r.ID)
	}
	w.text(r.Key)
	w.uvarint(uint64(r.SchemaVersion))
	if bits&hasOccurredAt != 0 {
		w.varint(r.OccurredAt)
	}
	if bits&hasSourceVersion != 0 {
		w.varint(*r.SourceVersion)
	}
	if bits&hasReason != 0 {
		w.text(r.Reason)
	}
	w.b = append(w.b, r.Secret...)
	if bits&hasTraceparent != 0 {
		w.text(r.Traceparent)
	}
	if bits&hasBody != 0 {
		w.bytes(r.Body)
	}
}

// DecodeRecords reads a section of records. Bodies and secrets may be parts of
// the section given; it MUST NOT be changed while they are in use. It returns
// ErrSection or ErrFormat.
func DecodeRecords(section []byte) (Header, []SectionRecord, error) {
	h, payload, err := open(section, KindRecords)
	if err != nil {
		return Header{}, nil, err
	}
	r := reader{b: payload}
	recs := make([]SectionRecord, fits(h.Count, payload, 7))
	for i := range recs {
		if r.record(&h, &recs[i]); r.bad {
			break
		}
	}
	if err := r.done(KindRecords, h.Count, len(recs)); err != nil {
		return Header{}, nil, err
	}
	return h, recs, nil
}

// fits is count, or less where entries of at least the given size cannot be
// that many in the payload; the reader then misses some and says so.
func fits(count int, payload []byte, least int) int { return min(count, len(payload)/least+1) }

// done checks that the payload held all that was counted and nothing else.
func (r *reader) done(kind Kind, count, read int) error {
	if r.bad || len(r.b) != 0 || count != read {
		return fmt.Errorf("decode %s: %w: payload", kind, ErrSection)
	}
	return nil
}

func (r *reader) record(h *Header, to *SectionRecord) {
	to.Op = Op(r.byte())
	bits := r.byte()
	to.System = r.below(len(h.Systems))
	to.Producer = -1
	if bits&hasProducer != 0 {
		to.Producer = r.below(len(h.Producers))
		to.Seq = r.uvarint()
	} else {
		to.Source = r.text()
		to.ID = r.text()
	}
	to.Key = r.text()
	to.SchemaVersion = r.uint32()
	if bits&hasOccurredAt != 0 {
		to.OccurredAt = r.varint()
	}
	if bits&hasSourceVersion != 0 {
		n := r.varint()
		to.SourceVersion = &n
	}
	if bits&hasReason != 0 {
		to.Reason = r.text()
	}
	if bits&hasSecret != 0 {
		to.Secret = r.take(32)
	}
	if bits&hasTraceparent != 0 {
		to.Traceparent = r.text()
	}
	if bits&hasBody != 0 {
		to.Body = r.bytes()
	}
	if to.Op != Upsert && to.Op != Withdraw || to.bits() != bits {
		r.fail()
	}
}

// EncodeRefusals makes a section of refused records. It returns ErrSection for
// what DecodeRefusals would refuse, ErrSectionTooLarge beyond the bounds.
func EncodeRefusals(h Header, rs []Refusal) ([]byte, error) {
	var w writer
	for i := range rs {
		r := &rs[i]
		if r.Op > Withdraw || r.More < 0 || !h.names(r.System, r.Producer) {
			return nil, fmt.Errorf("encode refusal %d: %w", i, ErrSection)
		}
		if r.Producer >= 0 && r.ID != "" && r.ID != h.RefusalID(r) {
			return nil, fmt.Errorf("encode refusal %d: %w: id of another form", i, ErrSection)
		}
		if len(r.Body) > MaxRefusedBytes || len(r.Errors) > MaxRefusedBytes {
			return nil, fmt.Errorf("encode refusal %d: %w", i, ErrSectionTooLarge)
		}
		w.uvarint(uint64(r.Op))
		w.uvarint(uint64(r.System))
		w.uvarint(uint64(r.Producer + 1))
		if r.Producer >= 0 {
			w.uvarint(r.Seq)
		} else {
			w.text(r.ID)
		}
		w.text(r.Key)
		w.uvarint(uint64(r.SchemaVersion))
		w.bytes(r.Errors)
		w.uvarint(uint64(r.More))
		w.bytes(r.Body)
	}
	return seal(h, KindRefusals, len(rs), w.b)
}

// DecodeRefusals reads a section of refused records; see DecodeRecords.
func DecodeRefusals(section []byte) (Header, []Refusal, error) {
	h, payload, err := open(section, KindRefusals)
	if err != nil {
		return Header{}, nil, err
	}
	r := reader{b: payload}
	rs := make([]Refusal, fits(h.Count, payload, 9))
	for i := range rs {
		to := &rs[i]
		to.Op = Op(r.upTo(int(Withdraw)))
		to.System = r.below(len(h.Systems))
		to.Producer = r.upTo(len(h.Producers)) - 1
		if to.Producer >= 0 {
			to.Seq = r.uvarint()
		} else {
			to.ID = r.text()
		}
		to.Key = r.text()
		to.SchemaVersion = r.uint32()
		to.Errors = r.take(r.upTo(MaxRefusedBytes))
		to.More = r.upTo(maxInt32)
		to.Body = r.take(r.upTo(MaxRefusedBytes))
		if r.bad {
			break
		}
	}
	if err := r.done(KindRefusals, h.Count, len(rs)); err != nil {
		return Header{}, nil, err
	}
	return h, rs, nil
}

// Bound of counters that are an int in memory, the same on every machine.
const maxInt32 = 1<<31 - 1

// EncodeCursors makes a section of cursor moves. It returns ErrSection for what
// DecodeCursors would refuse, ErrSectionTooLarge beyond the bounds.
func EncodeCursors(h Header, ms []CursorMove) ([]byte, error) {
	var w writer
	for i := range ms {
		m := &ms[i]
		if m.Action != ActionHanded && m.Action != ActionAck ||
			m.Delivered < 0 || m.Delivered > maxInt32 || m.Filtered < 0 || m.Filtered > maxInt32 {
			return nil, fmt.Errorf("encode cursor move %d: %w", i, ErrSection)
		}
		w.text(m.Subscription)
		w.b = append(w.b, m.Action)
		w.uvarint(m.From)
		w.uvarint(m.Through)
		w.uvarint(uint64(m.Delivered))
		w.uvarint(uint64(m.Filtered))
		w.uvarint(m.GrantRevision)
		w.b = append(w.b, m.Root[:]...)
		w.text(m.System)
	}
	return seal(h, KindCursors, len(ms), w.b)
}

// DecodeCursors reads a section of cursor moves. It returns ErrSection or
// ErrFormat.
func DecodeCursors(section []byte) (Header, []CursorMove, error) {
	h, payload, err := open(section, KindCursors)
	if err != nil {
		return Header{}, nil, err
	}
	r := reader{b: payload}
	ms := make([]CursorMove, fits(h.Count, payload, 40))
	for i := range ms {
		m := &ms[i]
		m.Subscription = r.text()
		m.Action = r.byte()
		m.From = r.uvarint()
		m.Through = r.uvarint()
		m.Delivered = r.upTo(maxInt32)
		m.Filtered = r.upTo(maxInt32)
		m.GrantRevision = r.uvarint()
		r.hash(&m.Root)
		m.System = r.text()
		if m.Action != ActionHanded && m.Action != ActionAck {
			r.fail()
		}
		if r.bad {
			break
		}
	}
	if err := r.done(KindCursors, h.Count, len(ms)); err != nil {
		return Header{}, nil, err
	}
	return h, ms, nil
}

// EncodeCommand makes a section of one administrative command, strict JSON. It
// returns ErrSectionTooLarge beyond the bounds.
func EncodeCommand(h Header, command []byte) ([]byte, error) {
	return seal(h, KindCommand, 1, command)
}

// DecodeCommand reads a section of one administrative command; see
// DecodeRecords. The command's own bytes are not looked at.
func DecodeCommand(section []byte) (Header, []byte, error) {
	h, payload, err := open(section, KindCommand)
	if err == nil && h.Count != 1 {
		err = fmt.Errorf("decode %s: %w: not one", KindCommand, ErrSection)
	}
	if err != nil {
		return Header{}, nil, err
	}
	return h, payload, nil
}

// EncodeMark makes a section of one mark. It returns ErrSectionTooLarge for a
// header beyond the bounds.
func EncodeMark(h Header, m Mark) ([]byte, error) {
	var w writer
	w.uvarint(m.Index)
	w.uvarint(m.Size)
	w.b = append(append(w.b, m.Root[:]...), m.Running[:]...)
	return seal(h, KindMark, 1, w.b)
}

// DecodeMark reads a section of one mark. It returns ErrSection or ErrFormat.
func DecodeMark(section []byte) (Header, Mark, error) {
	h, payload, err := open(section, KindMark)
	if err != nil {
		return Header{}, Mark{}, err
	}
	r := reader{b: payload}
	m := Mark{Index: r.uvarint(), Size: r.uvarint()}
	r.hash(&m.Root)
	r.hash(&m.Running)
	if err := r.done(KindMark, h.Count, 1); err != nil {
		return Header{}, Mark{}, err
	}
	return h, m, nil
}
