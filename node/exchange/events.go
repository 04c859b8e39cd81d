package exchange

import (
	"context"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
)

// EventFilter narrows the trace; empty members do not.
type EventFilter struct {
	Resource, Key, Department, Type string
	From, To                        string // RFC 3339
	Begin                           uint64 // first leaf index looked at
	Limit                           int    // events; a leaf with several is not cut
}

// EventPage is a run of the trace.
type EventPage struct {
	Events  []api.Event
	Through uint64 // last leaf looked at
	End     bool   // nothing later was there
}

// Bounds of the trace.
const (
	eventsScanned  = 200_000 // leaves that one request looks at
	traceLeavesMax = 20_000  // leaves about one key
)

// Events is the trace: of one key, or of what the filter takes.
func (s *Service) Events(_ context.Context, c policy.Caller, f EventFilter) (EventPage, error) {
	v, err := s.view()
	if err != nil {
		return EventPage{}, err
	}
	defer v.Close()
	within, err := window(f)
	if err != nil {
		return EventPage{}, err
	}
	if f.Key != "" {
		return s.trace(v, c, f, within)
	}
	all := may(c, "audit", "events") == nil
	if err := may(c, "audit", "events", c.Department.Code); !all && err != nil {
		return EventPage{}, err
	}
	page := EventPage{Events: []api.Event{}, End: true}
	err = v.Leaves(f.Begin, eventsScanned, func(i uint64, b []byte) bool {
		page.Through, page.End = i, i+1 >= v.TreeSize()
		leaf, perr := audit.ParseLeaf(b)
		if perr != nil {
			return true
		}
		if e := audit.EventOf(v.Log(), leaf, nil); within(leaf.T) && f.takes(e) && (all || concerns(v, leaf, e, c)) {
			page.Events = append(page.Events, e)
		}
		return len(page.Events) < f.Limit
	})
	return page, problem(err)
}

// takes is the filter without key and time.
func (f *EventFilter) takes(e api.Event) bool {
	return (f.Resource == "" || e.Resource == f.Resource) && (f.Type == "" || e.Type == f.Type) && (f.Department == "" || e.Department == f.Department)
}

// concerns is true for events of the caller's own department: as the acting
// one, as the owner of the resource, or as the subscriber.
func concerns(v *state.View, leaf audit.Leaf, e api.Event, c policy.Caller) bool {
	if e.Department == c.Department.Code {
		return true
	}
	if r, _, ok := v.Resource(e.Resource); ok && r.Owner == c.Department.Code {
		return true
	}
	if leaf.Grant == "" {
		return false
	}
	g, ok := v.Grant(leaf.Grant)
	return ok && policy.IsSubscriber(g, c)
}

// window is the time condition of a filter.
func window(f EventFilter) (func(ms int64) bool, error) {
	var lower, upper int64
	upper = 1<<63 - 1
	for _, bound := range []struct {
		text string
		ms   *int64
	}{{f.From, &lower}, {f.To, &upper}} {
		if bound.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, bound.text)
		if err != nil {
			return nil, api.Refuse(api.CodeMalformed, "from 和 to 应为 RFC 3339 时间 / from and to are times in RFC 3339")
		}
		*bound.ms = t.UnixMilli()
	}
	return func(ms int64) bool { return ms >= lower && ms < upper }, nil
}

// trace is the life of one key in order, as far as the caller may know of it.
func (s *Service) trace(v *state.View, c policy.Caller, f EventFilter, within func(int64) bool) (EventPage, error) {
	if f.Resource == "" {
		return EventPage{}, api.Refuse(api.CodeMalformed, "追踪一个业务主键须同时写明 resource= / a key is traced within its resource; name resource= too")
	}
	l, err := s.lifeOf(v, c, ReadRequest{Resource: f.Resource, Key: f.Key}, false, traceLeavesMax)
	if err != nil {
		return EventPage{}, err
	}
	page := EventPage{Events: []api.Event{}, End: true}
	for _, i := range l.indexes() {
		if i < f.Begin {
			continue
		}
		if len(page.Events) >= f.Limit {
			page.End = false
			break
		}
		page.Through = i
		leaf, err := audit.ParseLeaf(l.leaves[i])
		if err != nil {
			return EventPage{}, api.Internal(err)
		}
		if !within(leaf.T) {
			continue
		}
		for _, e := range l.events(v.Log(), leaf) {
			if e.Key = f.Key; f.takes(e) {
				page.Events = append(page.Events, e)
			}
		}
	}
	return page, nil
}

// events are what a leaf says of the key: one for each version that it covers,
// or one for itself.
func (l *life) events(log string, leaf audit.Leaf) []api.Event {
	items := l.within(leaf)
	if len(items) == 0 {
		return []api.Event{audit.EventOf(log, leaf, nil)}
	}
	out := make([]api.Event, len(items))
	for k := range items {
		out[k] = audit.EventOf(log, leaf, &items[k])
	}
	return out
}

// within are the versions of the key that a range leaf covers.
func (l *life) within(leaf audit.Leaf) []audit.Item {
	var out []audit.Item
	for i := range l.versions {
		r := &l.versions[i]
		accepted := leaf.Type == audit.SubmissionAccepted && r.Leaf == leaf.I
		handed := (leaf.Type == audit.DeliveryDelivered || leaf.Type == audit.DeliveryAcknowledged) && leaf.First <= r.Offset && r.Offset <= leaf.Through
		if accepted || handed {
			out = append(out, r.Item())
		}
	}
	return out
}
