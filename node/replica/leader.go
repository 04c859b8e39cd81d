package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Marks: each second if the tree grew, else each minute.
const (
	markEvery = time.Second
	markIdle  = time.Minute
)

// watchLeader begins packing when this node comes to lead and ends it when it no
// longer does. Notices come from raft; the tick is for those that were lost.
func (r *Replica) watchLeader(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var term uint64 // for which packing was begun
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.watchKick:
		case <-tick.C:
		}
		leads, now := r.raft.State() == raft.Leader, r.raft.CurrentTerm()
		active := r.packer.isActive()
		if active && (!leads || now != term) {
			r.packer.end()
			active = false
			r.link.remind()
		}
		if leads && !active && r.transferring.Load() == 0 {
			ms, err := r.logs.lastTime()
			if err != nil {
				r.fail(err)
				return
			}
			r.clock.logged(ms)
			term = now
			r.packer.begin()
			r.link.remind()
		}
	}
}

// ready says whether this node leads in a term and has applied an entry of it.
func (r *Replica) ready(term uint64) bool {
	return r.raft.State() == raft.Leader && r.readyTerm.Load() == term
}

// keepMarks proposes marks while this node leads: one at once, which makes it
// ready to answer for its state, then as the tree grows.
func (r *Replica) keepMarks(ctx context.Context) {
	tick := time.NewTicker(markEvery / 20)
	defer tick.Stop()
	var size uint64
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !r.packer.isActive() {
			continue
		}
		term := r.raft.CurrentTerm()
		first := r.readyTerm.Load() != term
		since := time.Since(at)
		if !first && since < markEvery {
			continue
		}
		head, err := r.m.head()
		if err != nil {
			r.fail(fmt.Errorf("read the tree head: %w", err))
			return
		}
		if !first && head.Size == size && since < markIdle {
			continue
		}
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		err = r.proposeMark(wait)
		cancel()
		if err != nil {
			continue // no leader any more, or too much is waiting: the next tick sees
		}
		size, at = head.Size, time.Now()
		if first && r.raft.CurrentTerm() == term {
			r.readyTerm.Store(term)
			index, _, _ := r.m.Applied()
			r.fresh.begin(index)
		}
	}
}

// proposeMark puts the present tree head and running hash into the log.
func (r *Replica) proposeMark(ctx context.Context) error {
	head, err := r.m.head()
	if err != nil {
		return fmt.Errorf("read the tree head: %w", err)
	}
	section, err := record.EncodeMark(record.Header{Node: r.cfg.NodeID}, head)
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	res, err := r.Propose(ctx, [][]byte{section})
	if err != nil {
		return fmt.Errorf("propose mark: %w", err)
	}
	if res[0].Code != state.Applied {
		return fmt.Errorf("propose mark: answered %s", res[0].Code)
	}
	return nil
}

// keepSnapshots takes a snapshot whenever the log has grown by so many bytes:
// raft itself counts entries, which may be of any size.
func (r *Replica) keepSnapshots(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.logs.grownBytes() < r.cfg.SnapshotBytes {
			continue
		}
		if err := r.snapshot(); err != nil {
			r.cfg.Logger.Warn("snapshot not taken", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Second):
			}
		}
	}
}

// snapshot takes one now and lets raft truncate the log down to TrailingBytes.
func (r *Replica) snapshot() error {
	grown := r.logs.grownBytes()
	n, err := r.logs.trailing(r.cfg.TrailingBytes)
	if err != nil {
		return fmt.Errorf("count trailing entries: %w", err)
	}
	rc := r.raft.ReloadableConfig()
	rc.TrailingLogs = n
	if err := r.raft.ReloadConfig(rc); err != nil {
		return fmt.Errorf("set trailing entries: %w", err)
	}
	if err := r.raft.Snapshot().Error(); err != nil {
		return fmt.Errorf("take snapshot: %w", err)
	}
	r.logs.resetGrown(grown)
	return nil
}
