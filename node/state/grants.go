package state

import (
	"encoding/json"
	"strconv"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas"
)

// maxSchemaBytes bounds the text of a schema (CONTRACT §5).
const maxSchemaBytes = 256 << 10

func (c *ResourcePut) apply(x *execution) (any, error) {
	if err := x.may("resource", "put"); err != nil {
		return nil, err
	}
	return x.putResource(c.Object, c.IfRevision)
}

func (x *execution) putResource(r schemas.Resource, want *uint64) (any, error) {
	if err := name("resource", r.Resource); err != nil {
		return nil, err
	}
	old := x.cat.resources[r.Resource]
	e := resourceEntry{Resource: r}
	e.Resource.SchemaVersion = 0
	if e.Resource.Revision = 1; old != nil {
		e.Number, e.Schemas = old.Number, old.Schemas
		e.Resource.SchemaVersion = old.Resource.SchemaVersion
		if e.Resource.Revision = old.Resource.Revision; equal(e.Resource, old.Resource) {
			return old.Resource, nil
		}
		e.Resource.Revision++
	}
	if err := precondition(want, old != nil, e.Resource.Revision-1); err != nil {
		return nil, err
	}
	if x.cat.departments[r.Owner] == nil {
		return nil, refuse(CodeNotFound, "no owner department %s", r.Owner)
	}
	if old == nil {
		x.w.next.resource++
		e.Number = x.w.next.resource
		x.saveNext()
	}
	x.cat.putResource(&e)
	x.store(kindResource, r.Resource, e)
	x.leaf(audit.Leaf{Type: audit.ResourcePut, Resource: r.Resource, Object: r.Resource, Revision: e.Resource.Revision}, e.Resource,
		Subject{SubjectResource, r.Resource})
	return e.Resource, nil
}

func (c *SchemaRegister) apply(x *execution) (any, error) {
	if err := x.may("schema", "register"); err != nil {
		return nil, err
	}
	return x.registerSchema(c.Resource, c.Version, c.Schema, c.Title)
}

func (x *execution) registerSchema(resource string, version uint32, text, title string) (any, error) {
	old := x.cat.resources[resource]
	if old == nil {
		return nil, refuse(CodeNotFound, "no resource %s", resource)
	}
	if len(text) > maxSchemaBytes || !json.Valid([]byte(text)) {
		return nil, refuse(CodeSchemaRefused, "the schema is not JSON of at most 256 KiB")
	}
	newest := old.Resource.SchemaVersion
	if newest > 0 && (version == 0 || version == newest) {
		if b, ok := x.w.get(schemaKey(old.Number, newest)); ok && string(b) == text {
			return SchemaAnswer{Resource: resource, Version: newest, Revision: old.Resource.Revision}, nil
		}
	}
	if version != 0 && version != newest+1 {
		return nil, refuse(CodeRevisionConflict, "the next version is %d", newest+1)
	}
	e := *old
	e.Schemas = append(e.Schemas[:len(e.Schemas):len(e.Schemas)], schemaEntry{Title: title, At: x.w.time})
	e.Resource.SchemaVersion++
	e.Resource.Revision++
	x.cat.putResource(&e)
	x.w.set(schemaKey(e.Number, e.Resource.SchemaVersion), []byte(text))
	x.store(kindResource, resource, e)
	x.leaf(audit.Leaf{
		Type: audit.SchemaRegistered, Resource: resource, Object: resource,
		Version: uint64(e.Resource.SchemaVersion), Revision: e.Resource.Revision,
	}, json.RawMessage(text), Subject{SubjectResource, resource})
	return SchemaAnswer{Resource: resource, Version: e.Resource.SchemaVersion, Revision: e.Resource.Revision}, nil
}

func (c *GrantRequest) apply(x *execution) (any, error) {
	g := c.Object
	r := x.cat.resources[g.Resource]
	if r == nil {
		return nil, x.hidden("grant", "request", "no resource %s", g.Resource)
	}
	var owners []string
	if policy.IsSubscriber(g, x.caller) {
		owners = []string{x.caller.Department.Code}
	}
	if err := x.may("grant", "request", owners...); err != nil {
		return nil, err
	}
	if g.Grant != "" {
		if err := name("grant", g.Grant); err != nil {
			return nil, err
		}
		if x.cat.grants[g.Grant] != nil {
			return nil, refuse(CodeIDConflict, "grant %s exists", g.Grant)
		}
	}
	if g.Grant == "" {
		for g.Grant == "" || x.cat.grants[g.Grant] != nil {
			x.w.next.grant++
			g.Grant = "g" + uintText(x.w.next.grant)
		}
		x.saveNext()
	}
	g.State, g.DecidedBy, g.Reason, g.Revision = policy.GrantRequested, "", "", 1
	x.saveGrant(&g, audit.GrantRequested)
	return g, nil
}

func (c *GrantDecide) apply(x *execution) (any, error) {
	old := x.cat.grants[c.Grant]
	if old == nil {
		return nil, x.hidden("grant", "show", "no grant %s", c.Grant)
	}
	r := x.cat.resources[old.Resource]
	if r == nil {
		return nil, refuse(CodeNotFound, "no resource %s", old.Resource)
	}
	if c.IfRevision != nil && *c.IfRevision != old.Revision {
		return nil, refuse(CodeRevisionConflict, "the revision is %d by now", old.Revision)
	}
	g, err := policy.Decide(*old, c.Action, x.caller, r.Resource, c.Reason, x.w.time)
	if err != nil {
		return nil, denied(err)
	}
	g.Revision++
	kind := audit.GrantApproved
	switch c.Action {
	case policy.ActionRefuse:
		kind = audit.GrantRefused
	case policy.ActionRevoke:
		kind = audit.GrantRevoked
	}
	x.saveGrant(&g, kind)
	return g, nil
}

func (x *execution) saveGrant(g *policy.Grant, kind string) {
	own(x.cat, partGrants, &x.cat.grants)[g.Grant] = g
	x.store(kindGrant, g.Grant, g)
	x.leaf(audit.Leaf{
		Type: kind, Resource: g.Resource, Grant: g.Grant, GrantRevision: g.Revision, Object: g.Subscriber, Step: g.State,
	}, g, Subject{SubjectGrant, g.Grant}, Subject{SubjectResource, g.Resource})
}

func (c *SubscriptionCreate) apply(x *execution) (any, error) {
	s := c.Object
	if s.System == "" {
		s.System = x.caller.System.FullName()
	}
	sys := x.cat.systems[s.System]
	if sys == nil {
		return nil, x.hidden("subscription", "create", "no system %s", s.System)
	}
	if err := x.may("subscription", "create", sys.System.Department); err != nil {
		return nil, err
	}
	g := x.cat.grants[s.Grant]
	if g == nil || s.Resource != "" && s.Resource != g.Resource {
		return nil, refuse(CodeNotFound, "no grant %s on this resource", s.Grant)
	}
	s.Resource = g.Resource
	r := x.cat.resources[g.Resource]
	holder, ok := x.cat.caller(s.System, "", x.w.time)
	if r == nil || !ok {
		return nil, refuse(CodeNotFound, "no resource %s", g.Resource)
	}
	if err := policy.Entitles(*g, holder, g.Resource, x.w.time); err != nil {
		return nil, denied(err)
	}
	if s.Subscription != "" {
		if err := name("subscription", s.Subscription); err != nil {
			return nil, err
		}
		if x.used(s.Subscription) {
			return nil, refuse(CodeIDConflict, "subscription %s exists or existed", s.Subscription)
		}
	}
	if s.Subscription == "" {
		for s.Subscription == "" || x.used(s.Subscription) {
			x.w.next.subscription++
			s.Subscription = "s" + uintText(x.w.next.subscription)
		}
		x.saveNext()
	}
	at := cursorRow{}
	last := x.w.headOf(r.Number).last
	switch {
	case s.Start.Offset > 0:
		at.acked = min(s.Start.Offset-1, last)
	case !s.Start.Earliest:
		at.acked = last
	}
	at.handed = at.acked
	s.State, s.Revision, s.LastError = policy.SubscriptionActive, 1, ""
	x.w.set(cursorKey(s.Subscription), at.encode())
	return x.saveSubscription(s, audit.SubscriptionCreated, at), nil
}

// used says whether a subscription of the name exists or existed: its delivery
// ranges are evidence and must not be continued by another.
func (x *execution) used(subscription string) bool {
	if x.cat.subscriptions[subscription] != nil {
		return true
	}
	prefix := subjectPrefix(Subject{SubjectSubscription, subscription})
	it := x.w.batch.NewIter(prefix, store.PrefixEnd(prefix))
	found := it.First()
	x.w.fail(it.Close())
	return found
}

func (x *execution) saveSubscription(s policy.Subscription, kind string, at cursorRow) policy.Subscription {
	s.Cursor, s.Handed, s.LagRecords, s.LagSeconds = 0, 0, 0, 0
	stored := s
	own(x.cat, partSubscriptions, &x.cat.subscriptions)[s.Subscription] = &stored
	x.store(kindSubscription, s.Subscription, stored)
	x.leaf(audit.Leaf{
		Type: kind, Resource: s.Resource, Subscription: s.Subscription, Grant: s.Grant, Revision: s.Revision,
		First: at.acked + 1, Step: s.State,
	}, stored, Subject{SubjectSubscription, s.Subscription}, Subject{SubjectResource, s.Resource})
	s.Cursor, s.Handed = at.acked, at.handed
	return s
}

// subscription finds one that the caller may change, with its cursor.
func (x *execution) subscription(id, verb string) (policy.Subscription, cursorRow, error) {
	s := x.cat.subscriptions[id]
	if s == nil {
		return policy.Subscription{}, cursorRow{}, x.hidden("subscription", verb, "no subscription %s", id)
	}
	department := ""
	if sys := x.cat.systems[s.System]; sys != nil {
		department = sys.System.Department
	}
	if err := x.may("subscription", verb, department); err != nil {
		return policy.Subscription{}, cursorRow{}, err
	}
	b, _ := x.w.get(cursorKey(id))
	at, err := decodeCursor(b)
	x.w.fail(err)
	return *s, at, nil
}

func (c *SubscriptionDelete) apply(x *execution) (any, error) {
	s, at, err := x.subscription(c.Subscription, "delete")
	if err != nil {
		return nil, err
	}
	s.Revision++
	answer := x.saveSubscription(s, audit.SubscriptionDeleted, at)
	delete(x.cat.subscriptions, s.Subscription) // saveSubscription made the map its own
	x.w.del(catalogueKey(kindSubscription, s.Subscription))
	x.w.del(cursorKey(s.Subscription))
	return answer, nil
}

func (c *SubscriptionPause) apply(x *execution) (any, error) {
	return x.setState(c.Subscription, "pause", policy.SubscriptionPaused, audit.SubscriptionPaused)
}

func (c *SubscriptionResume) apply(x *execution) (any, error) {
	return x.setState(c.Subscription, "resume", policy.SubscriptionActive, audit.SubscriptionResumed)
}

func (x *execution) setState(id, verb, state, kind string) (any, error) {
	s, at, err := x.subscription(id, verb)
	if err != nil {
		return nil, err
	}
	if s.State == state {
		s.Cursor, s.Handed = at.acked, at.handed
		return s, nil
	}
	s.State = state
	s.Revision++
	return x.saveSubscription(s, kind, at), nil
}

func (c *PublicationDecide) apply(x *execution) (any, error) {
	number, ok := publicationNumber(c.Publication)
	var old disclosure.Publication
	if ok {
		old, ok = x.w.publication(number)
	}
	if !ok {
		return nil, x.hidden("publication", "show", "no publication %s", c.Publication)
	}
	if c.IfRevision != nil && *c.IfRevision != old.Revision {
		return nil, refuse(CodeRevisionConflict, "the revision is %d by now", old.Revision)
	}
	r := x.cat.resources[old.Resource]
	b, found := x.w.get(keyKey(nil, r.Number, old.Key))
	key, err := decodeKeyRow(b)
	if !found || err != nil {
		x.w.fail(corrupt("key of publication", old.ID))
		return nil, nil //nolint:nilerr // fail stops the machine by name
	}
	by := disclosure.Actor{Department: x.caller.Department.Code, System: x.caller.System.FullName(), Roles: x.caller.Roles()}
	p, change, err := disclosure.Decide(old, r.Resource, c.Action, by, key.owner, c.Note, c.Seen, x.w.time)
	if err != nil {
		return nil, denied(err)
	}
	x.w.savePublication(number, &p, old.State)
	shown, version := key.offset, p.Version
	if change == disclosure.Tombstone {
		version = old.PublishedVersion
	}
	if version != key.version {
		shown = x.w.offsetOf(r.Number, version, key.version+1, key.offset)
	}
	h := x.w.headOf(r.Number)
	x.w.publish(h, r.Number, p, old.PublishedVersion, shown, change)
	x.w.saveHead(r.Number, h)
	leaf := x.w.publicationLeaf(p, change, shown, version, []string{by.System}, c.Action, salt(x.secret, 0))
	x.first, x.leaves = leaf, 1
	return p, nil
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("state: a struct of texts and numbers does not marshal: " + err.Error())
	}
	return b
}
