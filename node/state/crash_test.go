package state

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// TestPowerCut cuts the power at writing operations of the file system, each of
// the first ones, then more and more sparsely. What is left is the state after some entry, whole: at or
// after the last one that Flush named, and going on from there gives what an
// undisturbed machine has.
func TestPowerCut(t *testing.T) {
	entries, dumps := lifeOfEntries(t, 24)
	cuts := 0
	for at := 1; cutAt(t, at, entries, dumps); at += 1 + at/12 {
		cuts++
	}
	if cuts < 25 {
		t.Fatalf("only %d cuts, the life is too short to mean anything", cuts)
	}
}

// lifeOfEntries gives entries that touch every table, and what is stored after
// each.
func lifeOfEntries(t *testing.T, n int) ([]Entry, []map[string]string) {
	r := newRig(t)
	entries := []Entry{{Index: 1, Time: testStart, Sections: [][]byte{bootstrapSection(t, r)}}}
	dumps := []map[string]string{{}, dump(t, r.m)}
	for i := range n {
		h := r.header([]string{"approvals.case", "projects.project", "org.unit"}[i%3], "fagai.pub")
		h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: 1}}
		rec := seq(uint64(i/3)+1, fmt.Sprint("k", i%5))
		recs := []record.SectionRecord{rec, up(fmt.Sprint("id", i), fmt.Sprint("k", i%4))}
		for j := range 20 {
			recs = append(recs, up(fmt.Sprint("more", i, j), fmt.Sprint("more", j)))
		}
		if i%7 == 3 { // more than a memtable takes at once
			recs[1].Body = fmt.Appendf(nil, "%q", noise(200_000))
		}
		s, err := record.EncodeRecords(h, recs)
		if i%6 == 5 {
			s, err = record.EncodeRefusals(h, []record.Refusal{refusal(uint64(i/3)+1, "", "{}"), refusal(0, fmt.Sprint("r", i), "{}")})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.now += 1000
		r.apply(s)
		entries = append(entries, Entry{Index: r.index, Time: r.now, Sections: [][]byte{s}})
		dumps = append(dumps, dump(t, r.m))
	}
	return entries, dumps
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, 0, n+64)
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = fmt.Appendf(b, "%x", sum)
	}
	return string(b[:n])
}

// cutAt lives through the entries with a power cut at one operation; it says
// whether that operation came.
func cutAt(t *testing.T, at int, entries []Entry, dumps []map[string]string) bool {
	t.Helper()
	mem := store.NewStrictMemFS()
	var count atomic.Int64
	var cut atomic.Bool
	fs := store.FaultFS(mem, func(op store.Op) error {
		if op.Write {
			if count.Add(1) == int64(at) {
				cut.Store(true)
				mem.SetIgnoreSyncs(true)
			}
		}
		return nil
	})
	m := openOn(t, fs)
	safe := uint64(0)
	for i := 0; i < len(entries); i += 1 + i%3 {
		if _, err := m.Apply(entries[i:min(len(entries), i+1+i%3)]); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			index, err := m.Flush()
			if err != nil {
				t.Fatal(err)
			}
			if !cut.Load() {
				safe = index
			}
		}
	}
	if err := m.Abandon(); err != nil {
		t.Fatal(err)
	}
	reached := cut.Load()
	mem.ResetToSyncedState()
	mem.SetIgnoreSyncs(false)
	m = openOn(t, mem)
	defer m.Close()
	index, _, _ := m.Applied()
	if index < safe {
		t.Fatalf("cut at operation %d: stands at entry %d, %d was flushed", at, index, safe)
	}
	if got := dump(t, m); !maps.Equal(got, dumps[index]) {
		t.Fatalf("cut at operation %d: not the state after entry %d (-want +got)\n%s", at, index, cmp.Diff(dumps[index], got))
	}
	if _, err := m.Apply(entries); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, m); !maps.Equal(got, dumps[len(entries)]) {
		t.Fatalf("cut at operation %d: going on ends elsewhere (-want +got)\n%s", at, cmp.Diff(dumps[len(entries)], got))
	}
	return reached
}

func openOn(t *testing.T, fs store.FS) *Machine {
	t.Helper()
	db, err := store.OpenState("data/state", store.Options{FS: fs, MemTableBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(db, Config{ClusterID: testCluster})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
