package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hutong-bus/hutong/node/tlog"
)

// graceAfterQuorum is how long a round waits for further cosignatures when it has enough: a note with all of them is
// worth more, a slow node may not hold it up.
const graceAfterQuorum = 50 * time.Millisecond

// maxCalls bounds the calls to peers that are under way at once.
const maxCalls = 16

// Round makes one checkpoint of the newest mark if the tree has grown since the last, or Refresh has passed. It is
// called by Run; a test may call it, too, but not beside Run. It returns ErrQuorum, ErrInconsistent or ErrBehind for
// the own state, ErrUnsigned without the log's key, or an error of the file system.
func (r *Room) Round(ctx context.Context) error {
	m, ok := r.set.Tree.Mark()
	if !ok || m.Size == 0 || !r.due(m) {
		return nil
	}
	if r.set.LogKey == nil {
		return fmt.Errorf("checkpoint of %d leaves: this node has not the log's key: %w", m.Size, ErrUnsigned)
	}
	c := tlog.Checkpoint{Origin: r.cfg.Log, Size: m.Size, Root: m.Root}
	if err := r.own(c); err != nil { // before the log's key says it: a log never signs two histories
		return fmt.Errorf("checkpoint: %w", err)
	}
	signed, err := tlog.SignNote(c.Encode(), r.set.LogKey.Signer())
	if err != nil {
		return fmt.Errorf("checkpoint of %d leaves: %w", m.Size, err)
	}
	mine, err := r.Cosign(signed)
	if err != nil {
		return fmt.Errorf("checkpoint of %d leaves: %w", m.Size, err)
	}
	note, err := r.collect(ctx, signed, mine)
	if err != nil {
		return fmt.Errorf("checkpoint of %d leaves: %w", m.Size, err)
	}
	if err := r.keep(note); err != nil {
		return err
	}
	r.hand(ctx, note)
	return nil
}

// due reports whether a mark asks for a new note.
func (r *Room) due(m Mark) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.note == nil || m.Size > r.newest.Size || m.Size == r.newest.Size && r.set.Now().Sub(r.noteAt) >= r.cfg.Refresh
}

// collect asks the other nodes for cosignatures until the quorum is met and a moment longer.
func (r *Room) collect(ctx context.Context, signed, mine []byte) ([]byte, error) {
	trust, err := r.set.Trust()
	if err != nil {
		return nil, err
	}
	others := slices.Clone(r.set.Others())
	answers := make(chan []byte, len(others)) // one place for each answer: no call ever waits here
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.CallTimeout, errors.New("cosignatures took too long"))
	var calls errgroup.Group
	calls.SetLimit(maxCalls)
	defer func() {
		cancel()
		_ = calls.Wait() // faults of single nodes have been logged
	}()
	for _, node := range others {
		calls.Go(func() error { // Stops when the call returns, at the latest soon after ctx ends
			answer, err := r.set.Peers.Call(ctx, node, KindCosign, signed)
			if err != nil {
				r.set.Logger.Debug("no cosignature", "node", node, "error", err.Error())
			}
			answers <- answer
			return nil
		})
	}
	note := mine
	var grace <-chan time.Time
	for waiting := len(others); waiting > 0; {
		if grace == nil && met(trust, note) {
			timer := time.NewTimer(graceAfterQuorum)
			defer timer.Stop()
			grace = timer.C
		}
		select {
		case answer := <-answers:
			waiting--
			note = merge(trust, note, answer)
		case <-grace:
			waiting = 0
		case <-ctx.Done():
			waiting = 0
		}
	}
	if _, _, err := trust.Check(note); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuorum, err)
	}
	return note, nil
}

func met(trust tlog.Trust, note []byte) bool {
	_, _, err := trust.Check(note)
	return err == nil
}

// merge adds the lines of an answer to the note, unless the answer is nothing or spoils it.
func merge(trust tlog.Trust, note, answer []byte) []byte {
	if len(answer) == 0 {
		return note
	}
	merged, err := tlog.MergeNotes(note, answer)
	if err != nil {
		return note
	}
	if _, _, err := trust.Check(merged); err != nil && !errors.Is(err, tlog.ErrQuorum) {
		return note
	}
	return merged
}

// hand gives the note to the other nodes; who misses it gets the next.
func (r *Room) hand(ctx context.Context, note []byte) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.CallTimeout, errors.New("handing the checkpoint on took too long"))
	defer cancel()
	var calls errgroup.Group
	calls.SetLimit(maxCalls)
	for _, node := range r.set.Others() {
		calls.Go(func() error { // Stops when the call returns, at the latest soon after ctx ends
			if _, err := r.set.Peers.Call(ctx, node, KindKeep, note); err != nil {
				r.set.Logger.Debug("checkpoint not handed on", "node", node, "error", err.Error())
			}
			return nil
		})
	}
	_ = calls.Wait()
}
