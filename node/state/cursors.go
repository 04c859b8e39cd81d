package state

import (
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// cursors applies a section of cursor moves (invariant 7): the handed mark goes
// on without a gap under a grant that stands now, the acknowledged one follows
// up to it. A move that was applied already is a duplicate and leaves no second
// leaf.
func (w *work) cursors(s []byte, res *Result) {
	h, moves, err := record.DecodeCursors(s)
	if err != nil {
		w.unreadable(res, err)
		return
	}
	res.Code = Applied
	res.Records = make([]RecordResult, len(moves))
	for i := range moves {
		m := &moves[i]
		r := &res.Records[i]
		*r = w.cursor(m, salt(h.Secret, i))
		if r.HasLeaf && !res.HasLeaf {
			res.Leaf, res.HasLeaf = r.Leaf, true
		}
	}
}

func (w *work) cursor(m *record.CursorMove, salt []byte) RecordResult {
	sub := w.cat.subscriptions[m.Subscription]
	if sub == nil {
		return RecordResult{Status: StatusNotFound}
	}
	r := w.cat.resources[sub.Resource]
	b, ok := w.get(cursorKey(sub.Subscription))
	if r == nil || !ok {
		w.fail(corrupt("cursor of subscription", sub.Subscription))
		return RecordResult{}
	}
	c, err := decodeCursor(b)
	w.fail(err)
	system, credential := splitSystem(m.System)
	caller, ok := w.cat.caller(system, credential, w.time)
	if !ok || system != sub.System {
		return RecordResult{Status: StatusNotGranted}
	}
	if m.Action == record.ActionAck {
		return w.ack(m, sub, c, salt)
	}
	return w.handed(m, sub, c, r, caller, salt)
}

func (w *work) handed(m *record.CursorMove, sub *policy.Subscription, c cursorRow, r *resourceEntry, caller policy.Caller, salt []byte) RecordResult {
	g := w.cat.grants[sub.Grant]
	if sub.State != policy.SubscriptionActive || g == nil || g.Revision != m.GrantRevision ||
		policy.Entitles(*g, caller, sub.Resource, w.time) != nil {
		return RecordResult{Status: StatusNotGranted}
	}
	switch last := w.headOf(r.Number).last; {
	case m.From == 0 || m.Through < m.From || uint64(m.Delivered)+uint64(m.Filtered) != m.Through-m.From+1:
		return RecordResult{Status: StatusOverlap, Expected: c.handed + 1}
	case m.Through > last:
		return RecordResult{Status: StatusAhead, Expected: last}
	case m.From > c.acked && m.Through <= c.handed: // handed out again: not acknowledged so far
		return RecordResult{Status: StatusDuplicate, Expected: c.handed}
	case m.From != c.handed+1:
		return RecordResult{Status: StatusOverlap, Expected: c.handed + 1}
	}
	c.handed = m.Through
	w.set(cursorKey(sub.Subscription), c.encode())
	leaf := w.leaf(audit.Leaf{
		Type: audit.DeliveryDelivered, Resource: sub.Resource, Systems: []string{sub.System}, First: m.From, Through: m.Through,
		Delivered: uint64(m.Delivered), Filtered: uint64(m.Filtered), Subscription: sub.Subscription,
		Grant: g.Grant, GrantRevision: g.Revision, Outcome: audit.OutcomeOK, Root: m.Root, Salt: salt,
	}, Subject{SubjectSubscription, sub.Subscription}, Subject{SubjectResource, sub.Resource})
	w.set(rangeKey(store.TableDelivery, sub.Subscription, m.From), encodePair(m.Through, leaf))
	return RecordResult{Status: StatusAccepted, Leaf: leaf, HasLeaf: true}
}

func (w *work) ack(m *record.CursorMove, sub *policy.Subscription, c cursorRow, salt []byte) RecordResult {
	switch {
	case m.Through > c.handed:
		return RecordResult{Status: StatusAhead, Expected: c.handed}
	case m.Through <= c.acked:
		return RecordResult{Status: StatusDuplicate, Expected: c.acked}
	}
	from := c.acked + 1
	c.acked = m.Through
	w.set(cursorKey(sub.Subscription), c.encode())
	leaf := w.leaf(audit.Leaf{
		Type: audit.DeliveryAcknowledged, Resource: sub.Resource, Systems: []string{sub.System}, First: from, Through: m.Through,
		Subscription: sub.Subscription, Grant: sub.Grant, Outcome: audit.OutcomeOK, Salt: salt,
	}, Subject{SubjectSubscription, sub.Subscription}, Subject{SubjectResource, sub.Resource})
	w.set(rangeKey(store.TableAck, sub.Subscription, m.Through), encodePair(from, leaf))
	return RecordResult{Status: StatusAccepted, Leaf: leaf, HasLeaf: true}
}
