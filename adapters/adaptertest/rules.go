package adaptertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
)

func same(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-undisturbed +this run):\n%s", diff)
	}
}

func readsEverything(t *testing.T, s Subject, want []string) {
	w := s.World(t)
	if len(want) != w.Rows || w.Rows < 7 {
		t.Errorf("read %d rows of %d (at least 7 are needed)", len(want), w.Rows)
	}
	if faults := w.Kind.Check(w.Config); len(faults) > 0 {
		t.Errorf("Check refuses the good configuration: %v", faults)
	}
	p := newPump(t, w)
	defer p.close()
	p.all(small)
	if b, ok := p.next(small); ok {
		t.Errorf("a source that was read to its end gave %d more rows", len(b.Rows))
	}
	p.restart()
	if b, ok := p.next(small); ok {
		t.Errorf("after a restart it gave %d more rows", len(b.Rows))
	}
}

func batchSizes(t *testing.T, s Subject, want []string) {
	for _, limits := range []adapters.Limits{{}, {Rows: 1}, {Bytes: 1}, {Rows: 5, Age: time.Millisecond}} {
		p := newPump(t, s.World(t))
		p.all(limits)
		p.close()
		same(t, want, p.rows)
	}
}

func resumes(t *testing.T, s Subject, want []string) {
	for stop := 0; ; stop++ {
		p := newPump(t, s.World(t))
		for range stop {
			b, ok := p.next(small)
			if !ok {
				break
			}
			p.keep(b)
		}
		finished := p.batches < stop
		p.restart()
		p.all(small)
		p.close()
		same(t, want, p.rows)
		if finished || t.Failed() {
			return
		}
	}
}

func lostBatch(t *testing.T, s Subject, want []string) {
	p := newPump(t, s.World(t))
	defer p.close()
	for {
		if _, ok := p.next(small); !ok {
			break
		}
		p.restart() // the batch above never became durable
		b, ok := p.next(small)
		if !ok {
			t.Fatal("the lost batch did not come again")
		}
		p.keep(b)
	}
	same(t, want, p.rows)
}

func withoutCommit(t *testing.T, s Subject, want []string) {
	p := newPump(t, s.World(t))
	defer p.close()
	for {
		b, ok := p.next(small)
		if !ok {
			break
		}
		p.keep(b)
	}
	same(t, want, p.rows)
}

func commitTwice(t *testing.T, s Subject, want []string) {
	p := newPump(t, s.World(t))
	defer p.close()
	var before adapters.Cursor
	for {
		b, ok := p.next(small)
		if !ok {
			break
		}
		p.keep(b)
		for _, c := range []adapters.Cursor{before, b.Cursor, b.Cursor} {
			if c == nil {
				continue
			}
			if err := p.src.Commit(t.Context(), c); err != nil {
				t.Errorf("Commit: %v", err)
			}
		}
		before = b.Cursor
		p.restart()
		if err := p.src.Commit(t.Context(), b.Cursor); err != nil { // its first life may not have come to it
			t.Errorf("Commit after a restart: %v", err)
		}
	}
	same(t, want, p.rows)
}

func cancelled(t *testing.T, s Subject, want []string) {
	p := newPump(t, s.World(t))
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := 0; ; i++ {
		began := time.Now()
		b, err := p.src.Next(ctx, small)
		if time.Since(began) > 30*time.Second {
			t.Fatal("Next did not return for a context that had ended")
		}
		switch {
		case err == nil && (len(b.Rows) > 0 || b.UnitEnd):
			p.check(b, small)
			p.keep(b) // it was quicker than the context
		case errors.Is(err, adapters.ErrIdle) && p.w.Tick != nil:
			p.w.Tick()
		case err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, adapters.ErrIdle) && !errors.Is(err, adapters.ErrReconnect) && !errors.Is(err, adapters.ErrEnd):
			t.Fatalf("Next with an ended context: %v", err)
		}
		if i == patience {
			break
		}
	}
	p.restart()
	p.all(small)
	same(t, want, p.rows)
}

func foreignCursors(t *testing.T, s Subject, _ []string) {
	for _, c := range []string{"x", "{}", `{"v":99}`, `{"v":1}`, "null", "[1,2]", `{"lsn":"0/16B3748"}`, "\x00\xff"} {
		w := s.World(t)
		src, err := w.Kind.New(w.Config, w.Env)
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Open(t.Context(), w.Env.Stream, adapters.Cursor(c)); !errors.Is(err, adapters.ErrCursor) {
			t.Errorf("Open with cursor %q: got %v, want ErrCursor", c, err)
		}
		if err := src.Close(); err != nil {
			t.Errorf("Close after a refused cursor: %v", err)
		}
	}
}

func describes(t *testing.T, s Subject, want []string) {
	w := s.World(t)
	src, err := w.Kind.New(w.Config, w.Env)
	if err != nil {
		t.Fatal(err)
	}
	first, err := src.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	second, err := src.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe again: %v", err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two descriptions (-first +second):\n%s", diff)
	}
	if v, ok := src.(adapters.Previewer); ok {
		b, err := v.Preview(t.Context(), 2)
		if err != nil || len(b.Rows) == 0 || len(b.Rows) > 2 {
			t.Errorf("Preview: %d rows, %v", len(b.Rows), err)
		}
	}
	if v, ok := src.(adapters.Preflighter); ok {
		for _, f := range v.Check(t.Context()) {
			if f.Level == "fail" || f.Zh == "" || f.En == "" {
				t.Errorf("Check: %+v", f)
			}
		}
	}
	if err := src.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	p := newPump(t, w)
	defer p.close()
	p.all(small)
	same(t, want, p.rows)
}

func closed(t *testing.T, s Subject, _ []string) {
	w := s.World(t)
	fresh, err := w.Kind.New(w.Config, w.Env)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Close(); err != nil {
		t.Errorf("Close before Open: %v", err)
	}
	p := newPump(t, w)
	p.close()
	if _, err := p.src.Next(t.Context(), small); err == nil || errors.Is(err, adapters.ErrIdle) {
		t.Errorf("Next after Close: got %v, want an error", err)
	}
}

func verdicts(t *testing.T, s Subject, want []string) {
	p := newPump(t, s.World(t))
	defer p.close()
	sink, ok := p.src.(adapters.Feedback)
	if !ok {
		return // a capability
	}
	unknown := []adapters.Verdict{{Origin: adapters.Origin{Unit: strings.Repeat("0", 32), Row: 1}, Outcome: adapters.Refused}}
	if err := sink.Report(t.Context(), unknown); err != nil {
		t.Errorf("Report of an unknown unit: %v", err)
	}
	for {
		b, ok := p.next(small)
		if !ok {
			break
		}
		p.keep(b)
		if len(b.Rows) == 0 || b.Unit == "" {
			continue
		}
		v := adapters.Verdict{Origin: b.Rows[0].Origin, Outcome: adapters.Refused,
			Problems: []adapters.Problem{{Rule: "test", Zh: "第1行:不对。改法:改正", En: "Row 1: wrong. Remedy: correct it"}}}
		for range 2 {
			if err := p.src.(adapters.Feedback).Report(t.Context(), []adapters.Verdict{v}); err != nil {
				t.Errorf("Report: %v", err)
			}
		}
		if b.UnitEnd {
			end := adapters.Verdict{Origin: adapters.Origin{Unit: b.Unit}, Outcome: adapters.Finished, Counts: &adapters.Counts{Read: len(p.rows)}}
			for range 2 {
				if err := p.src.(adapters.Feedback).Report(t.Context(), []adapters.Verdict{v, end}); err != nil {
					t.Errorf("Report of a finished unit: %v", err)
				}
			}
		}
		p.restart()
	}
	same(t, want, p.rows)
}
