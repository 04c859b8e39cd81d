package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestTransferAndClose(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, followers := leaderOf(t, nodes)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// Asked of a follower, to a follower.
	if err := followers[0].r.TransferLeadership(ctx, followers[1].id); err != nil {
		t.Fatal(err)
	}
	now, _ := leaderOf(t, nodes)
	if now != followers[1] {
		t.Errorf("%s leads, want %s", now.id, followers[1].id)
	}
	if err := leader.r.TransferLeadership(ctx, "n9"); err == nil {
		t.Error("transferred to a stranger")
	}
	// Close hands on at once: no election timeout passes without a leader.
	now.close()
	rest := []*node{}
	for _, n := range nodes {
		if n != now {
			rest = append(rest, n)
		}
	}
	next, _ := leaderOf(t, rest)
	next.must("a/1")
}

func TestRemoveMember(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, _ := leaderOf(t, nodes)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// The leader itself is removed: it hands on first.
	rest := []*node{}
	for _, n := range nodes {
		if n != leader {
			rest = append(rest, n)
		}
	}
	if err := rest[0].r.RemoveMember(ctx, leader.id); err != nil {
		t.Fatal(err)
	}
	until(t, "two voters", func() bool { return len(rest[0].r.voters()) == 2 && len(rest[1].r.voters()) == 2 })
	until(t, "the removed one is told", func() bool {
		if leader.r == nil {
			return false
		}
		for _, a := range leader.r.Status().Alarms {
			if a.Code == "removed" {
				return true
			}
		}
		return leader.r.done.Err() != nil
	})
	if err := leader.r.Fresh(); err == nil {
		until(t, "not fresh", func() bool { return leader.r.Fresh() != nil })
	}
	if err := rest[0].r.RemoveMember(ctx, leader.id); !errors.Is(err, ErrNotMember) {
		t.Errorf("removed twice: %v", err)
	}
	rest[0].must("a/1")
	same(t, rest)
}

func TestLastVoterStays(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	until(t, "leader", func() bool { return n.r.Leader() != "" })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.r.RemoveMember(ctx, "n1"); err == nil {
		t.Error("removed the last voter")
	}
	n.must("a/1")
}

func TestCalls(t *testing.T) {
	nodes := newNodes(t, 2, nil)
	for i, n := range nodes {
		if err := n.open(i == 0); err != nil {
			t.Fatal(err)
		}
		n.r.Handle("echo", func(_ context.Context, from string, p []byte) ([]byte, error) {
			return append([]byte(from+" says "), p...), nil
		})
		n.r.Handle("fail", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("for a reason") })
		n.r.Handle("fresh", func(context.Context, string, []byte) ([]byte, error) { return nil, fmt.Errorf("x: %w", ErrNotFresh) })
		n.run()
	}
	until(t, "leader", func() bool { return nodes[0].r.Fresh() == nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := nodes[0].r.Call(ctx, "n2", "echo", nil); !errors.Is(err, ErrNotMember) {
		t.Errorf("call to a stranger: %v", err)
	}
	addMember(ctx, t, nodes[0].r, nodes[1])
	until(t, "configuration", func() bool { return len(nodes[1].r.voters()) == 2 })
	for _, ends := range [][2]int{{0, 1}, {1, 0}, {0, 0}} {
		from, to := nodes[ends[0]], nodes[ends[1]]
		b, err := from.r.Call(ctx, to.id, "echo", []byte("hello"))
		if err != nil || string(b) != from.id+" says hello" {
			t.Errorf("%s to %s: %q, %v", from.id, to.id, b, err)
		}
	}
	for _, tt := range []struct {
		kind    string
		payload []byte
		want    error
	}{
		{"nothing", nil, ErrKind}, {"fail", nil, ErrAnswer}, {"fresh", nil, ErrNotFresh}, {"echo", make([]byte, maxCallBytes+1), ErrTooLarge},
		{"echo", make([]byte, maxCallBytes), ErrTooLarge}, // the answer is larger
	} {
		if _, err := nodes[0].r.Call(ctx, "n2", tt.kind, tt.payload); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.kind, err, tt.want)
		}
	}
	nodes[1].close()
	if _, err := nodes[0].r.Call(ctx, "n2", "echo", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("call to a node that is down: %v", err)
	}
}

// Nodes of another cluster, systems, and copies of this node get no word in.
func TestStrangersAreRefused(t *testing.T) {
	a := newNodes(t, 2, nil)
	a[0].start(true)
	until(t, "leader", func() bool { return a[0].r.Fresh() == nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	probe := func(n *node, change func(*Config)) error {
		c, err := n.config(false).withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		c.Dial = dialPlain
		change(&c)
		p := &port{cfg: &c}
		conn, err := p.dial(ctx, "n1", a[0].addr, purposeCalls)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := probe(a[1], func(c *Config) { c.ClusterID = "c-other" }); !errors.Is(err, ErrForeign) {
		t.Errorf("other cluster id: %v", err)
	}
	if err := probe(a[1], func(*Config) {}); !errors.Is(err, ErrNotMember) {
		t.Errorf("not a member: %v", err)
	}
	if err := probe(a[0], func(*Config) {}); !errors.Is(err, ErrSameNode) {
		t.Errorf("same node: %v", err)
	}
	b := newNodes(t, 1, nil) // a cluster with authorities of its own, the same names
	if err := probe(b[0], func(*Config) {}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("other authority: %v", err)
	}
	if err := probe(a[1], func(c *Config) { c.Roots = b[0].keys.NodeRoots() }); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the dialler does not believe the acceptor: %v", err)
	}
}
