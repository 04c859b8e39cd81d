package exchange

import (
	"context"
	"errors"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/feed"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
)

// Resources lists the catalogue.
func (s *Service) Resources(_ context.Context, c policy.Caller) ([]api.Resource, error) {
	return read(s, c, "resource", "list", nil, func(v *state.View) ([]api.Resource, bool) { return notNil(v.Resources()), true })
}

// Resource reads one catalogue entry.
func (s *Service) Resource(_ context.Context, c policy.Caller, name string) (api.Resource, error) {
	return read(s, c, "resource", "show", nil, func(v *state.View) (api.Resource, bool) {
		r, _, ok := v.Resource(name)
		return r, ok
	})
}

// PutResource writes a catalogue entry. Where a schema is registered, the
// entry must fit it.
func (s *Service) PutResource(ctx context.Context, c policy.Caller, in Put[api.Resource]) (api.Resource, error) {
	if err := may(c, "resource", "put"); err != nil {
		return api.Resource{}, err
	}
	if err := sameName("resource", in.Path["resource"], in.Object.Resource); err != nil {
		return api.Resource{}, err
	}
	faults := in.Object.Validate()
	if in.Object.Feed != nil {
		// A template that could not be served is refused here, where somebody reads why.
		if err := feed.Check(in.Object.Feed); err != nil {
			faults = append(faults, err)
		}
	}
	if err := invalid(faults); err != nil {
		return api.Resource{}, err
	}
	v, err := s.view()
	if err != nil {
		return api.Resource{}, err
	}
	faults = s.misfits(v, in.Object)
	v.Close()
	if err := invalid(faults); err != nil {
		return api.Resource{}, err
	}
	return command[api.Resource](ctx, s, &state.ResourcePut{Head: s.head(c, in.Request), IfRevision: in.ifRevision(), Object: in.Object})
}

// misfits says where an entry disagrees with the newest schema of its
// resource; nothing where none is registered yet.
func (s *Service) misfits(v *state.View, r schemas.Resource) []error {
	versions, err := v.Schemas(r.Resource)
	if err != nil || len(versions) == 0 {
		return nil
	}
	newest := versions[len(versions)-1].Version
	schema, err := s.schema(v, r.Resource, newest)
	if err != nil {
		return []error{err}
	}
	return r.ValidateAgainst(schema)
}

// RegisterSchema adds the next schema version of a resource.
func (s *Service) RegisterSchema(ctx context.Context, c policy.Caller, resource string, raw []byte, request string) (api.SchemaInfo, error) {
	if err := may(c, "schema", "register"); err != nil {
		return api.SchemaInfo{}, err
	}
	// Its entry may have been put through another node a moment ago.
	if err := s.replica.Strong(ctx); err != nil {
		return api.SchemaInfo{}, problem(err)
	}
	v, err := s.view()
	if err != nil {
		return api.SchemaInfo{}, err
	}
	r, _, ok := v.Resource(resource)
	v.Close()
	if !ok {
		return api.SchemaInfo{}, api.Refuse(api.CodeNotFound, "目录中没有数据资源%[1]q,请先登记目录 / no resource %[1]q in the catalogue; put its entry first", resource)
	}
	schema, err := schemas.Compile(resource, r.SchemaVersion+1, raw)
	if err != nil {
		return api.SchemaInfo{}, refusedSchema(err)
	}
	if err := invalid(r.ValidateAgainst(schema)); err != nil {
		return api.SchemaInfo{}, err
	}
	title := schema.Title().Zh
	answer, err := command[state.SchemaAnswer](ctx, s, &state.SchemaRegister{Head: s.head(c, request), Resource: resource, Schema: string(raw), Title: title})
	return api.SchemaInfo{Resource: answer.Resource, Version: answer.Version, Title: title}, err
}

// refusedSchema lists what the profile does not allow.
func refusedSchema(err error) error {
	var profile *schemas.ProfileError
	if !errors.As(err, &profile) {
		return problem(err)
	}
	p := api.Refuse(api.CodeSchemaRefused, "有%[1]d处不合规范 / %[1]d places are outside the profile", len(profile.Findings))
	for i, f := range profile.Findings {
		if i == 32 {
			p.More = len(profile.Findings) - i
			break
		}
		p.Errors = append(p.Errors, api.FieldError{Pointer: f.Pointer, Keyword: f.Rule, Code: f.Rule, Message: f.Place() + ": " + f.Zh + " / " + f.En})
	}
	return p
}

// Schemas lists the schema versions of a resource.
func (s *Service) Schemas(_ context.Context, c policy.Caller, resource string) ([]api.SchemaInfo, error) {
	return read(s, c, "schema", "list", nil, func(v *state.View) ([]api.SchemaInfo, bool) {
		versions, err := v.Schemas(resource)
		if err != nil {
			return nil, false
		}
		out := []api.SchemaInfo{}
		for _, i := range versions {
			out = append(out, api.SchemaInfo{Resource: i.Resource, Version: i.Version, Title: i.Title})
		}
		return out, true
	})
}

// Schema reads one schema version as it was registered.
func (s *Service) Schema(_ context.Context, c policy.Caller, resource string, version uint32) ([]byte, error) {
	return read(s, c, "schema", "show", nil, func(v *state.View) ([]byte, bool) {
		raw, err := v.Schema(resource, version)
		return raw, err == nil
	})
}
