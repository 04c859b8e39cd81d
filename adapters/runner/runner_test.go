package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/schemas/record"
)

func TestPump(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 25, "x")...).add("26", "bad", "27", "none", "1", "x", "28", "y")
	st := b.mustRun()
	want := outbox.Counts{Read: 29, Filtered: 1, Refused: 1, Unchanged: 1, Queued: 26, Accepted: 26}
	if diff := cmp.Diff(want, st.Streams[0].Counts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append(dense(25), "28"), b.bus.keys("dept.sys", "test.row")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"10", "20", "29"}, b.lists["s"].commits); diff != "" {
		t.Errorf("commits %s", diff)
	}
	if n := st.Streams[0].OpenRefusals; n != 1 {
		t.Errorf("%d open refusals, want 1", n)
	}
	// A new start goes on after the cursor.
	b.lists["s"].add("26", "mended")
	st = b.mustRun()
	want.Read, want.Queued, want.Accepted = 30, 27, 27
	if diff := cmp.Diff(want, st.Streams[0].Counts); diff != "" {
		t.Error(diff)
	}
	if n := st.Streams[0].OpenRefusals; n != 0 {
		t.Errorf("%d open refusals after the key came in order, want 0", n)
	}
}

// The source is told only after the outbox has it.
func TestCommitComesAfterStore(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 30, "x")...)
	stored := 0
	b.mark = func(point string) {
		if point == "stored" {
			stored++
			b.lists["s"].set(func() {
				if len(b.lists["s"].commits) >= stored {
					t.Errorf("commit %d came before its batch was stored", stored)
				}
			})
			c, err := b.box.Cursor("s")
			if err != nil || string(c) != fmt.Sprint(10*stored) {
				t.Errorf("stored cursor %q, %v", c, err)
			}
		}
	}
	b.mustRun()
	if stored != 3 {
		t.Errorf("%d batches", stored)
	}
}

func TestRejectionsAndRefusalsGoHome(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.conf.Streams[0].Source = json.RawMessage(`{"kind":"reporting"}`)
	b.lists["s"].unit = "file1"
	b.lists["s"].add("1", "x", "2", "bad", "3", "none", "4", "x")
	b.bus.reject = func(r record.Record) []Fault {
		if r.Key == "4" {
			return []Fault{{Pointer: "/body", Keyword: "maxLength", Message: "过长"}}
		}
		return nil
	}
	b.mustRun()
	got := problemCodes(b.lists["s"].verdicts)
	if diff := cmp.Diff([]string{"finished row 0", "refused row 2 test", "rejected row 4 maxLength"}, got); diff != "" {
		t.Error(diff)
	}
	last := b.lists["s"].verdicts[len(b.lists["s"].verdicts)-1]
	want := &adapters.Counts{Read: 4, Filtered: 1, Refused: 1, Accepted: 1, Rejected: 1}
	if last.Outcome != adapters.Finished || last.Origin.Unit != "file1" {
		t.Errorf("last verdict %+v, want the unit's summary", last)
	} else if diff := cmp.Diff(want, last.Counts); diff != "" {
		t.Error(diff)
	}
	for _, v := range b.lists["s"].verdicts {
		if v.Outcome == adapters.Rejected && v.Problems[0].Zh != "第4行:过长" {
			t.Errorf("sentence of a rejection: %q", v.Problems[0].Zh)
		}
	}
	b.open()
	defer b.close()
	if left, err := b.box.Verdicts("s", 10); err != nil || len(left) != 0 {
		t.Errorf("verdicts left %v, %v", left, err)
	}
}

func TestThresholdStopsBeforeTheBatch(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 40, "x")...).add(numbered(41, 60, "bad")...)
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || st.Streams[0].State != StateStopped {
		t.Fatalf("%v, state %s", err, st.Streams[0].State)
	}
	if why := st.Streams[0].Reason; !strings.Contains(why.Zh, "超过阈值10%") || !strings.Contains(why.Zh, "第1行:不合格") || !strings.Contains(why.En, "threshold") {
		t.Errorf("reason %+v", why)
	}
	if n := st.Streams[0].Counts; n.Read != 40 || n.Accepted != 40 || n.Refused != 0 {
		t.Errorf("%+v: the batch that passes the threshold was taken", n)
	}
	// Mended, the same rows are read again.
	b.lists["s"].set(func() {
		for i := range b.lists["s"].rows {
			b.lists["s"].rows[i][1] = "x"
		}
	})
	if st := b.mustRun(); st.Streams[0].Counts.Accepted != 60 {
		t.Errorf("after mending: %+v", st.Streams[0].Counts)
	}
}

func TestRejectionsOfTheBusStopTheStream(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 40, "x")...)
	b.bus.reject = func(record.Record) []Fault { return []Fault{{Code: "no"}} }
	b.once = false
	b.open()
	defer b.close()
	r := b.runner()
	st := b.runUntil(r, func(st Status) bool {
		return st.Streams[0].State == StateStopped && st.Streams[0].Counts.Waiting() == 0
	})
	if !strings.Contains(st.Streams[0].Reason.Zh, "总线退回过多") {
		t.Errorf("reason %+v", st.Streams[0].Reason)
	}
}

// runUntil runs until the status is as wanted, then ends the run.
func (b *bench) runUntil(r *Runner, wanted func(Status) bool) Status {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	done := make(chan error, 1)
	// Stops when cancel is called below.
	go func() { done <- r.Run(ctx) }()
	for {
		st, err := r.Status()
		if err != nil {
			b.t.Fatal(err)
		}
		if wanted(st) {
			cancel()
			if err := <-done; err != nil {
				b.t.Error(err)
			}
			return st
		}
		select {
		case err := <-done:
			b.t.Fatalf("run ended early: %v\n%s", err, st.Text())
		case <-r.cfg.Box.Changed():
		case <-time.After(5 * time.Millisecond): // states change without the outbox too
		}
	}
}

func TestDriftStopsOneStreamOnly(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["t"] = (&rowList{}).add(numbered(1, 20, "x")...)
	b.conf.Streams = append(b.conf.Streams, b.stream("t", "test.other", "list"))
	b.lists["s"].fail = &adapters.DriftError{Drift: []adapters.Drift{{Kind: "missing", Column: "c", Zh: "列c不见了", En: "column c is gone"}}}
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || st.Streams[0].State != StateStopped || !strings.Contains(st.Streams[0].Reason.Zh, "列c不见了") {
		t.Errorf("%v, %+v", err, st.Streams[0])
	}
	if got := b.bus.keys("dept.sys", "test.other"); len(got) != 20 {
		t.Errorf("the other stream sent %d", len(got))
	}
}

func TestMissingColumnStops(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.judge.missing = []string{"办件编号"}
	b.lists["s"].add("1", "x")
	st, err := b.run()
	if !errors.Is(err, ErrHalted) || !strings.Contains(st.Streams[0].Reason.Zh, "办件编号") || st.Streams[0].Counts.Read != 0 {
		t.Errorf("%v, %+v", err, st.Streams[0])
	}
}

func TestReconnectHeals(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 15, "x")...)
	b.lists["s"].fail = fmt.Errorf("cable: %w", adapters.ErrReconnect)
	st := b.mustRun()
	if b.lists["s"].opened != 2 || st.Streams[0].Counts.Accepted != 15 {
		t.Errorf("opened %d times, %+v", b.lists["s"].opened, st.Streams[0].Counts)
	}
}

func TestFiniteSourceEnds(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add("1", "x").set(func() { b.lists["s"].end = true })
	if st := b.mustRun(); st.Streams[0].State != StateEnded || st.Streams[0].Counts.Accepted != 1 {
		t.Errorf("%+v", st.Streams[0])
	}
}

func TestTooLargeIsRefusedHere(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add("1", strings.Repeat("甲", 90_000), strings.Repeat("k", 600), "x", "2", "x")
	st := b.mustRun()
	if diff := cmp.Diff(outbox.Counts{Read: 3, Refused: 2, Queued: 1, Accepted: 1}, st.Streams[0].Counts); diff != "" {
		t.Error(diff)
	}
	if rules := []string{st.Streams[0].Refusals[0].Problems[0].Rule, st.Streams[0].Refusals[1].Problems[0].Rule}; !cmp.Equal(rules, []string{"too_large", "key"}) {
		t.Errorf("rules %v", rules)
	}
}

// What the source found itself refuses the row, whole or by element.
func TestFaultsOfTheSource(t *testing.T) {
	p := adapters.Problem{Rule: "charset", Zh: "z", En: "e"}
	row := adapters.Row{Fields: []adapters.Value{adapters.Text("k"), adapters.Text("x")}, Errs: []adapters.RowError{{Problem: p}}}
	s := newStream(New(Config{Adapter: &adapters.Config{}, Box: newBench(t, t.TempDir()).openForTest()}), adapters.StreamConfig{Name: "s", Resource: "r.r"})
	out, err := s.convert(adapters.Batch{Columns: []string{"key", "body"}, Rows: []adapters.Row{row}, Filtered: 2}, listJudge{}, Schema{}, false)
	if err != nil || len(out.Refusals) != 1 || len(out.Rows) != 0 || out.Read != 3 || out.Filtered != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if !strings.Contains(string(out.Refusals[0].Reasons), "charset") {
		t.Errorf("reasons %s", out.Refusals[0].Reasons)
	}
}

func (b *bench) openForTest() *outbox.Box {
	box := b.open()
	b.t.Cleanup(b.close)
	return box
}

func TestSchemaFromDiskWhileTheBusIsAway(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add("1", "x")
	b.mustRun()
	b.lists["s"].add("2", "x")
	b.bus.set(func() { b.bus.schema = func() (Schema, error) { return Schema{}, errTest } })
	if st := b.mustRun(); st.Streams[0].Counts.Accepted != 2 {
		t.Errorf("%+v", st.Streams[0].Counts)
	}
	s, err := CachedSchema(b.opt.Dir, "test.row")
	if err != nil || s.Version != 1 {
		t.Errorf("cached schema %+v, %v", s, err)
	}
	if _, err := CachedSchema(b.opt.Dir, "test.none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("schema never seen: %v", err)
	}
}

// With neither bus nor cache the stream waits; it does not read blindly.
func TestNoSchemaWaits(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add("1", "x")
	var away atomic.Bool
	away.Store(true)
	b.bus.schema = func() (Schema, error) {
		if away.Load() {
			return Schema{}, errTest
		}
		return Schema{Version: 3, Raw: []byte(`{}`)}, nil
	}
	var sent record.Record
	b.bus.before = func(lines [][]byte) (_ []Item, err error) {
		sent, err = record.DecodeRecord(lines[0], record.DefaultLimits())
		return nil, err
	}
	b.once = false
	b.open()
	defer b.close()
	r := b.runner()
	b.runUntil(r, func(st Status) bool {
		if st.Streams[0].State == StateRetrying {
			if b.lists["s"].opened != 0 {
				t.Error("the source was opened without a schema")
			}
			away.Store(false)
		}
		return st.Streams[0].Counts.Accepted == 1
	})
	if sent.SchemaVersion != 3 {
		t.Errorf("sent under schema version %d, judged under 3", sent.SchemaVersion)
	}
}

func TestStatusFile(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.lists["s"].add(numbered(1, 3, "x")...)
	b.mustRun()
	st, err := ReadStatus(b.conf)
	if err != nil || st.Running || st.Producer != "dept.sys" || st.Streams[0].Counts.Accepted != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	for _, want := range []string{"dept.sys", "读取 read 3", "接收 accepted 3"} {
		if !strings.Contains(st.Text(), want) {
			t.Errorf("text lacks %q:\n%s", want, st.Text())
		}
	}
}

// Away for six hours, the bus is asked a bounded number of times, a full
// outbox blocks the source, and then everything arrives in order.
func TestBusAwayForHours(t *testing.T) {
	dir := t.TempDir() // only status and schema lie there
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir)
		b.opt.FS, b.opt.Dir, b.opt.MaxBytes = vfs.NewMem(), "box", 10_000
		b.lists["s"].add(numbered(1, 200, strings.Repeat("x", 100))...)
		away := true
		b.bus.before = func([][]byte) ([]Item, error) {
			if away {
				return nil, &BusError{Code: "no_leader", RetryAfter: 7 * time.Second}
			}
			return nil, nil
		}
		b.open()
		b.once = false
		r := b.runner()
		r.cfg.backoff = backoffMin
		for _, q := range r.senders {
			q.r = r
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		// Stops when cancel is called below.
		go func() { done <- r.Run(ctx) }()
		time.Sleep(6 * time.Hour) // of the bubble
		synctest.Wait()
		st, err := r.Status()
		if err != nil {
			t.Fatal(err)
		}
		if st.Streams[0].State != StateBlocked || !st.Outbox.Blocked {
			t.Errorf("state %s, outbox %+v", st.Streams[0].State, st.Outbox)
		}
		b.bus.set(func() {
			if least, most := 6*60*2/3, 6*60*2+20; b.bus.calls < least || b.bus.calls > most {
				t.Errorf("asked %d times in six hours, want %d to %d", b.bus.calls, least, most)
			}
			away = false
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := b.bus.keys("dept.sys", "test.row"); !cmp.Equal(got, dense(200)) {
			t.Errorf("the bus has %d records", len(got))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.close()
	})
}

func TestBackoff(t *testing.T) {
	b := backoff{least: time.Second}
	var last time.Duration
	for range 12 {
		d := b.pause(0)
		if d < b.next/2 || d > b.next+1 || b.next > backoffMax {
			t.Errorf("pause %v at step %v", d, b.next)
		}
		last = d
	}
	if last < backoffMax/2 {
		t.Errorf("after twelve failures the pause is %v", last)
	}
	if d := b.pause(5 * time.Minute); d < 5*time.Minute {
		t.Errorf("asked for 5 min, paused %v", d)
	}
	b.reset()
	if d := b.pause(0); d > time.Second+1 {
		t.Errorf("after a success %v", d)
	}
}

func TestWindow(t *testing.T) {
	w := window{over: 0.1}
	for i := range windowLeast - 1 {
		w.add(true)
		if w.tripped() {
			t.Fatalf("tripped after %d records", i+1)
		}
	}
	w.add(false)
	if !w.tripped() {
		t.Error("29 of 30 bad did not trip")
	}
	for range windowRecords {
		w.add(false)
	}
	if w.tripped() || w.sum != 0 {
		t.Errorf("old records are remembered: %d", w.sum)
	}
	off := window{over: 1}
	for range 100 {
		off.add(true)
	}
	if off.tripped() {
		t.Error("a threshold of 1 tripped")
	}
}
