package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// align compares newest snapshot, log and state before raft believes them: raft
// takes the snapshot's index for applied without looking, and would append after
// a gap that an interrupted install left in the log. A state without raft's term
// means that the whole log database is gone, and with it votes and acknowledged
// entries; an install that empties the log leaves the term.
func (r *Replica) align() error {
	snap, ok, err := r.snaps.newest()
	if err != nil {
		return err
	}
	applied, _, _ := r.m.Applied()
	term, err := r.number("CurrentTerm")
	if err != nil {
		return err
	}
	first, last := r.logs.first, r.logs.last
	switch {
	case term == 0 && (ok || applied > 0):
		return fmt.Errorf("%w (state at %d, snapshot at %d)", ErrLogLost, applied, snap.Index)
	case ok && snap.Index > applied:
		return fmt.Errorf("%w (state at %d, snapshot at %d)", ErrStateBehind, applied, snap.Index)
	case !ok && applied > last:
		return fmt.Errorf("%w: the state stands at entry %d but the log ends at %d", ErrCorrupt, applied, last)
	case !ok && first > 1, ok && first > snap.Index+1:
		return fmt.Errorf("%w (log begins at %d, snapshot at %d)", ErrStateBehind, first, snap.Index)
	}
	if ok && first != 0 {
		stale := last < snap.Index
		if first <= snap.Index && snap.Index <= last {
			var l raft.Log
			if err := r.logs.GetLog(snap.Index, &l); err != nil {
				return err
			}
			stale = l.Term != snap.Term
		}
		if stale { // an install was interrupted before raft emptied the log
			if err := r.logs.DeleteRange(first, last); err != nil {
				return err
			}
		}
	}
	return r.logs.check(snap.Index)
}

// number reads one of raft's own numbers, 0 before it was ever set.
func (r *Replica) number(key string) (uint64, error) {
	n, err := r.stable.GetUint64([]byte(key))
	if errors.Is(err, errStableNotFound) {
		return 0, nil
	}
	return n, err
}

// bootstrap makes this node the only voter of a new cluster, if its log is empty.
func (r *Replica) bootstrap(c *raft.Config) error {
	if err := r.forgetHalfBootstrap(); err != nil {
		return err
	}
	err := raft.BootstrapCluster(c, r.logs, r.stable, r.snaps, r.trans, raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: c.LocalID, Address: raft.ServerAddress(r.port.Addr().String())},
	}})
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil
	}
	return err
}

// forgetHalfBootstrap makes way for a second bootstrap when a crash cut the first
// short. raft keeps term 1 before it writes the configuration, and between the
// two refuses to begin again and has nobody to vote for. Whoever went on from
// there has voted, or holds an entry or a snapshot: then nothing is touched.
func (r *Replica) forgetHalfBootstrap() error {
	term, err := r.number("CurrentTerm")
	if err != nil {
		return err
	}
	voted, err := r.number("LastVoteTerm")
	if err != nil {
		return err
	}
	_, snap, err := r.snaps.newest()
	if err != nil {
		return err
	}
	if _, last := r.logs.bounds(); term != 1 || voted != 0 || last != 0 || snap {
		return nil
	}
	return r.stable.SetUint64([]byte("CurrentTerm"), 0)
}

// checkClock asks when one node alone finds its clock far behind its log.
func (r *Replica) checkClock() error {
	if voters := r.voters(); len(voters) != 1 || voters[0] != r.cfg.NodeID || r.cfg.AcceptClock {
		return nil
	}
	back := time.Duration(r.clock.logNow()-r.cfg.Clock().UnixMilli()) * time.Millisecond
	if back > clockBackMax {
		return fmt.Errorf("%w: by %s", ErrClockBack, back.Round(time.Second))
	}
	return nil
}
