package tlog

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a trust file; tlog-policy asks for at least 32 of each.
const (
	maxTrustBytes = 256 << 10
	maxTrustLines = 256
)

// none is the quorum that asks for no cosignature, predefined by tlog-policy.
const none = "none"

// Trust is what an auditor trusts: logs, cosigners and how many of them it takes. Its text form is C2SP tlog-policy.
// It is the only source of keys for every check in this house. The zero Trust trusts nothing.
type Trust struct {
	Logs      []TrustedLog
	Witnesses []Witness
	Groups    []Group
	Quorum    string // name of a witness or group, or "none"
}

// TrustedLog is one line "log <vkey> [<url>]". The name in the vkey is the log's origin.
type TrustedLog struct{ VKey, URL string }

// Witness is one line "witness <name> <vkey> [<url>]": here a node of the cluster, or an outside witness. The vkey is
// of type 0x04.
type Witness struct{ Name, VKey, URL string }

// Group is one line "group <name> <k> <member>…": it has witnessed when K of its members have.
type Group struct {
	Name    string
	K       int
	Members []string // names of witnesses and groups that stand before it
}

// CosignatureTimes says who cosigned a checkpoint, and when by their own clocks, in the order of the trust file.
type CosignatureTimes []CosignatureTime

// CosignatureTime is one confirmed cosignature.
type CosignatureTime struct {
	Name string // name of the witness in the trust file
	Time int64  // Unix seconds
}

// Latest is the latest of the times, Unix seconds; 0 without any.
func (c CosignatureTimes) Latest() int64 {
	var latest int64
	for _, t := range c {
		latest = max(latest, t.Time)
	}
	return latest
}

// NodeTrust is the trust in one log whose checkpoints more than half of the nodes have cosigned. logVKey is Key.VKey
// of the log's key, nodes have names and Key.CosignerVKey. It returns ErrTrust if they do not make a trust file.
func NodeTrust(logVKey string, nodes []Witness) (Trust, error) {
	g := Group{Name: "nodes", K: len(nodes)/2 + 1}
	for _, n := range nodes {
		g.Members = append(g.Members, n.Name)
	}
	t := Trust{Logs: []TrustedLog{{VKey: logVKey}}, Witnesses: slices.Clone(nodes), Groups: []Group{g}, Quorum: g.Name}
	if _, err := t.compile(); err != nil {
		return Trust{}, err
	}
	return t, nil
}

// Encode returns the trust file: logs, witnesses, groups, quorum, a line each.
func (t Trust) Encode() []byte {
	var b bytes.Buffer
	line := func(words ...string) {
		b.WriteString(strings.TrimRight(strings.Join(words, " "), " ") + "\n")
	}
	for _, l := range t.Logs {
		line("log", l.VKey, l.URL)
	}
	for _, w := range t.Witnesses {
		line("witness", w.Name, w.VKey, w.URL)
	}
	for _, g := range t.Groups {
		line("group", g.Name, strconv.Itoa(g.K), strings.Join(g.Members, " "))
	}
	line("quorum", t.Quorum)
	return b.Bytes()
}

// ParseTrust reads a trust file. Unlike tlog-policy it wants at least one log. It returns ErrTrust, naming the line,
// for anything malformed.
func ParseTrust(text []byte) (Trust, error) {
	if len(text) > maxTrustBytes {
		return Trust{}, fmt.Errorf("%d bytes: %w", len(text), ErrTrust)
	}
	if i := bytes.IndexFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
		return Trust{}, fmt.Errorf("control character at byte %d: %w", i, ErrTrust)
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return Trust{}, fmt.Errorf("last line does not end: %w", ErrTrust)
	}
	var t Trust
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := t.addLine(words); err != nil {
			return Trust{}, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if _, err := t.compile(); err != nil {
		return Trust{}, err
	}
	return t, nil
}

// addLine takes one line's words. It looks only at the form and at what must stand on lines before.
func (t *Trust) addLine(words []string) error {
	url := ""
	switch words[0] {
	case "log":
		if len(words) == 3 {
			url, words = words[2], words[:2]
		}
		if len(words) != 2 {
			return fmt.Errorf("log <vkey> [<url>]: %w", ErrTrust)
		}
		t.Logs = append(t.Logs, TrustedLog{VKey: words[1], URL: url})
	case "witness":
		if len(words) == 4 {
			url, words = words[3], words[:3]
		}
		if len(words) != 3 {
			return fmt.Errorf("witness <name> <vkey> [<url>]: %w", ErrTrust)
		}
		t.Witnesses = append(t.Witnesses, Witness{Name: words[1], VKey: words[2], URL: url})
	case "group":
		if len(words) < 4 {
			return fmt.Errorf("group <name> <k> <member>…: %w", ErrTrust)
		}
		g := Group{Name: words[1], Members: words[3:]}
		switch words[2] {
		case "any":
			g.K = 1
		case "all":
			g.K = len(g.Members)
		default:
			k, err := strconv.Atoi(words[2])
			if err != nil || strconv.Itoa(k) != words[2] {
				return fmt.Errorf("group %q: k is %q: %w", g.Name, words[2], ErrTrust)
			}
			g.K = k
		}
		for _, m := range g.Members {
			if !t.defines(m) {
				return fmt.Errorf("group %q: %q stands on no line before: %w", g.Name, m, ErrTrust)
			}
		}
		t.Groups = append(t.Groups, g)
	case "quorum":
		if len(words) != 2 || t.Quorum != "" {
			return fmt.Errorf("one line quorum <name>: %w", ErrTrust)
		}
		if words[1] != none && !t.defines(words[1]) {
			return fmt.Errorf("quorum: %q stands on no line before: %w", words[1], ErrTrust)
		}
		t.Quorum = words[1]
	default:
		return fmt.Errorf("unknown word %q: %w", words[0], ErrTrust)
	}
	return nil
}

func (t *Trust) defines(name string) bool {
	return slices.ContainsFunc(t.Witnesses, func(w Witness) bool { return w.Name == name }) ||
		slices.ContainsFunc(t.Groups, func(g Group) bool { return g.Name == name })
}

// Check opens a cosigned checkpoint: it must be signed by the log it names, that log must be in the trust file, and
// the quorum must have cosigned. It returns ErrNote (malformed, or a bad line of a trusted key, or none of the log),
// ErrCheckpoint, ErrOrigin, ErrQuorum or ErrTrust. Whether the root is right is for proofs to show.
func (t Trust) Check(msg []byte) (Checkpoint, CosignatureTimes, error) {
	keys, err := t.compile()
	if err != nil {
		return Checkpoint{}, nil, err
	}
	text, err := NoteText(msg)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if !slices.ContainsFunc(keys.logs, func(v verifier) bool { return v.name == c.Origin }) {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint of log %q: %w", c.Origin, ErrOrigin)
	}
	n, err := OpenNote(msg, keys.all()...)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint of log %q: %w", c.Origin, err)
	}
	if !slices.ContainsFunc(n.Signatures, func(s Signature) bool { return !s.Cosign && s.Name == c.Origin }) {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint of log %q: no signature of the log itself: %w", c.Origin, ErrNote)
	}
	times, seen := keys.cosigned(t, n)
	if !t.witnessed(seen) {
		return Checkpoint{}, times, fmt.Errorf("checkpoint of log %q: %d of %d cosigners known: %w", c.Origin, len(times), len(t.Witnesses), ErrQuorum)
	}
	return c, times, nil
}

// OpenSigned opens a note that is not a checkpoint, signed plainly (type 0x01) with the key of a node that the trust
// file names as witness, and returns its text and the names of the nodes that signed. It returns ErrNote or ErrTrust.
func (t Trust) OpenSigned(msg []byte) (text string, names []string, err error) {
	keys, err := t.compile()
	if err != nil {
		return "", nil, err
	}
	var verifiers []Verifier
	byKey := map[uint32]string{}
	for i, w := range keys.witnesses {
		w.kind = kindEd25519
		verifiers = append(verifiers, w)
		byKey[w.KeyHash()] = t.Witnesses[i].Name
	}
	n, err := OpenNote(msg, verifiers...)
	if err != nil {
		return "", nil, err
	}
	for _, s := range n.Signatures {
		names = append(names, byKey[s.KeyHash])
	}
	return n.Text, names, nil
}

// keyring is the keys of a Trust, in its order.
type keyring struct{ logs, witnesses []verifier }

func (k keyring) all() []Verifier {
	var all []Verifier
	for _, v := range slices.Concat(k.logs, k.witnesses) {
		all = append(all, v)
	}
	return all
}

// cosigned lists the witnesses whose lines were good.
func (k keyring) cosigned(t Trust, n Note) (times CosignatureTimes, seen map[string]bool) {
	seen = map[string]bool{}
	for i, w := range k.witnesses {
		for _, s := range n.Signatures {
			if s.Cosign && s.Name == w.name && s.KeyHash == w.KeyHash() {
				times = append(times, CosignatureTime{Name: t.Witnesses[i].Name, Time: s.Time})
				seen[t.Witnesses[i].Name] = true
			}
		}
	}
	return times, seen
}

// witnessed decides the quorum, groups in their order: each refers only to names before it.
func (t Trust) witnessed(seen map[string]bool) bool {
	if t.Quorum == none {
		return true
	}
	for _, g := range t.Groups {
		n := 0
		for _, m := range g.Members {
			if seen[m] {
				n++
			}
		}
		seen[g.Name] = n >= g.K
	}
	return seen[t.Quorum]
}

// compile checks the rules of tlog-policy and reads the keys.
func (t Trust) compile() (keyring, error) {
	var k keyring
	if len(t.Logs) == 0 || len(t.Logs)+len(t.Witnesses)+len(t.Groups) > maxTrustLines {
		return k, fmt.Errorf("%d logs, %d witnesses, %d groups: %w", len(t.Logs), len(t.Witnesses), len(t.Groups), ErrTrust)
	}
	seenKeys, lines := map[string]bool{}, map[string]bool{}
	add := func(vkey string, kind byte) (verifier, error) {
		v, err := parseVKey(vkey)
		if err != nil {
			return v, fmt.Errorf("%w: %w", ErrTrust, err)
		}
		line := fmt.Sprintf("%s+%08x", v.name, v.KeyHash())
		if v.kind != kind || seenKeys[string(v.public)] || lines[line] {
			return v, fmt.Errorf("key %q is of the wrong kind or stands twice: %w", v.name, ErrTrust)
		}
		seenKeys[string(v.public)], lines[line] = true, true
		return v, nil
	}
	for _, l := range t.Logs {
		v, err := add(l.VKey, kindEd25519)
		if err != nil {
			return k, err
		}
		k.logs = append(k.logs, v)
	}
	clear(seenKeys) // tlog-policy forbids one key on two lines of a kind; a lone log key may also cosign
	for _, w := range t.Witnesses {
		v, err := add(w.VKey, kindCosigner)
		if err != nil {
			return k, err
		}
		k.witnesses = append(k.witnesses, v)
	}
	return k, t.checkNames()
}

// checkNames checks that each name is defined once and before its use, and is a member once at most.
func (t Trust) checkNames() error {
	defined, member := map[string]bool{none: true}, map[string]bool{none: true}
	define := func(name string) error {
		if defined[name] || name == "" || strings.ContainsAny(name, " \t\n") {
			return fmt.Errorf("name %q stands twice or cannot be one: %w", name, ErrTrust)
		}
		defined[name] = true
		return nil
	}
	for _, w := range t.Witnesses {
		if err := define(w.Name); err != nil {
			return err
		}
	}
	for _, g := range t.Groups {
		if g.K < 1 || g.K > len(g.Members) {
			return fmt.Errorf("group %q: %d of %d: %w", g.Name, g.K, len(g.Members), ErrTrust)
		}
		for _, m := range g.Members {
			if !defined[m] || member[m] {
				return fmt.Errorf("group %q: member %q is unknown or stands twice: %w", g.Name, m, ErrTrust)
			}
			member[m] = true
		}
		if err := define(g.Name); err != nil {
			return err
		}
	}
	if !defined[t.Quorum] {
		return fmt.Errorf("quorum %q is not defined: %w", t.Quorum, ErrTrust)
	}
	return nil
}
