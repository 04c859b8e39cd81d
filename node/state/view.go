package state

import (
	"sync/atomic"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
)

// View is a consistent picture of the state after one Apply call. Objects it
// gives must not be changed. Safe for concurrent use until Close.
type View struct {
	*published
	machine *Machine
	closed  atomic.Bool
}

// Close releases the view; nothing may be read from it afterwards. Idempotent.
func (v *View) Close() {
	if v.closed.Swap(true) {
		return
	}
	v.machine.mu.Lock()
	defer v.machine.mu.Unlock()
	v.machine.release(v.published)
}

// Applied is the last applied index of the view, its log time (ms) and the
// running hash after it.
func (v *View) Applied() (index uint64, timeMs int64, running [32]byte) {
	return v.index, v.time, v.running
}

// Cluster is the cluster id; empty before Bootstrap.
func (v *View) Cluster() string { return v.cat.cluster.Cluster }

// Epoch is the cluster epoch, which rises at every restore; 0 before Bootstrap.
func (v *View) Epoch() uint64 { return v.cat.cluster.Epoch }

// Log is the long name of the audit log, "<origin>/<year>-<n>".
func (v *View) Log() string { return v.cat.cluster.Log }

// Department gives one by its code.
func (v *View) Department(code string) (policy.Department, bool) { return at(v.cat.departments, code) }

// Departments lists all, by code.
func (v *View) Departments() []policy.Department { return sorted(v.cat.departments) }

// Group gives one by its code.
func (v *View) Group(code string) (policy.Group, bool) { return at(v.cat.groups, code) }

// Groups lists all, by code.
func (v *View) Groups() []policy.Group { return sorted(v.cat.groups) }

// GroupMembers gives the departments of a group: the function
// policy.CanPublish takes.
func (v *View) GroupMembers(code string) []string { return v.cat.groupMembers(code) }

// GroupsOf gives the codes of the groups that a department is in, sorted.
func (v *View) GroupsOf(department string) []string { return v.cat.groupsOf[department] }

// System gives one by its full name.
func (v *View) System(name string) (policy.System, bool) {
	if e := v.cat.systems[name]; e != nil {
		return e.System, true
	}
	return policy.System{}, false
}

// Systems lists all, by full name.
func (v *View) Systems() []policy.System {
	out := make([]policy.System, 0, len(v.cat.systems))
	for _, k := range sortedKeys(v.cat.systems) {
		out = append(out, v.cat.systems[k].System)
	}
	return out
}

// Credential gives one by its id, with its hash (see policy.Credential.Public).
func (v *View) Credential(id string) (policy.Credential, bool) { return at(v.cat.credentials, id) }

// CredentialByHash finds a credential by the hex SHA-256 of its secret.
func (v *View) CredentialByHash(hash string) (policy.Credential, bool) {
	if hash == "" {
		return policy.Credential{}, false
	}
	c, ok := v.Credential(v.cat.secrets[hash])
	return c, ok && c.Hash == hash
}

// CredentialByFingerprint finds a credential by the hex SHA-256 of its
// certificate.
func (v *View) CredentialByFingerprint(fingerprint string) (policy.Credential, bool) {
	if fingerprint == "" {
		return policy.Credential{}, false
	}
	c, ok := v.Credential(v.cat.secrets[fingerprint])
	return c, ok && c.Fingerprint == fingerprint
}

// CredentialsOf lists a system's credentials, by id.
func (v *View) CredentialsOf(system string) []policy.Credential {
	var out []policy.Credential
	for _, k := range sortedKeys(v.cat.credentials) {
		if c := v.cat.credentials[k]; c.System == system {
			out = append(out, *c)
		}
	}
	return out
}

// Caller puts together who acts with a credential at a log time; false when it
// may not be used then.
func (v *View) Caller(credential string, nowMs int64) (policy.Caller, bool) {
	c := v.cat.credentials[credential]
	if c == nil {
		return policy.Caller{}, false
	}
	return v.cat.caller(c.System, credential, max(nowMs, v.time))
}

// Resource gives one by its name, with its number in section headers; its
// Revision is the one a section is judged by.
func (v *View) Resource(name string) (r schemas.Resource, number uint32, ok bool) {
	if e := v.cat.resources[name]; e != nil {
		return e.Resource, e.Number, true
	}
	return schemas.Resource{}, 0, false
}

// ResourceByNumber gives one by its number.
func (v *View) ResourceByNumber(number uint32) (schemas.Resource, bool) {
	if e := v.cat.resource(number); e != nil {
		return e.Resource, true
	}
	return schemas.Resource{}, false
}

// Resources lists all, by name.
func (v *View) Resources() []schemas.Resource {
	out := make([]schemas.Resource, 0, len(v.cat.resources))
	for _, k := range sortedKeys(v.cat.resources) {
		out = append(out, v.cat.resources[k].Resource)
	}
	return out
}

// Schema gives the text of a schema version, or ErrNotFound.
func (v *View) Schema(resource string, version uint32) ([]byte, error) {
	e := v.cat.resources[resource]
	if e == nil || version == 0 || version > e.Resource.SchemaVersion {
		return nil, notFound("schema of", resource)
	}
	return v.need(schemaKey(e.Number, version), "schema of", resource)
}

// Schemas lists the schema versions of a resource, oldest first.
func (v *View) Schemas(resource string) ([]SchemaInfo, error) {
	e := v.cat.resources[resource]
	if e == nil {
		return nil, notFound("resource", resource)
	}
	out := make([]SchemaInfo, len(e.Schemas))
	for i, s := range e.Schemas {
		out[i] = SchemaInfo{Resource: resource, Version: uint32(i + 1), Title: s.Title, At: s.At}
	}
	return out, nil
}

// Grant gives one by its id, as it is stored (see policy.Grant.StateAt).
func (v *View) Grant(id string) (policy.Grant, bool) { return at(v.cat.grants, id) }

// Grants lists those that pass the filter, by id.
func (v *View) Grants(f GrantFilter) []policy.Grant {
	var out []policy.Grant
	for _, k := range sortedKeys(v.cat.grants) {
		g := v.cat.grants[k]
		if (f.Resource == "" || g.Resource == f.Resource) && (f.Subscriber == "" || g.Subscriber == f.Subscriber) &&
			(f.State == "" || g.StateAt(v.time) == f.State) {
			out = append(out, *g)
		}
	}
	return out
}

// Subscription gives one by its id, with Cursor, Handed and LagRecords as of
// the view.
func (v *View) Subscription(id string) (policy.Subscription, bool, error) {
	s := v.cat.subscriptions[id]
	if s == nil {
		return policy.Subscription{}, false, nil
	}
	out := *s
	b, err := v.need(cursorKey(id), "cursor of", id)
	if err != nil {
		return out, false, err
	}
	c, err := decodeCursor(b)
	if err != nil {
		return out, false, err
	}
	last, err := v.Head(s.Resource)
	if err != nil {
		return out, false, err
	}
	out.Cursor, out.Handed, out.LagRecords = c.acked, c.handed, last-c.acked
	return out, true, nil
}

// Subscriptions lists all, by id.
func (v *View) Subscriptions() ([]policy.Subscription, error) {
	out := make([]policy.Subscription, 0, len(v.cat.subscriptions))
	for _, k := range sortedKeys(v.cat.subscriptions) {
		s, _, err := v.Subscription(k)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Members lists the nodes as the log knows them, by id.
func (v *View) Members() []Member { return sorted(v.cat.members) }

func at[T any](m map[string]*T, name string) (v T, ok bool) {
	if p := m[name]; p != nil {
		return *p, true
	}
	return v, false
}

func sorted[T any](m map[string]*T) []T {
	out := make([]T, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, *m[k])
	}
	return out
}
