package exchange

import (
	"context"
	"errors"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
)

// PublishRequest is one batch as it came.
type PublishRequest struct {
	Resource string
	Producer string // empty: records are told apart by id
	Epoch    uint64
	Strict   bool // all or nothing
	Single   bool
	Lines    [][]byte
	Language string // zh or en, of the refusal sentences
}

// rejudgeMax bounds how often a batch is judged again because the catalogue
// moved while it was under way.
const rejudgeMax = 8

// batch is one publish under way.
type batch struct {
	s        *Service
	in       PublishRequest
	caller   policy.Caller
	resource schemas.Resource
	number   uint32
	judged   []judged
	items    []api.PublishItem
	codes    []api.Code // of each item that was not taken: the problem it would be alone
	epoch    uint64
	log      string
}

// Publish judges and stores many records and answers each. It returns a
// problem where nothing of the batch was taken.
func (s *Service) Publish(ctx context.Context, c policy.Caller, in PublishRequest) (api.PublishAnswer, error) {
	b, err := s.publish(ctx, c, in)
	if err != nil {
		return api.PublishAnswer{}, err
	}
	return b.answer(), nil
}

// publish runs one batch to its end.
func (s *Service) publish(ctx context.Context, c policy.Caller, in PublishRequest) (*batch, error) {
	if err := s.makeRoom(ctx); err != nil {
		return nil, err
	}
	b, err := s.newBatch(c, in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.PublishWait, context.DeadlineExceeded)
	defer cancel()
	return b, b.run(ctx)
}

// PublishOne stores one record and answers with its receipt, or with the
// problem that it was refused for.
func (s *Service) PublishOne(ctx context.Context, c policy.Caller, in PublishRequest) (api.Receipt, error) {
	b, err := s.publish(ctx, c, in)
	if err != nil {
		return api.Receipt{}, err
	}
	item := b.items[0]
	switch item.Status {
	case api.StatusAccepted, api.StatusDuplicate:
		return b.receipt(item)
	case api.StatusStale:
		return api.Receipt{}, api.Refuse(api.CodeStaleVersion, "该业务主键已有不早于它的记录 / the key already has a record that is not older")
	}
	p := api.Refuse(b.codes[0], "记录被退回,原因%[1]d条 / the record was refused for %[1]d reasons", len(item.Errors)+item.More)
	switch {
	case len(item.Errors) == 0:
		p.Detail = "记录先前已被退回,原因已不再保留 / the record was refused before; its reasons are no longer kept"
	case len(item.Errors) == 1 && item.Errors[0].Message != "":
		p.Detail = item.Errors[0].Message
	}
	p.Errors, p.More, p.Expected, p.Quarantine = item.Errors, item.More, item.Expected, item.Quarantine
	return api.Receipt{}, p
}

// Validate judges one record and stores nothing.
func (s *Service) Validate(_ context.Context, c policy.Caller, in PublishRequest) (api.Verdict, error) {
	b, err := s.newBatch(c, in)
	if err != nil {
		return api.Verdict{}, err
	}
	v, err := s.view()
	if err != nil {
		return api.Verdict{}, err
	}
	defer v.Close()
	j := b.judge(v, 0)
	if j.problem != nil {
		return api.Verdict{}, j.problem
	}
	errs := b.fieldErrors(&j)
	return api.Verdict{Valid: len(errs) == 0, Errors: errs, More: j.more, Warnings: j.warnings}, nil
}

func (s *Service) newBatch(c policy.Caller, in PublishRequest) (*batch, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	b := &batch{s: s, in: in, caller: c, items: make([]api.PublishItem, len(in.Lines)), codes: make([]api.Code, len(in.Lines)), epoch: v.Epoch(), log: v.Log()}
	if len(in.Lines) == 0 {
		return nil, api.Refuse(api.CodeMalformed, "一批中没有记录 / the batch holds no record")
	}
	if err := b.admit(v); err != nil {
		return nil, err
	}
	if in.Producer != "" && !ownProducer(in.Producer, c) {
		return nil, api.Refuse(api.CodeNotGranted, "生产者应为 %[1]s 或以 %[1]s. 开头 / producer must be %[1]s or begin with %[1]s. ; use the producer of your own system", c.System.FullName())
	}
	return b, nil
}

// admit reads the resource and the caller as they are now and asks whether the
// one may publish the other.
func (b *batch) admit(v *state.View) error {
	r, number, ok := v.Resource(b.in.Resource)
	if !ok {
		return noResource(b.in.Resource)
	}
	var err error
	if b.caller, err = b.s.caller(v, b.caller.Credential); err != nil {
		return err
	}
	if err := policy.CanPublish(b.caller, r, v.GroupMembers); err != nil {
		return problem(err)
	}
	b.resource, b.number = r, number
	return nil
}

// ownProducer is true for the caller's own producers: its system's full name,
// alone or followed by a dot and more.
func ownProducer(producer string, c policy.Caller) bool {
	own := c.System.FullName()
	return producer == own || len(producer) > len(own)+1 && producer[:len(own)+1] == own+"."
}

// run judges everything, then has it applied, judging again what the catalogue
// overtook.
func (b *batch) run(ctx context.Context) error {
	waiting := make([]int, len(b.in.Lines))
	for i := range waiting {
		waiting[i] = i
	}
	b.judged = make([]judged, len(b.in.Lines))
	for range rejudgeMax {
		again, err := b.round(ctx, waiting)
		if p := (*api.Problem)(nil); errors.As(err, &p) && p.Class() == api.ClassRefused && len(waiting) < len(b.in.Lines) {
			b.cutOff(waiting, p)
			return nil
		}
		if err != nil || len(again) == 0 {
			return err
		}
		waiting = again
	}
	return api.Refuse(api.CodePushback, "目录一直在变,请原样重发 / the catalogue keeps changing; send the same again")
}

// cutOff answers the rest of a batch whose publisher lost its right while it was
// under way: what was taken stays taken.
func (b *batch) cutOff(waiting []int, p *api.Problem) {
	for _, i := range waiting {
		b.items[i] = api.PublishItem{ID: b.judged[i].id, Key: b.judged[i].key, Seq: b.judged[i].rec.Seq}
		b.untaken(i, string(p.Code), 0)
		b.items[i].Errors[0].Message = api.In(b.in.Language, p.Detail)
	}
}

// round judges the waiting records, proposes them, and returns those that
// must be judged again.
func (b *batch) round(ctx context.Context, waiting []int) ([]int, error) {
	v, err := b.s.view()
	if err != nil {
		return nil, err
	}
	if err := b.admit(v); err != nil {
		v.Close()
		return nil, err
	}
	for _, i := range waiting {
		b.judged[i] = b.judge(v, i)
	}
	err = b.strictConflict(v, waiting)
	v.Close()
	if err != nil {
		return nil, err
	}
	sections, err := b.sections(waiting)
	if err != nil || len(sections) == 0 {
		return nil, err
	}
	encoded := make([][]byte, len(sections))
	for i := range sections {
		encoded[i] = sections[i].bytes
	}
	results, err := b.s.replica.Propose(ctx, encoded)
	if err != nil {
		return nil, problem(err)
	}
	var again []int
	for i := range results {
		if results[i].Code == state.Revalidate {
			for _, rest := range sections[i:] {
				again = append(again, rest.members...)
			}
			return again, nil
		}
		if err := b.settle(&sections[i], &results[i]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
