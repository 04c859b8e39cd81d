package state

import (
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/store"
)

// Flush makes everything applied durable and gives the index that is: the log
// may be truncated up to it.
func (m *Machine) Flush() (index uint64, err error) {
	h, index, err := m.hold()
	if err != nil {
		return 0, err
	}
	defer m.drop(h)
	if err := h.db.Flush(); err != nil {
		return 0, fmt.Errorf("flush state: %w", err)
	}
	return index, nil
}

// Checkpoint makes dir, which must not exist, a state database that stands at or
// after the index applied when the call began.
func (m *Machine) Checkpoint(dir string) error {
	h, _, err := m.hold()
	if err != nil {
		return err
	}
	defer m.drop(h)
	if err := h.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("checkpoint state: %w", err)
	}
	return nil
}

// hold keeps the present database open.
func (m *Machine) hold() (*home, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, 0, m.err
	}
	if m.closed {
		return nil, 0, ErrClosed
	}
	m.pub.home.readers++
	return m.pub.home, m.pub.index, nil
}

func (m *Machine) drop(h *home) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.readers--
	m.vacate(h)
}

// Swap goes on with db (a restored state, owned from then on) instead. Views of
// the old one stay readable; drained is closed when the last of them was closed
// and the old database is closed, so that its directory may be removed. On an
// error the machine goes on with the old one and db is closed.
func (m *Machine) Swap(db *store.DB) (drained <-chan struct{}, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if err := m.Err(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w, err := load(db, m.cfg.ClusterID)
	if err == nil && w.index < m.work.index {
		err = fmt.Errorf("state at entry %d is older than the one in use at %d: %w", w.index, m.work.index, ErrCorrupt)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("swap state: %w", err), db.Close())
	}
	old := m.home
	m.settle(db, w)
	m.mu.Lock()
	defer m.mu.Unlock()
	old.left = true
	m.vacate(old)
	return old.drained, nil
}

// Close flushes and closes the database. Views must be closed before. Idempotent.
func (m *Machine) Close() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	flushErr := m.home.db.Flush()
	m.release(m.pub)
	m.home.left = true
	m.vacate(m.home)
	close(m.changed)
	m.changed = make(chan struct{})
	for n, ch := range m.waiting {
		close(ch)
		delete(m.waiting, n)
	}
	return flushErr
}

// Abandon closes as a crash would: what was not flushed is lost. Views must be
// closed before.
func (m *Machine) Abandon() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.release(m.pub)
	m.home.left = true
	m.vacate(m.home)
	return nil
}
