package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestCloseWakesWaiters(t *testing.T) {
	o := options(vfs.NewMem())
	o.MaxBytes = 100
	b := mustOpen(t, o)
	mustAppend(t, b, batch("c1", row("A", `"`+strings.Repeat("x", 200)+`"`)))
	done := make(chan error, 1)
	// Stops when the box is closed.
	go func() {
		_, err := b.Append(context.WithoutCancel(t.Context()), batch("c2", row("B", `1`)))
		done <- err
	}()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("append over a close: %v, want ErrClosed", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := b.Waiting("approvals.case", 1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	o := options(vfs.Default)
	o.Dir = filepath.Join(dir, "box")
	b := mustOpen(t, o)
	mustAppend(t, b, batch("c", row("A", `1`)))
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Producer = "czj.spxt"
	if _, err := Open(other); !errors.Is(err, ErrProducer) {
		t.Errorf("other producer: %v, want ErrProducer", err)
	}
	// The database is lost, the marker is there: never an empty start.
	lost := filepath.Join(dir, "lost")
	if err := os.MkdirAll(lost, 0o700); err != nil {
		t.Fatal(err)
	}
	marker, err := os.ReadFile(filepath.Join(o.Dir, "OUTBOX"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lost, "OUTBOX"), marker, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := o
	gone.Dir = lost
	if _, err := Open(gone); !errors.Is(err, ErrCorrupt) {
		t.Errorf("lost database: %v, want ErrCorrupt", err)
	}
	// A manifest that is cut short.
	manifests, err := filepath.Glob(filepath.Join(o.Dir, "db", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifest: %v", err)
	}
	for _, m := range manifests {
		if err := os.WriteFile(m, []byte("not a manifest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("broken manifest: %v, want ErrCorrupt", err)
	}
}

// A new outbox comes after every older one of its producer.
func TestEpochRisesWithEveryNewOutbox(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	first := mustOpen(t, o)
	_, e1 := first.Producer()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o.Now = func() time.Time { return testNow.Add(time.Hour) }
	again := mustOpen(t, o)
	if _, e := again.Producer(); e != e1 {
		t.Errorf("opened again: epoch %d, want %d", e, e1)
	}
	o.Dir = "box2"
	if _, e2 := mustOpen(t, o).Producer(); e2 <= e1 {
		t.Errorf("new outbox: epoch %d after %d", e2, e1)
	}
}

// Every acknowledged change survives a loss of power at any moment after it.
func TestPowerLoss(t *testing.T) {
	fs := vfs.NewStrictMem()
	o := options(fs)
	o.Dir = "box"
	want := Counts{}
	var seq uint64
	for i := range 12 {
		b, err := Open(o)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if got := b.Totals("cases"); got != want {
			t.Fatalf("round %d: after the loss of power %+v, want %+v", i, got, want)
		}
		if _, err := b.Append(t.Context(), batch(fmt.Sprint(i), row(fmt.Sprint(i), `1`), row(fmt.Sprint(i, "b"), `1`))); err != nil {
			t.Fatal(err)
		}
		want.Read, want.Queued = want.Read+2, want.Queued+2
		if i%2 == 1 {
			if err := b.Settle("approvals.case", []Answer{{Seq: seq + 1, Status: StatusAccepted}}); err != nil {
				t.Fatal(err)
			}
			seq++
			want.Accepted++
		}
		fs.SetIgnoreSyncs(true) // what comes now is lost
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		fs.ResetToSyncedState()
		fs.SetIgnoreSyncs(false)
	}
	b := mustOpen(t, o)
	if c, err := b.Cursor("cases"); err != nil || string(c) != "11" {
		t.Errorf("cursor %q, %v", c, err)
	}
	if got := waiting(t, b); uint64(len(got)) != want.Waiting() {
		t.Errorf("%d waiting, want %d", len(got), want.Waiting())
	}
}

func TestCopyOpensAsTheSameOutbox(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	b := mustOpen(t, o)
	mustAppend(t, b, batch("c", row("A", `1`)))
	if err := b.Copy("copy"); err != nil {
		t.Fatal(err)
	}
	o.Dir = "copy"
	c := mustOpen(t, o)
	if diff := cmp.Diff(waiting(t, b), waiting(t, c)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(b.id, c.id, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
