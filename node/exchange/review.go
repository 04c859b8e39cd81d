package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// ListRequest asks for a page of a list.
type ListRequest struct {
	Resource, State string // empty members do not narrow
	After           string // id of the last one seen
	Limit           int
	Language        string // zh or en, of sentences
}

// Publication reads one publication, with what it would put on the portal for
// those whose decisions it takes and for its publisher: nobody approves what
// they cannot see, and administrators and auditors read no data.
func (s *Service) Publication(_ context.Context, c policy.Caller, id string) (api.PublicationView, error) {
	v, err := s.view()
	if err != nil {
		return api.PublicationView{}, err
	}
	defer v.Close()
	p, ok, err := v.Publication(id)
	if err != nil {
		return api.PublicationView{}, problem(err)
	}
	if !ok || may(c, "publication", "show", publicationOwners(v, p)...) != nil {
		return api.PublicationView{}, notHere()
	}
	out := api.PublicationView{Publication: p}
	stored, err := versionOf(v, p.Resource, p.Key, p.Version)
	if err != nil || !decides(v, c, p, stored.Department) {
		return out, nil // the body is gone, or not for this caller: shown without it
	}
	out.Preview, err = s.portal(v, stored, true)
	return out, err
}

// decides is true for reviewers of a department that a step of the route names,
// and for the publishing department.
func decides(v *state.View, c policy.Caller, p api.Publication, publisher string) bool {
	own := c.Department.Code
	if own == publisher {
		return c.HasRole(policy.RolePublisher) || c.HasRole(policy.RoleReviewer)
	}
	r, _, ok := v.Resource(p.Resource)
	if !ok {
		return false
	}
	for _, step := range r.Disclosure.Steps {
		if step.Department == own && c.HasRole(step.Role) {
			return true
		}
	}
	return false
}

// publicationOwners are the departments that a publication belongs to.
func publicationOwners(v *state.View, p api.Publication) []string {
	var owners []string
	if r, _, ok := v.Resource(p.Resource); ok {
		owners = append(owners, r.Owner)
	}
	if k, ok, err := v.KeyState(p.Resource, p.Key); err == nil && ok {
		owners = append(owners, k.Owner)
	}
	return owners
}

// publicationsLooked bounds the publications that one request looks at.
const publicationsLooked = 10_000

// Publications lists the publications that the caller may see, and names the
// one after which to go on; nothing when there are no more.
func (s *Service) Publications(_ context.Context, c policy.Caller, in ListRequest) ([]api.Publication, string, error) {
	v, err := s.view()
	if err != nil {
		return nil, "", err
	}
	defer v.Close()
	out := []api.Publication{}
	f := state.PublicationFilter{Resource: in.Resource, State: in.State, After: in.After, Limit: 1000}
	for looked := 0; looked < publicationsLooked; {
		all, err := v.Publications(f)
		if err != nil {
			return nil, "", problem(err)
		}
		for _, p := range all {
			if policy.May(c, "publication", "list", publicationOwners(v, p)...) == nil {
				out = append(out, p)
			}
			if f.After = p.ID; len(out) == in.Limit {
				return out, p.ID, nil
			}
		}
		if looked += len(all); len(all) < f.Limit {
			return out, "", nil
		}
	}
	return out, f.After, nil
}

// DecidePublication approves the open step, returns or withdraws. What the
// decider sees is the portal's view of the version under review; its
// commitment stands in the decision. With a precondition only what the decider
// has seen is decided: an edit in between is not waved through (invariant 12).
func (s *Service) DecidePublication(ctx context.Context, c policy.Caller, action string, in Put[api.Decision]) (api.Publication, error) {
	// The step before, or an edit, may have come through another node a moment
	// ago: what is seen here must be what is decided on.
	if err := s.replica.Strong(ctx); err != nil {
		return api.Publication{}, problem(err)
	}
	v, err := s.view()
	if err != nil {
		return api.Publication{}, err
	}
	defer v.Close()
	id := in.Path["publication"]
	p, ok, err := v.Publication(id)
	if err != nil {
		return api.Publication{}, problem(err)
	}
	if !ok {
		return api.Publication{}, notHere()
	}
	seen, err := s.seen(v, p)
	v.Close()
	if err != nil {
		return api.Publication{}, err
	}
	note := in.Object.Note
	if note == "" {
		note = in.Object.Reason
	}
	revision := &p.Revision
	if in.HasRevision {
		revision = &in.Revision
	}
	decided, err := command[api.Publication](ctx, s, &state.PublicationDecide{Head: s.head(c, in.Request), Publication: id, Action: action, Note: note, Seen: seen, IfRevision: revision})
	var refused *state.Refusal
	if errors.As(err, &refused) && refused.Reason == state.ReasonRequestReused && !in.HasRevision {
		return s.decidedBefore(id, disclosure.StepState{By: c.System.FullName(), Decision: action, Note: note}, err)
	}
	return decided, err
}

// decidedBefore answers a decision that was sent again because its answer was
// lost. Without a precondition of the caller's own it carries the revision that
// is seen here, which the decision itself has moved: the log takes it for another
// request. Where the decision stands it is answered, else the refusal is.
func (s *Service) decidedBefore(id string, want disclosure.StepState, refused error) (api.Publication, error) {
	v, err := s.view()
	if err != nil {
		return api.Publication{}, err
	}
	defer v.Close()
	p, ok, err := v.Publication(id)
	if err != nil || !ok {
		return api.Publication{}, problem(err)
	}
	for _, step := range p.Steps {
		if step.By == want.By && step.Decision == want.Decision && step.Note == want.Note {
			return p, nil
		}
	}
	return api.Publication{}, refused
}

// seen is the commitment of what the portal would show of the version under
// review.
func (s *Service) seen(v *state.View, p api.Publication) (string, error) {
	stored, err := versionOf(v, p.Resource, p.Key, p.Version)
	if err != nil {
		return "", err
	}
	data, err := s.portal(v, stored, true)
	if err != nil {
		return "", err
	}
	c := record.Commitment(record.TagProjection, record.ProjectionSecret(stored.Secret, p.ID), data)
	return hex.EncodeToString(c[:]), nil
}

// versionOf finds one version of a key.
func versionOf(v *state.View, resource, key string, version uint64) (*state.StoredRecord, error) {
	history, err := v.History(resource, key, historyMax)
	if err != nil {
		return nil, problem(err)
	}
	for i := range history {
		if history[i].Version == version {
			return &history[i], nil
		}
	}
	return nil, api.Refuse(api.CodeNotFound, "该版本已不在 / the version is gone")
}

// portal is what the public may see of a record.
func (s *Service) portal(v *state.View, r *state.StoredRecord, decided bool) ([]byte, error) {
	resource, ok := v.ResourceByNumber(r.Resource)
	if !ok {
		return nil, api.Internal(fmt.Errorf("record of resource %d, which is not in the catalogue", r.Resource))
	}
	if r.Op == record.Withdraw {
		return nil, nil
	}
	schema, err := s.schema(v, resource.Resource, r.SchemaVersion)
	if err != nil {
		return nil, api.Internal(fmt.Errorf("compile schema %s %d: %w", resource.Resource, r.SchemaVersion, err))
	}
	newest, err := s.newest(v, resource)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("p|%s|%d|%d|%d|%t", resource.Resource, resource.Revision, r.SchemaVersion, resource.SchemaVersion, decided)
	view, err := s.compiled(name, func() (*policy.View, error) { return policy.PortalView(resource, schema, newest, decided) })
	if err != nil {
		return nil, problem(err)
	}
	out, err := policy.Project(view, r.Body)
	if err != nil {
		return nil, api.Internal(fmt.Errorf("project record %d for the portal: %w", r.Offset, err))
	}
	return out, nil
}
