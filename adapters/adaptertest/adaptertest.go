// Package adaptertest is the acceptance suite that every kind of source passes before it is listed in hutong-adapter.
//
// It holds a source to the contract of package adapters: it starts empty, resumes at every batch boundary and after a
// batch that was lost, does not depend on Commit, refuses foreign cursors and bad configuration, describes without
// changing anything, stops when told, and leaves no goroutine.
//
// Invariant: whatever is interrupted, the rows that became durable are those of an undisturbed run, in its order, each
// once. Concurrency: the suite drives a source as the runner does, from one goroutine. It never looks inside a source.
package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/hutong-bus/hutong/adapters"
)

// World is a source and the data it reads. Two Worlds hold the same data apart from each other.
type World struct {
	Kind adapters.Kind
	// Config is the `source` part of a stream.
	Config json.RawMessage
	// Env is given to New; the suite sets its Ledger.
	Env adapters.Env
	// Rows is how many rows the data holds; at least 7, so that there are batch boundaries.
	Rows int
	// Tick lets time pass for the source after it was idle (a fake clock goes on); nil if it needs none.
	Tick func()
}

// Subject is what the suite examines.
type Subject struct {
	// World makes the data anew, in a place of its own.
	World func(t *testing.T) World
	// BadConfigs must each be refused by Check and by New.
	BadConfigs []json.RawMessage
	// IgnoreGoroutines are options for goroutines a driver keeps for its process.
	IgnoreGoroutines []goleak.Option
}

// patience is how often an idle source is asked again before its data counts as read.
const patience = 12

// pump plays the runner: what it calls durable survives a restart of the source.
type pump struct {
	t       *testing.T
	w       World
	src     adapters.Source
	cursor  adapters.Cursor
	rows    []string
	ledger  ledger
	batches int
	unit    string // that is being handed over
}

// ledger is a stream's ledger in memory.
type ledger map[string]adapters.LedgerEntry

// Seen implements adapters.Ledger.
func (l ledger) Seen(_ context.Context, digest string) (adapters.LedgerEntry, bool, error) {
	e, ok := l[digest]
	return e, ok, nil
}

func newPump(t *testing.T, w World) *pump {
	t.Helper()
	p := &pump{t: t, w: w, ledger: ledger{}}
	p.restart()
	return p
}

// restart closes the source, as a crash that let it close, and opens another after the last durable cursor.
func (p *pump) restart() {
	p.t.Helper()
	p.close()
	env := p.w.Env
	env.Ledger = p.ledger
	src, err := p.w.Kind.New(p.w.Config, env)
	if err != nil {
		p.t.Fatalf("New: %v", err)
	}
	p.src = src
	if err := src.Open(p.t.Context(), env.Stream, p.cursor); err != nil {
		p.t.Fatalf("Open after %d batches: %v", p.batches, err)
	}
}

func (p *pump) close() {
	p.t.Helper()
	if p.src == nil {
		return
	}
	for range 2 { // Close is idempotent
		if err := p.src.Close(); err != nil {
			p.t.Errorf("Close: %v", err)
		}
	}
}

// next returns the next batch that holds rows or moves the cursor, false once the source stays idle.
func (p *pump) next(limits adapters.Limits) (adapters.Batch, bool) {
	p.t.Helper()
	for range patience {
		b, err := p.src.Next(p.t.Context(), limits)
		switch {
		case errors.Is(err, adapters.ErrEnd):
			return b, false
		case errors.Is(err, adapters.ErrIdle):
			if p.w.Tick != nil {
				p.w.Tick()
			}
		case err != nil:
			p.t.Fatalf("Next after %d batches: %v", p.batches, err)
		case len(b.Rows) > 0 || b.UnitEnd:
			p.check(b, limits)
			return b, true
		}
	}
	return adapters.Batch{}, false
}

// check holds one batch against the contract.
func (p *pump) check(b adapters.Batch, limits adapters.Limits) {
	p.t.Helper()
	if len(b.Cursor) == 0 {
		p.t.Error("a batch with rows has no cursor")
	}
	if limits.Rows > 0 && len(b.Rows) > limits.Rows {
		p.t.Errorf("%d rows in a batch of at most %d", len(b.Rows), limits.Rows)
	}
	for _, r := range b.Rows {
		if len(r.Fields) != len(b.Columns) && (len(r.Fields) > 0 || len(r.Errs) == 0) {
			p.t.Errorf("row %d has %d fields for %d columns", r.Origin.Row, len(r.Fields), len(b.Columns))
		}
		if r.Origin.Unit != b.Unit {
			p.t.Errorf("row of unit %q in a batch of unit %q", r.Origin.Unit, b.Unit)
		}
	}
	if p.unit != "" && b.Unit != p.unit {
		p.t.Errorf("unit %q begins before unit %q has ended", b.Unit, p.unit)
	}
	if b.Ledger != nil && !b.UnitEnd {
		p.t.Error("a ledger entry before the unit's end")
	}
}

// keep makes a batch durable.
func (p *pump) keep(b adapters.Batch) {
	p.batches++
	p.cursor = append(adapters.Cursor(nil), b.Cursor...)
	if b.Ledger != nil {
		p.ledger[b.Ledger.Digest] = *b.Ledger
	}
	if p.unit = b.Unit; b.UnitEnd {
		p.unit = ""
	}
	for _, r := range b.Rows {
		p.rows = append(p.rows, render(b.Columns, r))
	}
}

// render is what must be equal about a row in two Worlds.
func render(columns []string, r adapters.Row) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s:%d %v", r.Origin.File, r.Origin.Row, r.Op)
	for i, v := range r.Fields {
		if v.Kind() != adapters.KindAbsent {
			fmt.Fprintf(&s, " %s=%v(%s)", columns[i], v, v.Kind())
		}
	}
	for _, e := range r.Errs {
		fmt.Fprintf(&s, " !%s", e.Rule)
	}
	return s.String()
}

func (p *pump) all(limits adapters.Limits) {
	p.t.Helper()
	for {
		b, ok := p.next(limits)
		if !ok {
			return
		}
		p.keep(b)
		if err := p.src.Commit(p.t.Context(), b.Cursor); err != nil {
			p.t.Errorf("Commit: %v", err)
		}
	}
}

// small makes many batches.
var small = adapters.Limits{Rows: 3}

// Run examines a subject.
func Run(t *testing.T, s Subject) {
	t.Helper()
	reference := func(t *testing.T) []string {
		t.Helper()
		p := newPump(t, s.World(t))
		defer p.close()
		p.all(small)
		return p.rows
	}
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, s Subject, want []string)
	}{
		{"reads everything", readsEverything},
		{"batch sizes do not matter", batchSizes},
		{"resumes at every boundary", resumes},
		{"gives a lost batch again", lostBatch},
		{"does not need Commit", withoutCommit},
		{"takes Commit twice and late", commitTwice},
		{"stops when cancelled", cancelled},
		{"refuses foreign cursors", foreignCursors},
		{"describes without changing anything", describes},
		{"is closed for good", closed},
		{"takes verdicts twice and of unknown units", verdicts},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, append([]goleak.Option{goleak.IgnoreCurrent()}, s.IgnoreGoroutines...)...)
			tc.run(t, s, reference(t))
		})
	}
	for i, raw := range s.BadConfigs {
		t.Run(fmt.Sprintf("refuses bad configuration %d", i), func(t *testing.T) {
			w := s.World(t)
			if len(w.Kind.Check(raw)) == 0 {
				t.Errorf("Check found nothing in %s", raw)
			}
			if src, err := w.Kind.New(raw, w.Env); err == nil {
				t.Errorf("New took %s", raw)
				_ = src.Close() // the error above tells
			}
		})
	}
}
