package audit

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/node/tlog"
)

// cosignatureBytes is the length of a signature line of type 0x04 before base64 (C2SP cosignature/v1): key hash, time,
// Ed25519 signature. A plain line has no time.
const cosignatureBytes = 4 + 8 + 64

// noteLine is one signature line of a note, not checked.
type noteLine struct {
	name   string
	hash   uint32
	cosign bool // by its length
}

// noteLines reads the signature lines of a note; what is no such line is passed over.
func noteLines(note []byte) []noteLine {
	at := strings.LastIndex(string(note), "\n\n")
	if at < 0 {
		return nil
	}
	var lines []noteLine
	for line := range strings.Lines(string(note[at+2:])) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "—" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(words[2])
		if err != nil || len(raw) < 4 {
			continue
		}
		lines = append(lines, noteLine{name: words[1], hash: binary.BigEndian.Uint32(raw), cosign: len(raw) == cosignatureBytes})
	}
	return lines
}

// strangers names those that cosigned a checkpoint with a key the trust file does not know, sorted. Their lines
// cannot be checked: anybody can write such a line, so it excuses a missing quorum and never stands for one.
func strangers(note []byte, trust tlog.Trust) []string {
	known := map[noteLine]bool{}
	for _, w := range trust.Witnesses {
		if v, err := tlog.ParseVKey(w.VKey); err == nil {
			known[noteLine{name: v.Name(), hash: v.KeyHash(), cosign: true}] = true
		}
	}
	var names []string
	for _, l := range noteLines(note) {
		if l.cosign && !known[l] && !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return names
}

// byStrangers reports whether a receipt is signed by cosigners of the checkpoint alone that the trust file does not
// know.
func (c *checker) byStrangers(note []byte) bool {
	lines := noteLines(note)
	return len(lines) > 0 && !slices.ContainsFunc(lines, func(l noteLine) bool {
		return !slices.Contains(c.stale, l.name) || slices.ContainsFunc(c.trust.Witnesses, func(w tlog.Witness) bool { return w.Name == l.name })
	})
}
