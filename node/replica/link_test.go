package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// leaderEnd is the other end of a link: it keeps what was sent.
type leaderEnd struct {
	mu     sync.Mutex
	sent   []string // "epoch.number payload"
	opened int
	window int
	out    *outbound
	broken error
}

func (e *leaderEnd) open(context.Context, string) (*outbound, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened++
	ended := make(chan struct{})
	var once sync.Once
	e.out = &outbound{leader: "L", window: e.window, ended: ended, close: func() { once.Do(func() { close(ended) }) }, send: func(s []byte) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.broken != nil {
			return e.broken
		}
		h, p, err := record.DecodeCommand(s)
		if err != nil {
			return err
		}
		e.sent = append(e.sent, fmt.Sprintf("%d.%d %s", h.LinkEpoch, h.LinkNumber, p))
		return nil
	}}
	return e.out, nil
}

func (e *leaderEnd) take() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sent
	e.sent = nil
	return s
}

type linkTest struct {
	*link
	end  *leaderEnd
	n    *node
	kept uint64
}

// inLink runs f in a bubble with a link to a leader that takes everything.
func inLink(t *testing.T, f func(t *testing.T, l *linkTest)) {
	synctest.Test(t, func(t *testing.T) {
		lt := &linkTest{end: &leaderEnd{window: 1 << 20}, n: &node{t: t, id: "n1"}}
		lt.link = &link{
			node: "n1", waitingBytes: 1000, leader: func() string { return "L" }, open: lt.end.open,
			epochOf: func() (uint64, error) { return lt.kept, nil }, keepEpoch: func(e uint64) error { lt.kept = e; return nil },
			applied: func() uint64 { return 0 }, waitIndex: func(context.Context, uint64) error { return nil },
			fail: func(err error) { t.Error(err) }, resendAfter: resendAfter, noLeader: noLeaderAfter, patience: resendAfter,
			kick: make(chan struct{}, 1), leaderAt: time.Now(), progress: time.Now(),
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { lt.run(ctx) })
		lt.tick()
		f(t, lt)
		cancel()
		wg.Wait()
	})
}

func (l *linkTest) tick() { time.Sleep(60 * time.Millisecond); synctest.Wait() } // in the bubble: one tick, exactly

func (l *linkTest) propose(payloads ...string) *group {
	l.n.t.Helper()
	var s [][]byte
	for _, p := range payloads {
		s = append(s, l.n.section(p, 0))
	}
	g, err := l.add(s)
	if err != nil {
		l.n.t.Fatal(err)
	}
	synctest.Wait()
	return g
}

func (l *linkTest) result(code state.Code, epoch uint64, numbers ...uint64) {
	var res []state.Result
	for _, n := range numbers {
		res = append(res, state.Result{Code: code, Node: "n1", LinkEpoch: epoch, LinkNumber: n})
	}
	l.onApplied([][]state.Result{res})
	synctest.Wait()
}

func codes(g *group) (out []state.Code) {
	select {
	case <-g.done:
	default:
		return nil
	}
	for _, r := range g.results {
		out = append(out, r.Code)
	}
	return out
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestLinkNumbersInOrder(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a, b := l.propose("a", "b"), l.propose("c")
		want(t, "sent", l.end.take(), []string{"1.1 a", "1.2 b", "1.3 c"})
		l.result(state.Applied, 1, 1)
		want(t, "half a group", codes(a), []state.Code(nil))
		l.result(state.Refused, 1, 2, 3) // refused takes its number too
		want(t, "a", codes(a), []state.Code{state.Applied, state.Refused})
		want(t, "b", codes(b), []state.Code{state.Refused})
		l.propose("d")
		want(t, "sent", l.end.take(), []string{"1.4 d"})
		if l.kept != 1 {
			t.Errorf("epoch %d kept", l.kept)
		}
		l.result(state.Applied, 1, 4)
	})
}

func TestLinkResend(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a, b := l.propose("a", "b"), l.propose("c")
		l.end.take()
		l.result(state.Applied, 1, 1)
		l.result(state.Resend, 1, 3) // b was lost on the way
		want(t, "resent", l.end.take(), []string{"2.1 b", "2.2 c"})
		if l.kept != 2 {
			t.Errorf("epoch %d kept before its use", l.kept)
		}
		l.result(state.Applied, 1, 2) // a late word of the old epoch answers nothing now
		want(t, "a", codes(a), []state.Code(nil))
		l.result(state.Resend, 1, 3)
		want(t, "not resent again", l.end.take(), []string(nil))
		l.result(state.Applied, 2, 1, 2)
		want(t, "a", codes(a), []state.Code{state.Applied, state.Applied})
		want(t, "b", codes(b), []state.Code{state.Applied})
	})
}

// A result that is missing before another one (skipped by an install) is noticed.
func TestLinkMissingResult(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a := l.propose("a", "b")
		l.end.take()
		l.result(state.Applied, 1, 2)
		want(t, "resent", l.end.take(), []string{"2.1 a", "2.2 b"})
		l.result(state.Applied, 2, 1, 2)
		want(t, "a", codes(a), []state.Code{state.Applied, state.Applied})
	})
}

func TestLinkRevalidate(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a, b, c := l.propose("a1", "a2", "a3"), l.propose("b1"), l.propose("c1", "c2")
		l.end.take()
		l.result(state.Applied, 1, 1)
		l.onApplied([][]state.Result{{
			{Code: state.Revalidate, Node: "n1", LinkEpoch: 1, LinkNumber: 2},
			{Code: state.Resend, Node: "n1", LinkEpoch: 1, LinkNumber: 3},
			{Code: state.Resend, Node: "n1", LinkEpoch: 1, LinkNumber: 4},
		}})
		want(t, "a", codes(a), []state.Code{state.Applied, state.Revalidate, state.Revalidate})
		want(t, "resent", l.end.take(), []string{"2.1 b1", "2.2 c1", "2.3 c2"})
		l.result(state.Applied, 2, 1, 2, 3)
		want(t, "b", codes(b), []state.Code{state.Applied})
		want(t, "c", codes(c), []state.Code{state.Applied, state.Applied})
		if _, waiting := l.status(); waiting != 0 {
			t.Errorf("%d bytes wait", waiting)
		}
	})
}

// What of a revalidated group was not sent yet must not be sent.
func TestLinkRevalidateDropsTheRest(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		l.end.out.window = 1 // one section at a time
		a, b := l.propose("a1", "a2"), l.propose("b1")
		want(t, "sent", l.end.take(), []string{"1.1 a1"})
		l.result(state.Revalidate, 1, 1)
		want(t, "a", codes(a), []state.Code{state.Revalidate, state.Revalidate})
		want(t, "sent", l.end.take(), []string{"2.1 b1"})
		l.result(state.Applied, 2, 1)
		want(t, "b", codes(b), []state.Code{state.Applied})
	})
}

func TestLinkNewConnection(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a := l.propose("a", "b")
		l.end.take()
		// A result of the broken connection's epoch still counts until the next begins.
		var release = make(chan struct{})
		l.waitIndex = func(context.Context, uint64) error { <-release; return nil }
		l.end.out.close()
		synctest.Wait()
		l.result(state.Applied, 1, 1)
		close(release)
		synctest.Wait()
		want(t, "resent", l.end.take(), []string{"2.1 b"})
		l.result(state.Applied, 2, 1)
		want(t, "a", codes(a), []state.Code{state.Applied, state.Applied})
		if l.end.opened != 2 {
			t.Errorf("opened %d times", l.end.opened)
		}
		l.end.mu.Lock()
		l.end.broken = errors.New("broken pipe")
		l.end.mu.Unlock()
		b := l.propose("c")
		l.end.mu.Lock()
		l.end.broken = nil
		l.end.mu.Unlock()
		l.tick()
		want(t, "resent", l.end.take(), []string{"3.1 c"})
		l.result(state.Applied, 3, 1)
		want(t, "b", codes(b), []state.Code{state.Applied})
	})
}

// Silence is doubted too, less and less often.
func TestLinkSilence(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		a := l.propose("a")
		want(t, "sent", l.end.take(), []string{"1.1 a"})
		var epochs []int
		start := time.Now()
		for len(epochs) < 4 {
			l.tick()
			if s := l.end.take(); len(s) > 0 {
				epochs = append(epochs, int(time.Since(start).Round(time.Second).Seconds()))
			}
		}
		want(t, "seconds at which it was resent", epochs, []int{3, 9, 21, 45})
		l.result(state.Applied, 5, 1)
		want(t, "a", codes(a), []state.Code{state.Applied})
	})
}

// State knows a newer epoch of this node than the node: it goes above it.
func TestLinkSuperseded(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		l.applied = func() uint64 { return 41 }
		a := l.propose("a")
		want(t, "sent", l.end.take(), []string{"1.1 a"})
		l.result(state.Superseded, 1, 1)
		want(t, "resent", l.end.take(), []string{"42.1 a"})
		l.result(state.Applied, 42, 1)
		want(t, "a", codes(a), []state.Code{state.Applied})
	})
}

func TestLinkWindowAndPushback(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		size := len(l.n.section("a", 0))
		l.end.out.window = 2 * size
		l.waitingBytes = 4 * size
		for _, p := range []string{"a", "b", "c", "d"} {
			l.propose(p)
		}
		if _, err := l.add([][]byte{l.n.section("e", 0)}); !errors.Is(err, ErrPushback) {
			t.Errorf("beyond the limit: %v", err)
		}
		want(t, "sent", l.end.take(), []string{"1.1 a", "1.2 b"})
		l.result(state.Applied, 1, 1)
		want(t, "sent", l.end.take(), []string{"1.3 c"})
		l.propose("e")
		l.result(state.Applied, 1, 2, 3)
		want(t, "sent", l.end.take(), []string{"1.4 d", "1.5 e"})
		l.result(state.Applied, 1, 4, 5)
	})
}

func TestLinkAbandon(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		size := len(l.n.section("a", 0))
		l.end.out.window = size
		a, b := l.propose("a"), l.propose("b")
		cause := errors.New("gave up")
		if _, err := l.abandon(b, cause); !errors.Is(err, ErrPushback) || !errors.Is(err, cause) {
			t.Errorf("not sent: %v", err)
		}
		if _, err := l.abandon(a, cause); !errors.Is(err, ErrUnknown) {
			t.Errorf("sent: %v", err)
		}
		c := l.propose("c")
		l.result(state.Applied, 1, 1) // a is answered, to nobody
		want(t, "sent", l.end.take(), []string{"1.1 a", "1.2 c"})
		l.result(state.Applied, 1, 2)
		if res, err := l.abandon(c, cause); err != nil || len(res) != 1 {
			t.Errorf("answered already: %v, %v", res, err)
		}
	})
}

// A group that is given up goes as a whole, and nothing beside it.
func TestLinkAbandonInTheMiddle(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		size := len(l.n.section("a1", 0))
		l.end.out.window = size
		l.propose("a1")
		b, c, d := l.propose("b1", "b2"), l.propose("c1", "c2"), l.propose("d1")
		for _, g := range []*group{c, b} {
			if _, err := l.abandon(g, context.Canceled); !errors.Is(err, ErrPushback) {
				t.Errorf("not sent: %v", err)
			}
		}
		_, waiting := l.status()
		want(t, "bytes that wait", waiting, 2*size)
		l.result(state.Applied, 1, 1)
		want(t, "sent", l.end.take(), []string{"1.1 a1", "1.2 d1"})
		l.result(state.Applied, 1, 2)
		want(t, "d", codes(d), []state.Code{state.Applied})
	})
}

// Without a leader those go home of whom nothing was sent; a group half sent stays.
func TestLinkDropUnbegun(t *testing.T) {
	inLink(t, func(t *testing.T, l *linkTest) {
		size := len(l.n.section("a1", 0))
		l.end.out.window = size
		a, b := l.propose("a1", "a2"), l.propose("b1", "b2")
		l.mu.Lock()
		l.dropUnbegun(ErrNoLeader)
		l.mu.Unlock()
		<-b.done
		want(t, "b's end", errors.Is(b.err, ErrNoLeader), true)
		_, waiting := l.status()
		want(t, "bytes that wait", waiting, 2*size)
		l.result(state.Applied, 1, 1)
		l.result(state.Applied, 1, 2)
		want(t, "sent", l.end.take(), []string{"1.1 a1", "1.2 a2"})
		want(t, "a", codes(a), []state.Code{state.Applied, state.Applied})
	})
}

func TestLinkWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{
			node: "n1", waitingBytes: 1000, leader: func() string { return "" }, noLeader: noLeaderAfter, kick: make(chan struct{}, 1),
			leaderAt: time.Now(), patience: resendAfter, resendAfter: resendAfter,
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { l.run(ctx) })
		n := &node{t: t, id: "n1"}
		began := time.Now()
		g, err := l.add([][]byte{n.section("a", 0)}) // an election may be going on: it waits
		if err != nil {
			t.Fatal(err)
		}
		<-g.done
		if took := time.Since(began).Round(100 * time.Millisecond); !errors.Is(g.err, ErrNoLeader) || took != 3*time.Second && took != 3100*time.Millisecond {
			t.Errorf("after %s: %v", took, g.err)
		}
		if _, err := l.add([][]byte{n.section("b", 0)}); !errors.Is(err, ErrNoLeader) {
			t.Errorf("later: %v", err)
		}
		cancel()
		wg.Wait()
		if _, err := l.add([][]byte{n.section("b", 0)}); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}
