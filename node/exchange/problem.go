package exchange

import (
	"context"
	"errors"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// table says which problem a sentinel of a lower room is. The first that
// matches counts.
var table = []struct {
	err    error
	code   api.Code
	detail string // empty: the error's own words
}{
	{policy.ErrUnauthenticated, api.CodeUnauthenticated, ""},
	{policy.ErrNotGranted, api.CodeNotGranted, ""},
	{policy.ErrWithheld, api.CodeNotGranted, ""},
	{policy.ErrTransition, api.CodeConflict, ""},
	{policy.ErrInvalid, api.CodeInvalid, ""},
	{policy.ErrRule, api.CodeInvalid, ""},
	{disclosure.ErrNotGranted, api.CodeNotGranted, ""},
	{disclosure.ErrTransition, api.CodeConflict, ""},
	{disclosure.ErrInvalid, api.CodeInvalid, ""},
	{state.ErrNotFound, api.CodeNotFound, nothingHere},
	{replica.ErrNoLeader, api.CodeNoLeader, "总线暂无主节点,没有接收任何内容,请重试 / the bus has no leader now; nothing was taken, try again"},
	{replica.ErrPushback, api.CodePushback, "等待处理的数据超过上限,没有接收任何内容,请重试 / more waits than the bus takes; nothing was taken, try again"},
	{replica.ErrNotFresh, api.CodeNotFresh, "本节点可能与其他节点失去联系,请重试或改问其他节点 / this node may be cut off from the others; try again or ask another node"},
	{replica.ErrUnknown, api.CodeNoLeader, unknownOutcome},
	{replica.ErrClosed, api.CodeNoLeader, "本节点正在停止,请改问其他节点 / this node is stopping; ask another node"},
	{state.ErrClosed, api.CodeNoLeader, "本节点正在停止,请改问其他节点 / this node is stopping; ask another node"},
	{replica.ErrUnreachable, api.CodeNoLeader, "另一节点没有答复,请重试 / another node did not answer; try again"},
	{replica.ErrNotMember, api.CodeNotFound, "集群中没有这个节点 / the cluster has no such node"},
	{replica.ErrTooLarge, api.CodeTooLarge, "内容放不进日志 / the content does not fit the log"},
	{replica.ErrAnswer, api.CodeConflict, ""},
	{context.DeadlineExceeded, api.CodeNoLeader, unknownOutcome},
	{context.Canceled, api.CodeNoLeader, unknownOutcome},
	{schemas.ErrProfile, api.CodeSchemaRefused, ""},
	{schemas.ErrResource, api.CodeInvalid, ""},
	{record.ErrKey, api.CodeInvalid, ""},
}

// Details that several refusals share. What the caller may not see and what is
// not there are told in the same words.
const (
	nothingHere    = "没有找到所要的内容 / there is no such thing here"
	unknownOutcome = "结果未知,请原样重发,不会重复接收 / the outcome is unknown; send the same again, it is taken once"
)

func notHere() *api.Problem { return api.Refuse(api.CodeNotFound, "%s", nothingHere) }

func noResource(name string) *api.Problem {
	return api.Refuse(api.CodeNotFound, "目录中没有数据资源%[1]q / no resource %[1]q in the catalogue", name)
}

// refusal is what the caller is told of a command that state refused. State's
// code for a rule that an object breaks is that of a record; and a step that a
// grant or publication does not allow is no matter of revisions.
func refusal(r *state.Refusal) *api.Problem {
	if r == nil {
		return api.Internal(errors.New("state refused without a reason"))
	}
	code, detail := api.Code(r.Code), r.Detail
	switch {
	case r.Code == state.CodeInvalid:
		code = api.CodeInvalid
	case r.Code == state.CodeRevisionConflict && r.Reason != "":
		code = api.CodeConflict
	}
	if r.DetailZh != "" {
		detail = r.DetailZh + " / " + r.Detail
	}
	p := api.Refuse(code, "%s", detail)
	p.Cause = r
	return p
}

// problem turns an error of a lower room into what the caller is told. nil
// stays nil.
func problem(err error) error {
	if err == nil {
		return nil
	}
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	var refused *state.Refusal
	if errors.As(err, &refused) {
		return refusal(refused)
	}
	var denial *policy.Denial
	var undisclosed *disclosure.Denial
	for _, line := range table {
		if !errors.Is(err, line.err) {
			continue
		}
		detail := line.detail
		switch {
		case errors.As(err, &denial):
			detail = denial.Zh + " / " + denial.En
		case errors.As(err, &undisclosed):
			detail = undisclosed.Zh + " / " + undisclosed.En
		case detail == "":
			detail = err.Error()
		}
		p := api.Refuse(line.code, "%s", detail)
		p.Cause = err
		return p
	}
	return api.Internal(err)
}

// invalid lists the faults of an object in one problem.
func invalid(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	p := api.Refuse(api.CodeInvalid, "对象有%[1]d处不合规则 / the object has %[1]d faults", len(faults))
	for i, f := range faults {
		if i == 32 {
			p.More = len(faults) - i
			break
		}
		e := api.FieldError{Message: f.Error()}
		var denial *policy.Denial
		var entry *schemas.EntryFault
		switch {
		case errors.As(f, &denial):
			e.Pointer, e.Code, e.Message = "/"+denial.Member, denial.Reason, denial.Zh+" / "+denial.En
		case errors.As(f, &entry):
			e.Pointer, e.Message = "/"+entry.Member, entry.Zh+" / "+entry.En
		}
		p.Errors = append(p.Errors, e)
	}
	return p
}
