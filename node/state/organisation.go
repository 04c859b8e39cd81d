package state

import (
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
)

func (c *DepartmentPut) apply(x *execution) (any, error) {
	if err := x.may("department", "put"); err != nil {
		return nil, err
	}
	return x.putDepartment(c.Object, c.IfRevision)
}

func (x *execution) putDepartment(d policy.Department, want *uint64) (any, error) {
	if err := name("code", d.Code); err != nil {
		return nil, err
	}
	old := x.cat.departments[d.Code]
	if d.Revision = 1; old != nil {
		if d.Revision = old.Revision; equal(d, *old) {
			return *old, nil
		}
		d.Revision++
	}
	if err := precondition(want, old != nil, d.Revision-1); err != nil {
		return nil, err
	}
	if d.Parent != "" && x.cat.departments[d.Parent] == nil {
		return nil, refuse(CodeNotFound, "no parent department %s", d.Parent)
	}
	own(x.cat, partDepartments, &x.cat.departments)[d.Code] = &d
	x.store(kindDepartment, d.Code, d)
	x.leaf(audit.Leaf{Type: audit.DepartmentPut, Object: d.Code, Revision: d.Revision}, d, Subject{SubjectDepartment, d.Code})
	return d, nil
}

func (c *GroupPut) apply(x *execution) (any, error) {
	if err := x.may("group", "put"); err != nil {
		return nil, err
	}
	return x.putGroup(c.Object, c.IfRevision)
}

func (x *execution) putGroup(g policy.Group, want *uint64) (any, error) {
	if err := name("code", g.Code); err != nil {
		return nil, err
	}
	old := x.cat.groups[g.Code]
	if g.Revision = 1; old != nil {
		if g.Revision = old.Revision; equal(g, *old) {
			return *old, nil
		}
		g.Revision++
	}
	if err := precondition(want, old != nil, g.Revision-1); err != nil {
		return nil, err
	}
	for _, d := range g.Departments {
		if x.cat.departments[d] == nil {
			return nil, refuse(CodeNotFound, "no department %s", d)
		}
	}
	x.cat.putGroup(&g)
	x.store(kindGroup, g.Code, g)
	x.leaf(audit.Leaf{Type: audit.GroupPut, Object: g.Code, Revision: g.Revision}, g, Subject{SubjectGroup, g.Code})
	x.touchResources(policy.GroupPrefix + g.Code)
	return g, nil
}

// touchResources moves the revision of every resource that names a group as
// publisher: what was judged before must be judged again (FORMATS §4).
func (x *execution) touchResources(publisher string) {
	for _, name := range sortedKeys(x.cat.resources) {
		e := *x.cat.resources[name]
		for _, p := range e.Resource.Publishers {
			if p == publisher {
				e.Resource.Revision++
				x.cat.putResource(&e)
				x.store(kindResource, name, e)
				break
			}
		}
	}
}

func (c *SystemPut) apply(x *execution) (any, error) {
	if err := x.may("system", "put"); err != nil {
		return nil, err
	}
	return x.putSystem(c.Object, c.IfRevision)
}

func (x *execution) putSystem(s policy.System, want *uint64) (any, error) {
	if err := name("code", s.Code); err != nil {
		return nil, err
	}
	if x.cat.departments[s.Department] == nil {
		return nil, refuse(CodeNotFound, "no department %s", s.Department)
	}
	full := s.FullName()
	old := x.cat.systems[full]
	e := systemEntry{System: s}
	if e.System.Revision = 1; old != nil {
		e.Number, e.Fence = old.Number, old.Fence
		if e.System.Revision = old.System.Revision; equal(e.System, old.System) {
			return old.System, nil
		}
		e.System.Revision++
	}
	if err := precondition(want, old != nil, e.System.Revision-1); err != nil {
		return nil, err
	}
	if old == nil {
		x.w.next.system++
		e.Number = x.w.next.system
		x.saveNext()
	}
	own(x.cat, partSystems, &x.cat.systems)[full] = &e
	x.store(kindSystem, full, e)
	x.leaf(audit.Leaf{Type: audit.SystemPut, Object: full, Revision: e.System.Revision}, e.System,
		Subject{SubjectSystem, full}, Subject{SubjectDepartment, s.Department})
	return e.System, nil
}

func (x *execution) saveNext() { x.w.set(metaKey(metaNext), x.w.next.encode()) }

func (c *SystemFence) apply(x *execution) (any, error) {
	old := x.cat.systems[c.System]
	if old == nil {
		return nil, x.hidden("system", "fence", "no system %s", c.System)
	}
	if err := x.may("system", "fence", old.System.Department); err != nil {
		return nil, err
	}
	epoch := c.Epoch
	if epoch > MaxEpoch+1 {
		return nil, refuse(CodeInvalid, "a fence is at most %d, above which no producer may be", uint64(MaxEpoch+1))
	}
	if epoch == 0 {
		epoch = max(min(x.w.counterOf(old.Number).epoch, MaxEpoch)+1, old.Fence)
	}
	if epoch <= old.Fence {
		return FenceAnswer{System: c.System, Epoch: old.Fence}, nil
	}
	e := *old
	e.Fence = epoch
	own(x.cat, partSystems, &x.cat.systems)[c.System] = &e
	x.store(kindSystem, c.System, e)
	x.leaf(audit.Leaf{Type: audit.SystemFenced, Object: c.System, Count: epoch}, nil, Subject{SubjectSystem, c.System})
	return FenceAnswer{System: c.System, Epoch: epoch}, nil
}

// hidden says that something does not exist only to those who might have used it.
func (x *execution) hidden(noun, verb, format string, args ...any) error {
	if err := x.may(noun, verb, x.caller.Department.Code); err != nil {
		return err
	}
	return refuse(CodeNotFound, format, args...)
}

func (c *CredentialIssue) apply(x *execution) (any, error) {
	if err := x.may("credential", "issue"); err != nil {
		return nil, err
	}
	return x.putCredential(c.Object)
}

func (x *execution) putCredential(k policy.Credential) (any, error) {
	if err := name("id", k.ID); err != nil {
		return nil, err
	}
	if x.cat.systems[k.System] == nil {
		return nil, refuse(CodeNotFound, "no system %s", k.System)
	}
	if k.Hash == "" && k.Fingerprint == "" {
		return nil, refuse(CodeMalformed, "a credential has a hash or a fingerprint")
	}
	k.Revision, k.Revoked = 1, false
	if old := x.cat.credentials[k.ID]; old != nil {
		if equal(k, *old) {
			return old.Public(), nil
		}
		return nil, refuse(CodeIDConflict, "credential %s exists", k.ID)
	}
	for _, s := range []string{k.Hash, k.Fingerprint} {
		if s != "" && x.cat.secrets[s] != "" {
			return nil, refuse(CodeIDConflict, "another credential has this secret or certificate")
		}
	}
	x.cat.putCredential(&k)
	x.store(kindCredential, k.ID, k)
	x.leaf(audit.Leaf{Type: audit.CredentialIssued, Object: k.ID, Revision: 1}, k.Public(), Subject{SubjectSystem, k.System})
	return k.Public(), nil
}

func (c *CredentialRevoke) apply(x *execution) (any, error) {
	old := x.cat.credentials[c.Credential]
	if old == nil {
		return nil, x.hidden("credential", "revoke", "no credential %s", c.Credential)
	}
	department := ""
	if s := x.cat.systems[old.System]; s != nil {
		department = s.System.Department
	}
	if err := x.may("credential", "revoke", department); err != nil {
		return nil, err
	}
	if old.Revoked {
		return old.Public(), nil
	}
	k := *old
	k.Revoked = true
	k.Revision++
	x.cat.putCredential(&k)
	x.store(kindCredential, k.ID, k)
	x.leaf(audit.Leaf{Type: audit.CredentialRevoked, Object: k.ID, Revision: k.Revision}, k.Public(), Subject{SubjectSystem, k.System})
	return k.Public(), nil
}

func (c *QuarantineDiscard) apply(x *execution) (any, error) {
	s := x.cat.systems[c.System]
	if s == nil {
		return nil, x.hidden("quarantine", "discard", "no system %s", c.System)
	}
	if err := x.may("quarantine", "discard", s.System.Department); err != nil {
		return nil, err
	}
	row, ok := x.w.quarantined(s.Number, c.Number)
	if !ok {
		return nil, refuse(CodeNotFound, "quarantine of %s has no number %d", c.System, c.Number)
	}
	x.w.release(s.Number, c.Number)
	resource := ""
	if r := x.cat.resource(row.resource); r != nil {
		resource = r.Resource.Resource
	}
	x.leaf(audit.Leaf{Type: audit.QuarantineDiscarded, Resource: resource, Object: c.System, First: c.Number, Count: 1}, nil,
		Subject{SubjectSystem, c.System}, Subject{SubjectResource, resource})
	return DiscardAnswer{ID: QuarantineID(c.System, c.Number)}, nil
}

func (c *MemberNote) apply(x *execution) (any, error) {
	if err := x.may("cluster", "member-add"); err != nil {
		return nil, err
	}
	if err := name("id", c.Member.ID); err != nil {
		return nil, err
	}
	old := x.cat.members[c.Member.ID]
	switch c.Action {
	case MemberAdded:
		return x.addMember(c.Member), nil
	case MemberRemoved:
		if old == nil {
			return c.Member, nil // removed already
		}
		delete(own(x.cat, partMembers, &x.cat.members), old.ID)
		x.w.del(catalogueKey(kindMember, old.ID))
		x.leaf(audit.Leaf{Type: audit.MemberRemoved, Object: old.ID}, nil, Subject{SubjectMember, old.ID})
		return *old, nil
	}
	return nil, refuse(CodeMalformed, "action must be %s or %s", MemberAdded, MemberRemoved)
}

func (x *execution) addMember(m Member) Member {
	m.AddedAt = x.w.time
	if old := x.cat.members[m.ID]; old != nil {
		m.AddedAt = old.AddedAt
		if equal(m, *old) {
			return m
		}
	}
	own(x.cat, partMembers, &x.cat.members)[m.ID] = &m
	x.store(kindMember, m.ID, m)
	x.leaf(audit.Leaf{Type: audit.MemberAdded, Object: m.ID, VKey: m.VKey}, m, Subject{SubjectMember, m.ID})
	return m
}

func (c *Bootstrap) apply(x *execution) (any, error) {
	if x.cat.cluster.Cluster != "" {
		return nil, refuse(CodeConflict, "the cluster was bootstrapped before")
	}
	if !x.self || c.Cluster == "" || c.Log == "" || c.Epoch == 0 {
		return nil, refuse(CodeMalformed, "a bootstrap names cluster, log and epoch, and is given by the bus itself")
	}
	if id := x.w.clusterID; id != "" && id != c.Cluster {
		return nil, refuse(CodeMalformed, "bootstrap of another cluster")
	}
	info := clusterInfo{Cluster: c.Cluster, Log: c.Log, Previous: c.Previous, Epoch: c.Epoch}
	x.cat.cluster = info
	x.w.set(metaKey(metaCluster), mustJSON(info))
	x.leaf(audit.Leaf{Type: audit.LogOpened, Object: c.Log, Previous: c.Previous, Count: c.Epoch}, nil)
	for _, m := range c.Members {
		x.addMember(m)
	}
	return BootstrapAnswer{Cluster: c.Cluster, Log: c.Log, Epoch: c.Epoch}, c.objects(x)
}

// objects stores what a bootstrap brings along. Its faults are found by the
// same checks as anywhere; since the cluster is nothing without them they stop
// the node that is being made.
func (c *Bootstrap) objects(x *execution) error {
	var err error
	do := func(_ any, e error) {
		if err == nil {
			err = e
		}
	}
	for _, d := range c.Departments {
		do(x.putDepartment(d, nil))
	}
	for _, g := range c.Groups {
		do(x.putGroup(g, nil))
	}
	for _, s := range c.Systems {
		do(x.putSystem(s, nil))
	}
	for _, k := range c.Credentials {
		do(x.putCredential(k))
	}
	for _, r := range c.Resources {
		do(x.putResource(r, nil))
	}
	for _, s := range c.Schemas {
		do(x.registerSchema(s.Resource, 0, s.Schema, s.Title))
	}
	return err
}

// QuarantineID is how an item is named for people: "<department>.<system>:<n>".
func QuarantineID(system string, number uint64) string {
	return system + ":" + uintText(number)
}
