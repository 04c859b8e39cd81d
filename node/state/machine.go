package state

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hutong-bus/hutong/node/store"
)

// Config is what a machine must know of its cluster.
type Config struct {
	// ClusterID is refused to be another than the database's (ErrForeign) or than
	// Bootstrap's; empty: whatever those say.
	ClusterID string
	// CacheBytes bounds the decoded segments kept for readers. Default 32 MiB.
	CacheBytes int64
}

// Machine is the state machine over one state database.
type Machine struct {
	cfg Config

	// work belongs to the goroutine that calls Apply and Swap; applying keeps a
	// second one out.
	applying sync.Mutex
	work     *work
	home     *home // of work

	mu      sync.Mutex
	pub     *published
	err     error
	closed  bool
	links   map[string]link
	heads   map[uint32]uint64
	changed chan struct{}            // closed at the next published change
	waiting map[uint32]chan struct{} // closed when the resource's last offset rises
}

// home is one database and how many published pictures still read it.
type home struct {
	db      *store.DB
	cache   *segmentCache
	readers int           // guarded by Machine.mu
	left    bool          // guarded by Machine.mu: replaced or closed
	drained chan struct{} // closed when the database was closed after leaving
}

// published is the picture after one Apply call. Guarded by Machine.mu: refs.
type published struct {
	standing
	home *home
	snap *store.Snapshot
	cat  *catalogue
	refs int // the machine's own while it is the newest, and one for each view
}

// Open reads where db stands. The machine owns db from then on, also when Open
// fails. It returns ErrUpgrade, ErrForeign, ErrCorrupt or a store error.
func Open(db *store.DB, cfg Config) (*Machine, error) {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 32 << 20
	}
	w, err := load(db, cfg.ClusterID)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state: %w", err), db.Close())
	}
	m := &Machine{cfg: cfg, changed: make(chan struct{}), waiting: make(map[uint32]chan struct{})}
	m.settle(db, w)
	return m, nil
}

// settle makes db and w the machine's own and publishes them.
func (m *Machine) settle(db *store.DB, w *work) {
	m.work = w
	m.home = &home{db: db, cache: newSegmentCache(m.cfg.CacheBytes), drained: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links, m.heads = make(map[string]link), make(map[uint32]uint64)
	for n, l := range w.links {
		m.links[n] = l
	}
	for n, h := range w.heads {
		m.heads[n] = h.last
	}
	m.publish()
	for n, ch := range m.waiting {
		close(ch)
		delete(m.waiting, n)
	}
}

// publish makes the work so far what views see. m.mu is held.
func (m *Machine) publish() {
	old := m.pub
	m.home.readers++
	m.pub = &published{standing: m.work.standing, home: m.home, snap: m.home.db.Snapshot(), cat: m.work.cat, refs: 1}
	if old != nil {
		m.release(old)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// release gives up one reference. m.mu is held.
func (m *Machine) release(p *published) {
	if p.refs--; p.refs > 0 {
		return
	}
	if err := p.snap.Close(); err != nil && m.err == nil {
		m.err = err
	}
	p.home.readers--
	m.vacate(p.home)
}

// vacate closes the database of a home that was left when nobody reads it.
// m.mu is held.
func (m *Machine) vacate(h *home) {
	if !h.left || h.readers > 0 {
		return
	}
	if err := h.db.Abandon(); err != nil && m.err == nil {
		m.err = err
	}
	close(h.drained)
}

// Apply applies entries in order and gives the results of each one's sections
// (nil for an entry at or below the applied index). An error is fatal: nothing
// of the call is kept, the machine refuses everything from then on, and the
// process must stop naming the cause (ErrDiverged, ErrUpgrade, ErrCorrupt, a
// store error).
func (m *Machine) Apply(entries []Entry) ([][]Result, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if err := m.Err(); err != nil {
		return nil, err
	}
	w := m.work
	w.batch = m.home.db.NewBatch()
	w.touch = touched{links: make(map[string]struct{}), heads: make(map[uint32]struct{})}
	results, err := w.apply(entries)
	if err == nil && results == nil {
		return make([][]Result, len(entries)), w.batch.Discard() // nothing new
	}
	if err == nil {
		err = w.batch.Commit()
	} else {
		err = errors.Join(err, w.batch.Discard())
	}
	w.batch = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.err = err
		close(m.changed)
		m.changed = make(chan struct{})
		return nil, err
	}
	for n := range w.touch.links {
		m.links[n] = w.links[n]
	}
	m.publish()
	for n := range w.touch.heads {
		m.heads[n] = w.heads[n].last
		if ch := m.waiting[n]; ch != nil {
			close(ch)
			delete(m.waiting, n)
		}
	}
	return results, nil
}

// apply applies entries to the batch; nil results mean that all were applied
// before.
func (w *work) apply(entries []Entry) ([][]Result, error) {
	var results [][]Result
	for i, e := range entries {
		if e.Index <= w.index {
			continue
		}
		if results == nil {
			results = make([][]Result, len(entries))
		}
		r, err := w.entry(e)
		if err != nil {
			return nil, err
		}
		results[i] = r
	}
	if results == nil {
		return nil, nil
	}
	if w.fresh {
		w.fail(w.batch.Set(metaKey(metaFormat), []byte{StateFormat}))
		w.fresh = false
	}
	w.fail(w.batch.Set(metaKey(metaApplied), w.standing.encode())) // not hashed: it holds the hash
	return results, w.err
}

// Applied is the last applied index, its log time, and the running hash after it.
func (m *Machine) Applied() (index uint64, timeMs int64, running [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pub.index, m.pub.time, m.pub.running
}

// Link is the place of the last section applied from a node: the packer checks
// it before packing.
func (m *Machine) Link(node string) (epoch, number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[node]
	return l.epoch, l.number
}

// Err is why the machine refuses to go on; nil while it does not.
func (m *Machine) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && m.closed {
		return ErrClosed
	}
	return m.err
}

// View is the state after the last Apply call. Close it. It returns what Err
// does.
func (m *Machine) View() (*View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	if m.closed {
		return nil, ErrClosed
	}
	m.pub.refs++
	return &View{published: m.pub, machine: m}, nil
}

// Watch is closed at the next applied change, and when the machine stops.
func (m *Machine) Watch() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// WaitApplied returns when index is applied, with ctx's cause, or with Err.
func (m *Machine) WaitApplied(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		at, ch, err := m.pub.index, m.changed, m.err
		if err == nil && m.closed {
			err = ErrClosed
		}
		m.mu.Unlock()
		if at >= index || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ch:
		}
	}
}

// WaitOffset returns when the resource has an offset above after, with ctx's
// cause, with Err, or with ErrNotFound for an unknown resource.
func (m *Machine) WaitOffset(ctx context.Context, resource string, after uint64) error {
	for {
		m.mu.Lock()
		r, err := m.pub.cat.resources[resource], m.err
		if err == nil && m.closed {
			err = ErrClosed
		}
		if err != nil || r == nil || m.heads[r.Number] > after {
			m.mu.Unlock()
			if err == nil && r == nil {
				err = fmt.Errorf("wait for %s: %w", resource, ErrNotFound)
			}
			return err
		}
		ch := m.waiting[r.Number]
		if ch == nil {
			ch = make(chan struct{})
			m.waiting[r.Number] = ch
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ch:
		}
	}
}
