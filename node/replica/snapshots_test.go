package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/store"
)

// still is a node's disk without a network: log, state and snapshots.
type still struct {
	t    *testing.T
	fs   store.FS
	log  *store.DB
	m    *fakeMachine
	logs *logStore
	snap *snapshotStore
}

const stillDir = "data"

func openStill(t *testing.T, fs store.FS) *still {
	t.Helper()
	if err := fs.MkdirAll(stillDir, 0o700); err != nil {
		t.Fatal(err)
	}
	syncDirOrDie(t, fs, "")
	n := &node{t: t, fs: fs, dir: stillDir}
	if err := n.openMachine(); err != nil {
		t.Fatal(err)
	}
	syncDirOrDie(t, fs, stillDir)
	logs, err := openLogStore(n.log, 0, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(stillDir)
	if err != nil {
		t.Fatal(err)
	}
	return &still{t: t, fs: fs, log: n.log, m: n.m, logs: logs, snap: &snapshotStore{
		fs: fs, dir: stillDir, cluster: "c-test", logs: logs, m: n.m, n: last(stateNumbers(names)),
	}}
}

// heard keeps raft's term, as raft does before it stores an entry or an install.
func (s *still) heard(term uint64) {
	s.t.Helper()
	if err := (stableStore{s.log}).SetUint64([]byte("CurrentTerm"), term); err != nil {
		s.t.Fatal(err)
	}
}

// apply puts payloads through log and machine, one entry each.
func (s *still) apply(payloads ...string) {
	s.t.Helper()
	s.heard(1)
	n := &node{t: s.t, id: "n1"}
	for _, p := range payloads {
		_, last := s.logs.bounds()
		at := s.m.links["n1"]
		index := max(last, s.m.index) + 1
		section := n.section(p, 0)
		restamped(section, max(at[0], 1), at[1]+1)
		l := &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: encodeEntry(1000, section)}
		if err := s.logs.StoreLog(l); err != nil {
			s.t.Fatal(err)
		}
		f := &fsm{m: s.m, fail: func(err error) { s.t.Fatal(err) }, applied: noResults}
		f.ApplyBatch([]*raft.Log{l})
	}
}

func (s *still) index() uint64 { i, _, _ := s.m.Applied(); return i }

func (s *still) payloads() string {
	s.t.Helper()
	p, err := s.m.payloads()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(p, " ")
}

// take makes raft's own snapshot at the applied index.
func (s *still) take() string {
	s.t.Helper()
	k, err := s.snap.Create(1, s.index(), 1, raft.Configuration{}, 1, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	f := &fsm{m: s.m, snaps: s.snap}
	if err := (&fsmSnapshot{f}).Persist(k); err != nil {
		s.t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		s.t.Fatal(err)
	}
	return k.ID()
}

// archive is a snapshot as it is sent.
func (s *still) archive(id string) (*raft.SnapshotMeta, []byte) {
	s.t.Helper()
	meta, rc, err := s.snap.Open(id)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := rc.Close(); err != nil {
		s.t.Fatal(err)
	}
	return meta, b
}

// receive is an install up to the closing of the sink: what raft does before Restore.
func (s *still) receive(meta *raft.SnapshotMeta, archive []byte) (raft.SnapshotSink, error) {
	s.t.Helper()
	s.heard(meta.Term)
	k, err := s.snap.Create(1, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, nil)
	if err != nil {
		return nil, err
	}
	if n, err := io.Copy(k, bytes.NewReader(archive)); err != nil || n != int64(len(archive)) {
		return nil, errors.Join(err, k.Cancel())
	}
	return k, k.Close()
}

func (s *still) close() {
	s.t.Helper()
	if err := errors.Join(s.m.db.Close(), s.log.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// kill closes without flushing; power also forgets what was not synced.
func (s *still) kill() {
	s.t.Helper()
	if err := errors.Join(s.m.db.Abandon(), s.log.Abandon()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *still) power(mem *store.MemFS) {
	s.t.Helper()
	mem.SetIgnoreSyncs(true)
	s.kill()
	mem.ResetToSyncedState()
	mem.SetIgnoreSyncs(false)
}

// align is what Open does before raft starts.
func (s *still) align() error {
	r := &Replica{m: s.m, logs: s.logs, snaps: s.snap, stable: stableStore{s.log}}
	return r.align()
}

// FORMATS §8.1: raft copies exactly meta.Size bytes, so the size said must be the size sent.
func TestArchiveSizeIsExact(t *testing.T) {
	s := openStill(t, store.NewMemFS())
	defer s.close()
	s.apply("a/1", "a/2")
	id := s.take()
	s.apply("a/3")
	meta, b := s.archive(id)
	if meta.Size != int64(len(b)) || meta.Index != 2 {
		t.Errorf("size %d, sent %d; index %d", meta.Size, len(b), meta.Index)
	}
	names, err := s.fs.List(stillDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, outgoingDir) {
			t.Errorf("%s left behind", name)
		}
	}
	if len(s.logs.pins) != 0 {
		t.Error("pin left behind")
	}
}

// FORMATS §8.1: what is received survives a power cut as soon as raft is told so.
func TestInstallIsDurable(t *testing.T) {
	from := openStill(t, store.NewMemFS())
	defer from.close()
	from.apply("a/1", "a/2", "a/3")
	meta, archive := from.archive(from.take())

	mem := store.NewStrictMemFS()
	to := openStill(t, mem)
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	to.power(mem)
	to = openStill(t, mem) // StateDir swaps it in
	defer to.close()
	if got := to.payloads(); got != "a/1 a/2 a/3" {
		t.Errorf("after the power cut: %q", got)
	}
	if err := to.align(); err != nil {
		t.Error(err)
	}
}

// FORMATS §8.1: an install of which a part is missing is no install, after a crash neither.
func TestIncompleteInstallIsDropped(t *testing.T) {
	from := openStill(t, store.NewMemFS())
	defer from.close()
	from.apply("a/1", "a/2", "a/3")
	meta, archive := from.archive(from.take())

	for _, cut := range []int{1, 20, len(archive) / 2, len(archive) - 1} {
		to := openStill(t, store.NewMemFS())
		to.apply("b/1")
		if _, err := to.receive(meta, archive[:cut]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		// The same with a crash instead of an error: bytes come, then nothing.
		k, err := to.snap.Create(1, meta.Index, meta.Term, meta.Configuration, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Write(archive[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := to.m.db.Flush(); err != nil {
			t.Fatal(err)
		}
		to.kill()
		again := openStill(t, to.fs)
		if got := again.payloads(); got != "b/1" {
			t.Errorf("cut at %d: state %q", cut, got)
		}
		if err := again.align(); err != nil {
			t.Errorf("cut at %d: %v", cut, err)
		}
		again.close()
		_ = k.Cancel() // ends the unpacking goroutine; its directory is gone
	}
}

// FORMATS §8.2: raft marks an install as done before the state is swapped. A
// crash between the two must not skip entries: StateDir finishes the swap, and
// without it the node refuses to start.
func TestCrashBetweenInstallAndRestore(t *testing.T) {
	from := openStill(t, store.NewMemFS())
	defer from.close()
	from.apply("a/1", "a/2", "a/3", "a/4")
	meta, archive := from.archive(from.take())

	fs := store.NewMemFS()
	to := openStill(t, fs)
	to.apply("a/1")
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	if err := to.m.db.Flush(); err != nil {
		t.Fatal(err)
	}
	// raft would start now with lastApplied = 4 over a state at 1.
	if err := to.align(); !errors.Is(err, ErrStateBehind) {
		t.Errorf("without the swap: %v, want ErrStateBehind", err)
	}
	to.kill()
	to = openStill(t, fs)
	defer to.close()
	if got := to.payloads(); got != "a/1 a/2 a/3 a/4" {
		t.Errorf("state %q", got)
	}
	if err := to.align(); err != nil {
		t.Fatal(err)
	}
	// The old log ended below the snapshot: what came next would leave a gap.
	if bounds(to.logs) != [2]uint64{} {
		t.Errorf("log still has %v", bounds(to.logs))
	}
	if err := to.logs.StoreLog(logEntry(5, 1, 1)); err != nil {
		t.Errorf("next entry: %v", err)
	}
}

// The mark is there but the metadata are not: both are restored.
func TestCrashBetweenMarkAndMetadata(t *testing.T) {
	from := openStill(t, store.NewMemFS())
	defer from.close()
	from.apply("a/1", "a/2")
	meta, archive := from.archive(from.take())
	fs := store.NewMemFS()
	to := openStill(t, fs)
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(fs.PathJoin(stillDir, snapshotsDir, meta.ID+".json")); err != nil {
		t.Fatal(err)
	}
	to.kill()
	to = openStill(t, fs)
	defer to.close()
	if m, ok, err := to.snap.newest(); !ok || m.Index != 2 || err != nil || to.payloads() != "a/1 a/2" {
		t.Errorf("metadata %+v, %v, %v; state %q", m, ok, err, to.payloads())
	}
}

// A snapshot that is older than what this node knows never turns it back.
func TestOldInstallIsNotSwappedIn(t *testing.T) {
	from := openStill(t, store.NewMemFS())
	defer from.close()
	from.apply("a/1", "a/2")
	meta, archive := from.archive(from.take())
	fs := store.NewMemFS()
	to := openStill(t, fs)
	to.apply("a/1", "a/2", "a/3")
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	f := &fsm{m: to.m, snaps: to.snap, logs: to.logs, cfg: &Config{StateOptions: store.Options{FS: fs}}, fail: func(error) {}}
	if err := f.Restore(io.NopCloser(strings.NewReader(""))); err != nil {
		t.Fatal(err)
	}
	if got := to.payloads(); got != "a/1 a/2 a/3" {
		t.Errorf("in memory: %q", got)
	}
	// And at a start, where a newer snapshot says so.
	to.take()
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	to.close()
	to = openStill(t, fs)
	defer to.close()
	if got := to.payloads(); got != "a/1 a/2 a/3" {
		t.Errorf("after a start: %q", got)
	}
	if err := to.align(); err != nil {
		t.Error(err)
	}
}

// FORMATS §8.3: what lies in the memtable only is part of the snapshot, of the
// one sent and of the one taken.
func TestSnapshotHoldsTheMemtable(t *testing.T) {
	mem := store.NewStrictMemFS()
	s := openStill(t, mem)
	s.apply("a/1", "a/2", "a/3")
	id := s.take()
	s.apply("a/4") // nothing flushes it
	meta, archive := s.archive(id)
	to := openStill(t, store.NewMemFS())
	if _, err := to.receive(meta, archive); err != nil {
		t.Fatal(err)
	}
	to.kill()
	to = openStill(t, to.fs)
	if got := to.payloads(); got != "a/1 a/2 a/3 a/4" {
		t.Errorf("sent: %q", got)
	}
	to.close()
	// The snapshot taken lets raft truncate the log up to it: the state must be
	// there after a power cut.
	s.apply("a/5")
	s.take()
	s.power(mem)
	s = openStill(t, mem)
	defer s.close()
	if got := s.payloads(); got != "a/1 a/2 a/3 a/4 a/5" {
		t.Errorf("taken: %q", got)
	}
	if err := s.align(); err != nil {
		t.Error(err)
	}
}

// A state that stands below the snapshot must not make one.
func TestPersistRefusesBeyondTheState(t *testing.T) {
	s := openStill(t, store.NewMemFS())
	defer s.close()
	s.apply("a/1")
	k, err := s.snap.Create(1, 2, 1, raft.Configuration{}, 1, nil) // as a barrier would make it
	if err != nil {
		t.Fatal(err)
	}
	if err := (&fsmSnapshot{&fsm{m: s.m, snaps: s.snap}}).Persist(k); !errors.Is(err, ErrStateBehind) {
		t.Errorf("got %v, want ErrStateBehind", err)
	}
}

func TestAlign(t *testing.T) {
	meta := func(index, term uint64) *snapshotMeta {
		return &snapshotMeta{V: 1, ID: fmt.Sprintf("%020d-%020d", index, term), Index: index, Term: term}
	}
	tests := []struct {
		name        string
		term        uint64 // raft's, 0 none
		applied     uint64
		first, last uint64 // log, all of term 1
		snap        *snapshotMeta
		want        error
		after       [2]uint64
	}{
		{"new", 0, 0, 0, 0, nil, nil, [2]uint64{}},
		{"usual", 2, 7, 1, 9, nil, nil, [2]uint64{1, 9}},
		{"usual with snapshot", 2, 8, 3, 9, meta(5, 1), nil, [2]uint64{3, 9}},
		{"log begins after the snapshot", 2, 8, 6, 9, meta(5, 1), nil, [2]uint64{6, 9}},
		{"state lost", 2, 0, 3, 9, meta(5, 1), ErrStateBehind, [2]uint64{3, 9}},
		{"state behind the snapshot", 2, 4, 3, 9, meta(5, 1), ErrStateBehind, [2]uint64{3, 9}},
		{"log emptied, no snapshot", 2, 7, 0, 0, nil, ErrCorrupt, [2]uint64{}},
		{"log lost", 0, 7, 0, 0, nil, ErrLogLost, [2]uint64{}},
		{"log lost, snapshot", 0, 7, 0, 0, meta(5, 1), ErrLogLost, [2]uint64{}},
		{"log and state lost, snapshot", 0, 0, 0, 0, meta(5, 1), ErrLogLost, [2]uint64{}},
		{"term, nothing else", 1, 0, 0, 0, nil, nil, [2]uint64{}},
		{"log ends before the state", 2, 7, 1, 5, nil, ErrCorrupt, [2]uint64{1, 5}},
		{"log begins late", 2, 7, 3, 9, nil, ErrStateBehind, [2]uint64{3, 9}},
		{"gap after the snapshot", 2, 8, 7, 9, meta(5, 1), ErrStateBehind, [2]uint64{7, 9}},
		{"installed, old log below", 2, 8, 1, 4, meta(5, 1), nil, [2]uint64{}},
		{"installed, log of another term", 2, 8, 1, 9, meta(5, 2), nil, [2]uint64{}},
		{"installed ahead of the snapshot", 2, 8, 0, 0, meta(5, 1), nil, [2]uint64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openStill(t, store.NewMemFS())
			defer s.close()
			s.m.index = tt.applied
			if tt.term != 0 {
				s.heard(tt.term)
			}
			if tt.first != 0 {
				fill(t, s.logs, tt.first, tt.last)
			}
			if tt.snap != nil {
				if err := writeMeta(s.fs, s.snap.path(snapshotsDir), *tt.snap); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.align(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if bounds(s.logs) != tt.after {
				t.Errorf("log %v, want %v", bounds(s.logs), tt.after)
			}
		})
	}
}
