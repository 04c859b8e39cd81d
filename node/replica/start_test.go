package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/store"
)

// A node whose log directory is gone must not vote: with a node that was away it
// would make a majority that knows nothing of what the two others acknowledged.
func TestLostLogDoesNotVote(t *testing.T) {
	nodes := cluster(t, 3, nil)
	leader, followers := leaderOf(t, nodes)
	loser, away := followers[0], followers[1]
	leader.must("x/1", "x/2", "x/3")
	same(t, nodes)
	if err := loser.r.snapshot(); err != nil { // flushes the state
		t.Fatal(err)
	}
	away.crash()
	leader.must("x/4", "x/5", "x/6") // acknowledged by the two
	same(t, []*node{leader, loser})
	loser.crash()
	if err := os.RemoveAll(filepath.Join(loser.dir, "log")); err != nil {
		t.Fatal(err)
	}
	for _, bootstrap := range []bool{false, true} {
		err := loser.open(bootstrap)
		if err == nil {
			loser.run()
		}
		if !errors.Is(err, ErrLogLost) {
			t.Fatalf("bootstrap %v: got %v, want ErrLogLost", bootstrap, err)
		}
	}
	away.start(false) // the majority that is left has everything
	same(t, []*node{leader, away})
}

// A crash inside the first bootstrap leaves a term and nothing else.
func TestBootstrapAfterACrashInIt(t *testing.T) {
	for _, term := range []uint64{1, 0} { // 0: cut short again, before raft's second try
		n := newNodes(t, 1, nil)[0]
		log, err := store.OpenLog(filepath.Join(n.dir, "log"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(stableStore{log}.SetUint64([]byte("CurrentTerm"), term), log.Close()); err != nil {
			t.Fatal(err)
		}
		n.start(true)
		n.must("a/1")
		n.close()
		n.start(true) // the cluster is made: it stays
		n.must("a/2")
		same(t, []*node{n})
		n.close()
	}
}

// Only what a bootstrap alone can leave is taken for one that was cut short.
func TestForgetHalfBootstrap(t *testing.T) {
	tests := []struct {
		name        string
		term, voted uint64
		entry, snap bool
		want        uint64
	}{
		{"new", 0, 0, false, false, 0},
		{"cut short", 1, 0, false, false, 0},
		{"complete", 1, 0, true, false, 1},
		{"voted", 1, 1, false, false, 1},
		{"later term", 2, 0, false, false, 2},
		{"installed", 1, 0, false, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openStill(t, store.NewMemFS())
			defer s.close()
			r := &Replica{m: s.m, logs: s.logs, snaps: s.snap, stable: stableStore{s.log}}
			if tt.term != 0 {
				s.heard(tt.term)
			}
			if tt.voted != 0 {
				if err := r.stable.SetUint64([]byte("LastVoteTerm"), tt.voted); err != nil {
					t.Fatal(err)
				}
			}
			if tt.entry {
				if err := s.logs.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.snap {
				if err := writeMeta(s.fs, s.snap.path(snapshotsDir), snapshotMeta{V: 1, ID: "x", Index: 5, Term: 1}); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.forgetHalfBootstrap(); err != nil {
				t.Fatal(err)
			}
			if got, err := r.number("CurrentTerm"); err != nil || got != tt.want {
				t.Errorf("term %d (%v), want %d", got, err, tt.want)
			}
		})
	}
}
