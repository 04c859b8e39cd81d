package replica

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"sort"
	"strings"

	"github.com/hutong-bus/hutong/node/store"
)

// An archive is a Pebble checkpoint as it travels to another node:
//
//	magic "HTSNAP", version, length of cluster id (1), cluster id,
//	snapshot index (8), applied index (8), number of files (4), CRC-32C of the above (4)
//	per file: length of name (2), name, size (8), bytes, CRC-32C of all that (4)
//
// Its size is known before the first byte is sent: raft copies exactly that many.
const (
	archiveMagic   = "HTSNAP"
	archiveVersion = 1
	archiveFiles   = 1 << 20 // more files than that are no checkpoint of ours
	installMark    = "HUTONG-INSTALL"
)

// archiveHeader is what an archive says about itself. Applied is a lower bound
// of the applied index of the state inside, never below Index.
type archiveHeader struct {
	Cluster        string
	Index, Applied uint64
	Files          int
}

type archiveFile struct {
	name string
	size int64
}

// listCheckpoint names the files of a checkpoint in order, with their sizes.
func listCheckpoint(fs store.FS, dir string) ([]archiveFile, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var files []archiveFile
	for _, name := range names {
		st, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		if st.IsDir() || name == installMark {
			continue
		}
		files = append(files, archiveFile{name, st.Size()})
	}
	return files, nil
}

func (h archiveHeader) encode() []byte {
	b := append([]byte(archiveMagic), archiveVersion, byte(len(h.Cluster)))
	b = append(b, h.Cluster...)
	b = binary.BigEndian.AppendUint64(b, h.Index)
	b = binary.BigEndian.AppendUint64(b, h.Applied)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Files))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func archiveSize(h archiveHeader, files []archiveFile) int64 {
	n := int64(len(h.encode()))
	for _, f := range files {
		n += 2 + int64(len(f.name)) + 8 + f.size + 4
	}
	return n
}

// writeArchive streams a checkpoint. stop ends it with ErrInstallAborted.
func writeArchive(w io.Writer, fs store.FS, dir string, h archiveHeader, files []archiveFile, stop <-chan struct{}) error {
	if _, err := w.Write(h.encode()); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for _, f := range files {
		if err := writeArchiveFile(w, fs, dir, f, buf, stop); err != nil {
			return fmt.Errorf("send %s: %w", f.name, err)
		}
	}
	return nil
}

func writeArchiveFile(w io.Writer, fs store.FS, dir string, f archiveFile, buf []byte, stop <-chan struct{}) error {
	src, err := fs.Open(fs.PathJoin(dir, f.name))
	if err != nil {
		return err
	}
	defer src.Close()
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(w, sum)
	head := binary.BigEndian.AppendUint16(nil, uint16(len(f.name)))
	head = binary.BigEndian.AppendUint64(append(head, f.name...), uint64(f.size))
	if _, err := out.Write(head); err != nil {
		return err
	}
	for left := f.size; left > 0; {
		select {
		case <-stop:
			return ErrInstallAborted
		default:
		}
		n, err := io.ReadFull(src, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	_, err = w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// readArchive unpacks an archive into dir, which must be empty, and syncs every
// file and the directory. It returns ErrCorrupt, ErrForeign, store.ErrUpgrade.
func readArchive(r io.Reader, fs store.FS, dir, cluster string) (archiveHeader, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	h, err := readArchiveHeader(br, cluster)
	if err != nil {
		return h, err
	}
	seen := map[string]bool{}
	for range h.Files {
		name, err := readArchiveFile(br, fs, dir, seen)
		if err != nil {
			return h, fmt.Errorf("unpack %q: %w", name, err)
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return h, fmt.Errorf("%w: bytes after the last file", ErrCorrupt)
	}
	return h, syncDir(fs, dir)
}

func readArchiveHeader(r io.Reader, cluster string) (h archiveHeader, err error) {
	sum := crc32.New(castagnoli)
	fixed := make([]byte, len(archiveMagic)+2)
	if err := readSummed(r, sum, fixed); err != nil {
		return h, err
	}
	if string(fixed[:len(archiveMagic)]) != archiveMagic {
		return h, fmt.Errorf("%w: not a snapshot", ErrCorrupt)
	}
	if fixed[len(archiveMagic)] != archiveVersion {
		return h, fmt.Errorf("snapshot of version %d: %w", fixed[len(archiveMagic)], store.ErrUpgrade)
	}
	rest := make([]byte, int(fixed[len(archiveMagic)+1])+8+8+4)
	if err := readSummed(r, sum, rest); err != nil {
		return h, err
	}
	want := sum.Sum32()
	var crc [4]byte
	if _, err := io.ReadFull(r, crc[:]); err != nil {
		return h, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if binary.BigEndian.Uint32(crc[:]) != want {
		return h, fmt.Errorf("%w: checksum of the snapshot's header differs", ErrCorrupt)
	}
	n := len(rest) - 20
	h = archiveHeader{
		Cluster: string(rest[:n]), Index: binary.BigEndian.Uint64(rest[n:]),
		Applied: binary.BigEndian.Uint64(rest[n+8:]), Files: int(binary.BigEndian.Uint32(rest[n+16:])),
	}
	if h.Cluster != cluster {
		return h, ErrForeign
	}
	if h.Files > archiveFiles || h.Applied < h.Index {
		return h, fmt.Errorf("%w: snapshot header", ErrCorrupt)
	}
	return h, nil
}

func readArchiveFile(r io.Reader, fs store.FS, dir string, seen map[string]bool) (name string, err error) {
	sum := crc32.New(castagnoli)
	var n [2]byte
	if err := readSummed(r, sum, n[:]); err != nil {
		return "", err
	}
	head := make([]byte, int(binary.BigEndian.Uint16(n[:]))+8)
	if err := readSummed(r, sum, head); err != nil {
		return "", err
	}
	name = string(head[:len(head)-8])
	size := binary.BigEndian.Uint64(head[len(head)-8:])
	// Only plain names: a name must never lead out of the directory.
	if name == "" || name != path.Base(name) || strings.ContainsAny(name, `/\`) || name == "." || name == ".." ||
		name == installMark || len(name) > 255 || seen[name] || size > 1<<50 {
		return name, fmt.Errorf("%w: file name", ErrCorrupt)
	}
	seen[name] = true
	f, err := fs.Create(fs.PathJoin(dir, name))
	if err != nil {
		return name, err
	}
	// The sum comes first: a File may change the bytes it is given.
	if _, err := io.CopyN(io.MultiWriter(sum, f), r, int64(size)); err != nil {
		_ = f.Close()
		return name, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	want := sum.Sum32()
	var crc [4]byte
	if _, err := io.ReadFull(r, crc[:]); err != nil || binary.BigEndian.Uint32(crc[:]) != want {
		_ = f.Close()
		return name, fmt.Errorf("%w: checksum differs", ErrCorrupt)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return name, err
	}
	return name, f.Close()
}

func readSummed(r io.Reader, sum hash.Hash32, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	_, _ = sum.Write(b) // never fails
	return nil
}

func syncDir(fs store.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}

// writeFile leaves the old file or the new one after a crash.
func writeFile(fs store.FS, dir, name string, data []byte) error {
	tmp := fs.PathJoin(dir, name+".new")
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fs.Rename(tmp, fs.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func readFile(fs store.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
