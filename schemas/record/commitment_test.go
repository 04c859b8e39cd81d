package record

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestCommitmentFrozen(t *testing.T) {
	secret := [32]byte(bytes.Repeat([]byte{7}, 32))
	body := []byte(`{"a":1}`)
	if got, want := Commitment(TagBody, secret, body),
		sha256.Sum256([]byte("hutong/body/1\n"+string(secret[:])+`{"a":1}`)); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	seen := map[[32]byte]Tag{}
	for _, tag := range []Tag{TagBody, TagKey, TagID, TagProjection} {
		c := Commitment(tag, secret, body)
		if other, ok := seen[c]; ok {
			t.Errorf("%q and %q commit alike", tag, other)
		}
		for other := range seen {
			if strings.HasPrefix(string(tag), string(seen[other])) {
				t.Errorf("%q begins %q", seen[other], tag)
			}
		}
		seen[c] = tag
	}
	if Commitment(TagBody, [32]byte{}, body) == Commitment(TagBody, secret, body) {
		t.Error("the secret does not enter")
	}
}

// expand is HKDF-Expand for one block, written out from RFC 5869 §2.3.
func expand(secret [32]byte, info string) (out [32]byte) {
	m := hmac.New(sha256.New, secret[:])
	m.Write([]byte(info + "\x01"))
	m.Sum(out[:0])
	return out
}

func TestSecrets(t *testing.T) {
	section := [32]byte(bytes.Repeat([]byte{9}, 32))
	if got, want := RecordSecret(section, 258), expand(section, "hutong/record-secret/1\n\x00\x00\x00\x00\x00\x00\x01\x02"); got != want {
		t.Errorf("record secret %x, want %x", got, want)
	}
	if got, want := ProjectionSecret(section, "s1"), expand(section, "hutong/projection-secret/1\ns1"); got != want {
		t.Errorf("projection secret %x, want %x", got, want)
	}
	h := Header{Secret: section}
	if h.RecordSecret(&SectionRecord{}, 3) != RecordSecret(section, 3) {
		t.Error("not derived from the section")
	}
	if got := h.RecordSecret(&SectionRecord{Secret: bytes.Repeat([]byte{1}, 32)}, 3); hex.EncodeToString(got[:]) != strings.Repeat("01", 32) {
		t.Error("not the publisher's")
	}
}
