package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/tlog"
)

func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// assemble makes Evidence of the files of the ZIP. Every file must be used: what is beside the evidence could be
// taken for it.
func assemble(files map[string][]byte) (Evidence, error) {
	a := &assembly{files: files}
	delete(files, "mimetype")
	delete(files, "summary.html")
	var m manifest
	a.json("manifest.json", &m)
	if a.err == nil && m.Format != archiveFormat {
		return Evidence{}, refuseFile("manifest.json", "格式版本不识别,请用更新的程序核验", "unknown format version, verify with a newer program")
	}
	a.e = Evidence{Log: m.Log, Resource: m.Resource, For: m.For, At: m.At}
	for name := range files {
		folder, file, _ := strings.Cut(name, "/")
		switch {
		case folder == "events" && strings.HasSuffix(file, ".json"):
			a.leaf(name)
		case folder == "records" && strings.HasSuffix(file, ".item"):
			a.record(name)
		case folder == "deliveries" && strings.HasSuffix(file, ".item"):
			a.delivery(name)
		case folder == "objects":
			a.e.Objects = append(a.e.Objects, ObjectOpening{Leaf: a.number(name), JSON: a.take(name)})
		}
	}
	for i := 0; ; i++ {
		name := "receipts/" + strconv.Itoa(i) + ".note"
		if _, ok := files[name]; !ok {
			break
		}
		a.e.Receipts = append(a.e.Receipts, a.take(name))
	}
	if a.err != nil {
		return Evidence{}, a.err
	}
	for name := range files {
		return Evidence{}, refuseFile(name, "没有与之对应的条目", "belongs to nothing in the file")
	}
	a.e.sort()
	return a.e, nil
}

// assembly takes files away as they are used and keeps one error. Which of several faults it names depends on map
// order; that there is one does not.
type assembly struct {
	files map[string][]byte
	e     Evidence
	err   error
}

func (a *assembly) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// take returns a file that must exist and marks it used.
func (a *assembly) take(name string) []byte {
	b, ok := a.files[name]
	if !ok {
		a.fail(refuseFile(name, "缺少", "is missing"))
		return nil
	}
	delete(a.files, name)
	return b
}

func (a *assembly) json(name string, v any) {
	b := a.take(name)
	if b == nil {
		return
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if _, end := d.Token(); err != nil || !errors.Is(end, io.EOF) {
		a.fail(refuseFile(name, "内容不合格式", "content is malformed"))
	}
}

// number is the number in "<folder>/<number>.<suffix>"; knownName has seen to it that there is one.
func (a *assembly) number(name string) uint64 {
	_, file, _ := strings.Cut(name, "/")
	digits, _, _ := strings.Cut(file, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		a.fail(refuseFile(name, "名称不在允许之列", "name is not one of an evidence file"))
	}
	return n
}

func (a *assembly) leaf(name string) {
	l := ProvenLeaf{Index: a.number(name), Bytes: a.take(name), Pending: true}
	proofName := strings.TrimSuffix(name, ".json") + ".tlog-proof"
	if _, ok := a.files[proofName]; ok {
		p, err := tlog.ParseProof(a.take(proofName))
		if err != nil || p.Index != l.Index {
			a.fail(refuseFile(proofName, "证明不合格式,或不是该叶的证明", "proof is malformed or of another leaf"))
			return
		}
		if a.e.Checkpoint == nil {
			a.e.Checkpoint = p.Checkpoint
		}
		if !bytes.Equal(a.e.Checkpoint, p.Checkpoint) {
			a.fail(refuseFile(proofName, "检查点与其他证明不同", "checkpoint is not that of the other proofs"))
			return
		}
		l.Path, l.Pending = p.Path, false
	}
	a.e.Leaves = append(a.e.Leaves, l)
}

func (a *assembly) record(name string) {
	stem := strings.TrimSuffix(name, ".item")
	r := RecordProof{Offset: a.number(name), Item: a.take(name)}
	r.Leaf, r.Place, r.Path = a.place(stem)
	s := a.secrets(stem)
	r.Open.Body = a.opening(stem+".body", s.Body)
	r.Open.Key = a.opening(stem+".key", s.Key)
	r.Open.ID = a.opening(stem+".id", s.ID)
	if s.Projection != "" {
		a.fail(refuseFile(stem+".open", "内容不合格式", "content is malformed"))
	}
	a.e.Records = append(a.e.Records, r)
}

func (a *assembly) delivery(name string) {
	stem := strings.TrimSuffix(name, ".item")
	_, offset, _ := strings.Cut(strings.TrimPrefix(stem, "deliveries/"), "-")
	d := DeliveryProof{Item: a.take(name)}
	d.Offset, _ = strconv.ParseUint(offset, 10, 64) // knownName has read it
	d.Leaf, d.Place, d.Path = a.place(stem)
	if !strings.HasPrefix(stem, "deliveries/"+strconv.FormatUint(d.Leaf, 10)+"-") {
		a.fail(refuseFile(stem+".json", "叶号与名称不符", "leaf is not that of the name"))
	}
	s := a.secrets(stem)
	d.Projection = a.opening(stem+".projection", s.Projection)
	if s.Body != "" || s.Key != "" || s.ID != "" {
		a.fail(refuseFile(stem+".open", "内容不合格式", "content is malformed"))
	}
	a.e.Deliveries = append(a.e.Deliveries, d)
}

func (a *assembly) place(stem string) (leaf uint64, at int, path []tlog.Hash) {
	var p place
	a.json(stem+".json", &p)
	if p.Place < 0 || len(p.Path) > maxPath {
		a.fail(refuseFile(stem+".json", "内容不合格式", "content is malformed"))
		return 0, 0, nil
	}
	for _, s := range p.Path {
		h, ok := hexHash(s)
		if !ok || s == "" {
			a.fail(refuseFile(stem+".json", "内容不合格式", "content is malformed"))
		}
		path = append(path, h)
	}
	return p.Leaf, p.Place, path
}

func (a *assembly) secrets(stem string) (s secrets) {
	if _, ok := a.files[stem+".open"]; ok {
		a.json(stem+".open", &s)
	}
	return s
}

// opening reads a value file whose secret is given; without a secret there must be no value file, which the check for
// unused files sees.
func (a *assembly) opening(name, secret string) *Opening {
	if secret == "" {
		return nil
	}
	var o Opening
	raw, err := hex.DecodeString(secret)
	if err != nil || len(raw) != len(o.Secret) {
		a.fail(refuseFile(name, "盐值不合格式", "secret is malformed"))
		return nil
	}
	copy(o.Secret[:], raw)
	o.Value = a.take(name)
	return &o
}
