package replica

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// fakeMachine keeps the rules of FORMATS §4 (order of links, revalidation,
// idempotency) over a real state database, and nothing else: what was applied is
// a list of payloads. Payload "bump" raises the revision; a section judged by
// another revision than the present is answered revalidate, unless it says 0.
type fakeMachine struct {
	mu       sync.Mutex
	db       *store.DB
	index    uint64
	ms       int64
	running  [32]byte
	count    uint64
	revision uint64
	links    map[string][2]uint64
	changed  chan struct{}
	block    chan struct{} // Apply waits here while not nil
	fail     error
}

var _ machine = (*fakeMachine)(nil)

type fakeHead struct {
	Index, Count, Revision uint64
	Ms                     int64
	Running                [32]byte
	Links                  map[string][2]uint64
}

func openFake(db *store.DB) (*fakeMachine, error) {
	m := &fakeMachine{changed: make(chan struct{})}
	return m, m.load(db)
}

func (m *fakeMachine) load(db *store.DB) error {
	h := fakeHead{Links: map[string][2]uint64{}}
	b, err := db.Get([]byte("head"))
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	m.db, m.index, m.ms, m.running, m.count, m.links, m.revision = db, h.Index, h.Ms, h.Running, h.Count, h.Links, h.Revision
	return nil
}

func (m *fakeMachine) Apply(entries []state.Entry) ([][]state.Result, error) {
	m.mu.Lock()
	block := m.block
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	b := m.db.NewBatch()
	out := make([][]state.Result, len(entries))
	for i, e := range entries {
		if e.Index <= m.index {
			continue
		}
		m.index, m.ms = e.Index, max(m.ms, e.Time)
		for _, s := range e.Sections {
			r, err := m.section(b, s)
			if err != nil {
				return nil, errors.Join(err, b.Discard())
			}
			out[i] = append(out[i], r)
		}
	}
	raw, err := json.Marshal(fakeHead{m.index, m.count, m.revision, m.ms, m.running, m.links})
	if err != nil {
		return nil, err
	}
	if err := b.Set([]byte("head"), raw); err != nil {
		return nil, err
	}
	if err := b.Commit(); err != nil {
		return nil, err
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return out, nil
}

func (m *fakeMachine) section(b *store.Batch, s []byte) (state.Result, error) {
	h, err := record.ParseHeader(s)
	if err != nil {
		return state.Result{}, err
	}
	r := state.Result{Kind: h.Kind, Node: h.Node, LinkEpoch: h.LinkEpoch, LinkNumber: h.LinkNumber}
	at := m.links[h.Node]
	switch {
	case h.LinkEpoch < at[0] || h.LinkEpoch == at[0] && h.LinkNumber <= at[1]:
		r.Code = state.Superseded
		return r, nil
	case h.LinkEpoch > at[0] && h.LinkNumber != 1, h.LinkEpoch == at[0] && h.LinkNumber != at[1]+1:
		r.Code = state.Resend
		return r, nil
	case h.Revision != 0 && h.Revision != m.revision:
		r.Code = state.Revalidate
		return r, nil
	}
	m.links[h.Node] = [2]uint64{h.LinkEpoch, h.LinkNumber}
	r.Code = state.Applied
	if h.Kind == record.KindMark {
		return r, nil
	}
	_, payload, err := record.DecodeCommand(s)
	if err != nil {
		return r, err
	}
	if string(payload) == "bump" {
		m.revision++
	}
	id := sha256.Sum256(payload)
	known := append([]byte("id/"), id[:]...)
	rec := state.RecordResult{Status: state.StatusAccepted}
	if v, err := b.Get(known); err == nil {
		rec.Status, rec.Offset = state.StatusDuplicate, binary.BigEndian.Uint64(v)
	} else if errors.Is(err, store.ErrNotFound) {
		m.count++
		rec.Offset = m.count
		m.running = sha256.Sum256(append(m.running[:], payload...))
		n := binary.BigEndian.AppendUint64(nil, m.count)
		if err := errors.Join(b.Set(known, n), b.Set(append([]byte("n/"), n...), payload)); err != nil {
			return r, err
		}
	} else {
		return r, err
	}
	r.Records = []state.RecordResult{rec}
	return r, nil
}

func (m *fakeMachine) Applied() (uint64, int64, [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index, m.ms, m.running
}

func (m *fakeMachine) Link(node string) (uint64, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[node][0], m.links[node][1]
}

func (m *fakeMachine) head() (record.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return record.Mark{Index: m.index, Size: m.count, Running: m.running}, nil
}

func (m *fakeMachine) WaitApplied(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		ok, changed := m.index >= index, m.changed
		m.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *fakeMachine) Flush() (uint64, error) {
	index, _, _ := m.Applied()
	m.mu.Lock()
	db := m.db
	m.mu.Unlock()
	return index, db.Flush()
}

func (m *fakeMachine) Checkpoint(dir string) error {
	m.mu.Lock()
	db := m.db
	m.mu.Unlock()
	return db.Checkpoint(dir)
}

func (m *fakeMachine) Swap(db *store.DB) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.db
	if err := m.load(db); err != nil {
		return nil, err
	}
	close(m.changed)
	m.changed = make(chan struct{})
	drained := make(chan struct{})
	close(drained)
	return drained, old.Abandon()
}

// newGate is what a machine waits at; it opens at the latest when the test ends.
func newGate(t *testing.T) (gate chan struct{}, open func()) {
	gate = make(chan struct{})
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	return gate, open
}

func (m *fakeMachine) setBlock(ch chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.block = ch
}

// payloads are what was applied, in order, marks and bumps left out.
func (m *fakeMachine) payloads() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it := m.db.NewIter([]byte("n/"), []byte("n0"))
	var out []string
	for ok := it.First(); ok; ok = it.Next() {
		if p := string(it.Value()); p != "bump" {
			out = append(out, p)
		}
	}
	return out, it.Close()
}

// checkOrder says whether each sender's payloads "<sender>/<n>" rise by one.
func checkOrder(payloads []string) error {
	last := map[string]int{}
	for _, p := range payloads {
		sender, rest, _ := strings.Cut(p, "/")
		rest, _, _ = strings.Cut(rest, "/")
		var n int
		if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
			return fmt.Errorf("payload %q: %w", p, err)
		}
		if n != last[sender]+1 {
			return fmt.Errorf("%s: %d comes after %d", sender, n, last[sender])
		}
		last[sender] = n
	}
	return nil
}
