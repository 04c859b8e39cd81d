package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testLog = "hutong.example/county/2026-1"

func nodeTrust(tb testing.TB, nodes ...string) Trust {
	tb.Helper()
	var ws []Witness
	for _, n := range nodes {
		ws = append(ws, Witness{Name: n, VKey: testKey(tb, n).CosignerVKey()})
	}
	t, err := NodeTrust(testKey(tb, testLog).VKey(), ws)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// head signs a checkpoint with the log's key and cosigns it with nodes.
func head(tb testing.TB, c Checkpoint, cosigners ...string) []byte {
	tb.Helper()
	signers := []Signer{testKey(tb, testLog).Signer()}
	for i, n := range cosigners {
		signers = append(signers, testKey(tb, n).Cosigner(1767225600+int64(i)))
	}
	msg, err := SignNote(c.Encode(), signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

func TestTrustText(t *testing.T) {
	trust := nodeTrust(t, "n1", "n2", "n3")
	golden(t, "trust", trust.Encode())
	again, err := ParseTrust(trust.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trust, again); diff != "" {
		t.Errorf("trust (-want +got):\n%s", diff)
	}
}

// The shape of the example in C2SP tlog-policy: two levels of groups, comments, tabs, any order of logs and witnesses.
func TestTrustGroups(t *testing.T) {
	key := func(n string) string { return testKey(t, n).CosignerVKey() }
	text := "# counties\n\n witness X1 " + key("x1") + "\nwitness\tX2\t" + key("x2") + " https://x2.example/\nwitness X3 " + key("x3") + "\n" +
		"group X-witnesses 2 X1 X2 X3\n  # second organisation\nwitness Y1 " + key("y1") + "\nwitness 见证 " + key("y2") + "\n" +
		"group Y-witnesses any Y1 见证\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\nlog " + testKey(t, testLog).VKey() + " https://log.example/\n"
	trust, err := ParseTrust([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseTrust(trust.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trust, again); diff != "" {
		t.Errorf("second reading (-want +got):\n%s", diff)
	}
	c := Checkpoint{Origin: testLog, Size: 1, Root: LeafHash(nil)}
	for _, k := range []struct {
		cosigners string
		want      error
	}{
		{"x1 x2 y1", nil}, {"x2 x3 y2", nil}, {"x1 x2 x3 y1 y2", nil},
		{"x1 x2", ErrQuorum}, {"x1 y1 y2", ErrQuorum}, {"", ErrQuorum}, {"z1 z2 z3", ErrQuorum}, {"x1 x1 y1", ErrQuorum},
	} {
		_, times, err := trust.Check(head(t, c, strings.Fields(k.cosigners)...))
		if !errors.Is(err, k.want) {
			t.Errorf("cosigned by %q: %v, want %v", k.cosigners, err, k.want)
		}
		if err == nil && len(times) != len(strings.Fields(k.cosigners)) {
			t.Errorf("cosigned by %q: times %v", k.cosigners, times)
		}
	}
}

func TestTrustRefused(t *testing.T) {
	log := "log " + testKey(t, testLog).VKey() + "\n"
	w1, w2 := "witness w1 "+testKey(t, "n1").CosignerVKey()+"\n", "witness w2 "+testKey(t, "n2").CosignerVKey()+"\n"
	var many strings.Builder
	for i := range maxTrustLines {
		fmt.Fprintf(&many, "witness m%d %s\n", i, testKey(t, fmt.Sprint("m", i)).CosignerVKey())
	}
	for name, text := range map[string]string{
		"empty":               "",
		"no quorum":           log + w1,
		"two quorums":         log + w1 + "quorum w1\nquorum w1\n",
		"no log":              w1 + "quorum w1\n",
		"quorum before":       log + "quorum w1\n" + w1,
		"unknown quorum":      log + w1 + "quorum w2\n",
		"last line open":      log + w1 + "quorum w1",
		"unknown word":        log + w1 + "quorum w1\nallow all\n",
		"control":             log + w1 + "quorum w1\r\n",
		"DEL":                 log + w1 + "quorum w1\n# \x7f\n",
		"log words":           "log\n" + w1 + "quorum w1\n",
		"witness words":       log + "witness w1\nquorum none\n",
		"group words":         log + w1 + "group g 1\nquorum g\n",
		"quorum words":        log + w1 + "quorum w1 w1\n",
		"group k 0":           log + w1 + "group g 0 w1\nquorum g\n",
		"group k 2 of 1":      log + w1 + "group g 2 w1\nquorum g\n",
		"group k sign":        log + w1 + "group g +1 w1\nquorum g\n",
		"group k word":        log + w1 + "group g most w1\nquorum g\n",
		"group before":        log + "group g any w1\n" + w1 + "quorum g\n",
		"member none":         log + w1 + "group g any none\nquorum g\n",
		"member twice":        log + w1 + w2 + "group g any w1 w1\nquorum g\n",
		"member of two":       log + w1 + w2 + "group g any w1\ngroup h any w1 w2\nquorum h\n",
		"name twice":          log + w1 + strings.Replace(w2, "w2", "w1", 1) + "quorum w1\n",
		"name none":           log + strings.Replace(w1, "w1", "none", 1) + "quorum none\n",
		"group named witness": log + w1 + "group w1 any w1\nquorum w1\n",
		"key twice":           log + w1 + "witness w3 " + testKey(t, "n1").CosignerVKey() + "\nquorum w1\n",
		"log twice":           log + log + w1 + "quorum w1\n",
		"log key cosigns":     "log " + testKey(t, testLog).CosignerVKey() + "\n" + w1 + "quorum w1\n",
		"witness key plain":   log + "witness w1 " + testKey(t, "n1").VKey() + "\nquorum w1\n",
		"bad key":             log + "witness w1 n1+00000000+AAAA\nquorum w1\n",
		"too many":            log + many.String() + "quorum none\n",
		"too long":            log + "#" + strings.Repeat(" ", maxTrustBytes) + "\nquorum none\n",
	} {
		if got, err := ParseTrust([]byte(text)); !errors.Is(err, ErrTrust) {
			t.Errorf("%s: %+v, %v, want ErrTrust", name, got, err)
		}
	}
	if _, err := NodeTrust(testKey(t, testLog).VKey(), nil); !errors.Is(err, ErrTrust) {
		t.Errorf("trust without nodes: %v", err)
	}
	if _, _, err := (Trust{}).Check(nil); !errors.Is(err, ErrTrust) {
		t.Errorf("zero trust: %v", err)
	}
	if _, _, err := (Trust{}).OpenSigned(nil); !errors.Is(err, ErrTrust) {
		t.Errorf("zero trust: %v", err)
	}
}

func TestTrustCheck(t *testing.T) {
	trust := nodeTrust(t, "n1", "n2", "n3")
	c := Checkpoint{Origin: testLog, Size: 1, Root: LeafHash(nil)}
	foreign := c
	foreign.Origin = "other.example/2026-1"
	unsigned, err := SignNote(c.Encode(), testKey(t, "n1").Cosigner(1), testKey(t, "n2").Cosigner(1))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := SignNote(c.Encode(), testKey(t, testLog).Signer(), testKey(t, "n1").Signer(), testKey(t, "n2").Signer())
	if err != nil {
		t.Fatal(err)
	}
	good := head(t, c, "n1", "n2", "n3")
	for _, k := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"all", good, nil},
		{"majority", head(t, c, "n1", "n3"), nil},
		{"majority and a stranger", head(t, c, "n1", "n3", "stranger"), nil},
		{"one node", head(t, c, "n1"), ErrQuorum},
		{"log key alone", head(t, c), ErrQuorum},
		{"one node twice", head(t, c, "n1", "n1"), ErrQuorum},
		{"plain lines of nodes", plain, ErrQuorum},
		{"no line of the log", unsigned, ErrNote},
		{"foreign origin", head(t, foreign, "n1", "n2"), ErrOrigin},
		{"text altered", bytes.Replace(good, []byte("\n1\n"), []byte("\n2\n"), 1), ErrNote},
		{"no checkpoint", head2(t, "hello\n"), ErrCheckpoint},
		{"no note", []byte("hello\n"), ErrNote},
		{"empty", nil, ErrNote},
	} {
		got, times, err := trust.Check(k.msg)
		if !errors.Is(err, k.want) {
			t.Errorf("%s: %v, want %v", k.name, err, k.want)
		}
		if err == nil && (got != c || len(times) < 2 || times.Latest() < 1767225601) {
			t.Errorf("%s: %+v, %v", k.name, got, times)
		}
		if err != nil && got != (Checkpoint{}) {
			t.Errorf("%s: a checkpoint comes with the error", k.name)
		}
	}
}

func head2(tb testing.TB, text string) []byte {
	tb.Helper()
	msg, err := SignNote(text, testKey(tb, testLog).Signer())
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

func TestOpenSigned(t *testing.T) {
	trust := nodeTrust(t, "n1", "n2", "n3")
	sign := func(k *Key) []byte {
		msg, err := SignNote("receipt\n", k.Signer())
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	text, names, err := trust.OpenSigned(sign(testKey(t, "n2")))
	if err != nil || text != "receipt\n" || !cmp.Equal(names, []string{"n2"}) {
		t.Errorf("OpenSigned = %q, %v, %v", text, names, err)
	}
	cosigned, err := SignNote("receipt\n", testKey(t, "n1").Cosigner(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, msg := range map[string][]byte{"stranger": sign(testKey(t, "n4")), "log": sign(testKey(t, testLog)), "cosigned only": cosigned, "empty": nil} {
		if _, _, err := trust.OpenSigned(msg); !errors.Is(err, ErrNote) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofText(t *testing.T) {
	tr := newTree(t, 11)
	trust := nodeTrust(t, "n1", "n2", "n3")
	note := head(t, Checkpoint{Origin: testLog, Size: 11, Root: tr.root(t, 11)}, "n1", "n2")
	for i := range int64(11) {
		path, err := ProveRecord(11, i, tr)
		if err != nil {
			t.Fatal(err)
		}
		p := Proof{Index: uint64(i), Path: path, Checkpoint: note}
		if i == 7 {
			p.Extra = []byte("extra")
			golden(t, "proof.tlog-proof", p.Encode())
		}
		again, err := ParseProof(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("proof (-want +got):\n%s", diff)
		}
		if _, _, err := again.Check(tr.leaves[i], trust); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
		if _, _, err := again.Check([]byte("other"), trust); !errors.Is(err, ErrProof) {
			t.Errorf("leaf %d altered: %v", i, err)
		}
		again.Index = 11
		if _, _, err := again.Check(tr.leaves[i], trust); !errors.Is(err, ErrProof) {
			t.Errorf("index outside: %v", err)
		}
		if _, _, err := p.Check(tr.leaves[i], nodeTrust(t, "n4", "n5", "n6")); !errors.Is(err, ErrQuorum) {
			t.Errorf("other nodes: %v", err)
		}
	}
}

func TestProofRefused(t *testing.T) {
	h := LeafHash(nil).String() + "\n"
	const first = "c2sp.org/tlog-proof@v1\n"
	for name, text := range map[string]string{
		"empty": "", "no checkpoint": first + "index 1\n", "other version": "c2sp.org/tlog-proof@v2\nindex 1\n\nx", "no index": first + h + "\nx", "leading zero": first + "index 01\n\nx",
		"sign": first + "index +1\n\nx", "huge": first + "index 281474976710656\n\nx", "bad hash": first + "index 1\nAAAA\n\nx", "hash twice on a line": first + "index 1\n" + strings.TrimSuffix(h, "\n") + h + "\nx",
		"empty extra": first + "extra \nindex 1\n\nx", "bad extra": first + "extra !\nindex 1\n\nx", "extra after": first + "index 1\nextra AAAA\n\nx", "too deep": first + "index 1\n" + strings.Repeat(h, maxPath+1) + "\nx",
		"only header": "c2sp.org/tlog-proof@v1\n\nx", "too long": first + "index 1\n\n" + strings.Repeat("x", 2*MaxNoteBytes),
	} {
		if got, err := ParseProof([]byte(text)); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %+v, %v, want ErrProof", name, got, err)
		}
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add(nodeTrust(f, "n1", "n2", "n3").Encode())
	f.Add([]byte("# x\nlog " + testKey(f, testLog).VKey() + " u\nwitness a " + testKey(f, "n1").CosignerVKey() + "\ngroup g any a\nquorum g\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		trust, err := ParseTrust(text)
		if err != nil {
			if !errors.Is(err, ErrTrust) {
				t.Fatalf("error without a name: %v", err)
			}
			return
		}
		again, err := ParseTrust(trust.Encode())
		if err != nil || !cmp.Equal(trust, again) {
			t.Fatalf("reading what was written: %v\n%s", err, trust.Encode())
		}
	})
}

func FuzzTrustCheck(f *testing.F) {
	trust := nodeTrust(f, "n1", "n2", "n3")
	c := Checkpoint{Origin: testLog, Size: 1, Root: LeafHash(nil)}
	good := head(f, c, "n1", "n2")
	f.Add(good)
	f.Add(head(f, c))
	f.Add([]byte("a\n1\n\n— b c\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		got, _, err := trust.Check(msg)
		if err == nil && got != c {
			t.Fatalf("a checkpoint nobody signed holds: %+v", got)
		}
		if text, err := NoteText(msg); err == nil && !bytes.HasPrefix(msg, []byte(text)) {
			t.Fatal("text is not the beginning of the note")
		}
	})
}

func FuzzParseProof(f *testing.F) {
	tr := newTree(f, 5)
	path, err := ProveRecord(5, 3, tr)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Proof{Index: 3, Path: path, Checkpoint: head(f, Checkpoint{Origin: testLog, Size: 5, Root: tr.root(f, 5)}, "n1")}.Encode())
	f.Add(Proof{Extra: []byte("e"), Checkpoint: []byte("\n\n")}.Encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err == nil && !bytes.Equal(p.Encode(), text) {
			t.Fatal("encoding does not give the text back")
		}
		if err != nil && !errors.Is(err, ErrProof) {
			t.Fatalf("error without a name: %v", err)
		}
	})
}

func FuzzTilePath(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/8")
	f.Add("tile/entries/000")
	f.Add("tile/63/999")
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := ParseTilePath(path)
		if err == nil && tile.Path() != path {
			t.Fatalf("%q is read as %+v", path, tile)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	b, err := EncodeBundle([][]byte{[]byte("a"), nil, []byte("bcd")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, 3)
	f.Add([]byte{0, 0}, 1)
	f.Fuzz(func(t *testing.T, bundle []byte, width int) {
		leaves, err := ParseBundle(bundle, width)
		if err != nil {
			return
		}
		again, err := EncodeBundle(leaves)
		if err != nil || !bytes.Equal(again, bundle) {
			t.Fatalf("encoding does not give the bundle back: %v", err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(testKey(f, "n1").Encode())
	f.Add(testKey(f, "n1").VKey())
	f.Add(testKey(f, "n1").CosignerVKey())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKey(text); err == nil && k.Encode() != strings.TrimSuffix(text, "\n") {
			t.Fatal("encoding does not give the private key back")
		}
		if v, err := parseVKey(text); err == nil && vkeyText(v.name, v.kind, v.public) != text {
			t.Fatal("encoding does not give the verifier key back")
		}
	})
}
