package audit

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/node/tlog"
)

// mimeType stands first and uncompressed in the ZIP, so that a file can be told from its first bytes.
const mimeType = "application/vnd.hutong.evidence+zip"

// Limits of an evidence file. What exceeds them is refused by Write and by Read.
const (
	maxFiles      = 65536     // entries of the ZIP
	maxFileBytes  = 2 << 20   // one entry, unpacked: a body has 1 MiB at most
	maxTotalBytes = 128 << 20 // all entries, unpacked
	maxPath       = 48        // hashes of an inner path
)

// archiveFormat is the value of "format" in manifest.json.
const archiveFormat = 1

// manifest says what the file is about. Nothing in it is believed: the verifier compares it with the proofs.
type manifest struct {
	Format   int    `json:"format"`
	Log      string `json:"log"`
	Resource string `json:"resource"`
	For      string `json:"for,omitempty"`
	At       int64  `json:"at"`
}

// place is the JSON beside an item.
type place struct {
	Leaf  uint64   `json:"leaf"`
	Place int      `json:"place"`
	Path  []string `json:"path"`
}

// secrets is the JSON beside opened values.
type secrets struct {
	Body       string `json:"body,omitempty"`
	Key        string `json:"key,omitempty"`
	ID         string `json:"id,omitempty"`
	Projection string `json:"projection,omitempty"`
}

// Write writes evidence as a ZIP. The same evidence gives the same bytes. It returns ErrEvidence if a limit is
// exceeded, or the error of w.
//
//	mimetype                          fixed, first, stored
//	manifest.json                     format, log, resource, for whom, when
//	events/<index>.json               leaf as stored
//	events/<index>.tlog-proof         C2SP tlog-proof@v1 with the cosigned checkpoint; absent while pending
//	records/<offset>.item .json       item as hashed; leaf, place, inner path
//	records/<offset>.open             secrets of what is opened, values in .body .key .id
//	deliveries/<leaf>-<offset>.item .json .open .projection
//	objects/<index>.json              catalogue object whose digest stands in the leaf
//	receipts/<n>.note                 signed receipts
//	summary.html                      for people, proves nothing
func Write(w io.Writer, e Evidence) error {
	a := &archiveWriter{zip: zip.NewWriter(w), modified: time.UnixMilli(max(e.At, 0)).UTC()}
	a.store("mimetype", []byte(mimeType))
	a.json("manifest.json", manifest{Format: archiveFormat, Log: e.Log, Resource: e.Resource, For: e.For, At: e.At})
	for _, l := range e.Leaves {
		name := "events/" + strconv.FormatUint(l.Index, 10)
		a.file(name+".json", l.Bytes)
		if !l.Pending {
			a.file(name+".tlog-proof", tlog.Proof{Index: l.Index, Path: l.Path, Checkpoint: e.Checkpoint}.Encode())
		}
	}
	for _, r := range e.Records {
		name := "records/" + strconv.FormatUint(r.Offset, 10)
		a.file(name+".item", r.Item)
		a.json(name+".json", place{Leaf: r.Leaf, Place: r.Place, Path: hexPath(r.Path)})
		var s secrets
		a.opening(name+".body", r.Open.Body, &s.Body)
		a.opening(name+".key", r.Open.Key, &s.Key)
		a.opening(name+".id", r.Open.ID, &s.ID)
		a.secrets(name+".open", s)
	}
	for _, d := range e.Deliveries {
		name := fmt.Sprintf("deliveries/%d-%d", d.Leaf, d.Offset)
		a.file(name+".item", d.Item)
		a.json(name+".json", place{Leaf: d.Leaf, Place: d.Place, Path: hexPath(d.Path)})
		var s secrets
		a.opening(name+".projection", d.Projection, &s.Projection)
		a.secrets(name+".open", s)
	}
	for _, o := range e.Objects {
		a.file(fmt.Sprintf("objects/%d.json", o.Leaf), o.JSON)
	}
	for i, note := range e.Receipts {
		a.file(fmt.Sprintf("receipts/%d.note", i), note)
	}
	a.file("summary.html", summary(e))
	if a.err != nil {
		return fmt.Errorf("write evidence: %w", a.err)
	}
	if err := a.zip.Close(); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

// archiveWriter keeps the first error.
type archiveWriter struct {
	zip      *zip.Writer
	modified time.Time
	files    int
	total    int
	err      error
}

func (a *archiveWriter) store(name string, b []byte) { a.add(name, b, zip.Store) }
func (a *archiveWriter) file(name string, b []byte)  { a.add(name, b, zip.Deflate) }

func (a *archiveWriter) add(name string, b []byte, method uint16) {
	if a.err != nil {
		return
	}
	a.files++
	a.total += len(b)
	if a.files > maxFiles || len(b) > maxFileBytes || a.total > maxTotalBytes {
		a.err = fmt.Errorf("%s: more than an evidence file may hold: %w", name, ErrEvidence)
		return
	}
	h := &zip.FileHeader{Name: name, Method: method}
	if method == zip.Deflate { // the extended time stamp would move the content of the first entry
		h.Modified = a.modified
	}
	if method == zip.Store { // sizes before the content: no data descriptor, the content begins at byte 38
		h.CRC32, h.CompressedSize64, h.UncompressedSize64 = checksum(b), uint64(len(b)), uint64(len(b))
		f, err := a.zip.CreateRaw(h)
		a.write(f, b, err)
		return
	}
	f, err := a.zip.CreateHeader(h)
	a.write(f, b, err)
}

func (a *archiveWriter) write(f io.Writer, b []byte, err error) {
	if err == nil {
		_, err = f.Write(b)
	}
	a.err = err
}

func (a *archiveWriter) json(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, b)
}

func (a *archiveWriter) opening(name string, o *Opening, secret *string) {
	if o == nil {
		return
	}
	*secret = hex.EncodeToString(o.Secret[:])
	a.file(name, o.Value)
}

func (a *archiveWriter) secrets(name string, s secrets) {
	if s != (secrets{}) {
		a.json(name, s)
	}
}

func hexPath(path []tlog.Hash) []string {
	out := make([]string, len(path))
	for i, h := range path {
		out[i] = hex.EncodeToString(h[:])
	}
	return out
}

// archiveError is a refusal of the container, with the sentences of the report.
type archiveError struct{ zh, en string }

func (e *archiveError) Error() string { return e.en }

func refuseFile(name, zh, en string) error {
	if len(name) > 80 {
		name = name[:80] + "…"
	}
	return &archiveError{zh: fmt.Sprintf("条目 %q:%s", name, zh), en: fmt.Sprintf("entry %q: %s", name, en)}
}

// Read reads an evidence file of size bytes without believing anything in it: names outside the list at Write,
// duplicates, and whatever exceeds the limits are refused. It returns ErrEvidence wrapped around the reason, or the
// error of r.
func Read(r io.ReaderAt, size int64) (Evidence, error) {
	files, err := readFiles(r, size)
	if err != nil {
		return Evidence{}, fmt.Errorf("read evidence: %w", errors.Join(ErrEvidence, err))
	}
	e, err := assemble(files)
	if err != nil {
		return Evidence{}, fmt.Errorf("read evidence: %w", errors.Join(ErrEvidence, err))
	}
	return e, nil
}

// readFiles unpacks the ZIP within the limits.
func readFiles(r io.ReaderAt, size int64) (map[string][]byte, error) {
	if size > maxTotalBytes {
		return nil, &archiveError{"文件过大", "the file is too large"}
	}
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, &archiveError{"不是 ZIP 文件或已损坏", "not a ZIP file, or damaged"}
	}
	if len(z.File) > maxFiles {
		return nil, &archiveError{"条目过多", "too many entries"}
	}
	if len(z.File) == 0 || z.File[0].Name != "mimetype" || z.File[0].Method != zip.Store {
		return nil, &archiveError{"首个条目不是 mimetype", "the first entry is not mimetype"}
	}
	if at, err := z.File[0].DataOffset(); err != nil || at != 30+int64(len("mimetype")) {
		return nil, &archiveError{"ZIP 前有多余内容", "something stands before the ZIP"}
	}
	files := make(map[string][]byte, len(z.File))
	left := int64(maxTotalBytes)
	for _, f := range z.File {
		if !knownName(f.Name) {
			return nil, refuseFile(f.Name, "名称不在允许之列", "name is not one of an evidence file")
		}
		if _, dup := files[f.Name]; dup {
			return nil, refuseFile(f.Name, "重复出现", "stands twice")
		}
		b, err := readFile(f, min(maxFileBytes, left))
		if err != nil {
			return nil, err
		}
		left -= int64(len(b))
		files[f.Name] = b
	}
	if string(files["mimetype"]) != mimeType {
		return nil, refuseFile("mimetype", "类型不是证据包", "type is not that of an evidence file")
	}
	return files, nil
}

func readFile(f *zip.File, limit int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(limit) {
		return nil, refuseFile(f.Name, "超过大小上限", "larger than allowed")
	}
	rc, err := f.Open()
	if err != nil {
		return nil, refuseFile(f.Name, "无法解压", "cannot be unpacked")
	}
	b := bytes.NewBuffer([]byte{}) // not nil: an empty file is there, too
	n, err := io.Copy(b, io.LimitReader(rc, limit+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, refuseFile(f.Name, "无法解压", "cannot be unpacked")
	}
	if n > limit {
		return nil, refuseFile(f.Name, "超过大小上限", "larger than allowed")
	}
	return b.Bytes(), nil
}

// suffixes are the endings allowed in each folder.
var suffixes = map[string][]string{
	"events":     {".json", ".tlog-proof"},
	"records":    {".item", ".json", ".open", ".body", ".key", ".id"},
	"deliveries": {".item", ".json", ".open", ".projection"},
	"objects":    {".json"},
	"receipts":   {".note"},
}

// knownName reports whether name is one that Write writes: so no path can leave the folder it is unpacked to.
func knownName(name string) bool {
	if name == "mimetype" || name == "manifest.json" || name == "summary.html" {
		return true
	}
	folder, file, _ := strings.Cut(name, "/")
	for _, suffix := range suffixes[folder] {
		stem, ok := strings.CutSuffix(file, suffix)
		if !ok {
			continue
		}
		if folder == "deliveries" {
			leaf, offset, two := strings.Cut(stem, "-")
			return two && isNumber(leaf) && isNumber(offset)
		}
		return isNumber(stem)
	}
	return false
}

func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == s
}
