package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

const producer = "fgw.spxt"

var testNow = time.Date(2025, 3, 1, 8, 0, 0, 0, county)

func options(fs vfs.FS) Options {
	return Options{Dir: "box", Producer: producer, FS: fs, Rand: rand.Reader, Now: func() time.Time { return testNow }}
}

func mustOpen(t *testing.T, o Options) *Box {
	t.Helper()
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func row(key, body string) Row {
	return Row{Record: record.Record{Key: key, Op: record.Upsert, Data: []byte(body), OccurredAt: 1, SchemaVersion: 1}}
}

func batch(cursor string, rows ...Row) Batch {
	return Batch{Stream: "cases", Resource: "approvals.case", Cursor: []byte(cursor), Read: len(rows), Rows: rows}
}

func mustAppend(t *testing.T, b *Box, in Batch) Result {
	t.Helper()
	res, err := b.Append(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func settle(t *testing.T, b *Box, from uint64, statuses ...string) {
	t.Helper()
	var answers []Answer
	for i, s := range statuses {
		answers = append(answers, Answer{Seq: from + uint64(i), Status: s})
	}
	if err := b.Settle("approvals.case", answers); err != nil {
		t.Fatal(err)
	}
}

func waiting(t *testing.T, b *Box) []string {
	t.Helper()
	lines, err := b.Waiting("approvals.case", 1000, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%d:%s", l.Seq, l.Key))
	}
	return out
}

func wantCounts(t *testing.T, b *Box, want Counts) {
	t.Helper()
	got := b.Totals("cases")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if !got.Balanced() {
		t.Errorf("counts do not add up: %+v", got)
	}
	day, err := b.Day("cases", "2025-03-01")
	if err != nil || day != got {
		t.Errorf("the only day counts %+v, %v", day, err)
	}
}

func TestAppendSettle(t *testing.T) {
	b := mustOpen(t, options(vfs.NewMem()))
	res := mustAppend(t, b, batch("c1", row("A", `{"n":1}`), row("B", `{"n":2}`)))
	if diff := cmp.Diff(Result{Queued: 2, First: 1, Last: 2}, res); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1:A", "2:B"}, waiting(t, b)); diff != "" {
		t.Error(diff)
	}
	lines, err := b.Waiting("approvals.case", 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record.DecodeRecord(lines[0].Wire, record.DefaultLimits())
	if err != nil || rec.Seq != 1 || rec.Key != "A" || string(rec.Data) != `{"n":1}` {
		t.Errorf("line on the wire %s: %+v, %v", lines[0].Wire, rec, err)
	}
	settle(t, b, 1, StatusAccepted)
	settle(t, b, 1, StatusAccepted, StatusDuplicate) // 1 is old news
	if got := waiting(t, b); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
	wantCounts(t, b, Counts{Read: 2, Queued: 2, Accepted: 1, Duplicate: 1})
	if c, err := b.Cursor("cases"); err != nil || string(c) != "c1" {
		t.Errorf("cursor %q, %v", c, err)
	}
}

// What is unchanged is what the bus has or is about to get, not what was read
// last.
func TestUnchanged(t *testing.T) {
	b := mustOpen(t, options(vfs.NewMem()))
	step := func(name string, in Row, queued int) {
		t.Helper()
		if res := mustAppend(t, b, batch(name, in)); res.Queued != queued || res.Queued+res.Unchanged != 1 {
			t.Errorf("%s: %+v, want %d queued", name, res, queued)
		}
	}
	step("first", row("A", `{"n":1}`), 1)
	step("again while waiting", row("A", `{"n":1}`), 0)
	settle(t, b, 1, StatusAccepted)
	step("again", row("A", `{"n":1}`), 0)
	step("changed", row("A", `{"n":2}`), 1)
	step("back while the change waits", row("A", `{"n":1}`), 1)
	settle(t, b, 2, StatusAccepted, StatusAccepted)
	step("as settled", row("A", `{"n":1}`), 0)
	step("refused by the bus", row("A", `{"n":3}`), 1)
	settle(t, b, 4, StatusRejected)
	step("the bus still has the first", row("A", `{"n":1}`), 0)
	step("refused is sent again", row("A", `{"n":3}`), 1)
	settle(t, b, 5, StatusRejected)
	step("new key refused", row("B", `{"n":1}`), 1)
	settle(t, b, 6, StatusRejected)
	step("new key again", row("B", `{"n":1}`), 1)
	withdraw := Row{Record: record.Record{Key: "A", Op: record.Withdraw, Reason: "办结撤销", OccurredAt: 1}}
	step("withdrawn", withdraw, 1)
	step("withdrawn again", withdraw, 0)
	other := batch("other resource", row("A", `{"n":1}`))
	other.Resource = "approvals.event"
	if res := mustAppend(t, b, other); res.Queued != 1 {
		t.Errorf("the same key of another resource: %+v", res)
	}
}

func TestSettleRefusesDisorder(t *testing.T) {
	b := mustOpen(t, options(vfs.NewMem()))
	mustAppend(t, b, batch("c", row("A", `1`), row("B", `1`), row("C", `1`)))
	for name, answers := range map[string][]Answer{
		"gap":           {{Seq: 2, Status: StatusAccepted}},
		"gap inside":    {{Seq: 1, Status: StatusAccepted}, {Seq: 3, Status: StatusAccepted}},
		"not given yet": {{Seq: 1, Status: StatusAccepted}, {Seq: 2, Status: StatusAccepted}, {Seq: 3, Status: StatusAccepted}, {Seq: 4, Status: StatusAccepted}},
		"not final":     {{Seq: 1, Status: "ahead"}},
	} {
		if err := b.Settle("approvals.case", answers); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v, want ErrOrder", name, err)
		}
	}
	if got := waiting(t, b); len(got) != 3 {
		t.Errorf("waiting after refused answers: %v", got)
	}
	wantCounts(t, b, Counts{Read: 3, Queued: 3})
}

func TestAppendRefusesWhatDoesNotAddUp(t *testing.T) {
	b := mustOpen(t, options(vfs.NewMem()))
	in := batch("c", row("A", `1`))
	in.Read = 2
	if _, err := b.Append(t.Context(), in); !errors.Is(err, ErrCount) {
		t.Errorf("append: %v, want ErrCount", err)
	}
}

func TestUnitsAndVerdicts(t *testing.T) {
	o := options(vfs.NewMem())
	b := mustOpen(t, o)
	in := batch("c1", row("A", `1`), row("B", `1`))
	in.Rows[0].Origin, in.Rows[1].Origin = []byte(`o1`), []byte(`o2`)
	in.Unit, in.Read = "file1", 4
	in.Refusals = []Refusal{{Origin: []byte(`o3`), Reasons: json.RawMessage(`["bad check digit"]`)}, {Key: "D", Origin: []byte(`o4`)}}
	mustAppend(t, b, in)
	end := batch("c2")
	end.Unit, end.UnitEnd, end.Ledger = "file1", true, &adapters.LedgerEntry{Digest: "ab", Name: "一.csv", Rows: 4}
	mustAppend(t, b, end)
	settle(t, b, 1, StatusAccepted)
	var got []string
	read := func() {
		list, err := b.Verdicts("cases", 10)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, v := range list {
			got = append(got, fmt.Sprintf("%d %s %s %s", v.N, v.Status, v.Origin, v.Reasons))
			if v.Status == StatusFinished && !cmp.Equal(*v.Counts, Counts{Read: 4, Refused: 2, Queued: 2, Accepted: 1, Rejected: 1}) {
				t.Errorf("counts of the unit %+v", v.Counts)
			}
		}
	}
	read()
	if diff := cmp.Diff([]string{`1 refused o3 ["bad check digit"]`, "2 refused o4 "}, got); diff != "" {
		t.Error(diff)
	}
	if err := b.Settle("approvals.case", []Answer{{Seq: 2, Status: StatusRejected, Reasons: json.RawMessage(`["bus"]`)}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Reported("cases", 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = mustOpen(t, o)
	read()
	if diff := cmp.Diff([]string{"2 refused o4 ", `3 rejected o2 ["bus"]`, "4 finished  "}, got); diff != "" {
		t.Error(diff)
	}
	if e, ok, err := b.Ledger("cases").Seen(t.Context(), "ab"); err != nil || !ok || e.Name != "一.csv" {
		t.Errorf("ledger: %+v %v %v", e, ok, err)
	}
	if _, ok, err := b.Ledger("other").Seen(t.Context(), "ab"); err != nil || ok {
		t.Errorf("ledger of another stream: %v %v", ok, err)
	}
	// Verdicts count against the bound until they are reported.
	if u := b.Usage(); u.Bytes == 0 {
		t.Error("waiting verdicts take no bytes")
	}
	if err := b.Reported("cases", 4); err != nil {
		t.Fatal(err)
	}
	if u := b.Usage(); u.Bytes != 0 {
		t.Errorf("%d bytes of nothing", u.Bytes)
	}
	// A corrected row of the same key, and a corrected unit, take refusals off
	// the list.
	open := func() int {
		_, n, err := b.Refusals("cases", 10)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if open() != 2 {
		t.Fatalf("%d open refusals, want 2", open())
	}
	fixed := batch("c3", row("D", `1`))
	fixed.Unit = "file2"
	mustAppend(t, b, fixed)
	if open() != 1 {
		t.Errorf("%d open refusals after the key came in order, want 1", open())
	}
	whole := batch("c4")
	whole.Unit, whole.UnitEnd, whole.Corrects = "file2", true, []string{"file1"}
	mustAppend(t, b, whole)
	if open() != 0 {
		t.Errorf("%d open refusals after the unit was corrected, want 0", open())
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	o := options(vfs.NewMem())
	o.MaxRefusals = 3
	b := mustOpen(t, o)
	for i := range 5 {
		in := batch("c")
		in.Read, in.Refusals = 1, []Refusal{{Key: fmt.Sprint(i)}}
		mustAppend(t, b, in)
	}
	list, n, err := b.Refusals("cases", 10)
	if err != nil || n != 3 || list[0].Key != "2" {
		t.Errorf("%d open, first %+v, %v", n, list, err)
	}
	wantCounts(t, b, Counts{Read: 5, Refused: 5})
}

// A full outbox makes the source wait; answers make room; nothing is dropped.
func TestFullBoxBlocks(t *testing.T) {
	o := options(vfs.NewMem())
	o.MaxBytes = 1000
	b := mustOpen(t, o)
	mustAppend(t, b, batch("c1", row("A", `"`+strings.Repeat("甲", 400)+`"`)))
	if !b.Usage().Blocked {
		t.Fatal("a full box is not blocked")
	}
	var settled atomic.Bool
	done := make(chan error, 1)
	// Stops when Append returns.
	go func() {
		_, err := b.Append(context.WithoutCancel(t.Context()), batch("c2", row("B", `1`)))
		if err == nil && !settled.Load() {
			err = errors.New("appended although the box was full")
		}
		done <- err
	}()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := b.Append(ctx, batch("c3", row("C", `1`))); !errors.Is(err, stopped) {
		t.Errorf("append to a full box with an ended context: %v", err)
	}
	settled.Store(true)
	settle(t, b, 1, StatusAccepted)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"2:B"}, waiting(t, b)); diff != "" {
		t.Error(diff)
	}
}

// fullDisk reports what free says.
type fullDisk struct {
	vfs.FS
	free *atomic.Uint64
}

func (f fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load()}, nil
}

func TestFullDiskBlocks(t *testing.T) {
	var free atomic.Uint64
	o := options(fullDisk{vfs.NewMem(), &free})
	b := mustOpen(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Append(ctx, batch("c", row("A", `1`))); !errors.Is(err, context.Canceled) {
		t.Errorf("append to a full disk: %v", err)
	}
	free.Store(1 << 30)
	mustAppend(t, b, batch("c", row("A", `1`)))
}
