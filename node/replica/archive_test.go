package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hutong-bus/hutong/node/store"
)

func TestArchiveRefuses(t *testing.T) {
	s := openStill(t, store.NewMemFS())
	defer s.close()
	s.apply("a/1")
	_, good := s.archive(s.take())
	header := archiveHeader{Cluster: "c-test", Index: 1, Applied: 1, Files: 1}
	file := func(name string) []byte {
		src := store.NewMemFS()
		if err := src.MkdirAll("x", 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := src.Create(src.PathJoin("x", "f"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := writeArchive(&b, renaming{src, "f"}, "x", header, []archiveFile{{name, 0}}, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	flipped := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 1; return b }
	foreign := header
	foreign.Cluster = "c-other"
	behind := header
	behind.Applied = 0
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"magic", flipped(0), ErrCorrupt},
		{"version", flipped(6), store.ErrUpgrade},
		{"cluster", flipped(9), ErrCorrupt},
		{"foreign", foreign.encode(), ErrForeign},
		{"state behind its index", behind.encode(), ErrCorrupt},
		{"first file", flipped(len(header.encode()) + 4), ErrCorrupt},
		{"last byte", flipped(len(good) - 1), ErrCorrupt},
		{"more", append(bytes.Clone(good), 0), ErrCorrupt},
		{"way out", file("../f"), ErrCorrupt},
		{"absolute", file("/f"), ErrCorrupt},
		{"backslash", file(`..\f`), ErrCorrupt},
		{"dot", file("."), ErrCorrupt},
		{"mark", file(installMark), ErrCorrupt},
	}
	for _, tt := range tests {
		fs := store.NewMemFS()
		if err := fs.MkdirAll("in", 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := readArchive(bytes.NewReader(tt.in), fs, "in", "c-test"); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := readArchive(bytes.NewReader(file("f")), mustDir(t), "in", "c-test"); err != nil {
		t.Errorf("plain name: %v", err)
	}
}

func mustDir(t *testing.T) store.FS {
	t.Helper()
	fs := store.NewMemFS()
	if err := fs.MkdirAll("in", 0o700); err != nil {
		t.Fatal(err)
	}
	return fs
}

// renaming opens one file whatever name is asked for.
type renaming struct {
	store.FS
	name string
}

func (r renaming) PathJoin(elem ...string) string { return r.FS.PathJoin(elem[0], r.name) }

func FuzzReadArchive(f *testing.F) {
	h := archiveHeader{Cluster: "c-test", Index: 3, Applied: 4, Files: 0}
	f.Add(h.encode())
	h.Files = 1
	f.Add(append(h.encode(), 0, 1, 'f', 0, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := readArchive(bytes.NewReader(b), mustDir(t), "in", "c-test")
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, store.ErrUpgrade) {
			t.Errorf("unnamed error %v", err)
		}
	})
}

func TestArchiveGolden(t *testing.T) {
	golden(t, "archive_header_v1.hex", archiveHeader{Cluster: "c-test", Index: 3, Applied: 4, Files: 2}.encode())
	raw, err := json.Marshal(snapshotMeta{V: 1, ID: "x", Index: 3, Term: 2, Configuration: []byte{1}, ConfigurationIndex: 1, Applied: 4})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot_meta_v1.hex", raw)
}
