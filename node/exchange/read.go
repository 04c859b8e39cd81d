package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// pageBytes bounds the bodies of one page.
const pageBytes = 8 << 20

// historyMax bounds the versions of one key that are shown.
const historyMax = 1000

// ReadRequest names what to read.
type ReadRequest struct {
	Resource     string
	Key          string
	Subscription string
	Grant        string
	After        uint64
	Limit        int
	Wait         time.Duration
	Strong       bool
	MinIndex     uint64
	Epoch        uint64 // cluster epoch the caller's position is of; 0: not said
}

// access is what one caller may have of one resource: under a grant, or of
// its own records only.
type access struct {
	caller   policy.Caller
	resource schemas.Resource
	grant    *policy.Grant
}

// prepare waits for what the caller has seen already, or for all that is
// committed; not for ever, for an index that nobody wrote never comes.
func (s *Service) prepare(ctx context.Context, in ReadRequest) error {
	if !in.Strong && in.MinIndex == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, s.config.ReadWait)
	defer cancel()
	var err error
	if in.Strong {
		err = s.replica.Strong(waiting)
	}
	if err == nil && in.MinIndex > 0 {
		err = s.machine.WaitApplied(waiting, in.MinIndex)
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		p := api.Refuse(api.CodeNotFresh, "本节点在%[1]s内没有达到所要的状态,请重试或改问其他节点 / this node did not reach the state asked for within %[1]s; try again or ask another node", s.config.ReadWait)
		p.Cause = err
		return p
	}
	return problem(err)
}

// errSeveralGrants is returned when a caller with several grants names none.
var errSeveralGrants = errors.New("several grants")

// sameEpoch refuses a position that belongs to another life of the cluster.
func sameEpoch(v *state.View, in ReadRequest) error {
	if in.Epoch == 0 || in.Epoch == v.Epoch() {
		return nil
	}
	p := api.Refuse(api.CodeEpochChanged, "集群已恢复,纪元现为%[1]d,请从 expected 所示位移继续 / the cluster was restored; its epoch is %[1]d now, resume from the offset in \"expected\"", v.Epoch())
	if head, err := v.Head(in.Resource); err == nil {
		p.Expected = min(in.After, head)
	}
	return p
}

// access finds the grant that a read goes under. Without grant= and with
// several, the caller must name one; without any, it reads its own records.
func (s *Service) access(v *state.View, c policy.Caller, resource, grant string) (access, error) {
	r, _, ok := v.Resource(resource)
	if !ok {
		return access{}, noResource(resource)
	}
	a := access{caller: c, resource: r}
	now := s.replica.Now()
	if grant != "" {
		g, ok := v.Grant(grant)
		if !ok || !policy.IsSubscriber(g, c) {
			return a, api.Refuse(api.CodeNotGranted, "贵单位没有关于%[2]s的授权%[1]q / no grant %[1]q for your department on %[2]s", grant, resource)
		}
		if err := policy.Entitles(g, c, resource, now); err != nil {
			return a, problem(err)
		}
		a.grant = &g
		return a, nil
	}
	var refused error
	for _, g := range v.Grants(state.GrantFilter{Resource: resource}) {
		if !policy.IsSubscriber(g, c) {
			continue
		}
		if err := policy.Entitles(g, c, resource, now); err != nil {
			refused = err
			continue
		}
		if a.grant != nil {
			p := api.Refuse(api.CodeMalformed, "贵单位关于%[1]s有多个授权,请用 grant= 指明 / your department has several grants on %[1]s; name one with grant=", resource)
			p.Cause = errSeveralGrants
			return a, p
		}
		a.grant = &g
	}
	if a.grant != nil {
		return a, nil
	}
	if err := policy.CanPublish(c, r, v.GroupMembers); err == nil {
		return a, nil
	}
	if refused != nil {
		return a, problem(refused)
	}
	return a, api.Refuse(api.CodeNotGranted, "%[1]s没有关于%[2]s的授权,请先申请 / no grant on %[2]s for %[1]s; request one", c.Department.Code, resource)
}

// open looks at the state for one reader: who it is by now, for a wait may have
// outlived its credential, and what it may have.
func (s *Service) open(c policy.Caller, in ReadRequest) (*state.View, access, error) {
	v, err := s.view()
	if err != nil {
		return nil, access{}, err
	}
	var a access
	if c, err = s.caller(v, c.Credential); err == nil {
		err = sameEpoch(v, in)
	}
	if err == nil {
		a, err = s.access(v, c, in.Resource, in.Grant)
	}
	if err != nil {
		v.Close()
		return nil, access{}, err
	}
	return v, a, nil
}

// project is the record as the caller may have it; ok is false where it may
// have nothing of it. A withdrawal is seen by those who may see anything.
func (s *Service) project(v *state.View, a access, r *state.StoredRecord) (out api.Record, ok bool, err error) {
	view, err := s.viewFor(v, a, r)
	if err != nil || view.Empty() {
		return out, false, err
	}
	out = show(r)
	if r.Op == record.Withdraw {
		out.Reason = policy.Reason(view, r.Reason)
		return out, true, nil
	}
	out.Data, err = policy.Project(view, r.Body)
	if err != nil {
		return out, false, api.Internal(fmt.Errorf("project record %d: %w", r.Offset, err))
	}
	return out, true, nil
}

// viewFor is the projection of one record for one access; nil means nothing.
func (s *Service) viewFor(v *state.View, a access, r *state.StoredRecord) (*policy.View, error) {
	if a.grant == nil {
		view, err := policy.OwnerView(a.caller, r.Department)
		if err != nil {
			return nil, nil //nolint:nilerr // another publisher's record: nothing of it
		}
		return view, nil
	}
	schema, err := s.schema(v, a.resource.Resource, r.SchemaVersion)
	if err != nil {
		return nil, api.Internal(fmt.Errorf("compile schema %s %d: %w", a.resource.Resource, r.SchemaVersion, err))
	}
	newest, err := s.newest(v, a.resource)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("g|%s|%d|%d|%d|%s|%d", a.resource.Resource, a.resource.Revision, r.SchemaVersion, a.resource.SchemaVersion, a.grant.Grant, a.grant.Revision)
	view, err := s.compiled(name, func() (*policy.View, error) { return policy.GrantView(a.resource, schema, newest, *a.grant) })
	return view, problem(err)
}

// newest is the schema of the resource's newest version: what it forbids is
// forbidden in records of older versions, too.
func (s *Service) newest(v *state.View, r schemas.Resource) (policy.Schema, error) {
	if r.SchemaVersion == 0 {
		return nil, nil
	}
	schema, err := s.schema(v, r.Resource, r.SchemaVersion)
	if err != nil {
		return nil, api.Internal(fmt.Errorf("compile schema %s %d: %w", r.Resource, r.SchemaVersion, err))
	}
	return schema, nil
}

// show is everything of a record but its content.
func show(r *state.StoredRecord) api.Record {
	return api.Record{Offset: r.Offset, Version: r.Version, Key: r.Key, Op: r.Op.String(), OccurredAt: audit.FormatTime(r.OccurredAt), AcceptedAt: audit.FormatTime(r.AcceptedAt),
		Department: r.Department, SchemaVersion: r.SchemaVersion}
}

// Records is a page of a resource by offset.
func (s *Service) Records(ctx context.Context, c policy.Caller, in ReadRequest) (api.Page, error) {
	if err := s.prepare(ctx, in); err != nil {
		return api.Page{}, err
	}
	for {
		page, err := s.page(c, in)
		if err != nil || in.Wait <= 0 || len(page.Records) > 0 || page.Through > in.After {
			return page, err
		}
		waited, err := s.await(ctx, in)
		if err != nil || !waited {
			return page, err
		}
		in.Wait = 0
	}
}

// await waits for a record after in.After; false when none came in time, or the
// node stops.
func (s *Service) await(ctx context.Context, in ReadRequest) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, in.Wait)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	err := s.machine.WaitOffset(waiting, in.Resource, in.After)
	switch {
	case err == nil:
		return true, nil
	case waiting.Err() != nil && ctx.Err() == nil:
		return false, nil
	}
	return false, problem(err)
}

// page is one look at the records after in.After.
func (s *Service) page(c policy.Caller, in ReadRequest) (api.Page, error) {
	v, a, err := s.open(c, in)
	if err != nil {
		return api.Page{}, err
	}
	defer v.Close()
	page := api.Page{Records: []api.Record{}, Through: in.After}
	bytes := 0
	var failed error
	err = v.Records(in.Resource, in.After, in.Limit, func(r *state.StoredRecord) bool {
		out, ok, err := s.project(v, a, r)
		if err != nil {
			failed = err
			return false
		}
		page.Through = r.Offset
		if ok {
			page.Records = append(page.Records, out)
			bytes += len(out.Data) + recordOverhead
		}
		return bytes < pageBytes
	})
	if err = errors.Join(err, failed); err != nil {
		return api.Page{}, problem(err)
	}
	head, err := v.Head(in.Resource)
	page.End = page.Through >= head
	return page, problem(err)
}

// Current is the present state of one key, with an ETag that says nothing of
// its content.
func (s *Service) Current(ctx context.Context, c policy.Caller, in ReadRequest) (api.Record, string, error) {
	if err := s.prepare(ctx, in); err != nil {
		return api.Record{}, "", err
	}
	v, a, err := s.open(c, in)
	if err != nil {
		return api.Record{}, "", err
	}
	defer v.Close()
	stored, err := v.Current(in.Resource, in.Key)
	if err != nil {
		return api.Record{}, "", problem(err)
	}
	out, ok, err := s.project(v, a, &stored)
	if err != nil {
		return api.Record{}, "", err
	}
	if !ok {
		return api.Record{}, "", notHere()
	}
	tag := fmt.Sprintf("%d-%d-%d", v.Epoch(), stored.Offset, a.resource.Revision)
	if a.grant != nil {
		tag += fmt.Sprintf("-%s-%d", a.grant.Grant, a.grant.Revision)
	}
	return out, tag, nil
}

// History is the versions of one key, oldest first.
func (s *Service) History(ctx context.Context, c policy.Caller, in ReadRequest) (api.Page, error) {
	if err := s.prepare(ctx, in); err != nil {
		return api.Page{}, err
	}
	v, a, err := s.open(c, in)
	if err != nil {
		return api.Page{}, err
	}
	defer v.Close()
	versions, err := v.History(in.Resource, in.Key, historyMax)
	if err != nil {
		return api.Page{}, problem(err)
	}
	page := api.Page{Records: []api.Record{}, End: true}
	for i := len(versions) - 1; i >= 0; i-- {
		out, ok, err := s.project(v, a, &versions[i])
		if err != nil {
			return api.Page{}, err
		}
		if ok {
			page.Records = append(page.Records, out)
			page.Through = out.Offset
		}
	}
	if len(page.Records) == 0 {
		return api.Page{}, notHere()
	}
	return page, nil
}
