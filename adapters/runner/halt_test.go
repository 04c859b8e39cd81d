package runner

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters/outbox"
)

// A copy of the outbox that is older than what the bus knows halts: its
// numbers are taken by other records.
func TestRestoredOutboxHalts(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 15, "x")...)
	b.mustRun()
	old := t.TempDir()
	b.open()
	if err := b.box.Copy(old); err != nil {
		t.Fatal(err)
	}
	b.close()
	b.lists["s"].add(numbered(16, 30, "x")...)
	b.mustRun()
	// Restored, and meanwhile the row after the old cursor has changed.
	b.lists["s"].set(func() { b.lists["s"].rows[15][1] = "changed" })
	b.conf.Outbox.Dir, b.opt.Dir = old, old
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || !strings.Contains(st.Resources[0].Halted.Zh, "超前") || st.Streams[0].State != StateStopped {
		t.Fatalf("%v, %+v", err, st.Resources[0])
	}
	if got := b.bus.keys("dept.sys", "test.row"); !cmp.Equal(got, dense(30)) {
		t.Errorf("the bus has %v", got)
	}
	if n := st.Streams[0].Counts; n.Waiting() == 0 || !n.Balanced() {
		t.Errorf("what waits was not kept: %+v", n)
	}
}

// A restored outbox that reads what it had read catches up without a trace.
func TestRestoredOutboxCatchesUp(t *testing.T) {
	b := newBench(t, t.TempDir())
	old := t.TempDir()
	b.lists["s"].add(numbered(1, 15, "x")...)
	b.mustRun()
	b.open()
	if err := b.box.Copy(old); err != nil {
		t.Fatal(err)
	}
	b.close()
	b.lists["s"].add(numbered(16, 30, "x")...)
	b.mustRun()
	b.conf.Outbox.Dir, b.opt.Dir = old, old
	if st := b.mustRun(); st.Streams[0].Counts.Duplicate != 15 {
		t.Errorf("%+v", st.Streams[0].Counts)
	}
	if got := b.bus.keys("dept.sys", "test.row"); !cmp.Equal(got, dense(30)) {
		t.Errorf("the bus has %v", got)
	}
}

// Two outboxes of one producer: the newer one fences the other.
func TestClonedOutboxIsFenced(t *testing.T) {
	b := newBench(t, t.TempDir())
	now := time.Now()
	b.opt.Now = func() time.Time { return now }
	b.lists["s"].add(numbered(1, 5, "x")...)
	b.mustRun()
	first := b.opt
	second := t.TempDir()
	b.opt.Dir, b.conf.Outbox.Dir = second, second
	b.opt.Now = func() time.Time { return now.Add(time.Minute) }
	b.mustRun() // all is read and sent again under the new epoch
	b.opt, b.conf.Outbox.Dir = first, first.Dir
	b.lists["s"].add("6", "x")
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || !strings.Contains(st.Resources[0].Halted.En, "fenced") {
		t.Fatalf("%v, %+v", err, st.Resources[0])
	}
	if got := b.bus.keys("dept.sys", "test.row"); !cmp.Equal(got, dense(5)) {
		t.Errorf("the bus has %v", got)
	}
}

// A bus that was restored from a backup asks for what is gone here.
func TestBusThatLostRecordsHalts(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 15, "x")...)
	b.mustRun()
	b.bus.set(func() {
		for k, v := range b.bus.answered {
			b.bus.answered[k] = v[:10]
		}
	})
	b.lists["s"].add("16", "x")
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || !strings.Contains(st.Resources[0].Halted.Zh, "序号11") {
		t.Errorf("%v, %+v", err, st.Resources[0])
	}
}

func TestAnswersThatAreNotFinal(t *testing.T) {
	for name, first := range map[string]func(lines [][]byte) ([]Item, error){
		"unreachable":     func([][]byte) ([]Item, error) { return nil, errTest },
		"pushback":        func([][]byte) ([]Item, error) { return nil, &BusError{Code: "pushback"} },
		"no leader":       func([][]byte) ([]Item, error) { return nil, &BusError{Code: "no_leader"} },
		"disk low":        func([][]byte) ([]Item, error) { return nil, &BusError{Code: "disk_low"} },
		"unauthenticated": func([][]byte) ([]Item, error) { return nil, &BusError{Code: "unauthenticated"} },
		"too few answers": func([][]byte) ([]Item, error) { return []Item{}, nil },
		"quarantine full": func(l [][]byte) ([]Item, error) { return fill(l, Item{Status: "quarantine_full"}), nil },
		"unknown word":    func(l [][]byte) ([]Item, error) { return fill(l, Item{Status: "maybe"}), nil },
		"gap ahead":       func(l [][]byte) ([]Item, error) { return fill(l, Item{Status: "sequence_gap", Expected: 3}), nil },
		"too large":       func(l [][]byte) ([]Item, error) { return nil, &BusError{Code: "too_large"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, t.TempDir())
			b.lists["s"].add(numbered(1, 15, "x")...)
			tries := 0
			b.bus.before = func(lines [][]byte) ([]Item, error) {
				if tries++; tries <= 2 && len(lines) > 1 {
					return first(lines)
				}
				return nil, nil
			}
			st := b.mustRun()
			if n := st.Streams[0].Counts; n.Accepted != 15 {
				t.Errorf("%+v", n)
			}
			if got := b.bus.keys("dept.sys", "test.row"); !cmp.Equal(got, dense(15)) {
				t.Errorf("the bus has %v", got)
			}
		})
	}
}

func fill(lines [][]byte, it Item) []Item {
	out := make([]Item, len(lines))
	for i := range out {
		out[i] = it
	}
	return out
}

// Answers before the first that is not final are kept.
func TestPartialAnswersAreSettled(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 10, "x")...)
	first := true
	b.bus.before = func(lines [][]byte) ([]Item, error) {
		if !first {
			return nil, nil
		}
		first = false
		items := make([]Item, 0, len(lines))
		for i, l := range lines {
			if i < 4 {
				items = append(items, b.bus.one(fmt.Sprintf("dept.sys-%d-test.row", epochOf(b)), "test.row", l))
				continue
			}
			items = append(items, Item{Status: "pushback"})
		}
		return items, nil
	}
	st := b.mustRun()
	if diff := cmp.Diff(outbox.Counts{Read: 10, Queued: 10, Accepted: 10}, st.Streams[0].Counts); diff != "" {
		t.Error(diff)
	}
}

func epochOf(b *bench) uint64 {
	_, e := b.box.Producer()
	return e
}
