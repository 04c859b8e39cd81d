package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas/record"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func set(t *testing.T, db *DB, kv ...string) {
	t.Helper()
	b := db.NewWriteBatch()
	for i := 0; i < len(kv); i += 2 {
		if err := b.Set([]byte(kv[i]), []byte(kv[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, r Reader) (out []string) {
	t.Helper()
	it := r.NewIter(nil, nil)
	for ok := it.First(); ok; ok = it.Next() {
		out = append(out, string(it.Key())+"="+string(it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBatchSeesItself(t *testing.T) {
	db, err := OpenState(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set(t, db, "a", "1", "b", "2", "c", "3")
	b := db.NewBatch()
	if err := errors.Join(b.Set([]byte("b"), []byte("9")), b.Delete([]byte("a")), b.Set([]byte("d"), nil)); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Get([]byte("b")); err != nil || string(v) != "9" {
		t.Errorf("get %q %v", v, err)
	}
	if _, err := b.Get([]byte("a")); !errors.Is(err, ErrNotFound) || err.Error() != "not found" {
		t.Errorf("deleted: %v", err)
	}
	dst := []byte("x")
	if v, ok, err := b.AppendGet(dst, []byte("c")); err != nil || !ok || string(v) != "x3" {
		t.Errorf("append get %q %v %v", v, ok, err)
	}
	if v, ok, err := b.AppendGet(dst, []byte("zz")); err != nil || ok || string(v) != "x" {
		t.Errorf("append get of nothing %q %v %v", v, ok, err)
	}
	if diff := cmp.Diff([]string{"b=9", "c=3", "d="}, content(t, b)); diff != "" {
		t.Errorf("batch (-want +got)\n%s", diff)
	}
	snap := db.Snapshot()
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1", "b=2", "c=3"}, content(t, snap)); diff != "" {
		t.Errorf("snapshot (-want +got)\n%s", diff)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b=9", "c=3", "d="}, content(t, db)); diff != "" {
		t.Errorf("database (-want +got)\n%s", diff)
	}
}

func TestMustExist(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := OpenState(dir, Options{MustExist: true}); !errors.Is(err, ErrMissing) {
		t.Fatalf("%v, want ErrMissing", err)
	}
	db, err := OpenState(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, "a", "1")
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	db, err = OpenState(dir, Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1"}, content(t, db)); diff != "" {
		t.Errorf("after a clean stop (-want +got)\n%s", diff)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointHoldsWhatWasCommitted(t *testing.T) {
	fs := NewMemFS()
	db, err := OpenState("state", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, "a", "1")
	if err := db.Checkpoint("copy"); err != nil {
		t.Fatal(err)
	}
	set(t, db, "b", "2")
	copied, err := OpenState("copy", Options{FS: fs, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1"}, content(t, copied)); diff != "" {
		t.Errorf("checkpoint (-want +got)\n%s", diff)
	}
	if err := errors.Join(copied.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCut cuts the power at every writing operation in turn. The log keeps
// each commit that returned; the state keeps a prefix that reaches at least to
// the last flush that returned.
func TestPowerCut(t *testing.T) {
	for _, kind := range []string{"log", "state"} {
		cuts := 0
		for at := 1; ; at++ {
			if !powerCut(t, kind, at) {
				break
			}
			cuts++
		}
		if cuts < 50 {
			t.Errorf("%s: only %d cuts, the workload is too small to mean anything", kind, cuts)
		}
	}
}

// powerCut runs a workload with a cut at the given operation; it says whether
// the workload reached it.
func powerCut(t *testing.T, kind string, at int) bool {
	t.Helper()
	mem := NewStrictMemFS()
	var n atomic.Int64
	var cut atomic.Bool
	fs := FaultFS(mem, func(op Op) error {
		if op.Write {
			if n.Add(1) == int64(at) {
				cut.Store(true)
				mem.SetIgnoreSyncs(true)
			}
		}
		return nil
	})
	open := OpenState
	if kind == "log" {
		open = OpenLog
	}
	db, err := open("data/"+kind, Options{FS: fs, MemTableBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	kept, written := 0, 0
	for i := 1; i <= 12; i++ {
		set(t, db, fmt.Sprintf("%04d", i), strings.Repeat("x", 100))
		written = i
		if kind == "state" && i%4 != 0 {
			continue
		}
		if kind == "state" {
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if !cut.Load() {
			kept = i
		}
	}
	if err := db.Abandon(); err != nil {
		t.Fatal(err)
	}
	reached := cut.Load()
	mem.ResetToSyncedState()
	mem.SetIgnoreSyncs(false)
	db, err = open("data/"+kind, Options{FS: mem})
	if err != nil {
		t.Fatalf("%s, cut %d: %v", kind, at, err)
	}
	defer db.Close()
	got := content(t, db)
	if len(got) < kept || len(got) > written {
		t.Fatalf("%s, cut at operation %d: %d are left, %d were safe", kind, at, len(got), kept)
	}
	for i, kv := range got {
		if want := fmt.Sprintf("%04d=", i+1); !strings.HasPrefix(kv, want) {
			t.Fatalf("%s, cut at operation %d: place %d is %.5s: not a prefix", kind, at, i, kv)
		}
	}
	return reached
}

func TestCorruptionIsNamed(t *testing.T) {
	dir := t.TempDir()
	db, err := OpenState(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, "a", strings.Repeat("1", 5000), "b", strings.Repeat("2", 5000))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %v %v", tables, err)
	}
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[20] ^= 0xff
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err = OpenState(dir, Options{})
	if err == nil {
		_, err = db.Get([]byte("a"))
		_ = db.Close()
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%v, want ErrCorrupt", err)
	}
}

func TestSegmentRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		places := 1 + rng.IntN(40)
		first := 1 + rng.Uint64N(1000)
		s := Segment{Leaf: rng.Uint64N(1 << 40), Time: rng.Int64N(1 << 42), Section: []byte("section")}
		for p := range places {
			if rng.IntN(3) > 0 {
				r := SegmentRow{Place: p, Version: 1 + rng.Uint64N(9), Counter: rng.Uint64N(1 << 20)}
				if offset := first + uint64(len(s.Rows)); offset > 1 && rng.IntN(2) == 0 {
					r.Previous = 1 + rng.Uint64N(offset-1)
				}
				s.Rows = append(s.Rows, r)
			}
		}
		if s.Rows == nil {
			s.Rows = []SegmentRow{}
		}
		got, err := DecodeSegment(first, AppendSegment(nil, first, places, s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Fatalf("segment (-want +got)\n%s", diff)
		}
	}
}

func TestSegmentAt(t *testing.T) {
	db, err := OpenState("x", Options{FS: NewMemFS()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := db.NewWriteBatch()
	for _, first := range []uint64{1, 4} {
		s := Segment{Leaf: first, Rows: []SegmentRow{{Place: 0}, {Place: 2}, {Place: 3}}}
		if err := b.Set(SegmentKey(nil, 7, first), AppendSegment(nil, first, 4, s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[uint64]uint64{1: 1, 3: 1, 4: 4, 6: 4} {
		if first, seg, err := SegmentAt(db, 7, offset); err != nil || first != want || seg.Leaf != want {
			t.Errorf("offset %d: %d %+v %v", offset, first, seg, err)
		}
	}
	for _, offset := range []uint64{0, 7} {
		if _, _, err := SegmentAt(db, 7, offset); !errors.Is(err, ErrNotFound) {
			t.Errorf("offset %d: %v, want ErrNotFound", offset, err)
		}
	}
	if _, _, err := SegmentAt(db, 8, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("another resource: %v, want ErrNotFound", err)
	}
}

// TestGolden freezes how a segment lies on disk.
func TestGolden(t *testing.T) {
	section, err := record.EncodeRecords(record.Header{Resource: 3, Revision: 5, Node: "n1", LinkEpoch: 1, LinkNumber: 9, Systems: []string{"fagai.pub"}},
		[]record.SectionRecord{{Op: record.Upsert, Producer: -1, ID: "a", Key: "k", SchemaVersion: 1, Body: []byte(`{}`)}})
	if err != nil {
		t.Fatal(err)
	}
	all := AppendSegment(nil, 7, 1, Segment{Leaf: 300, Time: 1_767_225_600_000, Rows: []SegmentRow{{Version: 2, Previous: 5, Counter: 9}}, Section: section})
	some := AppendSegment(nil, 7, 10, Segment{Leaf: 1, Time: 1, Rows: []SegmentRow{{Place: 1, Version: 1, Counter: 1}, {Place: 9, Version: 1, Counter: 2}}})
	got := fmt.Sprintf("key  %s\nall  %s\nsome %s\nname %s\n", hex.EncodeToString(SegmentKey(nil, 3, 7)), hex.EncodeToString(all), hex.EncodeToString(some),
		hex.EncodeToString(AppendName(Key(TableAck), "s1")))
	path := filepath.Join("testdata", "segment.hex")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("segment bytes (-want +got)\n%s", diff)
	}
}

func FuzzDecodeSegment(f *testing.F) {
	f.Add(uint64(1), AppendSegment(nil, 1, 3, Segment{Rows: []SegmentRow{{Place: 2, Version: 1, Counter: 1}}, Section: []byte("s")}))
	f.Add(uint64(9), AppendSegment(nil, 9, 1, Segment{Rows: []SegmentRow{{Version: 3, Previous: 2, Counter: 1}}}))
	f.Add(uint64(0), []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, first uint64, b []byte) {
		s, err := DecodeSegment(first, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUpgrade) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		for i, r := range s.Rows {
			if r.Previous >= first+uint64(i) && r.Previous != 0 {
				t.Fatalf("row %d of segment %d comes after %d", i, first, r.Previous)
			}
		}
		if !bytes.HasSuffix(b, s.Section) {
			t.Fatal("section is not the tail")
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "ab": "ac"} {
		if got := PrefixEnd([]byte(in)); string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := PrefixEnd([]byte{0xff}); got != nil {
		t.Errorf("%q, want none", got)
	}
	name, rest, ok := CutName(append(AppendName(nil, "ab"), 'x'))
	if !ok || name != "ab" || string(rest) != "x" {
		t.Errorf("%q %q %v", name, rest, ok)
	}
	if _, _, ok := CutName([]byte{0, 3, 'a'}); ok {
		t.Error("a cut name is read")
	}
}
