package replica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// linkTick is how often the link looks who leads.
const linkTick = 50 * time.Millisecond

// link brings this node's sections to the leader in order, and their results
// back. Sections are numbered when they are sent, densely within a link epoch
// that is fsynced before it is used. Whatever leaves doubt (another leader, a
// broken connection, a resend or revalidate answer, a state that came from
// another node, silence) is settled in one way: everything unanswered is sent
// again, in order, in a new epoch. State orders what two leaders took and answers
// repetitions with the first values.
//
// add and abandon are called by proposers, onApplied by the FSM goroutine, run
// owns the connection, which only guard closes beside it.
type link struct {
	node         string
	waitingBytes int
	leader       func() string
	open         func(ctx context.Context, leader string) (*outbound, error)
	epochOf      func() (uint64, error) // kept durably
	keepEpoch    func(uint64) error     // returns after the fsync
	applied      func() uint64          // newest epoch the state knows of this node
	waitIndex    func(ctx context.Context, index uint64) error
	fail         func(error)
	resendAfter  time.Duration
	noLeader     time.Duration
	kick         chan struct{} // of capacity 1: a reminder

	mu       sync.Mutex
	pending  []*item // not numbered; bounded by waitingBytes
	inflight []*item // numbered from inflight[0].number on
	sent     int     // of inflight, on the present connection and epoch
	epoch    uint64
	next     uint64 // number of the next section of the epoch
	waiting  int    // bytes of pending and inflight
	flying   int    // bytes of inflight
	resend   bool   // a new epoch is due; results of the present one no longer count
	progress time.Time
	patience time.Duration
	leaderAt time.Time // when there last was a leader
	resends  uint64
	closed   bool
}

func (l *link) remind() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// onApplied takes the results of applied entries; those of this node's present
// epoch answer what is in flight. Results of older epochs do not: their sections
// are in flight again and will be answered as repetitions.
func (l *link) onApplied(res [][]state.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := false
	for _, entry := range res {
		for i := range entry {
			r := &entry[i]
			if r.Node == l.node && r.LinkEpoch == l.epoch && len(l.inflight) > 0 && r.LinkNumber >= l.inflight[0].number {
				l.settle(r)
				moved = true
			}
		}
	}
	if moved {
		l.progress, l.patience = time.Now(), l.resendAfter
		l.remind()
	}
}

// settle uses one result of the present epoch. The caller holds mu.
func (l *link) settle(r *state.Result) {
	it := l.inflight[0]
	inOrder := r.LinkNumber == it.number
	switch {
	case inOrder && (r.Code == state.Applied || r.Code == state.Refused):
		l.pop()
		it.g.results[it.place] = *r
		if it.g.left--; it.g.left == 0 {
			l.finish(it.g, nil)
		}
	case inOrder && r.Code == state.Revalidate:
		// State took neither this number nor anything after it on this link.
		for i := it.place; i < len(it.g.results); i++ {
			it.g.results[i] = *r
		}
		kept := l.inflight[:0]
		for _, other := range l.inflight {
			if other.g != it.g {
				kept = append(kept, other)
				continue
			}
			l.waiting -= len(other.section)
			l.flying -= len(other.section)
		}
		clear(l.inflight[len(kept):])
		l.inflight = kept
		l.dropPending(it.g)
		l.finish(it.g, nil)
		l.resend = true
	default: // resend, superseded, or a result is missing before this one
		l.resend = true
	}
}

func (l *link) pop() {
	it := l.inflight[0]
	l.inflight[0] = nil
	l.inflight = l.inflight[1:]
	l.waiting -= len(it.section)
	l.flying -= len(it.section)
	if l.sent > 0 {
		l.sent--
	}
}

// doubt makes everything unanswered go out again in a new epoch.
func (l *link) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resend = true
	l.remind()
}

func (l *link) status() (resends uint64, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resends, l.waiting
}

// run keeps a link to whoever leads and sends on it, until ctx ends.
func (l *link) run(ctx context.Context) {
	var out *outbound
	var guards sync.WaitGroup
	tick := time.NewTicker(linkTick)
	defer tick.Stop()
	defer func() {
		if out != nil {
			out.close()
		}
		guards.Wait()
		l.shut()
	}()
	for {
		var ended <-chan struct{}
		if out != nil {
			ended = out.ended
		}
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-tick.C:
		case <-ended:
		}
		before := out
		if out = l.follow(ctx, out); out == nil {
			continue
		}
		if out != before {
			opened := out
			// Stops when ctx ends, the leader changes or the connection ends.
			guards.Go(func() { l.guard(ctx, opened) })
		}
		if err := l.pump(ctx, out); err != nil {
			out.close()
			out = nil
		}
	}
}

// guard closes a connection whose leader no longer leads, and at the end: run may
// be held up in a send to a host that is gone without a word.
func (l *link) guard(ctx context.Context, out *outbound) {
	tick := time.NewTicker(linkTick)
	defer tick.Stop()
	defer out.close()
	for l.leader() == out.leader {
		select {
		case <-ctx.Done():
			return
		case <-out.ended:
			return
		case <-tick.C:
		}
	}
}

// follow keeps the link if it leads to the present leader, else opens one; nil if there is none.
func (l *link) follow(ctx context.Context, out *outbound) *outbound {
	leader := l.leader()
	l.sawLeader(leader)
	if out != nil {
		select {
		case <-out.ended:
		default:
			if leader == out.leader {
				return out
			}
		}
		out.close()
	}
	if leader == "" {
		return nil
	}
	next, err := l.open(ctx, leader)
	if err != nil {
		return nil // the next tick tries again
	}
	// What the last connection brought into the leader's log is answered first:
	// then only what was lost goes out again. Silence is no reason to wait long.
	wait, cancel := context.WithTimeout(ctx, l.resendAfter)
	defer cancel()
	_ = l.waitIndex(wait, next.index)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resend = true
	return next
}

// sawLeader keeps count of the time without a leader and sends those home who wait for one too long.
func (l *link) sawLeader(leader string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if leader != "" {
		l.leaderAt = time.Now()
		return
	}
	if time.Since(l.leaderAt) > l.noLeader {
		l.dropUnbegun(ErrNoLeader)
	}
}

// pump sends what may be sent. An error ends the connection.
func (l *link) pump(ctx context.Context, out *outbound) error {
	for ctx.Err() == nil {
		if l.due() {
			if err := l.renumber(); err != nil {
				l.fail(err)
				return err
			}
		}
		section := l.take(out.window)
		if section == nil {
			return nil
		}
		if err := out.send(section); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// due says whether a new epoch must begin: for a reason, or after too long a silence.
func (l *link) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.resend && l.sent > 0 && time.Since(l.progress) > l.patience {
		l.resend = true
		l.patience = min(2*l.patience, resendAtMost)
	}
	return l.resend
}

// renumber begins a new epoch with everything unanswered.
func (l *link) renumber() error {
	kept, err := l.epochOf()
	if err != nil {
		return err
	}
	epoch := max(kept, l.applied()) + 1
	if err := l.keepEpoch(epoch); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.next, l.sent, l.resend = epoch, 1, 0, false
	if len(l.inflight) > 0 {
		l.resends++
	}
	for _, it := range l.inflight {
		it.number = l.next
		l.next++
	}
	l.progress = time.Now()
	return nil
}

// take is the next section to send, stamped in a copy; nil if there is none or the window is full.
func (l *link) take(window int) []byte {
	l.mu.Lock()
	if l.resend {
		l.mu.Unlock()
		l.remind()
		return nil
	}
	if l.sent == len(l.inflight) {
		if len(l.pending) == 0 || l.flying > 0 && l.flying+len(l.pending[0].section) > window {
			l.mu.Unlock()
			return nil
		}
		it := l.pending[0]
		l.pending[0] = nil
		l.pending = l.pending[1:]
		it.number, it.g.started = l.next, true
		l.next++
		l.flying += len(it.section)
		l.inflight = append(l.inflight, it)
	}
	if l.sent == 0 {
		l.progress = time.Now()
	}
	it := l.inflight[l.sent]
	l.sent++
	epoch, number := l.epoch, it.number
	l.mu.Unlock()
	b := append(make([]byte, 0, len(it.section)), it.section...) // the original is resent as it is
	record.Restamp(b, epoch, number)
	return b
}

// shut refuses what comes and ends what waits.
func (l *link) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, it := range l.inflight {
		l.finish(it.g, fmt.Errorf("%w: %w", ErrUnknown, ErrClosed))
	}
	for _, it := range l.pending {
		if it.g.started {
			l.finish(it.g, fmt.Errorf("%w: %w", ErrUnknown, ErrClosed))
		}
		l.finish(it.g, ErrClosed)
	}
	l.pending, l.inflight = nil, nil
}
