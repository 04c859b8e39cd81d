package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/hutong-bus/hutong/node/state"
)

// group is one Propose.
type group struct {
	results  []state.Result
	left     int  // sections without result; guarded by link.mu
	started  bool // a section was numbered
	err      error
	finished bool
	done     chan struct{}
}

type item struct {
	g       *group
	place   int // in the group
	section []byte
	number  uint64
}

// add queues a group. It returns ErrPushback, ErrNoLeader, ErrClosed; then nothing was queued.
func (l *link) add(sections [][]byte) (*group, error) {
	size := 0
	for _, s := range sections {
		size += len(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.waiting > 0 && l.waiting+size > l.waitingBytes:
		return nil, ErrPushback
	case time.Since(l.leaderAt) > l.noLeader:
		return nil, ErrNoLeader
	}
	g := &group{results: make([]state.Result, len(sections)), left: len(sections), done: make(chan struct{})}
	for i, s := range sections {
		l.pending = append(l.pending, &item{g: g, place: i, section: s})
	}
	l.waiting += size
	l.remind()
	return g, nil
}

// abandon is for a proposer that stops waiting. What was not sent yet is
// dropped; what was sent stays in the order and is forgotten when answered.
func (l *link) abandon(g *group, cause error) ([]state.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.finished {
		return g.results, g.err
	}
	l.dropPending(g)
	g.finished = true
	switch {
	case g.started:
		return nil, fmt.Errorf("%w: %w", ErrUnknown, cause)
	case time.Since(l.leaderAt) > l.noLeader/2:
		return nil, fmt.Errorf("%w: %w", ErrNoLeader, cause)
	default:
		return nil, fmt.Errorf("%w: %w", ErrPushback, cause)
	}
}

func (l *link) finish(g *group, err error) {
	if !g.finished {
		g.finished, g.err = true, err
		close(g.done)
	}
}

// dropPending forgets what of a group was not sent; its items lie side by side.
func (l *link) dropPending(g *group) {
	from := slices.IndexFunc(l.pending, func(it *item) bool { return it.g == g })
	if from < 0 {
		return
	}
	to := from
	for ; to < len(l.pending) && l.pending[to].g == g; to++ {
		l.waiting -= len(l.pending[to].section)
	}
	if from == 0 { // usual, the oldest is given up first: nothing moves
		clear(l.pending[:to])
		l.pending = l.pending[to:]
		return
	}
	l.pending = slices.Delete(l.pending, from, to)
}

// dropUnbegun ends every group of which nothing was sent, in one pass.
func (l *link) dropUnbegun(err error) {
	l.pending = slices.DeleteFunc(l.pending, func(it *item) bool {
		if it.g.started {
			return false
		}
		l.waiting -= len(it.section)
		l.finish(it.g, err)
		return true
	})
}
