package tlog

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	xtlog "golang.org/x/mod/sumdb/tlog"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// tree is a log in memory.
type tree struct {
	leaves [][]byte
	hashes []Hash
}

func (t *tree) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("hash %d is not stored", x)
		}
		out[i] = t.hashes[x]
	}
	return out, nil
}

func (t *tree) add(tb testing.TB, leaf []byte) {
	tb.Helper()
	n := int64(len(t.leaves))
	if StoredHashCount(n) != int64(len(t.hashes)) || n > 0 && StoredHashIndex(0, n) != int64(len(t.hashes)) {
		tb.Fatalf("leaf %d: %d hashes are stored", n, len(t.hashes))
	}
	hs, err := StoredHashes(n, leaf, t)
	if err != nil {
		tb.Fatal(err)
	}
	t.leaves, t.hashes = append(t.leaves, leaf), append(t.hashes, hs...)
}

func (t *tree) root(tb testing.TB, n int64) Hash {
	tb.Helper()
	h, err := TreeHash(n, t)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func newTree(tb testing.TB, n int) *tree {
	t := &tree{}
	for i := range n {
		t.add(tb, fmt.Appendf(nil, "leaf %d", i))
	}
	return t
}

// The reference leaves and roots of Certificate Transparency (RFC 6962).
func TestRootsOfCertificateTransparency(t *testing.T) {
	tr := &tree{}
	want := map[int64]string{
		0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	for i := 0; ; i++ {
		h := tr.root(t, int64(i))
		if w, ok := want[int64(i)]; ok && hex.EncodeToString(h[:]) != w {
			t.Errorf("root of %d leaves is %x, want %s", i, h, w)
		}
		if i == len(leaves) {
			break
		}
		b, err := hex.DecodeString(leaves[i])
		if err != nil {
			t.Fatal(err)
		}
		tr.add(t, b)
	}
}

func TestInclusionAndConsistency(t *testing.T) {
	const size = 70
	tr := newTree(t, size)
	for n := int64(1); n <= size; n++ {
		root := tr.root(t, n)
		for i := range n {
			path, err := ProveRecord(n, i, tr)
			if err != nil {
				t.Fatal(err)
			}
			leaf := LeafHash(tr.leaves[i])
			if err := CheckRecord(path, n, root, i, leaf); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			other := leaf
			other[31] ^= 1
			if err := CheckRecord(path, n, root, i, other); !errors.Is(err, ErrProof) {
				t.Fatalf("leaf %d of %d: altered leaf: %v", i, n, err)
			}
			if err := CheckRecord(append(path, leaf), n, root, i, leaf); !errors.Is(err, ErrProof) {
				t.Fatalf("leaf %d of %d: longer path: %v", i, n, err)
			}
		}
		for old := int64(1); old <= n; old++ {
			path, err := ProveTree(n, old, tr)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckTree(path, n, root, old, tr.root(t, old)); err != nil {
				t.Fatalf("size %d within %d: %v", old, n, err)
			}
			if old < n {
				if err := CheckTree(path, n, root, old, root); !errors.Is(err, ErrProof) {
					t.Fatalf("size %d within %d: forked: %v", old, n, err)
				}
			}
		}
	}
}

func TestRange(t *testing.T) {
	tr := newTree(t, 3)
	ask := map[string]func() error{
		"leaf -1":         func() error { _, err := StoredHashes(-1, nil, tr); return err },
		"leaf MaxSize":    func() error { _, err := StoredHashes(MaxSize, nil, tr); return err },
		"root -1":         func() error { _, err := TreeHash(-1, tr); return err },
		"root too large":  func() error { _, err := TreeHash(MaxSize+1, tr); return err },
		"prove 3 of 3":    func() error { _, err := ProveRecord(3, 3, tr); return err },
		"prove -1":        func() error { _, err := ProveRecord(3, -1, tr); return err },
		"prove size 0":    func() error { _, err := ProveTree(3, 0, tr); return err },
		"prove 4 in 3":    func() error { _, err := ProveTree(3, 4, tr); return err },
		"tile level -1":   func() error { _, err := ReadTile(-1, 0, 1, tr); return err },
		"tile level 7":    func() error { _, err := ReadTile(7, 0, 1, tr); return err },
		"tile width 0":    func() error { _, err := ReadTile(0, 0, 0, tr); return err },
		"tile width 257":  func() error { _, err := ReadTile(0, 0, 257, tr); return err },
		"tile index -1":   func() error { _, err := ReadTile(0, -1, 1, tr); return err },
		"tile index huge": func() error { _, err := ReadTile(0, 1<<62, 1, tr); return err },
	}
	for name, f := range ask {
		if err := f(); !errors.Is(err, ErrRange) {
			t.Errorf("%s: %v, want ErrRange", name, err)
		}
	}
	// Sizes near the end of int64 come to an end, too.
	for _, size := range []int64{MaxSize + 1, 1 << 62, 1<<63 - 1} {
		if err := CheckRecord(nil, size, Hash{}, 0, Hash{}); !errors.Is(err, ErrProof) {
			t.Errorf("check in a tree of %d: %v", size, err)
		}
		if err := CheckTree(nil, size, Hash{}, size-1, Hash{}); !errors.Is(err, ErrProof) {
			t.Errorf("check consistency of %d: %v", size, err)
		}
	}
	if _, err := ReadTile(0, 0, 4, tr); err == nil {
		t.Error("a tile wider than the tree was read")
	}
}

// The example of C2SP tlog-tiles: a tree of 70,000 leaves.
func TestWidthAt(t *testing.T) {
	for _, c := range []struct {
		level int
		index int64
		size  uint64
		want  int
	}{
		{0, 0, 70000, 256}, {0, 272, 70000, 256}, {0, 273, 70000, 112}, {0, 274, 70000, 0},
		{1, 0, 70000, 256}, {1, 1, 70000, 17}, {1, 2, 70000, 0},
		{2, 0, 70000, 1}, {3, 0, 70000, 0},
		{0, 0, 256, 256}, {1, 0, 256, 1}, {0, 1, 256, 0}, {0, 0, 0, 0},
		{-1, 0, 9, 0}, {0, -1, 9, 0}, {9, 0, MaxSize, 0}, {0, 1 << 62, 9, 0}, {0, 0, 1 << 63, 0},
	} {
		if got := WidthAt(c.level, c.index, c.size); got != c.want {
			t.Errorf("WidthAt(%d, %d, %d) = %d, want %d", c.level, c.index, c.size, got, c.want)
		}
	}
}

func TestTilePaths(t *testing.T) {
	for _, c := range []struct {
		tile Tile
		path string
	}{
		{Tile{Level: 0, Index: 0, Width: 256}, "tile/0/000"},
		{Tile{Level: 0, Index: 273, Width: 112}, "tile/0/273.p/112"},
		{Tile{Level: 2, Index: 1234067, Width: 256}, "tile/2/x001/x234/067"},
		{Tile{Entries: true, Index: 273, Width: 1}, "tile/entries/273.p/1"},
		{Tile{Entries: true, Index: 1234067, Width: 256}, "tile/entries/x001/x234/067"},
	} {
		if got := c.tile.Path(); got != c.path {
			t.Errorf("%+v.Path() = %q, want %q", c.tile, got, c.path)
		}
		got, err := ParseTilePath(c.path)
		if err != nil || got != c.tile {
			t.Errorf("ParseTilePath(%q) = %+v, %v", c.path, got, err)
		}
	}
	if got := TilePath(1, 2, 3); got != "tile/1/002.p/3" {
		t.Errorf("TilePath = %q", got)
	}
	if got := EntriesPath(2, 256); got != "tile/entries/002" {
		t.Errorf("EntriesPath = %q", got)
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/0", "tile/0/00", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/1000", "tile/0/001/000",
		"tile/0/x000/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p", "tile/data/000", "tile/entries", "tile/entries/x",
		"tile/0/../000", "tile/8/0/000", "/tile/0/000", "tile/0/000/", "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if got, err := ParseTilePath(path); !errors.Is(err, ErrRange) {
			t.Errorf("ParseTilePath(%q) = %+v, %v, want ErrRange", path, got, err)
		}
	}
}

// Tiles and bundles are enough to prove every leaf to somebody who has only them and the root: here to x/mod's own
// reader of tiles.
func TestTilesProveTheTree(t *testing.T) {
	const size = 600
	tr := newTree(t, size)
	server := &tileServer{t: t, tr: tr, size: size}
	reader := xtlog.TileHashReader(xtlog.Tree{N: size, Hash: tr.root(t, size)}, server)
	for i := int64(0); i < size; i += 37 {
		path, err := ProveRecord(size, i, reader)
		if err != nil {
			t.Fatal(err)
		}
		n := i / TileWidth
		width := WidthAt(0, n, size)
		bundle, err := EncodeBundle(tr.leaves[n*TileWidth : n*TileWidth+int64(width)])
		if err != nil {
			t.Fatal(err)
		}
		leaves, err := ParseBundle(bundle, width)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckRecord(path, size, tr.root(t, size), i, LeafHash(leaves[i%TileWidth])); err != nil {
			t.Fatal(err)
		}
	}
}

type tileServer struct {
	t    *testing.T
	tr   *tree
	size uint64
}

func (s *tileServer) Height() int { return tileHeight }

func (s *tileServer) ReadTiles(tiles []xtlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		if w := WidthAt(tile.L, tile.N, s.size); w != tile.W {
			s.t.Errorf("WidthAt(%d, %d) = %d, x/mod asks for %d", tile.L, tile.N, w, tile.W)
		}
		b, err := ReadTile(tile.L, tile.N, tile.W, s.tr)
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (s *tileServer) SaveTiles([]xtlog.Tile, [][]byte) {}

func TestBundle(t *testing.T) {
	full := [][]byte{[]byte("a"), {}, make([]byte, MaxEntryBytes)}
	b, err := EncodeBundle(full)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseBundle(b, 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("bundle (-want +got):\n%s", diff)
	}
	if _, err := EncodeBundle([][]byte{make([]byte, MaxEntryBytes+1)}); !errors.Is(err, ErrRange) {
		t.Errorf("too long leaf: %v", err)
	}
	if _, err := EncodeBundle(make([][]byte, 257)); !errors.Is(err, ErrRange) {
		t.Errorf("257 leaves: %v", err)
	}
	for name, c := range map[string]struct {
		b     []byte
		width int
	}{
		"fewer": {b, 4}, "more": {b, 2}, "cut": {b[:len(b)-1], 3}, "half a length": {[]byte{0}, 1}, "width 0": {nil, 0}, "width 257": {nil, 257},
	} {
		if _, err := ParseBundle(c.b, c.width); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v, want ErrProof", name, err)
		}
	}
}

func TestLogNames(t *testing.T) {
	if got := LogName("hutong.example/county", 2026, 1); got != "hutong.example/county/2026-1" || ShortLogName(got) != "2026-1" {
		t.Errorf("LogName = %q, short %q", got, ShortLogName(got))
	}
	for s, want := range map[string]bool{
		"2026-1": true, "2026-12": true, "2026-0": false, "2026-01": false, "26-1": false, "2026": false, "2026-": false, "2026-x": false, "+026-1": false, "2026-+1": false, "": false,
	} {
		if IsShortLogName(s) != want {
			t.Errorf("IsShortLogName(%q) = %v", s, !want)
		}
	}
}

func BenchmarkStoredHashes(b *testing.B) {
	tr := &tree{}
	leaf := make([]byte, 480)
	for b.Loop() {
		tr.add(b, leaf)
	}
}
