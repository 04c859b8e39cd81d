package exchange

import (
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of a section (FORMATS §3).
const (
	sectionRawBytes = 256 << 10 // a node closes a section here
	strictRawBytes  = 1 << 20   // an all-or-nothing batch is one section
	sectionRecords  = 4096
	recordOverhead  = 160 // framing of a record, its secret and numbers, at most
)

// section is an encoded section with the places of its records in the batch.
type section struct {
	bytes   []byte
	members []int
	refused bool
}

// sections groups the waiting records in their order: accepted ones and
// refused ones never share a section, so that link order is sequence order.
// Records that are none get their answer at once.
func (b *batch) sections(waiting []int) ([]section, error) {
	var out []section
	var group []int
	var raw int
	refused := false
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		sec, err := b.encode(group)
		group, raw = nil, 0
		out = append(out, sec)
		return err
	}
	for _, i := range waiting {
		j := &b.judged[i]
		if j.problem != nil {
			if err := b.unread(i, j); err != nil {
				return nil, err
			}
			continue
		}
		size := b.size(j)
		if b.in.Strict && (j.refused() || raw+size > strictRawBytes) {
			return nil, b.strictRefusal(i, j)
		}
		full := !b.in.Strict && (raw+size > sectionRawBytes || len(group) == sectionRecords)
		if len(group) > 0 && (refused != j.refused() || full) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		refused, raw, group = j.refused(), raw+size, append(group, i)
	}
	return out, flush()
}

// size is what a record takes in its section, at most. Of a refused one that is
// its reasons too: thirty-two of them are longer than many a record.
func (b *batch) size(j *judged) int {
	n := len(j.key) + len(j.id) + len(j.rec.Reason) + len(j.rec.Traceparent) + recordOverhead
	if !j.refused() {
		return n + len(j.rec.Data)
	}
	reasons, _ := keptReasons(j.violations, j.more)
	return n + len(cutBody(j.rec.Data)) + len(reasons)
}

// unread answers a line that is no record. A single request, and a strict
// one, end with it. In the producer form it takes no number, and says so by a
// status of its own.
func (b *batch) unread(i int, j *judged) error {
	if b.in.Single || b.in.Strict || j.problem.Code == api.CodeInternal {
		return j.problem
	}
	item := &b.items[i]
	item.ID, item.Key, item.Seq = j.rec.ID, j.rec.Key, j.rec.Seq
	item.Status = api.StatusRejected
	if b.in.Producer != "" {
		item.Status = string(j.problem.Code)
	}
	for _, e := range j.problem.Errors {
		e.Message = api.In(b.in.Language, e.Message)
		item.Errors = append(item.Errors, e)
	}
	if len(item.Errors) == 0 {
		item.Errors = []api.FieldError{{Code: string(j.problem.Code), Keyword: string(j.problem.Code), Message: api.In(b.in.Language, j.problem.Detail)}}
	}
	return nil
}

// strictRefusal is the answer to an all-or-nothing batch with a fault, or that
// is too long.
func (b *batch) strictRefusal(i int, j *judged) error {
	if !j.refused() {
		return api.Refuse(api.CodeTooLarge, "整批接收的一批最多%[1]d字节 / an all-or-nothing batch holds at most %[1]d bytes", strictRawBytes)
	}
	p := api.Refuse(api.CodeInvalidRecord, strictDetail, i+1)
	p.Errors, p.More = b.fieldErrors(j), j.more
	return p
}

// strictDetail says which line refused an all-or-nothing batch.
const strictDetail = "第%[1]d条被退回,整批未接收 / line %[1]d was refused, so nothing of the batch was taken"

// header of a section of this batch. The credential stands beside the system:
// state asks whether it is still in force when the section is applied.
func (b *batch) header(kind record.Kind, count int) (record.Header, error) {
	h := record.Header{Kind: kind, Strict: b.in.Strict, Resource: b.number, Revision: b.resource.Revision, Node: b.s.config.Node, Codec: 1, Count: count, Systems: []string{b.caller.System.FullName() + "/" + b.caller.Credential}}
	if b.in.Producer != "" {
		h.Producers = []record.Producer{{ID: b.in.Producer, Epoch: b.in.Epoch}}
	}
	return h, b.s.secret(&h)
}

func (b *batch) encode(group []int) (section, error) {
	sec := section{members: group, refused: b.judged[group[0]].refused()}
	kind := record.KindRecords
	if sec.refused {
		kind = record.KindRefusals
	}
	h, err := b.header(kind, len(group))
	if err != nil {
		return sec, err
	}
	producer := -1
	if b.in.Producer != "" {
		producer = 0
	}
	if sec.refused {
		sec.bytes, err = record.EncodeRefusals(h, b.refusals(group, producer))
	} else {
		sec.bytes, err = record.EncodeRecords(h, b.records(group, producer))
	}
	if errors.Is(err, record.ErrSectionTooLarge) {
		return sec, api.Refuse(api.CodeTooLarge, "记录放不进一个段 / the record does not fit a section")
	}
	if err != nil {
		return sec, api.Internal(fmt.Errorf("encode section: %w", err))
	}
	return sec, nil
}

func (b *batch) records(group []int, producer int) []record.SectionRecord {
	out := make([]record.SectionRecord, len(group))
	for k, i := range group {
		j := &b.judged[i]
		out[k] = record.SectionRecord{Op: j.rec.Op, Producer: producer, Seq: j.rec.Seq, Key: j.key, OccurredAt: j.rec.OccurredAt, SchemaVersion: j.version,
			SourceVersion: j.rec.SourceVersion, Reason: j.rec.Reason, Secret: j.rec.Secret, Traceparent: j.rec.Traceparent, Body: j.rec.Data}
		if producer < 0 {
			out[k].ID = j.id
		}
	}
	return out
}

func (b *batch) refusals(group []int, producer int) []record.Refusal {
	out := make([]record.Refusal, len(group))
	for k, i := range group {
		j := &b.judged[i]
		reasons, more := keptReasons(j.violations, j.more)
		out[k] = record.Refusal{Producer: producer, Seq: j.rec.Seq, Key: j.key, Op: j.rec.Op, SchemaVersion: j.version, Errors: reasons, More: more, Body: cutBody(j.rec.Data)}
		if producer < 0 {
			out[k].ID = j.id
		}
	}
	return out
}

// keptReasons are the reasons as quarantine keeps them, and how many it leaves
// out. A reason may carry a schema's list of allowed values: what does not fit
// is counted, and the last resort is a reason without its list.
func keptReasons(vs []schemas.Violation, more int) ([]byte, int) {
	for n := len(vs); n > 0; n-- {
		if b := schemas.EncodeViolations(vs[:n]); len(b) <= record.MaxRefusedBytes {
			return b, more + len(vs) - n
		}
	}
	first := vs[0]
	first.Params = nil
	return schemas.EncodeViolations([]schemas.Violation{first}), more + len(vs) - 1
}

func cutBody(b []byte) []byte {
	if len(b) > record.MaxRefusedBytes {
		return b[:record.MaxRefusedBytes]
	}
	return b
}
