package replica

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
)

var rewrite = flag.Bool("rewrite", false, "write the goldens anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	text := hex.EncodeToString(got) + "\n"
	if *rewrite {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func openLogs(t *testing.T, fs store.FS, cacheBytes int) (*logStore, *store.DB) {
	t.Helper()
	db, err := store.OpenLog("log", store.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openLogStore(db, cacheBytes, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func logEntry(index, term uint64, size int) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: make([]byte, size), AppendedAt: time.Unix(0, 17)}
}

func fill(t *testing.T, s *logStore, from, to uint64) {
	t.Helper()
	var logs []*raft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, logEntry(i, 1, 100))
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func bounds(s *logStore) [2]uint64 { a, b := s.bounds(); return [2]uint64{a, b} }

func TestLogStore(t *testing.T) {
	fs := store.NewMemFS()
	s, db := openLogs(t, fs, 500) // the cache holds two entries
	if bounds(s) != [2]uint64{} {
		t.Errorf("empty log has bounds %v", bounds(s))
	}
	fill(t, s, 1, 10)
	want := &raft.Log{Index: 11, Term: 7, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(3, 5)}
	if err := s.StoreLog(want); err != nil {
		t.Fatal(err)
	}
	if len(s.cache) == 0 || len(s.cache) > 4 || s.cached > 500 {
		t.Errorf("cache holds %d entries, %d bytes", len(s.cache), s.cached)
	}
	for round := range 2 { // from the cache, then from disk
		var got raft.Log
		if err := s.GetLog(11, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
		if err := s.GetLog(1, &got); err != nil || got.Index != 1 {
			t.Errorf("entry 1: %+v, %v", got, err)
		}
		for _, none := range []uint64{0, 12} {
			if err := s.GetLog(none, &got); !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("entry %d: %v", none, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s, db = openLogs(t, fs, 0)
		if bounds(s) != [2]uint64{1, 11} {
			t.Errorf("bounds %v after reopening", bounds(s))
		}
	}
	if err := s.StoreLog(logEntry(13, 1, 1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("gap stored: %v", err)
	}
	if err := s.StoreLogs([]*raft.Log{logEntry(12, 1, 1), logEntry(14, 1, 1)}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("gap stored: %v", err)
	}
	if bounds(s) != [2]uint64{1, 11} {
		t.Errorf("bounds %v after a refused gap", bounds(s))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLogDeleteRange(t *testing.T) {
	tests := []struct {
		name       string
		lo, hi     uint64
		want       [2]uint64
		wantErr    error
		gone, kept uint64
	}{
		{"prefix", 1, 4, [2]uint64{5, 10}, nil, 4, 5},
		{"prefix from before", 0, 4, [2]uint64{5, 10}, nil, 4, 5},
		{"suffix", 7, 10, [2]uint64{1, 6}, nil, 7, 6},
		{"suffix beyond", 7, 99, [2]uint64{1, 6}, nil, 7, 6},
		{"all", 1, 10, [2]uint64{0, 0}, nil, 5, 0},
		{"outside", 11, 20, [2]uint64{1, 10}, nil, 11, 10},
		{"hole", 3, 5, [2]uint64{1, 10}, ErrCorrupt, 11, 4},
	}
	for _, tt := range tests {
		for _, cache := range []int{0, 1 << 20} {
			t.Run(fmt.Sprintf("%s cache %d", tt.name, cache), func(t *testing.T) {
				s, db := openLogs(t, store.NewMemFS(), cache)
				defer db.Close()
				fill(t, s, 1, 10)
				if err := s.DeleteRange(tt.lo, tt.hi); !errors.Is(err, tt.wantErr) {
					t.Fatalf("got %v, want %v", err, tt.wantErr)
				}
				if bounds(s) != tt.want {
					t.Errorf("bounds %v, want %v", bounds(s), tt.want)
				}
				var l raft.Log
				if err := s.GetLog(tt.gone, &l); !errors.Is(err, raft.ErrLogNotFound) {
					t.Errorf("entry %d: %v", tt.gone, err)
				}
				if tt.kept != 0 {
					if err := s.GetLog(tt.kept, &l); err != nil {
						t.Errorf("entry %d: %v", tt.kept, err)
					}
				}
				again, err := openLogStore(db, 0, nil)
				if err != nil || bounds(again) != tt.want {
					t.Errorf("bounds %v on disk, want %v, %v", bounds(again), tt.want, err)
				}
				if tt.want[1] != 0 {
					fill(t, s, tt.want[1]+1, tt.want[1]+2)
				} else {
					fill(t, s, 500, 501) // after an install the log begins anywhere
				}
			})
		}
	}
}

func TestLogPins(t *testing.T) {
	s, db := openLogs(t, store.NewMemFS(), 0)
	defer db.Close()
	low := false
	s.diskLow = func() bool { return low }
	fill(t, s, 1, 20)
	a, b := s.pinAt(5), s.pinAt(9)
	for _, step := range []struct {
		name  string
		do    func()
		first uint64
	}{
		{"both pinned", func() {}, 5},
		{"lower released", func() { s.release(a) }, 9},
		{"disk low", func() { low = true }, 16},
	} {
		step.do()
		if err := s.DeleteRange(1, 15); err != nil {
			t.Fatal(err)
		}
		if bounds(s) != [2]uint64{step.first, 20} {
			t.Errorf("%s: bounds %v, want first %d", step.name, bounds(s), step.first)
		}
	}
	select {
	case <-b.aborted:
	default:
		t.Error("the pinned install was not told")
	}
	s.release(b)
	// An install on this node empties the log, pinned or not.
	low = false
	s.pinAt(17)
	if err := s.DeleteRange(16, 20); err != nil || bounds(s) != [2]uint64{} {
		t.Errorf("bounds %v, %v", bounds(s), err)
	}
}

func TestLogChecksum(t *testing.T) {
	s, db := openLogs(t, store.NewMemFS(), 0)
	defer db.Close()
	fill(t, s, 1, 5)
	if err := s.check(0); err != nil {
		t.Fatal(err)
	}
	grown := s.grownBytes()
	raw, err := db.Get(logKey(3))
	if err != nil {
		t.Fatal(err)
	}
	put := func(index uint64, v []byte) {
		t.Helper()
		b := db.NewWriteBatch()
		if err := errors.Join(b.Set(logKey(index), v), b.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 0x40
		put(3, bad)
		var l raft.Log
		err := s.GetLog(3, &l)
		if i == 0 && !errors.Is(err, store.ErrUpgrade) || i > 0 && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if s.check(0) == nil {
			t.Fatalf("byte %d flipped: check found nothing", i)
		}
	}
	put(3, raw)
	other, err := db.Get(logKey(4))
	if err != nil {
		t.Fatal(err)
	}
	put(3, other) // whole, but another entry's
	var l raft.Log
	if err := s.GetLog(3, &l); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another entry's bytes: %v", err)
	}
	put(3, raw)
	if err := s.check(3); err != nil || s.grownBytes() <= grown {
		t.Errorf("check: %v", err)
	}
	b := db.NewWriteBatch()
	if err := errors.Join(b.Delete(logKey(3)), b.Commit()); err != nil {
		t.Fatal(err)
	}
	if err := s.check(0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("missing entry: %v", err)
	}
}

func TestLogLastCommandAndTime(t *testing.T) {
	s, db := openLogs(t, store.NewMemFS(), 0)
	defer db.Close()
	if n, err := s.lastCommand(9); n != 0 || err != nil {
		t.Errorf("empty log: %d, %v", n, err)
	}
	kinds := []raft.LogType{raft.LogConfiguration, raft.LogNoop, raft.LogCommand, raft.LogNoop, raft.LogBarrier}
	for i, k := range kinds {
		l := &raft.Log{Index: uint64(i + 1), Term: 1, Type: k}
		if k == raft.LogCommand {
			l.Data = state.EncodeEntry(777, nil)
		}
		if err := s.StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
	for upTo, want := range map[uint64]uint64{5: 3, 4: 3, 3: 3, 2: 1, 1: 1, 0: 0} {
		if got, err := s.lastCommand(upTo); got != want || err != nil {
			t.Errorf("up to %d: %d, want %d, %v", upTo, got, want, err)
		}
	}
	if ms, err := s.lastTime(); ms != 777 || err != nil {
		t.Errorf("last time %d, %v", ms, err)
	}
	if n, err := s.trailing(1 << 20); n != 5 || err != nil {
		t.Errorf("trailing %d, %v", n, err)
	}
	if n, err := s.trailing(1); n != 1 || err != nil {
		t.Errorf("trailing %d, %v", n, err)
	}
}

// FORMATS §8.5: a leader counts itself when StoreLogs returns; what it returned
// for survives a power cut, and a failed fsync is a failed StoreLogs.
func TestStoreLogsIsDurable(t *testing.T) {
	mem := store.NewStrictMemFS()
	var failing bool
	boom := errors.New("fsync failed")
	fs := store.FaultFS(mem, func(op store.Op) error {
		if failing && op.Sync {
			return boom
		}
		return nil
	})
	s, db := openLogs(t, fs, 0)
	syncDirOrDie(t, mem, "")
	fill(t, s, 1, 3)
	if err := (stableStore{db}).SetUint64([]byte("CurrentTerm"), 4); err != nil {
		t.Fatal(err)
	}
	mem.SetIgnoreSyncs(true)
	if err := db.Abandon(); err != nil {
		t.Fatal(err)
	}
	mem.ResetToSyncedState()
	mem.SetIgnoreSyncs(false)
	s, db = openLogs(t, fs, 0)
	if bounds(s) != [2]uint64{1, 3} {
		t.Errorf("bounds %v after the power cut, want 1, 3", bounds(s))
	}
	if term, err := (stableStore{db}).GetUint64([]byte("CurrentTerm")); term != 4 || err != nil {
		t.Errorf("term %d, %v", term, err)
	}
	if err := db.Abandon(); err != nil {
		t.Fatal(err)
	}
}

func syncDirOrDie(t *testing.T, fs store.FS, dir string) {
	t.Helper()
	if err := syncDir(fs, dir); err != nil {
		t.Fatal(err)
	}
}

// FORMATS §8.5: raft compares the text.
func TestStableStoreNotFound(t *testing.T) {
	_, db := openLogs(t, store.NewMemFS(), 0)
	defer db.Close()
	s := stableStore{db}
	_, err := s.Get([]byte("x"))
	_, err64 := s.GetUint64([]byte("x"))
	if err == nil || err.Error() != "not found" || err64 == nil || err64.Error() != "not found" {
		t.Errorf("got %v and %v, want exactly %q", err, err64, "not found")
	}
	if err := s.Set([]byte("x"), []byte("seven")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetUint64([]byte("x")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("not a number: %v", err)
	}
}

func TestLogGolden(t *testing.T) {
	l := &raft.Log{Index: 11, Term: 7, Type: raft.LogCommand, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(3, 5)}
	golden(t, "log_v1.hex", encodeLog(l))
}

func FuzzDecodeLog(f *testing.F) {
	f.Add(encodeLog(logEntry(1, 1, 10)))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l raft.Log
		if err := decodeLog(1, b, &l); err == nil {
			if diff := cmp.Diff(b, encodeLog(&l)); diff != "" {
				t.Errorf("not canonical: %s", diff)
			}
		} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, store.ErrUpgrade) {
			t.Errorf("unnamed error %v", err)
		}
	})
}

func BenchmarkStoreLogs(b *testing.B) {
	db, err := store.OpenLog(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := openLogStore(db, DefaultCacheBytes, func() bool { return false })
	if err != nil {
		b.Fatal(err)
	}
	i := uint64(0)
	b.SetBytes(64 << 10)
	for b.Loop() {
		i++
		if err := s.StoreLog(logEntry(i, 1, 64<<10)); err != nil {
			b.Fatal(err)
		}
	}
}
