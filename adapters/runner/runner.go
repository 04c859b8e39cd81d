package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
)

// Config is what New needs; the caller closes Box after Run has returned.
type Config struct {
	Adapter *adapters.Config
	Kinds   map[string]adapters.Kind
	Bus     Bus
	Box     *outbox.Box
	// Judge makes the mapping and validation of one stream under one schema.
	Judge func(stream adapters.StreamConfig, schema Schema) (adapters.Judge, error)
	Log   *slog.Logger     // nil: discard
	Now   func() time.Time // nil: time.Now
	// Once lets Run return when every source is idle or has ended, everything
	// is answered and every verdict is home.
	Once bool

	// mark is called at the points where a crash is told apart from another.
	mark func(point string)
	// backoff is the first pause before trying again; 0: backoffMin.
	backoff time.Duration
}

// Runner pumps all streams of one adapter.
type Runner struct {
	cfg      Config
	producer string
	epoch    uint64
	streams  []*stream
	senders  map[string]*sender
	schemas  *schemaCache
	notify   chan struct{} // capacity 1: a change of state to write down; one is enough
}

// New allocates; Run does the work.
func New(cfg Config) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.backoff == 0 {
		cfg.backoff = backoffMin
	}
	if cfg.mark == nil {
		cfg.mark = func(string) {}
	}
	r := &Runner{cfg: cfg, senders: map[string]*sender{}, notify: make(chan struct{}, 1),
		schemas: &schemaCache{dir: filepath.Join(cfg.Adapter.Path(cfg.Adapter.Outbox.Dir), "schemas"), bus: cfg.Bus}}
	r.producer, r.epoch = cfg.Box.Producer()
	for _, sc := range cfg.Adapter.Streams {
		r.streams = append(r.streams, newStream(r, sc))
		if r.senders[sc.Resource] == nil {
			r.senders[sc.Resource] = newSender(r, sc.Resource)
		}
	}
	for _, resource := range cfg.Box.Resources() { // of streams no longer configured: their records still go
		if r.senders[resource] == nil {
			r.senders[resource] = newSender(r, resource)
		}
	}
	return r
}

// Run pumps until ctx ends (then it returns nil), the outbox fails, or, with
// Once, everything is done (then nil, or ErrHalted if something stopped).
func (r *Runner) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range r.streams {
		g.Go(func() error { return s.run(gctx) })
		g.Go(func() error { return s.report(gctx) })
	}
	for _, s := range r.senders {
		g.Go(func() error { return s.run(gctx) })
	}
	g.Go(func() error { return r.keepStatus(gctx) })
	if r.cfg.Once {
		g.Go(func() error { return r.untilDone(gctx, stop) })
	}
	err := g.Wait()
	if werr := r.writeStatus(false); werr != nil && err == nil {
		err = werr
	}
	switch {
	case errors.Is(err, errDone) && r.halted():
		return ErrHalted
	case errors.Is(err, errDone), err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return nil
	case err != nil:
		return fmt.Errorf("run adapter: %w", err)
	}
	return nil
}

// errDone ends Run with Once.
var errDone = errors.New("everything is read and answered")

// donePoll is how often Once looks; only tests and demonstrations run it.
const donePoll = 50 * time.Millisecond

func (r *Runner) untilDone(ctx context.Context, stop context.CancelCauseFunc) error {
	for {
		if err := wait(ctx, donePoll); err != nil {
			return err
		}
		done, err := r.done()
		if err != nil {
			return err
		}
		if done {
			stop(errDone)
			return errDone
		}
	}
}

// done reports whether nothing is left to do. Streams are looked at before the
// queues: what a stream queued before it fell idle is seen there.
func (r *Runner) done() (bool, error) {
	for _, s := range r.streams {
		if !s.quiet() {
			return false, nil
		}
	}
	for _, s := range r.senders {
		b, err := r.cfg.Box.Backlog(s.resource)
		if err != nil {
			return false, err
		}
		if b.Waiting > 0 && !s.isHalted() {
			return false, nil
		}
	}
	for _, s := range r.streams {
		left, err := s.unreported()
		if err != nil || left {
			return false, err
		}
	}
	return true, nil
}

func (r *Runner) halted() bool {
	return slices.ContainsFunc(r.streams, func(s *stream) bool { return s.isStopped() }) ||
		slices.ContainsFunc(slices.Collect(mapValues(r.senders)), func(s *sender) bool { return s.isHalted() })
}

func mapValues(m map[string]*sender) func(func(*sender) bool) {
	return func(yield func(*sender) bool) {
		for _, s := range m {
			if !yield(s) {
				return
			}
		}
	}
}

// changed tells the status writer that something is new.
func (r *Runner) changed() {
	select {
	case r.notify <- struct{}{}:
	default: // one is waiting already
	}
}
