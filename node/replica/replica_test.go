package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/state"
)

func TestSingleNode(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	before := time.Now().UnixMilli()
	n.must("a/1", "a/2", "a/3")
	n.must("a/4")
	until(t, "fresh", func() bool { return n.r.Fresh() == nil })
	if now := n.r.Now(); now < before || now > time.Now().UnixMilli()+1000 {
		t.Errorf("Now is %d, wall clock %d", now, time.Now().UnixMilli())
	}
	index, _, _ := n.m.Applied()
	if err := n.r.WaitIndex(context.Background(), index); err != nil {
		t.Error(err)
	}
	if err := n.r.Strong(context.Background()); err != nil {
		t.Error(err)
	}
	st := n.r.Status()
	if st.Leader != "n1" || len(st.Nodes) != 1 || st.Nodes[0].State != "leader" || st.Nodes[0].FreeBytes == 0 || !st.Nodes[0].Voter {
		t.Errorf("status %+v", st)
	}
	for _, restart := range []func(){n.crash, n.close} {
		restart()
		n.start(true)
		if n.r.Fresh() == nil {
			t.Error("fresh before anything was applied after the start")
		}
		until(t, "all applied again and fresh", func() bool {
			got, err := n.m.payloads()
			return err == nil && len(got) == 4 && n.r.Fresh() == nil
		})
	}
	n.must("a/5")
	got, err := n.m.payloads()
	if err != nil || checkOrder(got) != nil || len(got) != 5 {
		t.Errorf("applied %v, %v, %v", got, err, checkOrder(got))
	}
	if err := n.r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.r.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := n.propose(context.Background(), "a/6"); !errors.Is(err, ErrClosed) {
		t.Errorf("propose after Close: %v", err)
	}
	if err := n.r.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
}

func TestCloseBeforeRun(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	if err := n.open(true); err != nil {
		t.Fatal(err)
	}
	n.close()
}

func TestProposeRefuses(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	other := &node{t: t, id: "n2"}
	ctx := context.Background()
	if _, err := n.r.Propose(ctx, [][]byte{other.section("x/1", 0)}); !errors.Is(err, ErrForeignSection) {
		t.Errorf("section of another node: %v", err)
	}
	if _, err := n.r.Propose(ctx, [][]byte{[]byte("no section at all, but long enough")}); !errors.Is(err, ErrForeignSection) {
		t.Errorf("no section: %v", err)
	}
	if _, err := n.r.Propose(ctx, [][]byte{make([]byte, state.MaxEntryBytes)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if res, err := n.r.Propose(ctx, nil); res != nil || err != nil {
		t.Errorf("empty group: %v, %v", res, err)
	}
	// The largest that fits goes through, alone in its entry.
	n.must("a/1/" + strings.Repeat("x", 1<<20))
}

// sender proposes "<name>/<n>" in order, up to window groups at once, and keeps
// what was acknowledged. It never skips a number and never goes on after an
// unknown outcome: then it would not know where.
type sender struct {
	n     *node
	name  string
	acked []string
	err   error
}

func (s *sender) run(stop <-chan struct{}, groups int) {
	type flight struct {
		names []string
		res   []state.Result
		err   error
		done  chan struct{}
	}
	const window = 8
	var flights []*flight
	settle := func() bool {
		f := flights[0]
		flights = flights[1:]
		<-f.done
		for _, r := range f.res {
			if r.Code != state.Applied {
				f.err = errors.Join(f.err, fmt.Errorf("answered %s", r.Code))
			}
		}
		if f.err != nil {
			s.err = errors.Join(s.err, f.err)
			return false
		}
		s.acked = append(s.acked, f.names...)
		return true
	}
	next := 1
	for g := 0; g < groups; g++ {
		select {
		case <-stop:
			g = groups
			continue
		default:
		}
		if len(flights) == window && !settle() {
			break
		}
		f := &flight{done: make(chan struct{})}
		var sections [][]byte
		for range 1 + g%3 {
			name := fmt.Sprintf("%s/%d", s.name, next)
			next++
			f.names = append(f.names, name)
			sections = append(sections, s.n.section(name, 0))
		}
		// The order of proposing is the order of adding: add here, wait elsewhere.
		grp, err := s.n.r.link.add(sections)
		if err != nil {
			s.err = err
			break
		}
		flights = append(flights, f)
		go func() {
			defer close(f.done)
			<-grp.done
			f.res, f.err = grp.results, grp.err
		}()
	}
	for len(flights) > 0 {
		if !settle() {
			for _, f := range flights {
				<-f.done
			}
			break
		}
	}
}

func TestThreeNodes(t *testing.T) {
	nodes := cluster(t, 3, nil)
	var wg sync.WaitGroup
	var senders []*sender
	for _, n := range nodes {
		for range 2 {
			s := &sender{n: n, name: fmt.Sprintf("%s-%d", n.id, len(senders))}
			senders = append(senders, s)
			wg.Add(1)
			go func() { defer wg.Done(); s.run(nil, 100) }()
		}
	}
	wg.Wait()
	got := same(t, nodes)
	if err := checkOrder(got); err != nil {
		t.Error(err)
	}
	checkAcked(t, senders, got)
	for _, s := range senders {
		if s.err != nil || len(s.acked) != 199 {
			t.Errorf("%s: %d acknowledged, %v", s.name, len(s.acked), s.err)
		}
	}
	for _, n := range nodes {
		until(t, "everyone knows everyone", func() bool {
			st := n.r.Status()
			for _, m := range st.Nodes {
				if m.State == "unreachable" || m.FreeBytes == 0 || m.Addresses.API != "api-"+m.ID || m.Version != "test" {
					return false
				}
			}
			return len(st.Nodes) == 3
		})
	}
}

// checkAcked says what was acknowledged and is not there.
func checkAcked(t *testing.T, senders []*sender, applied []string) {
	t.Helper()
	there := map[string]bool{}
	for _, p := range applied {
		if there[p] {
			t.Errorf("%s applied twice", p)
		}
		there[p] = true
	}
	for _, s := range senders {
		for _, p := range s.acked {
			if !there[p] {
				t.Errorf("%s was acknowledged and is lost", p)
			}
		}
	}
}

// Leaders are killed while nodes propose: nothing acknowledged is lost, no
// node's order is broken, and all replicas hold the same.
func TestLeaderKilled(t *testing.T) {
	nodes := cluster(t, 3, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var senders []*sender
	begin := func(n *node, name string) {
		s := &sender{n: n, name: name}
		senders = append(senders, s)
		wg.Add(1)
		go func() { defer wg.Done(); s.run(stop, 1<<30) }()
	}
	for _, n := range nodes {
		begin(n, n.id)
	}
	for round := range 3 {
		leader, _ := leaderOf(t, nodes)
		before, _ := leader.m.head()
		until(t, "progress", func() bool { h, _ := leader.m.head(); return h.Size > before.Size+200 })
		if round == 1 {
			// The dropped transport: the leader is alive but alone.
			leader.net.setCut(leader.id, true)
			until(t, "another leader", func() bool {
				for _, n := range nodes {
					if n != leader && n.r.packer.isActive() {
						return true
					}
				}
				return false
			})
			leader.net.setCut(leader.id, false)
			continue
		}
		leader.crash()
		until(t, "another leader", func() bool {
			for _, n := range nodes {
				if n.r != nil && n.r.packer.isActive() {
					return true
				}
			}
			return false
		})
		leader.start(false)
		begin(leader, fmt.Sprintf("%s-round%d", leader.id, round))
	}
	leader, _ := leaderOf(t, nodes)
	before, _ := leader.m.head()
	until(t, "progress", func() bool { h, _ := leader.m.head(); return h.Size > before.Size+200 })
	close(stop)
	wg.Wait()
	nodes[0].must("end/1")
	got := same(t, nodes)
	if err := checkOrder(got); err != nil {
		t.Error(err)
	}
	checkAcked(t, senders, got)
	total := 0
	for _, s := range senders {
		if s.err != nil && !errors.Is(s.err, ErrClosed) && !errors.Is(s.err, ErrUnknown) {
			t.Errorf("%s: %v", s.name, s.err)
		}
		total += len(s.acked)
	}
	if total < 600 {
		t.Errorf("only %d acknowledged", total)
	}
}

// A restarted node must not go on in the epoch it had: state would take its new
// sections for old ones.
func TestLinkEpochRisesAtStart(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	n.must("a/1")
	first, _ := n.m.Link("n1")
	n.crash()
	n.start(false)
	n.must("a/2")
	second, _ := n.m.Link("n1")
	if second <= first {
		t.Errorf("epoch %d after %d", second, first)
	}
}

// A node that lost its epoch counter (a restored log database would) finds the
// newest in the state and goes on above it.
func TestLinkEpochFromState(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	n.must("a/1")
	if err := n.r.stable.setLinkEpoch(0); err != nil {
		t.Fatal(err)
	}
	n.r.link.doubt()
	n.must("a/2")
	got, err := n.m.payloads()
	if err != nil || len(got) != 2 {
		t.Errorf("applied %v, %v", got, err)
	}
}

func TestRevalidate(t *testing.T) {
	nodes := cluster(t, 3, nil)
	_, followers := leaderOf(t, nodes)
	n := followers[0]
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n.must("bump") // revision 1
	type out struct {
		res []state.Result
		err error
	}
	groups := [][][]byte{
		{n.section("a/1", 1), n.section("a/2", 1)},
		{n.section("a/3", 1), n.section("bump", 0), n.section("a/4", 1), n.section("a/5", 1)}, // a/4 was judged by what bump moves
		{n.section("b/1", 0), n.section("b/2", 0)},
	}
	outs := make([]chan out, len(groups))
	for i, g := range groups {
		grp, err := n.r.link.add(g)
		if err != nil {
			t.Fatal(err)
		}
		outs[i] = make(chan out, 1)
		go func() { <-grp.done; outs[i] <- out{grp.results, grp.err} }()
	}
	want := [][]state.Code{
		{state.Applied, state.Applied},
		{state.Applied, state.Applied, state.Revalidate, state.Revalidate},
		{state.Applied, state.Applied},
	}
	for i := range groups {
		select {
		case o := <-outs[i]:
			var codes []state.Code
			for _, r := range o.res {
				codes = append(codes, r.Code)
			}
			if o.err != nil || fmt.Sprint(codes) != fmt.Sprint(want[i]) {
				t.Errorf("group %d: %v, %v, want %v", i, codes, o.err, want[i])
			}
		case <-ctx.Done():
			t.Fatalf("group %d: no answer", i)
		}
	}
	// Judged again, it goes on where it stopped.
	if _, err := n.r.Propose(ctx, [][]byte{n.section("a/4", 2), n.section("a/5", 2)}); err != nil {
		t.Fatal(err)
	}
	if err := checkOrder(same(t, nodes)); err != nil {
		t.Error(err)
	}
}

// A proposer that left is not missed when its sections are answered.
func TestAbandonedPropose(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	n.must("a/1")
	gate, open := newGate(t)
	n.m.setBlock(gate)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.propose(ctx, "a/2", "a/3"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
	n.m.setBlock(nil)
	open()
	n.must("a/4")
	got, err := n.m.payloads()
	if err != nil || checkOrder(got) != nil || len(got) != 4 {
		t.Errorf("applied %v, %v", got, err)
	}
}

func TestPushbackAndNoLeader(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.WaitingBytes, c.WindowBytes = 64<<10, 16<<10 })
	leader, followers := leaderOf(t, nodes)
	for _, n := range followers {
		n.crash()
	}
	n := leader
	big := strings.Repeat("x", 8<<10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	outcomes := make(chan error, 100)
	var wg sync.WaitGroup
	pushed := false
	for i := 0; i < 20 && !pushed; i++ {
		grp, err := n.r.link.add([][]byte{n.section(fmt.Sprintf("p/%d/%s", i+1, big), 0)})
		if err != nil {
			if !errors.Is(err, ErrPushback) {
				t.Fatalf("add: %v", err)
			}
			pushed = true
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			select {
			case <-grp.done:
				outcomes <- grp.err
			case <-ctx.Done():
				_, err := n.r.link.abandon(grp, context.Cause(ctx))
				outcomes <- err
			}
		}()
	}
	if !pushed {
		t.Fatal("never pushed back")
	}
	until(t, "no leader", func() bool { return n.r.Leader() == "" })
	until(t, "answered with no leader at once", func() bool {
		_, err := n.propose(context.Background(), "q/1")
		return errors.Is(err, ErrNoLeader)
	})
	cancel()
	wg.Wait()
	close(outcomes)
	for err := range outcomes {
		if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrNoLeader) {
			t.Errorf("outcome %v", err)
		}
	}
	for _, n := range followers {
		n.start(false)
	}
	leaderOf(t, nodes)
	n.must("z/1")
	same(t, nodes)
}
