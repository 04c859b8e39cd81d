package outbox

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/google/go-cmp/cmp"
)

// model says in a few maps what an outbox is.
type model struct {
	counts  Counts
	cursor  string
	queue   []modelRow
	low     uint64
	settled map[string]string // key → body that the bus has
}

type modelRow struct{ key, body string }

// current is the body of the newest record of key that waits, else the
// settled one.
func (m *model) current(key string) (string, bool) {
	for i := len(m.queue) - 1; i >= 0; i-- {
		if m.queue[i].key == key {
			return m.queue[i].body, true
		}
	}
	b, ok := m.settled[key]
	return b, ok
}

// TestModel runs random batches, answers and new starts against the model.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			o := options(vfs.NewMem())
			b := mustOpen(t, o)
			m := &model{low: 1, settled: map[string]string{}}
			for step := range 300 {
				switch r.IntN(10) {
				case 0:
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
					b = mustOpen(t, o)
				case 1, 2, 3, 4:
					m.settle(t, r, b)
				default:
					m.append(t, r, b, fmt.Sprint("c", step))
				}
				m.compare(t, b, step)
			}
		})
	}
}

func (m *model) append(t *testing.T, r *rand.Rand, b *Box, cursor string) {
	in := batch(cursor)
	for range r.IntN(6) {
		k, body := fmt.Sprint("k", r.IntN(5)), fmt.Sprint(r.IntN(3))
		in.Rows = append(in.Rows, row(k, body))
		if have, ok := m.current(k); ok && have == body {
			m.counts.Unchanged++
			continue
		}
		m.counts.Queued++
		m.queue = append(m.queue, modelRow{k, body})
	}
	in.Filtered = r.IntN(2)
	for range r.IntN(2) {
		in.Refusals = append(in.Refusals, Refusal{Key: "bad"})
	}
	in.Read = in.Filtered + len(in.Refusals) + len(in.Rows)
	m.counts.Read += uint64(in.Read)
	m.counts.Filtered += uint64(in.Filtered)
	m.counts.Refused += uint64(len(in.Refusals))
	m.cursor = cursor
	mustAppend(t, b, in)
}

func (m *model) settle(t *testing.T, r *rand.Rand, b *Box) {
	n := r.IntN(len(m.queue) + 1)
	var statuses []string
	for _, q := range m.queue[:n] {
		switch r.IntN(4) {
		case 0:
			statuses = append(statuses, StatusRejected)
			m.counts.Rejected++
			continue
		case 1:
			statuses = append(statuses, StatusDuplicate)
			m.counts.Duplicate++
		default:
			statuses = append(statuses, StatusAccepted)
			m.counts.Accepted++
		}
		m.settled[q.key] = q.body
	}
	settle(t, b, m.low, statuses...)
	m.queue, m.low = m.queue[n:], m.low+uint64(n)
}

func (m *model) compare(t *testing.T, b *Box, step int) {
	t.Helper()
	if got := b.Totals("cases"); got != m.counts || !got.Balanced() {
		t.Fatalf("step %d: counts %+v, want %+v", step, got, m.counts)
	}
	if c, err := b.Cursor("cases"); err != nil || string(c) != m.cursor {
		t.Fatalf("step %d: cursor %q, %v, want %q", step, c, err, m.cursor)
	}
	var want []string
	for i, q := range m.queue {
		want = append(want, fmt.Sprintf("%d:%s", m.low+uint64(i), q.key))
	}
	if diff := cmp.Diff(want, waiting(t, b)); diff != "" {
		t.Fatalf("step %d: waiting (-want +got):\n%s", step, diff)
	}
	if len(want) == 0 && b.Usage().Bytes != 0 {
		t.Fatalf("step %d: nothing waits and takes %d bytes", step, b.Usage().Bytes)
	}
}

func BenchmarkAppend(b *testing.B) {
	o := options(vfs.Default)
	o.Dir = b.TempDir()
	box, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	n := 0
	for b.Loop() {
		in := batch("c")
		for range 500 {
			n++
			in.Rows = append(in.Rows, row(fmt.Sprint(n), fmt.Sprintf(`{"n":%d,"text":"%0500d"}`, n, n)))
		}
		in.Read = len(in.Rows)
		if _, err := box.Append(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		answers := make([]Answer, 500)
		for i := range answers {
			answers[i] = Answer{Seq: uint64(n - 499 + i), Status: StatusAccepted}
		}
		if err := box.Settle("approvals.case", answers); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
