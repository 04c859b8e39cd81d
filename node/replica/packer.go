package replica

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// packer turns waiting sections into log entries while this node leads. Links
// offer from their own goroutines; run packs.
//
// An entry is closed at 256 KiB or when nothing waits; one section alone may
// make it larger. The first entry in flight waits for nobody, a second one for
// 32 KiB. What fails ends all links: their nodes resend what is unanswered.
type packer struct {
	apply func(entry []byte) raft.ApplyFuture
	stamp func() (logMs int64)
	last  func() uint64 // newest index in the log that reaches the state
	wake  chan struct{} // of capacity 1: a reminder, not a queue
	done  chan error    // of capacity entriesFlying: one outcome per entry in flight

	mu     sync.Mutex
	active bool
	queue  []queued // bounded by the links' windows
	bytes  int
	links  map[*inbound]struct{}
}

type queued struct {
	section []byte
	from    *inbound
	epoch   uint64
}

// inbound is one node's open link at the leader.
type inbound struct {
	node   string
	window int
	index  uint64 // packer.last when the link was let in
	cut    func() // ends the link at its node; must not block
	// Guarded by packer.mu.
	epoch, number uint64 // last offered
	waiting       int    // bytes in the queue
	gone          bool
}

func newPacker(apply func([]byte) raft.ApplyFuture, stamp func() int64, last func() uint64) *packer {
	return &packer{
		apply: apply, stamp: stamp, last: last, wake: make(chan struct{}, 1), done: make(chan error, entriesFlying), links: map[*inbound]struct{}{},
	}
}

// begin lets links in. The caller has made sure that this node leads and that
// the clock stands at or after the log's last time.
func (p *packer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = true
}

// end cuts all links and forgets what waits; nodes resend it to the next leader.
func (p *packer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = false
	for in := range p.links {
		in.gone = true
		in.cut()
	}
	clear(p.links)
	p.queue, p.bytes = nil, 0
}

func (p *packer) isActive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}

// open lets a node's link in and cuts an older one of the same node. It returns ErrNoLeader.
func (p *packer) open(node string, window int, cut func()) (*inbound, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.active {
		return nil, ErrNoLeader
	}
	for old := range p.links {
		if old.node == node {
			old.gone = true
			old.cut()
			p.drop(old, 0)
			delete(p.links, old)
		}
	}
	in := &inbound{node: node, window: window, cut: cut, index: p.last()}
	p.links[in] = struct{}{}
	return in, nil
}

// leave forgets a link and what of it waits.
func (p *packer) leave(in *inbound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, in)
	in.gone = true
	p.drop(in, 0)
}

// offer takes the link's next section; the slice is the packer's from now on.
// Numbers are checked here, before anything is packed: on a link they are dense
// within an epoch, and a newer epoch begins with 1. What waits of an older epoch
// is dropped, it is sent again in the newer one. It returns ErrForeignSection,
// ErrTooLarge, ErrNoLeader; the link must end then.
func (p *packer) offer(in *inbound, section []byte) error {
	if err := checkSection(section); err != nil {
		return err
	}
	h, err := record.ParseHeader(section)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeignSection, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case in.gone:
		return ErrNoLeader
	case h.Node != in.node:
		return fmt.Errorf("%w: of node %q on the link of %s", ErrForeignSection, h.Node, in.node)
	case h.LinkEpoch == in.epoch && h.LinkNumber == in.number+1 && in.epoch != 0:
	case h.LinkEpoch > in.epoch && h.LinkNumber == 1:
		p.drop(in, h.LinkEpoch)
	default:
		return fmt.Errorf("%w: number %d.%d after %d.%d", ErrForeignSection, h.LinkEpoch, h.LinkNumber, in.epoch, in.number)
	}
	if in.waiting > 0 && in.waiting+len(section) > 2*in.window {
		return fmt.Errorf("%w: %s sends beyond its window", ErrTooLarge, in.node)
	}
	in.epoch, in.number = h.LinkEpoch, h.LinkNumber
	in.waiting += len(section)
	p.queue = append(p.queue, queued{section, in, h.LinkEpoch})
	p.bytes += len(section)
	p.remind()
	return nil
}

// drop takes a link's sections older than an epoch, or all for 0, out of the queue. The caller holds mu.
func (p *packer) drop(in *inbound, before uint64) {
	kept := p.queue[:0]
	for _, q := range p.queue {
		if q.from == in && (before == 0 || q.epoch < before) {
			p.bytes -= len(q.section)
			in.waiting -= len(q.section)
			continue
		}
		kept = append(kept, q)
	}
	clear(p.queue[len(kept):])
	p.queue = kept
}

func (p *packer) remind() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take is the next entry's sections, nil if it is better to wait.
func (p *packer) take(flying int) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || flying >= entriesFlying || flying > 0 && p.bytes < secondBytes {
		return nil
	}
	var sections [][]byte
	size, n := 0, 0
	for _, q := range p.queue {
		if n > 0 && (size+len(q.section) > entryBytes || n >= maxSections) {
			break
		}
		size += len(q.section)
		q.from.waiting -= len(q.section)
		sections = append(sections, q.section)
		n++
	}
	clear(p.queue[:n])
	p.queue = p.queue[n:]
	p.bytes -= size
	return sections
}

// run packs until ctx ends, then waits for what is in flight.
func (p *packer) run(ctx context.Context) {
	flying := 0
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for sections := p.take(flying); sections != nil; sections = p.take(flying) {
			f := p.apply(state.EncodeEntry(p.stamp(), sections))
			flying++
			wg.Add(1)
			// Stops when raft settles the entry, at the latest when raft shuts down.
			go func() {
				defer wg.Done()
				p.done <- f.Error()
			}()
		}
		select {
		case <-p.wake:
		case err := <-p.done:
			flying--
			if err != nil {
				p.end()
			}
		case <-ctx.Done():
			p.end()
			return
		}
	}
}

// maxSections of an entry; state takes more.
const maxSections = 1 << 12

// checkSection says whether a section can be in an entry at all.
func checkSection(section []byte) error {
	if len(section)+32 > state.MaxEntryBytes {
		return fmt.Errorf("section of %d bytes: %w", len(section), ErrTooLarge)
	}
	return nil
}
