package replica

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
)

// fsm hands committed entries to the machine. raft calls ApplyBatch, Snapshot
// and Restore from one goroutine, Persist from another.
type fsm struct {
	m       machine
	snaps   *snapshotStore
	logs    *logStore
	cfg     *Config
	fail    func(error)                                  // stops the node with the cause
	applied func(last state.Entry, res [][]state.Result) // after each batch
	swapped func(drained <-chan struct{}, old string)    // after the state came from another node
	failed  atomic.Bool
}

var (
	_ raft.BatchingFSM = (*fsm)(nil)
	_ raft.FSMSnapshot = (*fsmSnapshot)(nil)
)

// ApplyBatch applies committed entries. Commands and configurations come, no-ops
// and barriers never: indexes rise but are not dense. After a failure nothing is
// applied any more; the node stops with the cause.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	if f.failed.Load() || len(logs) == 0 {
		return out
	}
	entries := make([]state.Entry, 0, len(logs))
	for _, l := range logs {
		e := state.Entry{Index: l.Index}
		if l.Type == raft.LogCommand {
			var err error
			if e, err = state.DecodeEntry(l.Index, l.Data); err != nil {
				f.stop(fmt.Errorf("apply: %w", err))
				return out
			}
		}
		entries = append(entries, e)
	}
	res, err := f.m.Apply(entries)
	if err != nil {
		f.stop(fmt.Errorf("apply entries %d–%d: %w", entries[0].Index, entries[len(entries)-1].Index, err))
		return out
	}
	last := entries[len(entries)-1]
	for _, e := range entries {
		last.Time = max(last.Time, e.Time)
	}
	f.applied(last, res)
	return out
}

func (f *fsm) stop(err error) {
	f.failed.Store(true)
	f.fail(err)
}

// Apply is for raft versions that do not batch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot begins a snapshot, which is the state as it stands.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed.Load() {
		return nil, errors.New("the state machine has failed")
	}
	return &fsmSnapshot{f: f}, nil
}

// Restore swaps in the state that was unpacked; what is read is not needed.
func (f *fsm) Restore(rc io.ReadCloser) error {
	mark, err := f.snaps.incoming()
	if err != nil {
		err = fmt.Errorf("restore: %w", err)
		f.stop(err)
		return errors.Join(err, rc.Close())
	}
	drained, old, err := f.snaps.swap(mark, f.cfg.StateOptions)
	if err != nil {
		f.stop(fmt.Errorf("restore: %w", err))
		return errors.Join(err, rc.Close())
	}
	if index, _, _ := f.m.Applied(); index < mark.Index {
		err := fmt.Errorf("restore: %w: state at %d, snapshot at %d", ErrStateBehind, index, mark.Index)
		f.stop(err)
		return errors.Join(err, rc.Close())
	}
	if drained != nil {
		f.swapped(drained, old)
	}
	// raft empties the log now but goes on remembering its last index; where that
	// lay above the snapshot the leader could never get on with this node.
	if last, _ := f.logs.LastIndex(); last > mark.Index {
		f.stop(fmt.Errorf("%w: a snapshot at %d replaced a log that ended at %d", ErrRestart, mark.Index, last))
	}
	return rc.Close()
}

// fsmSnapshot is one snapshot being taken.
type fsmSnapshot struct{ f *fsm }

// Persist makes the state durable up to the snapshot's index before the
// metadata say so and raft truncates the log: it has no WAL of its own.
func (s *fsmSnapshot) Persist(k raft.SnapshotSink) error {
	own, ok := k.(*sink)
	if !ok {
		return errors.New("persist: a sink of another store")
	}
	index, err := s.f.snaps.flush()
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	if index < own.meta.Index {
		return fmt.Errorf("persist: %w: state at %d, snapshot at %d", ErrStateBehind, index, own.meta.Index)
	}
	return nil
}

// Release has nothing to release.
func (s *fsmSnapshot) Release() {}
