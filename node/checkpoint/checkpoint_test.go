package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hutong-bus/hutong/node/tlog"
)

const testLog = "hutong.example/county/2026-1"

// key is a key that depends on its name alone.
func key(tb testing.TB, name string) *tlog.Key {
	tb.Helper()
	seed := tlog.LeafHash([]byte(name))
	k, err := tlog.NewKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// tree is the state of one node: leaves "<name> <i>", of which some are applied, and a mark.
type tree struct {
	mu     sync.Mutex
	hashes []tlog.Hash
	size   uint64
	marked uint64
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("hash %d is not stored", x)
		}
		out[i] = t.hashes[x]
	}
	return out, nil
}

// grow appends n leaves and marks them.
func (t *tree) grow(n int, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range n {
		hs, err := tlog.StoredHashes(int64(t.size), fmt.Appendf(nil, "%s %d", name, t.size), t)
		if err != nil {
			panic(err)
		}
		t.hashes = append(t.hashes, hs...)
		t.size++
	}
	t.marked = t.size
}

func (t *tree) RootAt(size uint64) (tlog.Hash, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if size > t.size {
		return tlog.Hash{}, fmt.Errorf("state has %d leaves", t.size)
	}
	return tlog.TreeHash(int64(size), t)
}

func (t *tree) Mark() (Mark, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marked == 0 {
		return Mark{}, false
	}
	root, err := tlog.TreeHash(int64(t.marked), t)
	return Mark{Size: t.marked, Root: root}, err == nil
}

// link is the node link of one node among several in this process.
type link struct {
	node  string
	house *house
}

func (l link) Handle(kind string, answer func(ctx context.Context, from string, payload []byte) ([]byte, error)) {
	l.house.mu.Lock()
	defer l.house.mu.Unlock()
	l.house.answers[l.node+" "+kind] = answer
}

func (l link) Call(ctx context.Context, node, kind string, payload []byte) ([]byte, error) {
	l.house.mu.Lock()
	answer, fault := l.house.answers[node+" "+kind], l.house.faults[node]
	l.house.mu.Unlock()
	switch {
	case fault == "silent":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case fault == "down" || answer == nil:
		return nil, errors.New("connection refused")
	case fault == "garbage":
		return []byte("garbage"), nil
	case fault == "forged":
		msg, err := answer(ctx, l.node, payload)
		return bytes.Replace(msg, []byte("— "+node+" "), []byte("— "+node+" AAAA"), 1), err
	}
	return answer(ctx, l.node, payload)
}

// house is a cluster of rooms.
type house struct {
	tb      testing.TB
	names   []string
	trees   map[string]*tree
	rooms   map[string]*Room
	dirs    map[string]string
	mu      sync.Mutex
	answers map[string]func(ctx context.Context, from string, payload []byte) ([]byte, error)
	faults  map[string]string
	leader  string
}

func newHouse(tb testing.TB, names ...string) *house {
	h := &house{
		tb: tb, names: names, trees: map[string]*tree{}, rooms: map[string]*Room{}, dirs: map[string]string{}, leader: names[0],
		answers: map[string]func(ctx context.Context, from string, payload []byte) ([]byte, error){}, faults: map[string]string{},
	}
	for _, n := range names {
		h.trees[n], h.dirs[n] = &tree{}, filepath.Join(tb.TempDir(), "log")
		h.open(n)
	}
	return h
}

func (h *house) trust() (tlog.Trust, error) {
	var nodes []tlog.Witness
	for _, n := range h.names {
		nodes = append(nodes, tlog.Witness{Name: n, VKey: key(h.tb, n).CosignerVKey()})
	}
	return tlog.NodeTrust(key(h.tb, testLog).VKey(), nodes)
}

func (h *house) settings(n string) (Config, Settings) {
	return Config{Log: testLog, LogVKey: key(h.tb, testLog).VKey(), Dir: h.dirs[n]}, Settings{
		Tree: h.trees[n], Peers: link{node: n, house: h}, LogKey: key(h.tb, testLog), NodeKey: key(h.tb, n), Trust: h.trust,
		Others: func() []string {
			return slices.DeleteFunc(slices.Clone(h.names), func(o string) bool { return o == n })
		},
		Leading: func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.leader == n },
		Now:     time.Now,
	}
}

func (h *house) open(n string) {
	h.tb.Helper()
	r, err := Open(h.settings(n))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.rooms[n] = r
}

func (h *house) fault(n, kind string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[n] = kind
}

func (h *house) grow(n int) {
	for _, t := range h.trees {
		t.grow(n, "leaf")
	}
}

// size is the size of a node's newest note, which must hold.
func (h *house) size(n string) uint64 {
	h.tb.Helper()
	note, _ := h.rooms[n].Latest()
	if note == nil {
		return 0
	}
	trust, err := h.trust()
	if err != nil {
		h.tb.Fatal(err)
	}
	c, _, err := trust.Check(note)
	if err != nil {
		h.tb.Fatalf("note of %s does not hold: %v", n, err)
	}
	return c.Size
}

// signed is a checkpoint of a tree at size, signed by the log.
func signed(tb testing.TB, t *tree, size uint64) []byte {
	tb.Helper()
	root, err := t.RootAt(size)
	if err != nil {
		tb.Fatal(err)
	}
	msg, err := tlog.SignNote(tlog.Checkpoint{Origin: testLog, Size: size, Root: root}.Encode(), key(tb, testLog).Signer())
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

// Within a second of growth every node serves a note that holds, with and without a node that is down; a tree that
// does not grow is cosigned anew each minute.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, "n1", "n2", "n3")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, n := range h.names {
			wg.Go(func() { // ends when cancel is called below
				if err := h.rooms[n].Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		for _, n := range h.names {
			if h.size(n) != 0 {
				t.Errorf("%s has a checkpoint of nothing", n)
			}
		}
		for step, fault := range map[int]string{1: "", 2: "silent", 3: "down"} {
			h.fault("n3", fault)
			before := h.size("n1")
			h.grow(step)
			time.Sleep(time.Second)
			for _, n := range h.names {
				if want := before + uint64(step); h.size(n) != want && (n != "n3" || fault == "") {
					t.Errorf("n3 %q: after a second %s has %d leaves, want %d", fault, n, h.size(n), want)
				}
			}
		}
		h.fault("n3", "")
		h.grow(1)
		time.Sleep(time.Second)
		note, at := h.rooms["n3"].Latest()
		trust, err := h.trust()
		if err != nil {
			t.Fatal(err)
		}
		if _, times, err := trust.Check(note); err != nil || len(times) != 3 {
			t.Errorf("cosigned by %v, %v, want all three", times, err)
		}
		time.Sleep(DefaultRefresh + 2*time.Second)
		if _, later := h.rooms["n3"].Latest(); !later.After(at) {
			t.Errorf("a quiet tree is not cosigned anew: %v, then %v", at, later)
		}
		cancel()
		wg.Wait()
	})
}

// Another leader goes on where the first stopped.
func TestLeaderChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, "n1", "n2", "n3")
		h.grow(3)
		if err := h.rooms["n1"].Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.fault("n1", "down")
		h.grow(2)
		if err := h.rooms["n2"].Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h.size("n2") != 5 || h.size("n3") != 5 || h.size("n1") != 3 {
			t.Errorf("sizes %d %d %d, want 3 5 5", h.size("n1"), h.size("n2"), h.size("n3"))
		}
	})
}

func TestQuorum(t *testing.T) {
	for fault, want := range map[string]bool{"": true, "down": false, "silent": false, "garbage": false, "forged": false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, "n1", "n2", "n3", "n4", "n5")
			h.grow(3)
			h.fault("n2", fault)
			h.fault("n3", fault)
			h.fault("n4", fault)
			err := h.rooms["n1"].Round(t.Context())
			if want && err != nil || !want && !errors.Is(err, ErrQuorum) {
				t.Errorf("three of five %q: %v", fault, err)
			}
			if got := h.size("n1"); want != (got == 3) {
				t.Errorf("three of five %q: size %d", fault, got)
			}
			h.fault("n2", "")
			if err := h.rooms["n1"].Round(t.Context()); err != nil {
				t.Errorf("two of five %q: %v", fault, err)
			}
			if h.size("n1") != 3 || h.size("n5") != 3 {
				t.Errorf("two of five %q: sizes %d, %d", fault, h.size("n1"), h.size("n5"))
			}
		})
	}
}

// A follower that hears of the commit a moment later still cosigns; one that does not come is not waited for.
func TestFollowerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, "n1", "n2", "n3")
		h.trees["n1"].grow(3, "leaf")
		time.AfterFunc(100*time.Millisecond, func() { h.trees["n2"].grow(3, "leaf") })
		start := time.Now()
		if err := h.rooms["n1"].Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if h.size("n1") != 3 || h.size("n2") != 3 || h.size("n3") != 3 {
			t.Errorf("sizes %d %d %d", h.size("n1"), h.size("n2"), h.size("n3"))
		}
		h.trees["n1"].grow(1, "leaf")
		if err := h.rooms["n1"].Round(t.Context()); !errors.Is(err, ErrQuorum) {
			t.Errorf("alone: %v", err)
		}
	})
}

func TestOneNode(t *testing.T) {
	h := newHouse(t, "n1")
	h.grow(3)
	if err := h.rooms["n1"].Round(t.Context()); err != nil || h.size("n1") != 3 {
		t.Errorf("size %d, %v", h.size("n1"), err)
	}
}

// The rule of the room, each part broken on purpose.
func TestCosignRefused(t *testing.T) {
	fork := &tree{}
	fork.grow(9, "forged")
	other := &tree{}
	other.grow(9, "leaf")
	foreign, err := tlog.SignNote(tlog.Checkpoint{Origin: "other.example/2026-1", Size: 3}.Encode(), key(t, "other.example/2026-1").Signer())
	if err != nil {
		t.Fatal(err)
	}
	byNode, err := tlog.SignNote(tlog.Checkpoint{Origin: testLog, Size: 3}.Encode(), key(t, "n1").Signer())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := tlog.SignNote(tlog.Checkpoint{Origin: "other.example/2026-1", Size: 3}.Encode(), key(t, testLog).Signer())
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := tlog.SignNote(tlog.Checkpoint{Origin: testLog}.Encode(), key(t, testLog).Signer())
	if err != nil {
		t.Fatal(err)
	}
	prose, err := tlog.SignNote("hutong-receipt/1\n", key(t, testLog).Signer())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"the same again", signed(t, other, 5), nil},
		{"greater", signed(t, other, 7), nil},
		{"older", signed(t, other, 4), ErrOlder},
		{"forged at the same size", signed(t, fork, 5), ErrInconsistent},
		{"forged and greater", signed(t, fork, 7), ErrInconsistent},
		{"forged and older", signed(t, fork, 4), ErrOlder},
		{"not there yet", signed(t, other, 9), ErrBehind},
		{"foreign log", foreign, ErrUnsigned},
		{"signed by a node", byNode, ErrUnsigned},
		{"log key for another log", elsewhere, ErrUnsigned},
		{"empty tree", nothing, ErrUnsigned},
		{"no checkpoint", prose, ErrUnsigned},
		{"no note", []byte("x"), ErrUnsigned},
		{"altered", bytes.Replace(signed(t, other, 5), []byte("\n5\n"), []byte("\n6\n"), 1), ErrUnsigned},
	} {
		h := newHouse(t, "n1", "n2", "n3")
		h.grow(7)
		if _, err := h.rooms["n2"].Cosign(signed(t, other, 5)); err != nil {
			t.Fatal(err)
		}
		for _, restarted := range []bool{false, true} {
			if restarted {
				h.open("n2")
			}
			got, err := h.rooms["n2"].Cosign(c.msg)
			if !errors.Is(err, c.want) {
				t.Errorf("%s, restarted %v: %v, want %v", c.name, restarted, err, c.want)
			}
			if c.want != nil && got != nil {
				t.Errorf("%s: a note comes with the error", c.name)
			}
			if c.want == nil {
				n, err := tlog.OpenNote(got, verifier(t, key(t, "n2").CosignerVKey()))
				if err != nil || len(n.Signatures) != 1 || !n.Signatures[0].Cosign {
					t.Errorf("%s: %+v, %v", c.name, n, err)
				}
			}
		}
	}
}

func verifier(tb testing.TB, vkey string) tlog.Verifier {
	tb.Helper()
	v, err := tlog.ParseVKey(vkey)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// A node whose state was exchanged for another history after it cosigned refuses, though the new history fits itself.
func TestStateExchanged(t *testing.T) {
	h := newHouse(t, "n1", "n2", "n3")
	h.grow(5)
	if _, err := h.rooms["n2"].Cosign(signed(t, h.trees["n1"], 5)); err != nil {
		t.Fatal(err)
	}
	h.trees["n2"] = &tree{}
	h.trees["n2"].grow(8, "another history")
	h.open("n2")
	if _, err := h.rooms["n2"].Cosign(signed(t, h.trees["n2"], 8)); !errors.Is(err, ErrInconsistent) {
		t.Errorf("another history: %v", err)
	}
	// A state that lost its end waits until it has come back.
	h.trees["n2"] = &tree{}
	h.trees["n2"].grow(4, "leaf")
	h.open("n2")
	if _, err := h.rooms["n2"].Cosign(signed(t, h.trees["n1"], 5)); !errors.Is(err, ErrBehind) {
		t.Errorf("lost its end: %v", err)
	}
}

// The leader's own state decides first: what it does not confirm is not even signed by the log.
func TestLeaderDiverged(t *testing.T) {
	h := newHouse(t, "n1", "n2", "n3")
	h.trees["n1"].grow(3, "diverged")
	h.trees["n2"].grow(3, "leaf")
	h.trees["n3"].grow(3, "leaf")
	if err := h.rooms["n1"].Round(t.Context()); !errors.Is(err, ErrQuorum) || h.size("n1") != 0 {
		t.Errorf("a leader alone with its history: %v", err)
	}
	cfg, set := h.settings("n2")
	set.Tree = wrongMark{h.trees["n2"]}
	r, err := Open(cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Round(t.Context()); !errors.Is(err, ErrInconsistent) {
		t.Errorf("a mark with another root: %v", err)
	}
	set.Tree, set.LogKey = h.trees["n2"], nil
	if r, err = Open(cfg, set); err != nil {
		t.Fatal(err)
	}
	if err := r.Round(t.Context()); !errors.Is(err, ErrUnsigned) {
		t.Errorf("without the log's key: %v", err)
	}
}

type wrongMark struct{ *tree }

func (w wrongMark) Mark() (Mark, bool) {
	return Mark{Size: 3, Root: tlog.LeafHash([]byte("wrong"))}, true
}

func TestKeep(t *testing.T) {
	h := newHouse(t, "n1", "n2", "n3")
	h.grow(5)
	full := func(size uint64, t0 *tree, at int64, nodes ...string) []byte {
		msg := signed(t, t0, size)
		for _, n := range nodes {
			var err error
			if msg, err = tlog.AddSignatures(msg, key(t, n).Cosigner(at)); err != nil {
				t.Fatal(err)
			}
		}
		return msg
	}
	fork := &tree{}
	fork.grow(9, "forged")
	later := &tree{}
	later.grow(9, "leaf")
	for _, c := range []struct {
		name string
		msg  []byte
		want error
		size uint64
	}{
		{"first", full(4, later, 100, "n1", "n2"), nil, 4},
		{"too few cosigners", full(5, later, 100, "n1"), tlog.ErrQuorum, 4},
		{"older", full(3, later, 200, "n1", "n2"), nil, 4},
		{"forged", full(5, fork, 200, "n1", "n2"), ErrInconsistent, 4},
		{"newer than own state", full(8, later, 200, "n1", "n3"), nil, 8},
		{"garbage", []byte("x"), tlog.ErrNote, 8},
	} {
		_, err := link{node: "n1", house: h}.Call(t.Context(), "n2", KindKeep, c.msg)
		if !errors.Is(err, c.want) || h.size("n2") != c.size {
			t.Errorf("%s: %v, size %d; want %v, %d", c.name, err, h.size("n2"), c.want, c.size)
		}
	}
	_, before := h.rooms["n2"].Latest()
	if _, err := (link{node: "n1", house: h}).Call(t.Context(), "n2", KindKeep, full(8, later, 300, "n1", "n3")); err != nil {
		t.Fatal(err)
	}
	note, at := h.rooms["n2"].Latest()
	if !at.After(before) || at.Unix() != 300 {
		t.Errorf("cosigned anew at %v, then %v", before, at)
	}
	// It is there again after a restart, byte by byte.
	h.open("n2")
	if again, atAgain := h.rooms["n2"].Latest(); !bytes.Equal(note, again) || !at.Equal(atAgain) {
		t.Error("the note did not survive a restart")
	}
}

func TestOpenDamaged(t *testing.T) {
	h := newHouse(t, "n1", "n2", "n3")
	h.grow(3)
	if err := h.rooms["n1"].Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	entries, err := os.ReadDir(h.dirs["n1"])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files[e.Name()] = true
	}
	if want := map[string]bool{noteFile: true, cosignedFile: true}; !maps.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	// A damaged note is made anew.
	if err := os.WriteFile(filepath.Join(h.dirs["n1"], noteFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open("n1")
	if h.size("n1") != 0 {
		t.Error("a damaged note is served")
	}
	if err := h.rooms["n1"].Round(t.Context()); err != nil || h.size("n1") != 3 {
		t.Errorf("after a damaged note: size %d, %v", h.size("n1"), err)
	}
	// A damaged record of the last cosignature stops the node.
	if err := os.WriteFile(filepath.Join(h.dirs["n1"], cosignedFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(h.settings("n1")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged record: %v", err)
	}
	// The record of another log says nothing about this one.
	if err := os.WriteFile(filepath.Join(h.dirs["n1"], cosignedFile), []byte(tlog.Checkpoint{Origin: "hutong.example/county/2025-1", Size: 900}.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open("n1")
	if _, err := h.rooms["n1"].Cosign(signed(t, h.trees["n1"], 3)); err != nil {
		t.Errorf("after another log: %v", err)
	}
}

func TestOpenRefused(t *testing.T) {
	h := newHouse(t, "n1")
	for name, alter := range map[string]func(cfg *Config){
		"no key": func(cfg *Config) { cfg.LogVKey = "" }, "key of another log": func(cfg *Config) { cfg.LogVKey = key(t, "other").VKey() },
	} {
		cfg, set := h.settings("n1")
		alter(&cfg)
		if _, err := Open(cfg, set); !errors.Is(err, tlog.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg, set := h.settings("n1")
	cfg.Dir = filepath.Join(cfg.Dir, cosignedFile, "x")
	if err := os.WriteFile(filepath.Dir(cfg.Dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, set); err == nil {
		t.Error("opened below a file")
	}
}

// What cannot be written down is not cosigned.
func TestCosignNotWritten(t *testing.T) {
	h := newHouse(t, "n1", "n2", "n3")
	h.grow(3)
	if err := os.RemoveAll(h.dirs["n2"]); err != nil {
		t.Fatal(err)
	}
	if got, err := h.rooms["n2"].Cosign(signed(t, h.trees["n1"], 3)); err == nil || got != nil {
		t.Errorf("cosigned without a record: %v", err)
	}
}
