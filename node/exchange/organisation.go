package exchange

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
)

// Put is an object to be written, or the body of a verb, with the names of its
// address.
type Put[T any] struct {
	Path        map[string]string
	Object      T
	Revision    uint64 // what the caller last saw
	HasRevision bool
	Request     string // Idempotency-Key
}

// ifRevision is the precondition as commands carry it.
func (p *Put[T]) ifRevision() *uint64 {
	if !p.HasRevision {
		return nil
	}
	return &p.Revision
}

// sameName refuses an object whose own name is not that of its address.
func sameName(what, address, own string) error {
	if own != address {
		return api.Refuse(api.CodeInvalid, "对象的%[1]s是%[2]q,地址中是%[3]q / the object's %[1]s is %[2]q, its address says %[3]q", what, own, address)
	}
	return nil
}

// may asks policy for an administrative right.
func may(c policy.Caller, noun, verb string, owners ...string) error {
	return problem(policy.May(c, noun, verb, owners...))
}

// PutDepartment writes a department.
func (s *Service) PutDepartment(ctx context.Context, c policy.Caller, in Put[api.Department]) (api.Department, error) {
	if err := may(c, "department", "put"); err != nil {
		return api.Department{}, err
	}
	if err := sameName("code", in.Path["department"], in.Object.Code); err != nil {
		return api.Department{}, err
	}
	if err := invalid(in.Object.Validate()); err != nil {
		return api.Department{}, err
	}
	return command[api.Department](ctx, s, &state.DepartmentPut{Head: s.head(c, in.Request), IfRevision: in.ifRevision(), Object: in.Object})
}

// PutGroup writes a group.
func (s *Service) PutGroup(ctx context.Context, c policy.Caller, in Put[api.Group]) (api.Group, error) {
	if err := may(c, "group", "put"); err != nil {
		return api.Group{}, err
	}
	if err := sameName("code", in.Path["group"], in.Object.Code); err != nil {
		return api.Group{}, err
	}
	if err := invalid(in.Object.Validate()); err != nil {
		return api.Group{}, err
	}
	return command[api.Group](ctx, s, &state.GroupPut{Head: s.head(c, in.Request), IfRevision: in.ifRevision(), Object: in.Object})
}

// PutSystem writes a system.
func (s *Service) PutSystem(ctx context.Context, c policy.Caller, in Put[api.System]) (api.System, error) {
	if err := may(c, "system", "put", in.Path["department"]); err != nil {
		return api.System{}, err
	}
	if err := sameName("department", in.Path["department"], in.Object.Department); err != nil {
		return api.System{}, err
	}
	if err := sameName("code", in.Path["system"], in.Object.Code); err != nil {
		return api.System{}, err
	}
	if err := invalid(in.Object.Validate()); err != nil {
		return api.System{}, err
	}
	return command[api.System](ctx, s, &state.SystemPut{Head: s.head(c, in.Request), IfRevision: in.ifRevision(), Object: in.Object})
}

// Fence is the body and the answer of fencing a system's producers.
type Fence struct {
	System string `json:"system,omitempty"`
	Epoch  uint64 `json:"epoch"` // least epoch accepted from now on; 0: one above all seen
}

// FenceSystem refuses older producer epochs of a system from now on.
func (s *Service) FenceSystem(ctx context.Context, c policy.Caller, in Put[Fence]) (Fence, error) {
	if err := may(c, "system", "fence", in.Path["department"]); err != nil {
		return Fence{}, err
	}
	return command[Fence](ctx, s, &state.SystemFence{Head: s.head(c, in.Request), System: systemName(in.Path), Epoch: in.Object.Epoch})
}

func systemName(path map[string]string) string { return path["department"] + "." + path["system"] }

// credentialLife is how long a credential lives unless said otherwise, and
// credentialLifeMax the longest.
const (
	credentialLife    = 365 * 24 * time.Hour
	credentialLifeMax = 10 * credentialLife
)

// IssueCredential makes a key or a certificate for a system. Its secret is in
// this answer only.
func (s *Service) IssueCredential(ctx context.Context, c policy.Caller, in Put[api.CredentialRequest]) (api.Credential, error) {
	if err := may(c, "credential", "issue", in.Path["department"]); err != nil {
		return api.Credential{}, err
	}
	now := s.clock()
	end := now.Add(credentialLife)
	if in.Object.NotAfter != "" {
		var err error
		if end, err = time.Parse(time.RFC3339, in.Object.NotAfter); err != nil || !end.After(now) || end.After(now.Add(credentialLifeMax)) {
			return api.Credential{}, api.Refuse(api.CodeInvalid, "not_after 应为 RFC 3339 时间,晚于现在且在十年之内 / not_after must be RFC 3339, later than now and within ten years")
		}
	}
	out := api.Credential{System: systemName(in.Path), Kind: in.Object.Kind, Scopes: in.Object.Scopes, NotAfter: policy.FormatTime(end.UnixMilli())}
	stored := policy.Credential{System: out.System, Kind: out.Kind, Scopes: policy.List(out.Scopes), NotAfter: end.UnixMilli()}
	if err := s.draw(&out, &stored, end); err != nil {
		return api.Credential{}, err
	}
	if err := invalid(stored.Validate()); err != nil {
		return api.Credential{}, err
	}
	_, err := command[policy.Credential](ctx, s, &state.CredentialIssue{Head: s.head(c, ""), Object: stored})
	return out, err
}

// draw makes the secret part of a credential.
func (s *Service) draw(out *api.Credential, stored *policy.Credential, end time.Time) error {
	switch out.Kind {
	case policy.CredentialAPIKey:
		id, key, hash, err := NewKey(s.random)
		if err != nil {
			return api.Internal(err)
		}
		out.ID, out.Secret, stored.ID, stored.Hash = id, key, id, hash
	case policy.CredentialCertificate:
		certificate, key, fingerprint, err := s.issuer.IssueCertificate(out.System, end)
		if err != nil {
			return api.Internal(fmt.Errorf("issue certificate: %w", err))
		}
		out.ID = uuid.NewString()
		out.Certificate, out.Key, stored.ID, stored.Fingerprint = string(certificate), string(key), out.ID, fingerprint
	default:
		return api.Refuse(api.CodeInvalid, "kind 应为 api_key 或 certificate / kind must be api_key or certificate")
	}
	return nil
}

// RevokeCredential ends a credential.
func (s *Service) RevokeCredential(ctx context.Context, c policy.Caller, department, system, id string) error {
	if err := may(c, "credential", "revoke", department); err != nil {
		return err
	}
	v, err := s.view()
	if err != nil {
		return err
	}
	stored, ok := v.Credential(id)
	v.Close()
	if !ok || stored.System != department+"."+system {
		return api.Refuse(api.CodeNotFound, "系统%[1]s.%[2]s没有凭证%[3]q / system %[1]s.%[2]s has no credential %[3]q", department, system, id)
	}
	_, err = command[policy.Credential](ctx, s, &state.CredentialRevoke{Head: s.head(c, ""), Credential: id})
	return err
}

// Credentials lists a system's credentials without their secrets.
func (s *Service) Credentials(_ context.Context, c policy.Caller, department, system string) ([]api.Credential, error) {
	if err := may(c, "credential", "list", department); err != nil {
		return nil, err
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	out := []api.Credential{}
	for _, k := range v.CredentialsOf(department + "." + system) {
		out = append(out, api.Credential{ID: k.ID, System: k.System, Kind: k.Kind, Scopes: k.Scopes, NotAfter: policy.FormatTime(k.NotAfter), Revoked: k.Revoked})
	}
	return out, nil
}

// read is one look at the state for an object that any known caller may see
// under a right.
func read[T any](s *Service, c policy.Caller, noun, verb string, owners []string, look func(*state.View) (T, bool)) (T, error) {
	var zero T
	if err := may(c, noun, verb, owners...); err != nil {
		return zero, err
	}
	v, err := s.view()
	if err != nil {
		return zero, err
	}
	defer v.Close()
	out, ok := look(v)
	if !ok {
		return zero, api.Refuse(api.CodeNotFound, "没有找到 / no such %s", noun)
	}
	return out, nil
}

// Department reads one department.
func (s *Service) Department(_ context.Context, c policy.Caller, code string) (api.Department, error) {
	return read(s, c, "department", "show", nil, func(v *state.View) (api.Department, bool) { return v.Department(code) })
}

// Departments lists all departments. The request carries nothing.
func (s *Service) Departments(_ context.Context, c policy.Caller) ([]api.Department, error) {
	return read(s, c, "department", "list", nil, func(v *state.View) ([]api.Department, bool) { return notNil(v.Departments()), true })
}

// Group reads one group.
func (s *Service) Group(_ context.Context, c policy.Caller, code string) (api.Group, error) {
	return read(s, c, "group", "show", nil, func(v *state.View) (api.Group, bool) { return v.Group(code) })
}

// Groups lists all groups.
func (s *Service) Groups(_ context.Context, c policy.Caller) ([]api.Group, error) {
	return read(s, c, "group", "list", nil, func(v *state.View) ([]api.Group, bool) { return notNil(v.Groups()), true })
}

// System reads one system.
func (s *Service) System(_ context.Context, c policy.Caller, department, system string) (api.System, error) {
	return read(s, c, "system", "show", []string{department}, func(v *state.View) (api.System, bool) { return v.System(department + "." + system) })
}

// Systems lists a department's systems.
func (s *Service) Systems(_ context.Context, c policy.Caller, department string) ([]api.System, error) {
	return read(s, c, "system", "list", []string{department}, func(v *state.View) ([]api.System, bool) {
		out := []api.System{}
		for _, sys := range v.Systems() {
			if sys.Department == department {
				out = append(out, sys)
			}
		}
		return out, true
	})
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
