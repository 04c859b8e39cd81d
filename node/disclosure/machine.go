package disclosure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas"
)

// Roles that may withdraw beside the deciders of a route's steps.
const (
	rolePublisher     = "publisher"
	roleReviewer      = "reviewer"
	roleAdministrator = "administrator"
)

// Start makes the publication of a new key. Where the resource has no route to
// the portal it answers the zero Publication and None. On the route self without
// steps it is published at once.
func Start(id string, r schemas.Resource, key string, version uint64) (Publication, Change) {
	if !Routed(r) {
		return Publication{}, None
	}
	return enter(Publication{ID: id, Resource: r.Resource, Key: key}, r, version)
}

// Edit takes a newer version of the key: every decision taken so far is void, and
// the first step has it again (on the route self without steps it is published at
// once). What was published stays so until the newer version is. A version that
// is not newer changes nothing. Where the resource has lost its route, what was
// published is withdrawn.
func Edit(p Publication, r schemas.Resource, version uint64) (Publication, Change) {
	if version <= p.Version || p.ID == "" && !Routed(r) {
		return p, None
	}
	if !Routed(r) {
		p.Version = version
		return drop(p, StepState{Decision: Withdraw, Note: "no route"})
	}
	return enter(p, r, version)
}

// Retract follows the publisher's own withdrawal of the record: version is that
// of the withdrawing record, by the system that sent it, at the log time. It
// needs no review.
func Retract(p Publication, version uint64, by string, at int64) (Publication, Change) {
	if version <= p.Version {
		return p, None
	}
	p.Version = version
	return drop(p, StepState{By: by, At: at, Decision: Withdraw})
}

// enter puts a version at the beginning of the route as the resource has it now.
func enter(p Publication, r schemas.Resource, version uint64) (Publication, Change) {
	p.Version, p.Withdrawal = version, nil
	p.Steps = layOut(r)
	if len(p.Steps) == 0 {
		p.State, p.PublishedVersion, p.Decided = Published, version, false
		return p, Publish
	}
	p.State = Pending
	return p, None
}

// layOut is the route of the resource with every step open.
func layOut(r schemas.Resource) []StepState {
	steps := make([]StepState, 0, len(r.Disclosure.Steps))
	for _, s := range r.Disclosure.Steps {
		steps = append(steps, StepState{Name: s.Name})
	}
	return steps
}

// drop takes the publication off the portal.
func drop(p Publication, s StepState) (Publication, Change) {
	change := None
	if p.PublishedVersion != 0 {
		change = Tombstone
	}
	p.State, p.PublishedVersion, p.Decided, p.Withdrawal = Withdrawn, 0, false, &s
	return p, change
}

// Decide takes one decision of by on the publication at log time at (ms):
// approve or return of the open step, or withdraw. publisher is the code of the
// department that published the record. A note is needed to return and to
// withdraw; seen, the commitment of what the decider saw, is needed to approve.
//
// Where the resource's steps are no longer those the publication was laid out
// with, the decisions taken so far are void and by decides on the first step.
//
// It returns a *Denial of class ErrInvalid, ErrTransition or ErrNotGranted, and
// then p as it was.
func Decide(p Publication, r schemas.Resource, action string, by Actor, publisher, note, seen string, at int64) (Publication, Change, error) {
	done := StepState{By: by.System, At: at, Decision: action, Note: note, Seen: seen}
	if err := complete(action, done); err != nil {
		return p, None, err
	}
	if action == Withdraw {
		return withdraw(p, r, by, publisher, done)
	}
	if p.State != Pending {
		return p, None, deny(ErrTransition, "not_pending",
			fmt.Sprintf("只有待审的公开事项才能办理，现状态为%s", stateZh(p.State)),
			fmt.Sprintf("only a pending publication can be decided, this one is %s", stateEn(p.State)))
	}
	if !Routed(r) || len(r.Disclosure.Steps) == 0 {
		return p, None, deny(ErrTransition, "no_route",
			"该数据资源已没有审核步骤，重新报送后按现行路线办理",
			"the resource has no review steps any more, publish the record again to follow its present route")
	}
	next := p
	if next.Steps = slices.Clone(p.Steps); !sameRoute(next.Steps, r.Disclosure.Steps) {
		next.Steps = layOut(r)
	}
	i := next.Open()
	if i < 0 {
		return p, None, deny(ErrTransition, "no_open_step", "没有待办的步骤", "no step is open")
	}
	if err := mayStep(r.Disclosure.Steps[i], by, publisher); err != nil {
		return p, None, err
	}
	done.Name = next.Steps[i].Name
	next.Steps[i] = done
	switch {
	case action == Return:
		next.State = Returned
	case i == len(next.Steps)-1:
		next.State, next.PublishedVersion, next.Decided = Published, next.Version, true
		return next, Publish, nil
	}
	return next, None, nil
}

// complete checks that the decision says what such a decision must say.
func complete(action string, s StepState) error {
	switch {
	case action != Approve && action != Return && action != Withdraw:
		return deny(ErrInvalid, "unknown_action",
			"只能通过(approve)、退回(return)或撤回(withdraw)", "the decision is approve, return or withdraw")
	case s.By == "":
		return deny(ErrNotGranted, "unauthenticated", "未登录，不能办理", "nobody is known to decide")
	case action == Approve && s.Seen == "":
		return deny(ErrInvalid, "seen_missing",
			"通过时须记明所见内容的承诺值", "an approval must name the commitment of what was seen")
	case action != Approve && strings.TrimSpace(s.Note) == "":
		return deny(ErrInvalid, "note_missing",
			"退回或撤回须写明理由", "a return or withdrawal needs a note that says why")
	}
	return nil
}

// withdraw takes the publication off the portal, whatever step it was at.
func withdraw(p Publication, r schemas.Resource, by Actor, publisher string, s StepState) (Publication, Change, error) {
	if p.State != Pending && p.State != Published && p.State != Returned {
		return p, None, deny(ErrTransition, "already_withdrawn",
			"该事项已撤回", "the publication is already withdrawn")
	}
	if !mayWithdraw(r, by, publisher) {
		return p, None, deny(ErrNotGranted, "withdraw_not_granted",
			"只有发布部门、审核步骤的办理部门或管理员可以撤回",
			"only the publishing department, a department of a review step or an administrator may withdraw")
	}
	next, change := drop(p, s)
	return next, change, nil
}

// mayWithdraw tells whether by is the publisher, decides a step, or administers.
func mayWithdraw(r schemas.Resource, by Actor, publisher string) bool {
	has := func(role string) bool { return slices.Contains(by.Roles, role) }
	if has(roleAdministrator) {
		return true
	}
	if by.Department != "" && by.Department == publisher && (has(rolePublisher) || has(roleReviewer)) {
		return true
	}
	return slices.ContainsFunc(r.Disclosure.Steps, func(s schemas.Step) bool {
		return mayStep(s, by, publisher) == nil
	})
}

// mayStep checks department and role of one step.
func mayStep(s schemas.Step, by Actor, publisher string) error {
	department := s.Department
	if department == schemas.StepPublisher {
		department = publisher
	}
	if department == "" || by.Department != department {
		return deny(ErrNotGranted, "step_department",
			fmt.Sprintf("“%s”由部门%s办理", s.Name, department),
			fmt.Sprintf("step %q is decided by department %s", s.Name, department))
	}
	if s.Role == "" || !slices.Contains(by.Roles, s.Role) {
		return deny(ErrNotGranted, "step_role",
			fmt.Sprintf("“%s”须由角色为%s的系统办理", s.Name, s.Role),
			fmt.Sprintf("step %q is decided by a system with role %s", s.Name, s.Role))
	}
	return nil
}

// sameRoute tells whether the publication still has the steps of its resource.
func sameRoute(have []StepState, want []schemas.Step) bool {
	return slices.EqualFunc(have, want, func(a StepState, b schemas.Step) bool { return a.Name == b.Name })
}

func stateZh(state string) string {
	switch state {
	case Pending:
		return "待审"
	case Published:
		return "已发布"
	case Returned:
		return "已退回"
	case Withdrawn:
		return "已撤回"
	}
	return "无"
}

func stateEn(state string) string {
	if state == "" {
		return "nothing"
	}
	return state
}
