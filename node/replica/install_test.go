package replica

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/store"
)

// A follower that was away so long that the log no longer reaches back gets the
// state itself, while proposing goes on; so does a node that joins late.
func TestSnapshotInstall(t *testing.T) {
	tune := func(c *Config) { c.SnapshotBytes, c.TrailingBytes = 1<<40, 1 } // taken by hand here
	nodes := cluster(t, 3, tune)
	late := newLate(t, nodes, "n4", tune)
	leader, followers := leaderOf(t, nodes)
	away, other := followers[0], followers[1]
	away.must("away/1")
	away.crash()
	for i := range 50 {
		leader.must(fmt.Sprintf("a/%d", i+1))
	}
	for _, n := range []*node{leader, other} {
		if err := n.r.snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	if first, last := leader.r.logs.bounds(); last-first > 5 {
		t.Fatalf("log was not truncated: %d to %d", first, last)
	}
	stop := make(chan struct{})
	s := &sender{n: leader, name: "load"}
	done := make(chan struct{})
	go func() { defer close(done); s.run(stop, 1<<30) }()
	away.start(false)
	until(t, "the state came", func() bool {
		names, err := away.fs.List(away.dir)
		return err == nil && last(stateNumbers(names)) >= 2 && away.r.Fresh() == nil
	})
	late.start(false)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	addMember(ctx, t, other.r, late)
	until(t, "the late one votes", func() bool { return len(late.r.voters()) == 4 && late.r.Fresh() == nil })
	close(stop)
	<-done
	away.must("away/2")
	late.must("late/1")
	all := append(append([]*node(nil), nodes...), late)
	got := same(t, all)
	if err := checkOrder(got); err != nil {
		t.Error(err)
	}
	checkAcked(t, []*sender{s}, got)
	// And it all holds over a restart of those who got the state.
	for _, n := range []*node{away, late} {
		n.crash()
		n.start(false)
	}
	leaderOf(t, all)
	all[0].must("end/1")
	same(t, all)
}

// newLate makes a node of the same cluster that is not started.
func newLate(t *testing.T, nodes []*node, id string, tune func(*Config)) *node {
	t.Helper()
	n := &node{t: t, id: id, fs: store.Disk(), dir: t.TempDir(), keys: joinKeys(t, nodes[0].keys, id), net: nodes[0].net, tune: tune, addr: freeAddress(t)}
	n.net.mu.Lock()
	n.net.ids[n.addr] = id
	n.net.mu.Unlock()
	t.Cleanup(n.close)
	return n
}

// Sections in flight when the state comes from another node are settled: what
// was applied in the part that was skipped is answered as well.
func TestInstallSettlesWhatIsInFlight(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.TrailingBytes = 1 })
	leader, followers := leaderOf(t, nodes)
	n := followers[0]
	gate, open := newGate(t)
	n.m.setBlock(gate)
	g, err := n.r.link.add([][]byte{n.section("f/1", 0)})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "applied elsewhere", func() bool {
		p, err := leader.m.payloads()
		return err == nil && len(p) == 1
	})
	// Its own result is lost, as an install loses it.
	n.r.link.mu.Lock()
	n.r.link.epoch, n.r.link.patience = 0, time.Hour
	n.r.link.mu.Unlock()
	n.m.setBlock(nil)
	open()
	drained := make(chan struct{})
	close(drained)
	n.r.onSwapped(drained, n.dir+"/state.000000")
	select {
	case <-g.done:
	case <-time.After(20 * time.Second):
		t.Fatal("never answered")
	}
	if g.err != nil || g.results[0].Records[0].Offset != 1 {
		t.Errorf("%+v, %v", g.results, g.err)
	}
	same(t, nodes)
}
