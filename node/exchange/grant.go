package exchange

import (
	"context"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
)

// RequestGrant asks the owner of a resource for fields of it.
func (s *Service) RequestGrant(ctx context.Context, c policy.Caller, in Put[api.Grant]) (api.Grant, error) {
	if in.Object.State == "" {
		in.Object.State = policy.GrantRequested
	}
	// Resource and schema may have come through another node a moment ago.
	if err := s.replica.Strong(ctx); err != nil {
		return api.Grant{}, problem(err)
	}
	v, err := s.view()
	if err != nil {
		return api.Grant{}, err
	}
	wanted := in.Object
	if wanted.Grant == "" {
		wanted.Grant = "g0" // the log gives it a name
	}
	err = s.checkGrant(v, wanted)
	v.Close()
	if err != nil {
		return api.Grant{}, err
	}
	return command[api.Grant](ctx, s, &state.GrantRequest{Head: s.head(c, in.Request), Object: in.Object})
}

// checkGrant asks whether such a grant could be given at all.
func (s *Service) checkGrant(v *state.View, g api.Grant) error {
	if err := invalid(g.Validate()); err != nil {
		return err
	}
	r, _, ok := v.Resource(g.Resource)
	if !ok {
		return noResource(g.Resource)
	}
	schema, err := s.schema(v, g.Resource, r.SchemaVersion)
	if errors.Is(err, state.ErrNotFound) {
		return api.Refuse(api.CodeSchemaUnknown, "%[1]s还没有模式,不能授权字段 / %[1]s has no schema yet, so no field can be granted", g.Resource)
	}
	if err != nil {
		return api.Internal(fmt.Errorf("compile schema %s %d: %w", g.Resource, r.SchemaVersion, err))
	}
	err = policy.CheckGrant(g, r, schema)
	if denials := policy.Denials(err); len(denials) > 1 {
		faults := make([]error, len(denials))
		for i, d := range denials {
			faults[i] = d
		}
		return invalid(faults)
	}
	return problem(err)
}

// DecideGrant approves, refuses or revokes. With a precondition only what the
// decider has seen is decided.
func (s *Service) DecideGrant(ctx context.Context, c policy.Caller, action string, in Put[api.Decision]) (api.Grant, error) {
	reason := in.Object.Reason
	if reason == "" {
		reason = in.Object.Note
	}
	return command[api.Grant](ctx, s, &state.GrantDecide{Head: s.head(c, in.Request), Grant: in.Path["grant"], Action: action, Reason: reason, IfRevision: in.ifRevision()})
}

// Grant reads one grant, for its subscriber, the resource's owner,
// administrators and auditors.
func (s *Service) Grant(_ context.Context, c policy.Caller, id string) (api.Grant, error) {
	v, err := s.view()
	if err != nil {
		return api.Grant{}, err
	}
	defer v.Close()
	g, ok := v.Grant(id)
	if !ok {
		return api.Grant{}, notHere()
	}
	if may(c, "grant", "show", grantOwners(v, g, c)...) != nil {
		return api.Grant{}, notHere()
	}
	g.State = g.StateAt(s.replica.Now())
	return g, nil
}

// grantOwners are the departments that a grant belongs to.
func grantOwners(v *state.View, g policy.Grant, c policy.Caller) []string {
	owners := []string{g.Subscriber}
	if policy.IsSubscriber(g, c) {
		owners = append(owners, c.Department.Code)
	}
	if r, _, ok := v.Resource(g.Resource); ok {
		owners = append(owners, r.Owner)
	}
	return owners
}

// Grants lists the grants that the caller may see.
func (s *Service) Grants(_ context.Context, c policy.Caller, resource, grantState string) ([]api.Grant, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	out := []api.Grant{}
	for _, g := range v.Grants(state.GrantFilter{Resource: resource}) {
		g.State = g.StateAt(s.replica.Now())
		if grantState != "" && g.State != grantState {
			continue
		}
		if policy.May(c, "grant", "list", grantOwners(v, g, c)...) == nil {
			out = append(out, g)
		}
	}
	return out, nil
}
