package tlog

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// proofHeader is the first line of the format (C2SP tlog-proof).
const proofHeader = "c2sp.org/tlog-proof@v1"

// maxPath is the longest inclusion path in a tree of MaxSize leaves.
const maxPath = 48

// Proof proves one leaf offline: its index, the path to the root, and the cosigned checkpoint that has this root.
type Proof struct {
	Extra      []byte // opaque and unauthenticated; nil without
	Index      uint64
	Path       []Hash // leaf's sibling first
	Checkpoint []byte // signed note, verbatim
}

// Encode returns the text of the proof.
func (p Proof) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(proofHeader + "\n")
	if len(p.Extra) > 0 {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Path {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads exactly what Encode writes. The checkpoint is only cut off, not looked into. It returns ErrProof
// for anything malformed.
func ParseProof(text []byte) (Proof, error) {
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok || len(text) > 2*MaxNoteBytes {
		return Proof{}, fmt.Errorf("no empty line before the checkpoint: %w", ErrProof)
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofHeader {
		return Proof{}, fmt.Errorf("first line is not %s: %w", proofHeader, ErrProof)
	}
	lines = lines[1:]
	p := Proof{Checkpoint: checkpoint}
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		extra, err := base64.StdEncoding.DecodeString(lines[0][len("extra "):])
		if err != nil || len(extra) == 0 {
			return Proof{}, fmt.Errorf("extra: %w", ErrProof)
		}
		p.Extra, lines = extra, lines[1:]
	}
	if len(lines) == 0 || len(lines) > 1+maxPath {
		return Proof{}, fmt.Errorf("%d lines: %w", len(lines), ErrProof)
	}
	digits, ok := strings.CutPrefix(lines[0], "index ")
	index, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || index >= MaxSize {
		return Proof{}, fmt.Errorf("index: %w", ErrProof)
	}
	p.Index = index
	for _, line := range lines[1:] {
		h, err := ParseHash(line)
		if err != nil {
			return Proof{}, err
		}
		p.Path = append(p.Path, h)
	}
	if !bytes.Equal(p.Encode(), text) {
		return Proof{}, fmt.Errorf("not in the one form: %w", ErrProof)
	}
	return p, nil
}

// Check returns nil if the checkpoint holds by the trust file and the path leads from leaf to its root. It returns
// ErrProof or an error of Trust.Check.
func (p Proof) Check(leaf []byte, trust Trust) (Checkpoint, CosignatureTimes, error) {
	c, times, err := trust.Check(p.Checkpoint)
	if err != nil {
		return Checkpoint{}, times, err
	}
	if p.Index >= c.Size {
		return Checkpoint{}, times, fmt.Errorf("leaf %d of %d: %w", p.Index, c.Size, ErrProof)
	}
	if err := CheckRecord(p.Path, int64(c.Size), c.Root, int64(p.Index), LeafHash(leaf)); err != nil {
		return Checkpoint{}, times, err
	}
	return c, times, nil
}
