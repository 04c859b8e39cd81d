package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestFreshnessLostWhenCutOff(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, followers := leaderOf(t, nodes)
	for _, cut := range []*node{followers[0], leader} {
		others := []*node{}
		for _, n := range nodes {
			if n != cut {
				others = append(others, n)
			}
		}
		cut.net.setCut(cut.id, true)
		// What the others commit from now on the cut node must not serve around.
		until(t, "others lead on", func() bool {
			for _, n := range others {
				if n.r.packer.isActive() && n.r.ready(n.r.raft.CurrentTerm()) {
					return true
				}
			}
			return false
		})
		until(t, "not fresh", func() bool { return errors.Is(cut.r.Fresh(), ErrNotFresh) })
		others[0].must(fmt.Sprintf("x-%s/1", cut.id))
		if err := cut.r.Fresh(); !errors.Is(err, ErrNotFresh) {
			t.Errorf("%s is fresh while cut off: %v", cut.id, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		if err := cut.r.Strong(ctx); err == nil {
			t.Errorf("%s reads strongly while cut off", cut.id)
		}
		cancel()
		cut.net.setCut(cut.id, false)
		until(t, "fresh again", func() bool { return cut.r.Fresh() == nil })
		leaderOf(t, nodes)
	}
}

// A follower whose state stands still is not fresh, though raft's heartbeats and
// its log go on.
func TestStuckStateIsNotFresh(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, followers := leaderOf(t, nodes)
	n := followers[0]
	gate, open := newGate(t)
	n.m.setBlock(gate)
	leader.must("a/1")
	until(t, "not fresh", func() bool { return errors.Is(n.r.Fresh(), ErrNotFresh) })
	n.m.setBlock(nil)
	open()
	until(t, "fresh", func() bool { return n.r.Fresh() == nil })
}

// What one node acknowledged, a strong read on any other sees.
func TestStrong(t *testing.T) {
	nodes := cluster(t, 3, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i := range 30 {
		w, r := nodes[i%3], nodes[(i+1+i/3%2)%3]
		w.must(fmt.Sprintf("s%d/1", i))
		want, _ := w.m.head()
		until(t, "a strong read", func() bool { return r.r.Strong(ctx) == nil })
		if got, _ := r.m.head(); got.Size < want.Size {
			t.Fatalf("read %d after %d was acknowledged", got.Size, want.Size)
		}
	}
}

// The leader answers with what is committed, not with what its own state has
// applied: a follower may have acknowledged more.
func TestStrongWhileTheLeadersStateLags(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, followers := leaderOf(t, nodes)
	gate, open := newGate(t)
	until(t, "both stand still at the same entry", func() bool {
		leader.m.setBlock(gate)
		followers[1].m.setBlock(gate)
		a, _, _ := leader.m.Applied()
		b, _, _ := followers[1].m.Applied()
		if a != b {
			leader.m.setBlock(nil)
			followers[1].m.setBlock(nil)
			open()
			gate, open = newGate(t)
		}
		return a == b
	})
	followers[0].must("a/1") // acknowledged here: committed, and in this node's state
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := followers[1].r.Strong(ctx); err == nil {
		t.Error("a strong read does not see what was acknowledged")
	}
	until(t, "not fresh", func() bool { return followers[1].r.Fresh() != nil })
	for _, n := range []*node{leader, followers[1]} {
		n.m.setBlock(nil)
	}
	open()
	same(t, nodes)
}

// A new leader whose state has not applied an entry of its own term yet does not
// vouch for anybody's freshness.
func TestNewLeaderIsNotReadyAtOnce(t *testing.T) {
	nodes := cluster(t, 3, nil)
	_, followers := leaderOf(t, nodes)
	n := followers[0]
	gate, open := newGate(t)
	n.m.setBlock(gate)
	followers[1].must("a/1")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	until(t, "it leads", func() bool { return n.r.TransferLeadership(ctx, n.id) == nil && n.r.packer.isActive() })
	if _, _, err := n.r.leaderIndex(time.Now()); !errors.Is(err, ErrNoLeader) {
		t.Errorf("it vouches: %v", err)
	}
	n.m.setBlock(nil)
	open()
	until(t, "ready", func() bool { _, _, err := n.r.leaderIndex(time.Now()); return err == nil })
	same(t, nodes)
}
