package state

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/store"
)

func TestOpenRefuses(t *testing.T) {
	content := func(set map[string]string) *store.DB {
		db, err := store.OpenState("x", store.Options{FS: store.NewMemFS()})
		if err != nil {
			t.Fatal(err)
		}
		b := db.NewWriteBatch()
		for k, v := range set {
			if err := b.Set([]byte(k), []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		return db
	}
	for _, tt := range []struct {
		name string
		set  map[string]string
		want error
	}{
		{"newer format", map[string]string{"\x01f": "\x02"}, ErrUpgrade},
		{"content without format", map[string]string{"\x01a": "x"}, ErrCorrupt},
		{"no standing", map[string]string{"\x01f": "\x01"}, ErrCorrupt},
		{"broken object", map[string]string{"\x01f": "\x01", "\x01a": string(standing{}.encode()), "\x03da": "{"}, ErrCorrupt},
		{"another cluster", map[string]string{"\x01f": "\x01", "\x01a": string(standing{}.encode()), "\x01c": `{"cluster":"other"}`}, ErrForeign},
	} {
		if _, err := Open(content(tt.set), Config{ClusterID: testCluster}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestReopenGoesOn(t *testing.T) {
	a, b := newRig(t), newRig(t)
	for i := range 20 {
		for _, r := range []*rig{a, b} {
			pub(up(fmt.Sprint("id", i), fmt.Sprint("k", i%3)))(r)
			adapter(1, seq(uint64(i+1), "p"))(r)
			refuseIn(0, refusal(0, fmt.Sprint("bad", i), "{}"))(r)
		}
		if err := b.m.Close(); err != nil {
			t.Fatal(err)
		}
		b.m = b.open("state")
	}
	if diff := cmp.Diff(dump(t, a.m), dump(t, b.m)); diff != "" {
		t.Fatalf("one that was reopened differs (-whole +reopened)\n%s", diff)
	}
	out, err := b.m.Apply([]Entry{{Index: 3, Sections: [][]byte{{1}}}})
	if err != nil || out[0] != nil {
		t.Fatalf("an entry that was applied: %v %v", out, err)
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := make(chan error, 3)
		watched := r.m.Watch()
		// Stops when record 2 is applied.
		go func() { done <- r.m.WaitOffset(context.Background(), "approvals.case", 1) }()
		// Stops when the next but one entry is applied.
		go func() { done <- r.m.WaitApplied(context.Background(), r.index+2) }()
		synctest.Wait()
		pub(up("a", "k"))(r)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("woken too early: %v", err)
		case <-watched:
		}
		pub(up("b", "k"))(r)
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("enough"))
		if err := r.m.WaitOffset(ctx, "approvals.case", 2); err == nil || err.Error() != "enough" {
			t.Fatalf("%v, want the cause", err)
		}
		if err := r.m.WaitOffset(ctx, "no.such", 0); !errors.Is(err, ErrNotFound) {
			t.Fatalf("%v, want ErrNotFound", err)
		}
		// Stops when the machine closes.
		go func() { done <- r.m.WaitOffset(context.Background(), "approvals.case", 99) }()
		synctest.Wait()
		if err := r.m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Fatalf("%v, want ErrClosed", err)
		}
	})
}

func TestSwapKeepsReaders(t *testing.T) {
	ahead, behind := newRig(t), newRig(t)
	pub(up("a", "k1"))(behind)
	for i := range 5 {
		pub(up(fmt.Sprint(i), "k"))(ahead)
	}
	if err := ahead.m.Checkpoint("restored"); err != nil {
		t.Fatal(err)
	}
	old := behind.view()
	db, err := store.OpenState("restored", store.Options{FS: ahead.fs, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	woken := behind.m.Watch()
	drained, err := behind.m.Swap(db)
	if err != nil {
		t.Fatal(err)
	}
	<-woken
	select {
	case <-drained:
		t.Fatal("drained while a view reads")
	default:
	}
	if head, err := old.Head("approvals.case"); err != nil || head != 1 {
		t.Fatalf("the old view sees %d %v", head, err)
	}
	if r, err := old.RecordAt("approvals.case", 1); err != nil || r.Key != "k1" {
		t.Fatalf("the old view reads %+v %v", r, err)
	}
	old.Close()
	old.Close()
	<-drained
	now := behind.view()
	defer now.Close()
	if head, err := now.Head("approvals.case"); err != nil || head != 5 {
		t.Fatalf("the new view sees %d %v", head, err)
	}
	if r, err := now.RecordAt("approvals.case", 1); err != nil || r.Key != "k" {
		t.Fatalf("the new view reads %+v %v", r, err)
	}
	older, err := store.OpenState("older", store.Options{FS: store.NewMemFS()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := behind.m.Swap(older); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("an older state: %v, want ErrCorrupt", err)
	}
	behind.index, behind.next = ahead.index, ahead.next
	if got := words(pub(up("x", "k"))(behind)); got != "applied accepted(6 v6)" {
		t.Fatalf("going on: %s", got)
	}
}
