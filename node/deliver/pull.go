package deliver

import (
	"context"
	"fmt"

	"github.com/hutong-bus/hutong/schemas/record"
)

// Reader gives batches that are already projected, from this node's own state.
type Reader interface {
	// Read makes the next batch of the subscription, of at most limit records. It
	// MUST refuse when the subscription's grant is not in force or this node's state
	// is not fresh.
	Read(ctx context.Context, subscription string, limit int) (Batch, error)
	// Check is asked when a batch is about to leave: it MUST refuse when the grant
	// it was made under is no longer in force in that revision, the subscription is
	// not active, or this node's state is not fresh.
	Check(ctx context.Context, b Batch) error
}

// Proposer puts a cursor move into the log and returns when it was applied here,
// or the error for which it changed nothing. A move that was applied before is no
// error.
type Proposer interface {
	Propose(ctx context.Context, move record.CursorMove) error
}

// Pull hands out the next batch of a subscription: it is made, its move is put
// into the log, and only if the right to it still stands then does it leave. A
// batch whose move is in the log and that did not leave, or did not arrive, is
// handed out again by the next Pull, because it was not acknowledged.
//
// It returns the errors of Reader and Proposer, wrapped; then nothing leaves.
func Pull(ctx context.Context, r Reader, p Proposer, subscription string, limit int) (Batch, error) {
	if limit <= 0 || limit > MaxRecords {
		limit = MaxRecords
	}
	b, err := r.Read(ctx, subscription, limit)
	if err != nil {
		return Batch{}, fmt.Errorf("read batch of %s: %w", subscription, err)
	}
	if b.Empty() {
		return b, nil
	}
	if err := p.Propose(ctx, b.Move); err != nil {
		return Batch{}, fmt.Errorf("hand out %s through %d: %w", subscription, b.Through, err)
	}
	if err := r.Check(ctx, b); err != nil {
		return Batch{}, fmt.Errorf("hand out %s through %d: %w", subscription, b.Through, err)
	}
	return b, nil
}

// Ack moves the cursor to through. What is acknowledged already is no error. It
// returns ErrAhead where through lies past what was handed out, else the error of
// the Proposer, wrapped.
func Ack(ctx context.Context, p Proposer, o Order, through uint64) error {
	if through > o.Handed {
		return fmt.Errorf("acknowledge %s through %d, handed out %d: %w", o.Subscription, through, o.Handed, ErrAhead)
	}
	if through <= o.Cursor {
		return nil
	}
	move := record.CursorMove{
		Subscription: o.Subscription, Action: record.ActionAck, From: o.From(), Through: through,
		GrantRevision: o.GrantRevision, System: o.System,
	}
	if err := p.Propose(ctx, move); err != nil {
		return fmt.Errorf("acknowledge %s through %d: %w", o.Subscription, through, err)
	}
	return nil
}
