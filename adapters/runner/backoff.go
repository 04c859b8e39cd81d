package runner

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff of everything that is tried again: source, bus, feedback.
const (
	backoffMin = time.Second
	backoffMax = time.Minute
	// idlePause is taken where an idle source does not say how long.
	idlePause = time.Second
)

// backoff doubles from least to backoffMax; the jitter keeps adapters
// that lost the bus together from coming back together.
type backoff struct{ least, next time.Duration }

func (b *backoff) reset() { b.next = 0 }

// pause is the next pause: at least what the other side asked for, with up to
// half of itself added.
func (b *backoff) pause(asked time.Duration) time.Duration {
	b.next = min(max(2*b.next, b.least), backoffMax)
	d := max(b.next/2, asked)
	return d + rand.N(b.next/2+1)
}

// wait sleeps for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
	}
	return nil
}
