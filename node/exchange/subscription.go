package exchange

import (
	"context"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/deliver"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// CreateSubscription makes a standing order under a grant of the caller.
func (s *Service) CreateSubscription(ctx context.Context, c policy.Caller, in Put[api.Subscription]) (api.Subscription, error) {
	if in.Object.State == "" {
		in.Object.State = policy.SubscriptionActive
	}
	if in.Object.System == "" {
		in.Object.System = c.System.FullName()
	}
	wanted := in.Object
	if wanted.Subscription == "" {
		wanted.Subscription = "s0" // the log gives it a name
	}
	if wanted.Resource == "" {
		wanted.Resource = "of.grant" // it is the grant's
	}
	if err := invalid(wanted.Validate()); err != nil {
		return api.Subscription{}, err
	}
	sub, err := command[api.Subscription](ctx, s, &state.SubscriptionCreate{Head: s.head(c, in.Request), Object: in.Object})
	return s.asItStands(sub, err)
}

// asItStands is the subscription that a command answered, with its lag: the
// answer may be one that was remembered.
func (s *Service) asItStands(answered api.Subscription, err error) (api.Subscription, error) {
	if err != nil {
		return answered, err
	}
	v, err := s.machine.View()
	if err != nil {
		return answered, problem(err)
	}
	defer v.Close()
	sub, ok, err := v.Subscription(answered.Subscription)
	if err != nil || !ok {
		return answered, problem(err)
	}
	return s.withLag(v, sub), nil
}

// SetSubscription pauses or resumes.
func (s *Service) SetSubscription(ctx context.Context, c policy.Caller, id, to, request string) (api.Subscription, error) {
	var cmd state.Command = &state.SubscriptionResume{Head: s.head(c, request), Subscription: id}
	if to == policy.SubscriptionPaused {
		cmd = &state.SubscriptionPause{Head: s.head(c, request), Subscription: id}
	}
	return s.asItStands(command[api.Subscription](ctx, s, cmd))
}

// DeleteSubscription ends a subscription and its cursor.
func (s *Service) DeleteSubscription(ctx context.Context, c policy.Caller, id string) error {
	_, err := command[api.Subscription](ctx, s, &state.SubscriptionDelete{Head: s.head(c, ""), Subscription: id})
	return err
}

func noSubscription() *api.Problem {
	return api.Refuse(api.CodeNotFound, "没有这个订阅 / no such subscription")
}

// ahead refuses an acknowledgement of what was never handed out.
func ahead(handed uint64) *api.Problem {
	p := api.Refuse(api.CodeAhead, "只能确认已投递的,即到%[1]d为止 / only what was handed out can be acknowledged, that is through %[1]d", handed)
	p.Expected = handed
	return p
}

// ownSubscription finds a subscription that the caller may use by verb.
func ownSubscription(v *state.View, c policy.Caller, id, verb string) (policy.Subscription, error) {
	sub, ok, err := v.Subscription(id)
	if err != nil {
		return sub, problem(err)
	}
	if !ok {
		return sub, noSubscription()
	}
	department, _ := splitFullName(sub.System)
	return sub, may(c, "subscription", verb, department)
}

func splitFullName(name string) (department, system string) {
	for i := range name {
		if name[i] == '.' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// Subscription reads one subscription with its lag.
func (s *Service) Subscription(_ context.Context, c policy.Caller, id string) (api.Subscription, error) {
	v, err := s.view()
	if err != nil {
		return api.Subscription{}, err
	}
	defer v.Close()
	sub, err := ownSubscription(v, c, id, "show")
	if err != nil {
		return api.Subscription{}, err
	}
	return s.withLag(v, sub), nil
}

// withLag fills in how old the oldest unacknowledged record is.
func (s *Service) withLag(v *state.View, sub policy.Subscription) policy.Subscription {
	if sub.LagRecords == 0 {
		return sub
	}
	if r, err := v.RecordAt(sub.Resource, sub.Cursor+1); err == nil {
		sub.LagSeconds = max(0, (s.replica.Now()-r.AcceptedAt)/1000)
	}
	return sub
}

// Subscriptions lists the subscriptions that the caller may see.
func (s *Service) Subscriptions(_ context.Context, c policy.Caller, resource string) ([]api.Subscription, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	all, err := v.Subscriptions()
	if err != nil {
		return nil, problem(err)
	}
	out := []api.Subscription{}
	for _, sub := range all {
		department, _ := splitFullName(sub.System)
		if (resource == "" || sub.Resource == resource) && policy.May(c, "subscription", "list", department) == nil {
			out = append(out, s.withLag(v, sub))
		}
	}
	return out, nil
}

// Pull hands out the next records of a subscription: what was not acknowledged
// comes again.
func (s *Service) Pull(ctx context.Context, c policy.Caller, in ReadRequest) (api.Page, error) {
	if err := s.prepare(ctx, in); err != nil {
		return api.Page{}, err
	}
	p := puller{s: s, c: c}
	for {
		b, err := deliver.Pull(ctx, p, p, in.Subscription, in.Limit)
		if err != nil {
			return api.Page{}, problem(err)
		}
		if !b.Empty() || in.Wait <= 0 {
			return pageOf(b), nil
		}
		waited, err := s.awaitSubscription(ctx, in)
		if err != nil || !waited {
			return pageOf(b), err
		}
		in.Wait = 0
	}
}

// awaitSubscription waits for something behind the subscription's cursor.
func (s *Service) awaitSubscription(ctx context.Context, in ReadRequest) (bool, error) {
	v, err := s.view()
	if err != nil {
		return false, err
	}
	sub, ok, err := v.Subscription(in.Subscription)
	v.Close()
	if err != nil || !ok {
		return false, problem(err)
	}
	in.Resource, in.After = sub.Resource, sub.Cursor
	return s.await(ctx, in)
}

func pageOf(b deliver.Batch) api.Page {
	page := api.Page{Records: make([]api.Record, len(b.Records)), Through: b.Through, End: b.End}
	for i, r := range b.Records {
		page.Records[i] = api.Record{Offset: r.Offset, Version: r.Version, Key: r.Key, Op: r.Op.String(), OccurredAt: audit.FormatTime(r.OccurredAt), AcceptedAt: audit.FormatTime(r.AcceptedAt),
			Department: r.Department, SchemaVersion: r.SchemaVersion, Data: r.Data, Reason: r.Reason}
	}
	return page
}

// Ack moves a subscription's cursor, never past what was handed out.
func (s *Service) Ack(ctx context.Context, c policy.Caller, id string, through uint64) (api.Subscription, error) {
	sub, g, err := s.acknowledging(c, id)
	if err == nil && through > sub.Handed {
		// It may have been handed out through another node a moment ago.
		if err := s.replica.Strong(ctx); err != nil {
			return sub, problem(err)
		}
		sub, g, err = s.acknowledging(c, id)
	}
	if err != nil {
		return sub, err
	}
	p := puller{s: s, c: c}
	err = deliver.Ack(ctx, p, p.order(sub, g, sub.Handed), through)
	var refused *api.Problem
	if errors.Is(err, deliver.ErrAhead) && !errors.As(err, &refused) {
		return sub, ahead(sub.Handed)
	}
	if err != nil {
		return sub, problem(err)
	}
	return s.Subscription(ctx, c, id)
}

// acknowledging reads a subscription whose cursor the caller may move, with its
// grant.
func (s *Service) acknowledging(c policy.Caller, id string) (policy.Subscription, policy.Grant, error) {
	v, err := s.view()
	if err != nil {
		return policy.Subscription{}, policy.Grant{}, err
	}
	defer v.Close()
	sub, err := ownSubscription(v, c, id, "ack")
	if err != nil {
		return sub, policy.Grant{}, err
	}
	g, _ := v.Grant(sub.Grant)
	return sub, g, nil
}

// puller gives package deliver one caller's view of state and the log.
type puller struct {
	s *Service
	c policy.Caller
}

func (p puller) order(sub policy.Subscription, g policy.Grant, last uint64) deliver.Order {
	return deliver.Order{Subscription: sub.Subscription, System: sub.System + "/" + p.c.Credential, GrantRevision: g.Revision, Cursor: sub.Cursor, Handed: sub.Handed, Last: last}
}

// entitled asks, by the state's present word, whether the caller may receive
// the subscription's records now.
func (p puller) entitled(v *state.View, id string) (policy.Subscription, policy.Grant, error) {
	c, err := p.s.caller(v, p.c.Credential)
	if err != nil {
		return policy.Subscription{}, policy.Grant{}, err
	}
	sub, err := ownSubscription(v, c, id, "pull")
	if err != nil {
		return sub, policy.Grant{}, err
	}
	if sub.System != c.System.FullName() {
		return sub, policy.Grant{}, api.Refuse(api.CodeNotGranted, "订阅属于系统%[1]s / the subscription belongs to system %[1]s", sub.System)
	}
	if sub.State != policy.SubscriptionActive {
		return sub, policy.Grant{}, api.Refuse(api.CodeConflict, "订阅已暂停,请先恢复 / the subscription is %[1]s; resume it first", sub.State)
	}
	g, ok := v.Grant(sub.Grant)
	if !ok {
		return sub, g, api.Refuse(api.CodeNotGranted, "订阅的授权已不在 / the subscription's grant is gone")
	}
	return sub, g, problem(policy.Entitles(g, c, sub.Resource, p.s.replica.Now()))
}

// Read makes the next batch; see deliver.Reader.
func (p puller) Read(_ context.Context, id string, limit int) (deliver.Batch, error) {
	v, err := p.s.view()
	if err != nil {
		return deliver.Batch{}, err
	}
	defer v.Close()
	sub, g, err := p.entitled(v, id)
	if err != nil {
		return deliver.Batch{}, err
	}
	last, err := v.Head(sub.Resource)
	if err != nil {
		return deliver.Batch{}, problem(err)
	}
	o := p.order(sub, g, last)
	records, whole, err := stored(v, sub.Resource, o.Cursor, last, limit)
	if err != nil {
		return deliver.Batch{}, err
	}
	return deliver.Make(o, records, whole, p.s.grantViews(v, sub.Resource, g))
}

// stored reads records after an offset for package deliver; whole is true when
// none was left out up to last.
func stored(v *state.View, resource string, after, last uint64, limit int) (out []deliver.Stored, whole bool, err error) {
	bytes := 0
	whole = true
	err = v.Records(resource, after, limit+1, func(r *state.StoredRecord) bool {
		if r.Offset > last {
			return false
		}
		if len(out) == limit || bytes > deliver.MaxBytes {
			whole = false
			return false
		}
		bytes += len(r.Body)
		out = append(out, deliver.Stored{Offset: r.Offset, Version: r.Version, Key: r.Key, Op: r.Op, OccurredAt: r.OccurredAt, AcceptedAt: r.AcceptedAt,
			Department: r.Department, SchemaVersion: r.SchemaVersion, Reason: r.Reason, Secret: r.Secret, Body: r.Body})
		return true
	})
	return out, whole, problem(err)
}

// grantViews gives the projection of each schema version under a grant.
func (s *Service) grantViews(v *state.View, resource string, g policy.Grant) deliver.Views {
	return func(version uint32) (*policy.View, error) {
		r, _, ok := v.Resource(resource)
		if !ok {
			return nil, noResource(resource)
		}
		return s.viewFor(v, access{resource: r, grant: &g}, &state.StoredRecord{SchemaVersion: version})
	}
}

// Check asks again as the batch is about to leave; see deliver.Reader.
func (p puller) Check(_ context.Context, b deliver.Batch) error {
	v, err := p.s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	_, g, err := p.entitled(v, b.Move.Subscription)
	if err != nil {
		return err
	}
	if g.Revision != b.Move.GrantRevision {
		return api.Refuse(api.CodeNotGranted, "组批时授权有变,请重新拉取 / the grant changed while the batch was made; pull again")
	}
	return nil
}

// Propose puts a cursor move into the log; see deliver.Proposer.
func (p puller) Propose(ctx context.Context, move record.CursorMove) error {
	h := record.Header{Kind: record.KindCursors, Node: p.s.config.Node, Count: 1}
	if err := p.s.secret(&h); err != nil {
		return err
	}
	section, err := record.EncodeCursors(h, []record.CursorMove{move})
	if err != nil {
		return api.Internal(fmt.Errorf("encode cursor move: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.config.PublishWait)
	defer cancel()
	results, err := p.s.replica.Propose(ctx, [][]byte{section})
	if err != nil {
		return problem(err)
	}
	if len(results[0].Records) != 1 {
		return api.Internal(fmt.Errorf("cursor move answered %s", results[0].Code))
	}
	r := results[0].Records[0]
	switch r.Status {
	case state.StatusAccepted, state.StatusDuplicate:
		return nil
	case state.StatusNotFound:
		return noSubscription()
	case state.StatusNotGranted:
		return api.Refuse(api.CodeNotGranted, "授权或凭证已失效 / the grant or the credential is no longer in force")
	case state.StatusAhead:
		return ahead(r.Expected)
	}
	overlap := api.Refuse(api.CodePushback, "同一订阅的另一次拉取先到,请重新拉取 / another pull of the same subscription was faster; pull again")
	overlap.RetryAfter = 1
	return overlap
}
