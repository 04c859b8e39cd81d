package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
)

// testKey is a key that depends on its name alone.
func testKey(tb testing.TB, name string) *Key {
	tb.Helper()
	seed := LeafHash([]byte(name))
	k, err := NewKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func verifierOf(tb testing.TB, vkey string) Verifier {
	tb.Helper()
	v, err := ParseVKey(vkey)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestKeyText(t *testing.T) {
	k := testKey(t, "hutong.example/2026-1")
	again, err := ParseKey(k.Encode() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if again.Encode() != k.Encode() || again.VKey() != k.VKey() || again.Name() != k.Name() {
		t.Error("a key does not survive its text")
	}
	named, err := k.Named("other")
	if err != nil || named.Name() != "other" || named.VKey() == k.VKey() {
		t.Errorf("Named: %v, %v", named, err)
	}
	// A key printed by mistake shows its public half.
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if shown != k.VKey() {
			t.Errorf("printed key: %s", shown)
		}
	}
	// x/mod reads both texts the same way.
	if _, err := note.NewSigner(k.Encode()); err != nil {
		t.Errorf("x/mod refuses the private key: %v", err)
	}
	if _, err := note.NewVerifier(k.VKey()); err != nil {
		t.Errorf("x/mod refuses the verifier key: %v", err)
	}
	fp, err := Fingerprint(k.VKey())
	if err != nil || len(strings.Fields(fp)) != 16 {
		t.Errorf("Fingerprint = %q, %v", fp, err)
	}
	if other, err := Fingerprint(k.CosignerVKey()); err != nil || other != fp {
		t.Error("fingerprints of one public key differ")
	}
}

func TestKeyRefused(t *testing.T) {
	k := testKey(t, "n1")
	private, public := k.Encode(), k.VKey()
	for name, text := range map[string]string{
		"empty": "", "public": public, "hash": strings.Replace(private, "+n1+", "+n2+", 1), "cut": private[:len(private)-4], "space": strings.Replace(private, "n1", "n 1", 1), "two lines": private + "\n\n",
	} {
		if _, err := ParseKey(text); !errors.Is(err, ErrKey) {
			t.Errorf("ParseKey %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "hash": strings.Replace(public, "n1+", "n2+", 1), "cut": public[:len(public)-4], "kind": vkeyText("n1", 0x06, k.public()), "newline": public + "\n", "two": "n1+00000000", "private": private,
	} {
		if _, err := ParseVKey(text); !errors.Is(err, ErrKey) {
			t.Errorf("ParseVKey %s: %v", name, err)
		}
		if _, err := Fingerprint(text); !errors.Is(err, ErrKey) {
			t.Errorf("Fingerprint %s: %v", name, err)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "a\u3000b", "a\x00b", "a\xffb"} {
		if _, err := NewKey(bytes.NewReader(make([]byte, 32)), name); !errors.Is(err, ErrKey) {
			t.Errorf("NewKey(%q): %v", name, err)
		}
		if _, err := k.Named(name); !errors.Is(err, ErrKey) {
			t.Errorf("Named(%q): %v", name, err)
		}
	}
	if _, err := NewKey(bytes.NewReader(make([]byte, 31)), "n1"); err == nil {
		t.Error("a key was made of 31 bytes")
	}
}

// The example note of x/mod's documentation, made by another program.
func TestForeignNote(t *testing.T) {
	const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
	const text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
	const line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
	n, err := OpenNote([]byte(text+"\n"+line), verifierOf(t, vkey))
	if err != nil {
		t.Fatal(err)
	}
	want := Note{Text: text, Signatures: []Signature{{Name: "PeterNeumann", KeyHash: 0xc74f20a3}}}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("note (-want +got):\n%s", diff)
	}
}

func TestSignAndCosign(t *testing.T) {
	log, node := testKey(t, "hutong.example/2026-1"), testKey(t, "n1")
	c := Checkpoint{Origin: log.Name(), Size: 3, Root: newTree(t, 3).root(t, 3)}
	msg, err := SignNote(c.Encode(), log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := AddSignatures(msg, node.Cosigner(1767225600))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "checkpoint.note", cosigned)
	n, err := OpenNote(cosigned, verifierOf(t, log.VKey()), verifierOf(t, node.CosignerVKey()))
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Signatures) != 2 || n.Signatures[0].Cosign || !n.Signatures[1].Cosign || n.Signatures[1].Time != 1767225600 {
		t.Errorf("signatures: %+v", n.Signatures)
	}
	// Another's line is passed over, a known key's bad line is not.
	if n, err := OpenNote(cosigned, verifierOf(t, log.VKey())); err != nil || len(n.Signatures) != 1 {
		t.Errorf("only the log's key: %+v, %v", n, err)
	}
	later := bytes.Replace(cosigned, []byte("\n3\n"), []byte("\n4\n"), 1)
	if _, err := OpenNote(later, verifierOf(t, node.CosignerVKey())); !errors.Is(err, ErrNote) {
		t.Errorf("altered text: %v", err)
	}
	// The same key's plain signature is no cosignature, and the other way round.
	plain, err := SignNote(c.Encode(), node.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNote(plain, verifierOf(t, node.CosignerVKey())); !errors.Is(err, ErrNote) {
		t.Errorf("plain line taken for a cosignature: %v", err)
	}
	if _, err := SignNote(c.Encode(), node.Cosigner(-1)); !errors.Is(err, ErrRange) {
		t.Errorf("cosigned before 1970: %v", err)
	}
	if _, err := SignNote("no newline", node.Signer()); !errors.Is(err, ErrNote) {
		t.Errorf("text without newline: %v", err)
	}
}

func TestMergeNotes(t *testing.T) {
	log, a, b := testKey(t, "log"), testKey(t, "a"), testKey(t, "b")
	base, err := SignNote("text\n", log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	add := func(k *Key, at int64) []byte {
		msg, err := AddSignatures(base, k.Cosigner(at))
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	merged, err := MergeNotes(base, add(a, 1), add(b, 2), add(a, 3))
	if err != nil {
		t.Fatal(err)
	}
	n, err := OpenNote(merged, verifierOf(t, log.VKey()), verifierOf(t, a.CosignerVKey()), verifierOf(t, b.CosignerVKey()))
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Signatures) != 3 || n.Signatures[1].Time != 1 || n.Signatures[2].Time != 2 {
		t.Errorf("merged: %+v", n.Signatures)
	}
	other, err := SignNote("another\n", a.Signer())
	if err != nil {
		t.Fatal(err)
	}
	for name, msg := range map[string][]byte{"another text": other, "no note": []byte("x"), "empty": nil, "too long": make([]byte, MaxNoteBytes+1)} {
		if _, err := MergeNotes(base, msg); !errors.Is(err, ErrNote) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another text" {
			continue
		}
		if _, err := MergeNotes(msg, base); !errors.Is(err, ErrNote) {
			t.Errorf("%s first: %v", name, err)
		}
		if _, err := NoteText(msg); !errors.Is(err, ErrNote) {
			t.Errorf("text of %s: %v", name, err)
		}
		if _, err := AddSignatures(msg, a.Signer()); !errors.Is(err, ErrNote) {
			t.Errorf("add to %s: %v", name, err)
		}
		if _, err := OpenNote(msg, verifierOf(t, a.VKey())); !errors.Is(err, ErrNote) {
			t.Errorf("open %s: %v", name, err)
		}
	}
}

func TestParseCheckpoint(t *testing.T) {
	c := Checkpoint{Origin: "hutong.example/2026-1", Size: 20852163, Root: LeafHash([]byte("x"))}
	got, err := ParseCheckpoint(c.Encode())
	if err != nil || got != c {
		t.Errorf("round trip: %+v, %v", got, err)
	}
	root := c.Root.String()
	for name, text := range map[string]string{
		"empty": "", "two lines": "o\n1\n", "no end": "o\n1\n" + root, "extension": "o\n1\n" + root + "\next\n", "leading zero": "o\n01\n" + root + "\n",
		"sign": "o\n+1\n" + root + "\n", "negative": "o\n-1\n" + root + "\n", "too large": "o\n281474976710657\n" + root + "\n", "no origin": "\n1\n" + root + "\n",
		"space": "o o\n1\n" + root + "\n", "plus": "o+o\n1\n" + root + "\n", "short root": "o\n1\nAAAA\n", "hex root": "o\n1\n" + strings.Repeat("0", 64) + "\n",
		"CR": "o\r\n1\n" + root + "\n",
	} {
		if got, err := ParseCheckpoint(text); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
