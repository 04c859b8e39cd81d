package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Times of the freshness rule (FORMATS §5): together less than the second in
// which a revocation takes effect everywhere.
const (
	freshEvery  = 100 * time.Millisecond // a node asks the leader
	freshVerify = 250 * time.Millisecond // the leader's proof is at most this old when it answers
	freshFor    = 500 * time.Millisecond // an answer counts this long from when it was asked for
)

// freshness is what a node knows of the leader's state.
type freshness struct {
	mu      sync.Mutex
	asked   time.Time // of the newest answer
	index   uint64    // what the leader had committed then
	term    uint64
	started bool   // an entry stamped after the start is known
	start   uint64 // and has this index or a lower one
}

// learn takes an answer of a leader to a question asked at a moment. An answer
// of an older term than the last is that of a leader who does not know yet.
func (f *freshness) learn(asked time.Time, term, index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if term < f.term || asked.Before(f.asked) {
		return
	}
	f.asked, f.term, f.index = asked, term, index
}

// begin tells of an index at or after an entry stamped after this start.
func (f *freshness) begin(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.started {
		f.started, f.start = true, index
	}
}

func (f *freshness) hasBegun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// check says why a state that stands at applied may not serve granted data, nil if it may.
func (f *freshness) check(applied uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.started || applied < f.start:
		return fmt.Errorf("%w: no entry made after this node's start is applied yet", ErrNotFresh)
	case f.asked.IsZero() || time.Since(f.asked) > freshFor:
		return fmt.Errorf("%w: the leader was last heard too long ago", ErrNotFresh)
	case applied < f.index:
		return fmt.Errorf("%w: entry %d is not applied yet", ErrNotFresh, f.index)
	}
	return nil
}

// verifier proves that this node leads, by a majority, sharing proofs.
type verifier struct {
	verify func() error // raft.VerifyLeader

	running sync.Mutex // one proof at a time; those who wait share the next
	mu      sync.Mutex
	begun   time.Time // of the newest proof that succeeded
}

// since makes sure of a proof begun at or after a moment.
func (v *verifier) since(t time.Time) error {
	if v.have(t) {
		return nil
	}
	v.running.Lock()
	defer v.running.Unlock()
	if v.have(t) {
		return nil
	}
	begun := time.Now()
	if err := v.verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.begun = begun
	return nil
}

func (v *verifier) have(t time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.begun.Before(t) && !v.begun.IsZero()
}

// leaderIndex proves that this node leads since a moment and gives its term and
// the highest index it has committed that reaches a state. It answers only once
// an entry of its own term is applied: before that, entries of former terms may
// be committed without its knowing.
func (r *Replica) leaderIndex(since time.Time) (term, index uint64, err error) {
	term = r.raft.CurrentTerm()
	if !r.ready(term) {
		return 0, 0, ErrNoLeader
	}
	if err := r.verifier.since(since); err != nil {
		return 0, 0, err
	}
	// The proof holds for the term only if that did not change meanwhile.
	if r.raft.CurrentTerm() != term {
		return 0, 0, ErrNoLeader
	}
	if index, err = r.logs.lastCommand(r.raft.CommitIndex()); err != nil {
		return 0, 0, err
	}
	applied, _, _ := r.m.Applied()
	return term, max(index, applied), nil
}

// Kinds of this room's own messages.
const (
	kindFresh    = "replica.fresh"    // nothing → term (8), index (8)
	kindStrong   = "replica.strong"   // nothing → term (8), index (8); the proof is begun after the question
	kindStart    = "replica.start"    // nothing → index (8) at or after a mark stamped after the question
	kindHello    = "replica.hello"    // nodeInfo → nodeInfo
	kindAdd      = "replica.add"      // memberRequest → nothing
	kindRemove   = "replica.remove"   // memberRequest → nothing
	kindTransfer = "replica.transfer" // memberRequest → nothing
)

func (r *Replica) answerFresh(context.Context, string, []byte) ([]byte, error) {
	return encodeIndex(r.leaderIndex(time.Now().Add(-freshVerify)))
}

func (r *Replica) answerStrong(context.Context, string, []byte) ([]byte, error) {
	return encodeIndex(r.leaderIndex(time.Now()))
}

func encodeIndex(term, index uint64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, term), index), nil
}

// askIndex asks the leader one of the two questions.
func (r *Replica) askIndex(ctx context.Context, kind string) (term, index uint64, err error) {
	leader := r.Leader()
	if leader == "" {
		return 0, 0, ErrNoLeader
	}
	b, err := r.calls.call(ctx, leader, kind, nil)
	if err != nil {
		return 0, 0, err
	}
	if len(b) != 16 {
		return 0, 0, fmt.Errorf("%w: malformed", ErrAnswer)
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), nil
}

// keepFresh asks each 100 ms until ctx ends. A question may take as long as its
// answer would count; the next does not wait for a lost one longer than that.
func (r *Replica) keepFresh(ctx context.Context) {
	tick := time.NewTicker(freshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		ask, cancel := context.WithTimeout(ctx, freshFor/2)
		term, index, err := r.askIndex(ask, kindFresh)
		cancel()
		if err != nil {
			continue // Fresh says so after 500 ms
		}
		r.fresh.learn(asked, term, index)
		if !r.fresh.hasBegun() {
			r.askStart(ctx)
		}
	}
}

// askStart learns of an entry stamped after this node's start.
func (r *Replica) askStart(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	b, err := r.calls.call(ask, r.Leader(), kindStart, nil)
	if err == nil && len(b) == 8 {
		r.fresh.begin(binary.BigEndian.Uint64(b))
	}
}

// answerStart makes a mark and answers with an index at or after it.
func (r *Replica) answerStart(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	if !r.ready(r.raft.CurrentTerm()) {
		return nil, ErrNoLeader
	}
	if err := r.proposeMark(ctx); err != nil {
		return nil, err
	}
	index, _, _ := r.m.Applied()
	return binary.BigEndian.AppendUint64(nil, index), nil
}

// Fresh is nil while this node's state may serve granted data: an entry stamped
// after its start is applied, and it holds all that the leader, proved by a
// majority, had committed at most 750 ms ago. Else ErrNotFresh. It costs two
// uncontended locks: ask before each batch that is written, not once per request.
func (r *Replica) Fresh() error {
	applied, _, _ := r.m.Applied()
	return r.fresh.check(applied)
}

// Strong returns when this node's state holds everything that was acknowledged
// anywhere before the call. It returns ErrNoLeader, ErrUnreachable, or ctx's cause.
func (r *Replica) Strong(ctx context.Context) error {
	_, index, err := r.askIndex(ctx, kindStrong)
	if errors.Is(err, ErrAnswer) { // who was asked does not lead any more
		return fmt.Errorf("strong read: %w: %w", ErrNoLeader, err)
	}
	if err != nil {
		return fmt.Errorf("strong read: %w", err)
	}
	return r.WaitIndex(ctx, index)
}

// WaitIndex returns when an index is applied here, or with ctx's cause. The
// index MUST be one that was answered for a write: others may never arrive.
func (r *Replica) WaitIndex(ctx context.Context, index uint64) error {
	return r.m.WaitApplied(ctx, index)
}

// Now is the time in the log, Unix milliseconds UTC: that of the last applied
// entry and the monotonic time since. It decides every expiry.
func (r *Replica) Now() int64 { return r.clock.logNow() }
