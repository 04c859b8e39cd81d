package filedrop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// Drop reads one drop folder.
type Drop struct {
	c      Config
	env    adapters.Env
	folder folder
	stream adapters.Stream

	// Fields below belong to the goroutine of Open, Next and Commit.
	open     bool
	looked   time.Time
	still    map[string]stillness
	ready    []string
	claimed  []string // in work, to be staged
	reading  *reading
	warned   map[string]bool // drift already told
	lockFile *os.File

	// busy is held while Open, Next or Commit runs; Close waits for it.
	busy   sync.Mutex
	closed atomic.Bool

	mu    sync.Mutex
	units map[string]*unit // sealed, not answered to the last
}

// ended returns why work on a file should be given up: the caller's context, or Close.
func (d *Drop) ended(ctx context.Context) error {
	if d.closed.Load() {
		return adapters.ErrClosed
	}
	return context.Cause(ctx)
}

var (
	_ adapters.Source      = (*Drop)(nil)
	_ adapters.Feedback    = (*Drop)(nil)
	_ adapters.Preflighter = (*Drop)(nil)
	_ adapters.Previewer   = (*Drop)(nil)
)

// stillness is how long a file has not changed.
type stillness struct {
	dropped
	polls int
}

// New makes a source; it touches nothing yet. Errors: *adapters.FaultsError.
func New(c Config, env adapters.Env) (*Drop, error) {
	c.defaults()
	if faults := c.validate(); len(faults) > 0 {
		return nil, &adapters.FaultsError{Faults: faults}
	}
	dir := c.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(env.Base, dir)
	}
	return &Drop{c: c, env: env.WithDefaults(), folder: folder{root: dir}, stream: env.Stream,
		still: map[string]stillness{}, warned: map[string]bool{}, units: map[string]*unit{}}, nil
}

// Open makes the folders, takes the lock and picks up what a crash left. Errors: ErrInUse, adapters.ErrCursor.
func (d *Drop) Open(ctx context.Context, stream adapters.Stream, raw adapters.Cursor) error {
	d.busy.Lock()
	defer d.busy.Unlock()
	at, err := decodeCursor(raw)
	if err != nil {
		return err
	}
	if err := d.ended(ctx); err != nil {
		return err
	}
	d.stream = stream
	if err := d.folder.make(); err != nil {
		return err
	}
	if d.lockFile, err = d.folder.lock(); err != nil {
		return err
	}
	if err := d.sweep(); err != nil {
		return err
	}
	if err := d.load(ctx, at); err != nil {
		return err
	}
	if d.claimed, err = d.leftovers(); err != nil {
		return err
	}
	if err := d.resume(ctx, at); err != nil {
		return err
	}
	d.open = true
	return nil
}

// load reads the sealed units and finds out which of them were handed over.
func (d *Drop) load(ctx context.Context, at cursor) error {
	entries, err := os.ReadDir(d.folder.units())
	if err != nil {
		return fmt.Errorf("look into drop folder: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		u, err := loadUnit(filepath.Join(d.folder.units(), e.Name()))
		if err != nil {
			return fmt.Errorf("read sealed file: %w", err)
		}
		handed := u.Handed || u.counts != nil || at.Unit == u.ID && at.End
		if !handed && d.env.Ledger != nil {
			if _, handed, err = d.env.Ledger.Seen(ctx, u.Digest); err != nil {
				return fmt.Errorf("look %s up in the ledger: %w", u.Name, err)
			}
		}
		d.units[u.ID] = u
		if handed {
			d.afterwards(u, d.handOver(u))
		}
	}
	return nil
}

// resume goes on in the file the cursor stands in.
func (d *Drop) resume(ctx context.Context, at cursor) error {
	if at.Unit == "" || at.End {
		return nil
	}
	d.mu.Lock()
	u := d.units[at.Unit]
	d.mu.Unlock()
	if u == nil {
		return d.findLost(ctx, at)
	}
	if u.Handed {
		return nil
	}
	return d.start(ctx, u, at.Rows)
}

// findLost stages a claimed file again whose sealed copy is gone.
func (d *Drop) findLost(ctx context.Context, at cursor) error {
	for i, name := range d.claimed {
		s, err := d.stage(ctx, name)
		if err != nil {
			return err
		}
		if s.unit == nil {
			continue
		}
		d.mu.Lock()
		d.units[s.unit.ID] = s.unit
		d.mu.Unlock()
		if s.unit.ID == at.Unit {
			d.claimed = slices.Delete(d.claimed, i, i+1)
			return d.start(ctx, s.unit, at.Rows)
		}
	}
	return fmt.Errorf("%w: %d rows of file %s were handed over, and the file was taken out of work since; put it back into work", adapters.ErrCursor, at.Rows, at.Unit)
}

// Next implements adapters.Source.
func (d *Drop) Next(ctx context.Context, limits adapters.Limits) (adapters.Batch, error) {
	d.busy.Lock()
	defer d.busy.Unlock()
	if err := d.usable(); err != nil {
		return adapters.Batch{}, err
	}
	limits = limits.OrDefault()
	if d.reading != nil && d.reading.out == d.reading.unit.Rows {
		d.finish() // the batch that held its last row is durable
	}
	if d.reading == nil {
		notices, err := d.take(ctx)
		if err != nil {
			return adapters.Batch{}, err
		}
		if d.reading == nil && len(notices) > 0 {
			return adapters.Batch{Notices: notices}, nil
		}
		if d.reading == nil {
			return adapters.Batch{}, &adapters.IdleError{Wait: d.untilPoll()}
		}
	}
	return d.batch(ctx, limits)
}

func (d *Drop) usable() error {
	switch {
	case d.closed.Load():
		return adapters.ErrClosed
	case !d.open:
		return errors.New("filedrop is not open")
	}
	return nil
}

// take finds the next file and stages it, until one is sealed or nothing is ready.
func (d *Drop) take(ctx context.Context) ([]adapters.Notice, error) {
	d.mu.Lock()
	var next *unit
	for _, u := range d.sorted() {
		if !u.Handed {
			next = u
			break
		}
	}
	d.mu.Unlock()
	if next != nil {
		return nil, d.start(ctx, next, 0)
	}
	if len(d.claimed) == 0 {
		if err := d.poll(ctx); err != nil {
			return nil, err
		}
		for len(d.ready) > 0 && len(d.claimed) == 0 {
			name := d.ready[0]
			d.ready = d.ready[1:]
			ok, err := d.claim(name)
			if err != nil {
				return nil, err
			}
			if ok {
				d.claimed = append(d.claimed, name)
			}
		}
	}
	if len(d.claimed) == 0 {
		return nil, nil
	}
	s, err := d.stage(ctx, d.claimed[0])
	if err != nil {
		return nil, err
	}
	d.claimed = d.claimed[1:]
	if s.unit == nil {
		return s.notices, nil
	}
	d.mu.Lock()
	d.units[s.unit.ID] = s.unit
	d.mu.Unlock()
	if err := d.start(ctx, s.unit, 0); err != nil {
		return nil, err
	}
	d.reading.drift, d.reading.notices = d.fresh(s.drift), s.notices
	return nil, nil
}

// fresh leaves out drift that was told before.
func (d *Drop) fresh(drift []adapters.Drift) []adapters.Drift {
	return slices.DeleteFunc(drift, func(x adapters.Drift) bool {
		told := d.warned[x.Column]
		d.warned[x.Column] = true
		return told
	})
}

// sorted are the units by the time they were sealed; the caller holds mu or is alone.
func (d *Drop) sorted() []*unit {
	out := make([]*unit, 0, len(d.units))
	for _, u := range d.units {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *unit) int {
		if a.At != b.At {
			return int(a.At - b.At)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// finish lets go of the unit whose rows are all durable.
func (d *Drop) finish() {
	r := d.reading
	d.reading = nil
	_ = r.closer.Close() // only read from
	d.mu.Lock()
	defer d.mu.Unlock()
	d.afterwards(r.unit, d.handOver(r.unit))
}

// Commit implements adapters.Source: after the last row of a file its original moves to done and the department hears
// what is known so far.
func (d *Drop) Commit(_ context.Context, raw adapters.Cursor) error {
	at, err := decodeCursor(raw)
	if err != nil {
		return err
	}
	if !at.End {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.units[at.Unit]; u != nil {
		return d.handOver(u)
	}
	return nil
}

// afterwards logs a failure of what can be done again later.
func (d *Drop) afterwards(u *unit, err error) {
	if err != nil {
		d.env.Log.Warn("feedback is late", "file", u.Name, "error", err)
	}
}

// Close implements adapters.Source.
func (d *Drop) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.busy.Lock()
	defer d.busy.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	if d.reading != nil {
		errs = append(errs, d.reading.closer.Close())
	}
	for _, u := range d.units {
		errs = append(errs, u.close())
	}
	if d.lockFile != nil {
		errs = append(errs, d.lockFile.Close())
	}
	return errors.Join(errs...)
}
