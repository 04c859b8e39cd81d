package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of C2SP signed-note that are known here.
const (
	kindEd25519  = 0x01 // plain: logs and receipts
	kindCosigner = 0x04 // cosignature/v1 with time
)

// Signer makes one signature line of a note. It is made by Key.Signer or Key.Cosigner.
type Signer = note.Signer

// Verifier checks one signature line of a note. It is made by ParseVKey.
type Verifier = note.Verifier

// Key is a named Ed25519 key. The same key signs plainly (Signer) and as a cosigner (Cosigner): the two never sign the
// same bytes, because a cosigned message begins with a line that no text of ours has. It is immutable. Its String
// shows the public half only.
type Key struct {
	name    string
	private ed25519.PrivateKey
}

// NewKey makes a key from 32 bytes of random (crypto/rand.Reader; a test may give its own). The name is what stands
// in signature lines: for a log its whole name (LogName), for a node a name that differs from all others. It returns
// ErrKey for a name with white space or "+", or the error of random.
func NewKey(random io.Reader, name string) (*Key, error) {
	if !validName(name) {
		return nil, fmt.Errorf("key name %q: %w", name, ErrKey)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return &Key{name: name, private: ed25519.NewKeyFromSeed(seed)}, nil
}

// ParseKey reads what Encode writes. It returns ErrKey for anything else.
func ParseKey(text string) (*Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), "PRIVATE+KEY+")
	name, hash, raw, err := splitKey(rest)
	if !ok || err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != kindEd25519 {
		return nil, fmt.Errorf("parse private key: %w", ErrKey)
	}
	k := &Key{name: name, private: ed25519.NewKeyFromSeed(raw[1:])}
	if keyHash(name, kindEd25519, k.public()) != hash {
		return nil, fmt.Errorf("parse private key: key hash differs: %w", ErrKey)
	}
	return k, nil
}

// Encode returns the private key in the text form of signed-note, without a final newline. Keep it secret.
func (k *Key) Encode() string {
	raw := append([]byte{kindEd25519}, k.private.Seed()...)
	return "PRIVATE+KEY+" + joinKey(k.name, keyHash(k.name, kindEd25519, k.public()), raw)
}

// Name is the name in the key's signature lines.
func (k *Key) Name() string { return k.name }

// String is the public verifier key, so that a key printed by mistake gives nothing away.
func (k *Key) String() string { return k.VKey() }

// GoString is String.
func (k *Key) GoString() string { return k.VKey() }

// Named is the same key under another name. It returns ErrKey for a name with white space or "+".
func (k *Key) Named(name string) (*Key, error) {
	if !validName(name) {
		return nil, fmt.Errorf("key name %q: %w", name, ErrKey)
	}
	return &Key{name: name, private: k.private}, nil
}

// VKey is the verifier key of Signer's lines: type 0x01.
func (k *Key) VKey() string { return vkeyText(k.name, kindEd25519, k.public()) }

// CosignerVKey is the verifier key of Cosigner's lines: type 0x04.
func (k *Key) CosignerVKey() string { return vkeyText(k.name, kindCosigner, k.public()) }

// Signer signs the text of a note as it is.
func (k *Key) Signer() Signer {
	return signer{name: k.name, hash: keyHash(k.name, kindEd25519, k.public()), sign: func(text []byte) ([]byte, error) {
		return ed25519.Sign(k.private, text), nil
	}}
}

// Cosigner makes cosignature/v1 lines that say: at unixSeconds this was the greatest consistent tree seen. It is the
// caller who must have seen to that. A negative time gives ErrRange when signing.
func (k *Key) Cosigner(unixSeconds int64) Signer {
	return signer{name: k.name, hash: keyHash(k.name, kindCosigner, k.public()), sign: func(text []byte) ([]byte, error) {
		if unixSeconds < 0 {
			return nil, fmt.Errorf("cosign at %d: %w", unixSeconds, ErrRange)
		}
		sig := binary.BigEndian.AppendUint64(nil, uint64(unixSeconds))
		return append(sig, ed25519.Sign(k.private, cosignedMessage(uint64(unixSeconds), text))...), nil
	}}
}

func (k *Key) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

type signer struct {
	name string
	hash uint32
	sign func([]byte) ([]byte, error)
}

func (s signer) Name() string                        { return s.name }
func (s signer) KeyHash() uint32                     { return s.hash }
func (s signer) Sign(message []byte) ([]byte, error) { return s.sign(message) }

// verifier is a public key of one kind.
type verifier struct {
	name   string
	kind   byte
	public ed25519.PublicKey
}

// ParseVKey reads a verifier key of C2SP signed-note, "name+hash+base64", of type 0x01 (Ed25519) or 0x04
// (cosignature/v1). It returns ErrKey for anything else.
func ParseVKey(text string) (Verifier, error) {
	v, err := parseVKey(text)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func parseVKey(text string) (verifier, error) {
	name, hash, raw, err := splitKey(text)
	if err != nil {
		return verifier{}, fmt.Errorf("parse verifier key: %w", err)
	}
	if len(raw) != 1+ed25519.PublicKeySize || raw[0] != kindEd25519 && raw[0] != kindCosigner {
		return verifier{}, fmt.Errorf("parse verifier key of %q: unknown kind or length: %w", name, ErrKey)
	}
	v := verifier{name: name, kind: raw[0], public: ed25519.PublicKey(raw[1:])}
	if v.KeyHash() != hash {
		return verifier{}, fmt.Errorf("parse verifier key of %q: key hash differs: %w", name, ErrKey)
	}
	return v, nil
}

func (v verifier) Name() string    { return v.name }
func (v verifier) KeyHash() uint32 { return keyHash(v.name, v.kind, v.public) }

func (v verifier) Verify(text, sig []byte) bool {
	if v.kind == kindEd25519 {
		return ed25519.Verify(v.public, text, sig)
	}
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	return seconds < 1<<63 && ed25519.Verify(v.public, cosignedMessage(seconds, text), sig[8:])
}

// Fingerprint is the SHA-256 of the public key inside a verifier key, as groups of four hex digits: short lines to
// compare on paper. It returns ErrKey for a malformed key.
func Fingerprint(vkey string) (string, error) {
	v, err := parseVKey(vkey)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(v.public)
	digits := hex.EncodeToString(sum[:])
	var groups []string
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	return strings.Join(groups, " "), nil
}

// cosignedMessage is what a cosignature/v1 signs (C2SP tlog-cosignature, "Ed25519 signed message").
func cosignedMessage(seconds uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", seconds), text...)
}

// validName reports whether name may stand in a signature line (C2SP signed-note): not empty, UTF-8, no white space,
// no plus, no control character.
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.Contains(name, "+") &&
		strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) < 0
}

func keyHash(name string, kind byte, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{kind})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func vkeyText(name string, kind byte, public ed25519.PublicKey) string {
	return joinKey(name, keyHash(name, kind, public), append([]byte{kind}, public...))
}

func joinKey(name string, hash uint32, raw []byte) string {
	return fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(raw))
}

// splitKey reads "name+hash+base64" so strictly that joinKey gives the text back.
func splitKey(text string) (name string, hash uint32, raw []byte, err error) {
	name, rest, ok := strings.Cut(text, "+")
	digits, b64, ok2 := strings.Cut(rest, "+")
	n, err1 := strconv.ParseUint(digits, 16, 32)
	raw, err2 := base64.StdEncoding.DecodeString(b64)
	if !ok || !ok2 || err1 != nil || err2 != nil || !validName(name) || joinKey(name, uint32(n), raw) != text {
		return "", 0, nil, ErrKey
	}
	return name, uint32(n), raw, nil
}
