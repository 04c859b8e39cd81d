package exchange

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
)

// settle writes the results of one section into the items.
func (b *batch) settle(sec *section, r *state.Result) error {
	switch {
	case r.Code == state.Refused && len(r.Records) == 0:
		return refusal(r.Err)
	case len(r.Records) != len(sec.members):
		return api.Internal(fmt.Errorf("section of %d records has %d results, code %s", len(sec.members), len(r.Records), r.Code))
	}
	v, err := b.s.machine.View()
	if err != nil {
		return problem(err)
	}
	defer v.Close()
	for k, i := range sec.members {
		j, item, res := &b.judged[i], &b.items[i], &r.Records[k]
		item.ID, item.Key, item.Seq, item.Warnings = j.id, j.key, j.rec.Seq, j.warnings
		item.Offset, item.Version, item.Ordinal, item.Quarantine = res.Offset, res.Version, res.Ordinal, res.Quarantine
		if res.HasLeaf {
			item.Leaf = audit.Address(b.log, res.Leaf)
		}
		if err := b.conclude(v, i, res); err != nil {
			return err
		}
	}
	if r.Code == state.Refused {
		return b.strictRefused(sec)
	}
	return nil
}

// conclude turns state's word on a record into the item's status and reasons.
func (b *batch) conclude(v *state.View, i int, res *state.RecordResult) error {
	j := &b.judged[i]
	switch res.Status {
	case state.StatusAccepted:
		b.items[i].Status = api.StatusAccepted
	case state.StatusDuplicate:
		return b.known(v, i, res)
	case state.StatusStale:
		b.items[i].Status = api.StatusStale
	case state.StatusRejected:
		switch {
		case res.Refused && !j.refused(): // a good record under a number that a refusal took
			b.ahead(i, res.Expected)
		case res.Refused:
			return b.refusedBefore(v, i, res)
		default:
			b.reject(i, b.codeOf(j), b.fieldErrors(j), j.more)
		}
	case state.StatusConflict:
		b.conflict(i)
	case state.StatusAhead:
		b.ahead(i, res.Expected)
	case state.StatusKeyOwned, state.StatusNotGranted, state.StatusUnapplied, state.StatusNotFound:
		code := res.Status.String()
		b.reject(i, api.Code(code), []api.FieldError{b.reason(code)}, 0)
	default: // sequence_gap, fenced, quarantine_full: nothing was consumed
		b.untaken(i, res.Status.String(), res.Expected)
	}
	return nil
}

// codeOf is the problem of a refused record alone.
func (b *batch) codeOf(j *judged) api.Code {
	if len(j.violations) > 0 && j.violations[0].Code == string(api.CodeSchemaUnknown) {
		return api.CodeSchemaUnknown
	}
	return api.CodeInvalidRecord
}

// reject is the final answer to a record that was not accepted.
func (b *batch) reject(i int, code api.Code, reasons []api.FieldError, more int) {
	b.codes[i] = code
	b.items[i].Status, b.items[i].Errors, b.items[i].More = api.StatusRejected, reasons, more
}

// untaken is the answer to a record that consumed nothing: the publisher does
// what the status asks for and sends it again.
func (b *batch) untaken(i int, status string, expected uint64) {
	b.codes[i] = api.Code(status)
	b.items[i].Status, b.items[i].Expected = status, expected
	b.items[i].Errors = []api.FieldError{b.reason(status)}
}

// known compares a record whose id or seq was accepted before with the one that
// is there: the same is a duplicate, whatever the schema says by now; another
// is a conflict, or the sign of an outbox that lags behind the bus. Where the
// known one is gone, the id alone decides.
func (b *batch) known(v *state.View, i int, res *state.RecordResult) error {
	there, err := v.RecordAt(b.in.Resource, res.Known)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return problem(err)
	}
	switch {
	case err != nil || b.same(&b.judged[i], &there):
		b.items[i].Status = api.StatusDuplicate
	case b.in.Producer != "":
		b.ahead(i, res.Expected)
	default:
		b.conflict(i)
	}
	return nil
}

func (b *batch) ahead(i int, last uint64) {
	b.items[i] = api.PublishItem{ID: b.items[i].ID, Key: b.items[i].Key, Seq: b.items[i].Seq}
	b.untaken(i, string(api.CodeAhead), last)
}

func (b *batch) conflict(i int) {
	b.items[i] = api.PublishItem{ID: b.items[i].ID, Key: b.items[i].Key}
	b.reject(i, api.CodeIDConflict, []api.FieldError{b.reason(string(api.CodeIDConflict))}, 0)
}

// same compares a record with a stored one by what makes it that record
// (FORMATS §2).
func (b *batch) same(j *judged, there *state.StoredRecord) bool {
	return there.Op == j.rec.Op && there.Key == j.key && there.Reason == j.rec.Reason && slices.Equal(there.Body, j.rec.Data)
}

// refusedBefore answers a sequence number that was refused before: with the
// reasons of then while quarantine keeps them. Another record under that number
// means that the outbox lags behind the bus.
func (b *batch) refusedBefore(v *state.View, i int, res *state.RecordResult) error {
	j := &b.judged[i]
	if res.Quarantine == 0 {
		b.reject(i, api.CodeInvalidRecord, nil, 0)
		return nil
	}
	there, ok, err := v.QuarantineItem(b.caller.System.FullName(), res.Quarantine)
	if err != nil {
		return problem(err)
	}
	if !ok {
		b.reject(i, api.CodeInvalidRecord, nil, 0)
		return nil
	}
	if there.Op != j.rec.Op || there.Key != j.key || !slices.Equal(there.Body, cutBody(j.rec.Data)) {
		b.ahead(i, res.Expected)
		return nil
	}
	reasons := b.s.reasons(v, &there, b.in.Language, j.rec.Value)
	b.reject(i, api.CodeInvalidRecord, reasons, there.More)
	return nil
}

// reasons are those that quarantine keeps, as sentences; value is the record
// where the reader owns it, else nil.
func (s *Service) reasons(v *state.View, q *state.QuarantineItem, language string, value any) []api.FieldError {
	schema, err := s.schema(v, q.Resource, q.SchemaVersion)
	if err != nil {
		schema = nil // it was refused for having none
	}
	kept, err := schemas.DecodeViolations(q.Errors)
	if err != nil {
		return []api.FieldError{}
	}
	out := make([]api.FieldError, len(kept))
	for i, violation := range kept {
		out[i] = fieldError(schema, violation, language, got(value, violation.Pointer))
	}
	return out
}

// strictConflict refuses an all-or-nothing batch that reuses an id for another
// record. State takes a known id for a duplicate and would store the rest.
func (b *batch) strictConflict(v *state.View, waiting []int) error {
	switch {
	case !b.in.Strict:
		return nil
	case b.in.Producer != "":
		return b.strictAhead(v, waiting)
	}
	seen := make(map[string]int, len(waiting))
	for _, i := range waiting {
		j := &b.judged[i]
		if j.problem != nil {
			continue
		}
		if first, twice := seen[j.id]; twice {
			if f := &b.judged[first]; f.rec.Op != j.rec.Op || f.key != j.key || f.rec.Reason != j.rec.Reason || !slices.Equal(f.rec.Data, j.rec.Data) {
				return b.strictProblem(i, api.CodeIDConflict)
			}
			continue
		}
		seen[j.id] = i
		offset, known, err := v.KnownID(b.in.Resource, b.caller.System.FullName(), "", j.id)
		if err != nil {
			return problem(err)
		}
		if !known {
			continue
		}
		if there, err := v.RecordAt(b.in.Resource, offset); err == nil && !b.same(j, &there) {
			return b.strictProblem(i, api.CodeIDConflict)
		}
	}
	return nil
}

// strictAhead is strictConflict for a producer's numbers.
func (b *batch) strictAhead(v *state.View, waiting []int) error {
	for _, i := range waiting {
		j := &b.judged[i]
		if j.problem != nil {
			continue
		}
		a, known, err := v.Answered(b.in.Resource, b.in.Producer, b.in.Epoch, j.rec.Seq)
		if err != nil {
			return problem(err)
		}
		if !known || a.Offset == 0 {
			continue
		}
		if there, err := v.RecordAt(b.in.Resource, a.Offset); err == nil && !b.same(j, &there) {
			return b.strictProblem(i, api.CodeAhead)
		}
	}
	return nil
}

// strictProblem refuses an all-or-nothing batch for one line.
func (b *batch) strictProblem(i int, code api.Code) error {
	p := api.Refuse(api.CodeInvalidRecord, strictDetail, i+1)
	p.Errors = []api.FieldError{b.reason(string(code))}
	return p
}

// strictRefused answers an all-or-nothing batch of which state would not take
// every record: nothing of it was stored.
func (b *batch) strictRefused(sec *section) error {
	for _, i := range sec.members {
		item := &b.items[i]
		if item.Status == api.StatusAccepted || item.Status == api.StatusDuplicate || b.codes[i] == api.Code(state.StatusUnapplied.String()) {
			continue
		}
		p := api.Refuse(api.CodeInvalidRecord, strictDetail, i+1)
		p.Errors, p.More, p.Expected = item.Errors, item.More, item.Expected
		if item.Status == api.StatusStale {
			p.Errors = []api.FieldError{b.reason(string(api.CodeStaleVersion))}
		}
		return p
	}
	return api.Internal(fmt.Errorf("an all-or-nothing section of %d records was refused for none of them", len(sec.members)))
}

// answer counts the items.
func (b *batch) answer() api.PublishAnswer {
	out := api.PublishAnswer{Items: b.items}
	for i := range b.items {
		b.items[i].Index = i
		switch b.items[i].Status {
		case api.StatusAccepted:
			out.Accepted++
		case api.StatusDuplicate:
			out.Duplicate++
		case api.StatusStale:
			out.Stale++
		case api.StatusRejected:
			out.Rejected++
		}
	}
	return out
}

// receipt is the answer to one record.
func (b *batch) receipt(item api.PublishItem) (api.Receipt, error) {
	out := api.Receipt{Resource: b.in.Resource, Key: item.Key, ID: item.ID, Offset: item.Offset, Version: item.Version, Leaf: item.Leaf, Ordinal: item.Ordinal, Epoch: b.epoch, Status: item.Status, Warnings: item.Warnings}
	v, err := b.s.machine.View()
	if err != nil {
		return out, problem(err)
	}
	defer v.Close()
	stored, err := v.RecordAt(b.in.Resource, item.Offset)
	if err != nil {
		return out, nil // the body of a duplicate may be gone; the receipt stands without commitment
	}
	commitment := stored.Commitment()
	out.Commitment = hex.EncodeToString(commitment[:])
	return out, nil
}
