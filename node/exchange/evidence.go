package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/deliver"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// evidenceLeavesMax bounds the leaves of one evidence file.
const evidenceLeavesMax = 2000

// sealWait is how long evidence waits for the checkpoint that covers its
// youngest leaf.
const sealWait = 3 * time.Second

// Evidence makes the evidence file of one key, opening what the caller may
// see: everything for its publisher, under its grant for a subscriber, nothing
// for an auditor.
func (s *Service) Evidence(ctx context.Context, c policy.Caller, in ReadRequest) ([]byte, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	l, err := s.lifeOf(v, c, in, true, evidenceLeavesMax)
	if err != nil {
		return nil, err
	}
	note, err := s.sealed(ctx, v.Log(), l.newest()+1)
	if err != nil {
		return nil, err
	}
	// Asked again now: a right may have ended while we waited. The hashes may be of
	// a younger view than the leaves: trees only grow.
	now, err := s.view()
	if err != nil {
		return nil, err
	}
	defer now.Close()
	h, err := s.holderOf(now, c, in, l.versions, true)
	if err != nil {
		return nil, err
	}
	if l.holder.all && !h.all {
		return nil, notHere()
	}
	l.holder = h
	b, err := audit.NewBuilder(v.Log(), in.Resource, c.System.FullName(), s.replica.Now(), note, now.HashReader())
	if err != nil {
		return nil, api.Internal(err)
	}
	if err := s.build(b, l); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := audit.Write(&out, b.Evidence()); err != nil {
		return nil, api.Internal(fmt.Errorf("write evidence: %w", err))
	}
	return out.Bytes(), nil
}

// sealed waits for a checkpoint of at least size leaves, and takes the newest
// there is when none comes in time: what it does not cover is pending.
func (s *Service) sealed(ctx context.Context, log string, size uint64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sealWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		note := s.checkpoints.Latest()
		if covers(note, log, size) {
			return note, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return note, nil // evidence without a covering checkpoint says so itself
		}
	}
}

func covers(note []byte, log string, size uint64) bool {
	text, err := tlog.NoteText(note)
	if err != nil {
		return false
	}
	c, err := tlog.ParseCheckpoint(text)
	return err == nil && c.Origin == log && c.Size >= size
}

// build adds leaves, records and deliveries.
func (s *Service) build(b *audit.Builder, l *life) error {
	indexes := l.indexes()
	for _, i := range indexes {
		if err := b.AddLeaf(l.leaves[i]); err != nil {
			return api.Internal(fmt.Errorf("add leaf %d: %w", i, err))
		}
	}
	for i := range l.versions {
		if err := s.addRecord(b, l, &l.versions[i]); err != nil {
			return err
		}
	}
	for _, i := range indexes {
		leaf, err := audit.ParseLeaf(l.leaves[i])
		if err != nil {
			return api.Internal(fmt.Errorf("parse leaf %d: %w", i, err))
		}
		switch leaf.Type {
		case audit.DeliveryDelivered:
			err = s.addDelivery(b, l, leaf)
		case audit.GrantApproved, audit.GrantRevoked, audit.GrantRefused, audit.GrantRequested:
			err = addGrant(b, l.v, leaf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addGrant opens a grant in the form that a leaf holds the digest of; older
// forms are no longer kept. Leaves of grants that the holder may not know of are
// not in its file (see life).
func addGrant(b *audit.Builder, v *state.View, leaf audit.Leaf) error {
	g, ok := v.Grant(leaf.Grant)
	if !ok {
		return nil
	}
	raw, err := json.Marshal(g)
	if err != nil {
		return api.Internal(fmt.Errorf("encode grant: %w", err))
	}
	if err := b.AddObject(leaf.I, raw); err != nil && !errors.Is(err, audit.ErrEvidence) {
		return api.Internal(fmt.Errorf("open grant: %w", err))
	}
	return nil
}

// addRecord adds one version with its openings.
func (s *Service) addRecord(b *audit.Builder, l *life, r *state.StoredRecord) error {
	segment, err := l.v.Segment(l.resource, r.Offset)
	if err != nil {
		return problem(err)
	}
	open, err := s.openings(l, r)
	if err != nil {
		return err
	}
	if err := b.AddRecord(r.Leaf, segment.Items(), r.Ordinal, open); err != nil {
		return api.Internal(fmt.Errorf("add record %d: %w", r.Offset, err))
	}
	return nil
}

// openings are what the holder may see of one version: all of its own
// department's. Under a grant the key is seen on delivery; the body whole only
// where nothing of it is kept back, for the commitment covers all of it.
func (s *Service) openings(l *life, r *state.StoredRecord) (audit.Openings, error) {
	a := l.holder.access
	if a == nil {
		return audit.Openings{}, nil
	}
	if _, err := policy.OwnerView(a.caller, r.Department); err == nil {
		return audit.OpenRecord(r.Facts(), true, true, true), nil
	}
	if a.grant == nil {
		return audit.Openings{}, nil
	}
	view, err := s.viewFor(l.v, *a, r)
	if err != nil || view.Empty() {
		return audit.Openings{}, err
	}
	return audit.OpenRecord(r.Facts(), view.Whole(), true, false), nil
}

// addDelivery adds the key's items of one delivery range where the batch can
// still be made again as it was handed out.
func (s *Service) addDelivery(b *audit.Builder, l *life, leaf audit.Leaf) error {
	items, places, projections, err := s.redeliver(l, leaf)
	if err != nil || items == nil {
		return err
	}
	for i := range l.versions {
		r := &l.versions[i]
		place, ok := places[r.Offset]
		if !ok {
			continue
		}
		var opening *audit.Opening
		if a := l.holder.access; a != nil && a.grant != nil && a.grant.Grant == leaf.Grant && projections[r.Offset] != nil {
			opening = audit.OpenProjection(leaf.Subscription, r.Secret, projections[r.Offset])
		}
		if err := b.AddDelivery(leaf.I, items, place, opening); err != nil {
			// The batch was made under rules that have changed: the leaf alone speaks.
			if errors.Is(err, audit.ErrEvidence) {
				return nil
			}
			return api.Internal(fmt.Errorf("add delivery: %w", err))
		}
	}
	return nil
}

// redeliver makes a logged batch again, for its evidence: items, the place of
// each offset, and the bytes handed out. Nothing is returned where the grant
// or the bodies are no longer those of the batch.
func (s *Service) redeliver(l *life, leaf audit.Leaf) (items [][]byte, places map[uint64]int, projections map[uint64][]byte, err error) {
	g, ok := l.v.Grant(leaf.Grant)
	if !ok || leaf.Through < leaf.First || leaf.Through-leaf.First >= deliver.MaxSpan {
		return nil, nil, nil, nil
	}
	records, whole, err := stored(l.v, l.resource, leaf.First-1, leaf.Through, deliver.MaxSpan)
	if err != nil {
		return nil, nil, nil, err
	}
	o := deliver.Order{Subscription: leaf.Subscription, Cursor: leaf.First - 1, Handed: leaf.Through, Last: leaf.Through}
	b, err := deliver.Make(o, records, whole, s.grantViews(l.v, l.resource, g))
	if err != nil || b.Through != leaf.Through {
		return nil, nil, nil, nil //nolint:nilerr // it cannot be made again: the leaf alone speaks
	}
	places, projections = map[uint64]int{}, map[uint64][]byte{}
	for i, item := range b.Items {
		items = append(items, item.Encode())
		places[item.Offset] = i
	}
	for _, r := range b.Records {
		projections[r.Offset] = r.Data
		if r.Op == record.Withdraw {
			projections[r.Offset] = []byte(r.Reason)
		}
	}
	return items, places, projections, nil
}

// Receipt is the signed note of a key's present version, for its publisher.
func (s *Service) Receipt(_ context.Context, c policy.Caller, in ReadRequest) ([]byte, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	r, err := v.Current(in.Resource, in.Key)
	if err != nil {
		return nil, problem(err)
	}
	if _, err := policy.OwnerView(c, r.Department); err != nil {
		return nil, notHere()
	}
	leaf, err := v.Leaf(r.Leaf)
	if err != nil {
		return nil, problem(err)
	}
	text, err := audit.ReceiptText(audit.Receipt{Log: v.Log(), Leaf: r.Leaf, LeafHash: tlog.LeafHash(leaf), Ordinal: r.Ordinal, Resource: in.Resource, Key: r.Key, ID: r.ID,
		Offset: r.Offset, Version: r.Version, Commitment: r.Commitment(), Epoch: v.Epoch(), At: r.AcceptedAt})
	if err != nil {
		return nil, api.Internal(fmt.Errorf("write receipt: %w", err))
	}
	note, err := tlog.SignNote(text, s.key.Signer())
	if err != nil {
		return nil, api.Internal(fmt.Errorf("sign receipt: %w", err))
	}
	return note, nil
}
