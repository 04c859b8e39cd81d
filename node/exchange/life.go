package exchange

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
)

// life is what the log holds about one key, as far as one holder may know.
type life struct {
	v         *state.View
	resource  string
	versions  []state.StoredRecord // oldest first
	leaves    map[uint64][]byte
	leavesMax int
	holder    holder
}

// holder is somebody who may know of a key's life. Those who answer for the
// record, administrators and auditors know of everybody's deliveries; a
// subscriber knows of those to its own department.
type holder struct {
	caller policy.Caller
	access *access // what may be opened; nil: nothing
	all    bool
}

// holderOf says what the caller may know and open, by the state's present word.
//
// opens says that something will be opened: then a caller with several grants
// has to say under which.
func (s *Service) holderOf(v *state.View, c policy.Caller, in ReadRequest, versions []state.StoredRecord, opens bool) (holder, error) {
	c, err := s.caller(v, c.Credential)
	if err != nil {
		return holder{}, err
	}
	own := false
	var departments []string
	for i := range versions {
		departments = append(departments, versions[i].Department)
		if _, err := policy.OwnerView(c, versions[i].Department); err == nil {
			own = true
		}
	}
	r, _, ok := v.Resource(in.Resource)
	if !ok {
		return holder{}, noResource(in.Resource)
	}
	h := holder{caller: c, all: may(c, "audit", "evidence", append(departments, r.Owner)...) == nil}
	a, err := s.access(v, c, in.Resource, in.Grant)
	switch {
	case err == nil && (a.grant != nil || own):
		h.access = &a
	case errors.Is(err, errSeveralGrants):
		if opens {
			return holder{}, err
		}
	case h.all:
	case err == nil:
		return holder{}, notHere()
	default:
		return holder{}, err
	}
	return h, nil
}

// lifeOf collects the leaves of one key: acceptances, deliveries and
// acknowledgements that cover its offsets, decisions on its publication.
func (s *Service) lifeOf(v *state.View, c policy.Caller, in ReadRequest, opens bool, leavesMax int) (*life, error) {
	versions, err := v.History(in.Resource, in.Key, historyMax)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, problem(err)
	}
	l := &life{v: v, resource: in.Resource, versions: versions, leaves: map[uint64][]byte{}, leavesMax: leavesMax}
	if l.holder, err = s.holderOf(v, c, in, versions, opens); err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, notHere()
	}
	slices.Reverse(versions)
	for i := range versions {
		if err := l.add(versions[i].Leaf); err != nil {
			return nil, err
		}
	}
	if err := l.addDeliveries(); err != nil {
		return nil, err
	}
	p, ok, err := v.PublicationOf(in.Resource, in.Key)
	if err != nil {
		return nil, problem(err)
	}
	if !ok || !l.holder.all {
		return l, nil
	}
	return l, l.addSubject(state.Subject{Kind: state.SubjectPublication, Name: p.ID})
}

// indexes are those of the leaves, ascending.
func (l *life) indexes() []uint64 { return slices.Sorted(maps.Keys(l.leaves)) }

// newest is the index of the youngest leaf.
func (l *life) newest() uint64 {
	var out uint64
	for i := range l.leaves {
		out = max(out, i)
	}
	return out
}

func (l *life) add(index uint64) error {
	if _, have := l.leaves[index]; have {
		return nil
	}
	if len(l.leaves) >= l.leavesMax {
		return api.Refuse(api.CodeTooLarge, "日志中关于该业务主键的叶超过%[1]d个 / the log holds more than %[1]d leaves about this key", l.leavesMax)
	}
	b, err := l.v.Leaf(index)
	if err != nil {
		return problem(fmt.Errorf("read leaf %d: %w", index, err))
	}
	l.leaves[index] = b
	return nil
}

func (l *life) addSubject(subject state.Subject) error {
	indexes, err := l.v.LeavesOf(subject, 0, l.leavesMax+1)
	if err != nil {
		return problem(err)
	}
	for _, i := range indexes {
		if err := l.add(i); err != nil {
			return err
		}
	}
	return nil
}

// addDeliveries adds, for each subscription of the resource that the holder may
// know of, the ranges that cover a version, the acknowledgement that closed it,
// and the grant.
func (l *life) addDeliveries() error {
	subscriptions, err := l.v.Subscriptions()
	if err != nil {
		return problem(err)
	}
	for _, sub := range subscriptions {
		department, _ := splitFullName(sub.System)
		if sub.Resource != l.resource || !l.holder.all && department != l.holder.caller.Department.Code {
			continue
		}
		if err := l.addSubscription(sub); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) addSubscription(sub policy.Subscription) error {
	covered := false
	for i := range l.versions {
		offset := l.versions[i].Offset
		ranges, err := l.v.Deliveries(sub.Subscription, offset, 8)
		if err != nil {
			return problem(err)
		}
		for _, d := range ranges {
			if d.From <= offset && offset <= d.Through {
				covered = true
				if err := l.add(d.Leaf); err != nil {
					return err
				}
			}
		}
		leaf, _, ok, err := l.v.Acknowledged(sub.Subscription, offset)
		if err != nil {
			return problem(err)
		}
		if ok {
			if err := l.add(leaf); err != nil {
				return err
			}
		}
	}
	if !covered {
		return nil
	}
	// Created, paused, resumed: without them a subscription that began late would
	// look like one with a gap.
	if err := l.addCreation(sub.Subscription); err != nil {
		return err
	}
	return l.addSubject(state.Subject{Kind: state.SubjectGrant, Name: sub.Grant})
}

// subscriptionLeavesMax bounds the leaves of a subscription that are looked
// through for what was done to it.
const subscriptionLeavesMax = 100_000

// addCreation adds what was done to a subscription itself, leaving out its
// deliveries of other offsets.
func (l *life) addCreation(subscription string) error {
	indexes, err := l.v.LeavesOf(state.Subject{Kind: state.SubjectSubscription, Name: subscription}, 0, subscriptionLeavesMax)
	if err != nil {
		return problem(err)
	}
	for _, i := range indexes {
		b, err := l.v.Leaf(i)
		if err != nil {
			return problem(fmt.Errorf("read leaf %d: %w", i, err))
		}
		leaf, err := audit.ParseLeaf(b)
		if err != nil {
			return api.Internal(fmt.Errorf("parse leaf %d: %w", i, err))
		}
		switch leaf.Type {
		case audit.SubscriptionCreated, audit.SubscriptionPaused, audit.SubscriptionResumed, audit.SubscriptionDeleted:
			if err := l.add(i); err != nil {
				return err
			}
		}
	}
	return nil
}
