package tlog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// MaxNoteBytes is the greatest length of a signed note that is read: a checkpoint with a hundred signature lines has
// less than a quarter of it.
const MaxNoteBytes = 64 << 10

// Note is an opened signed note.
type Note struct {
	Text       string      // ends in a newline
	Signatures []Signature // lines that a given verifier accepted, in the order of the note
}

// Signature is one verified line of a note.
type Signature struct {
	Name    string // name of the key
	KeyHash uint32
	Cosign  bool  // cosignature/v1
	Time    int64 // Unix seconds; 0 unless Cosign
}

// SignNote signs a text, which must end in a newline, and returns the whole note. It returns ErrNote if text cannot
// be one, or the error of a signer.
func SignNote(text string, signers ...Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign note: %w", errors.Join(ErrNote, err))
	}
	return b, nil
}

// AddSignatures returns the note with lines of more signers; lines that already stand there are kept unread. It
// returns ErrNote if msg is not a signed note.
func AddSignatures(msg []byte, signers ...Signer) ([]byte, error) {
	n, err := parseNote(msg)
	if err != nil {
		return nil, err
	}
	b, err := note.Sign(n, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign note: %w", errors.Join(ErrNote, err))
	}
	return b, nil
}

// MergeNotes returns one note with the lines of all: they must have the same text. A line of a key that already has
// one is left out. It returns ErrNote otherwise.
func MergeNotes(first []byte, more ...[]byte) ([]byte, error) {
	merged, err := parseNote(first)
	if err != nil {
		return nil, err
	}
	type key struct {
		name string
		hash uint32
	}
	have := map[key]bool{}
	for _, s := range merged.UnverifiedSigs {
		have[key{s.Name, s.Hash}] = true
	}
	for _, msg := range more {
		n, err := parseNote(msg)
		if err != nil {
			return nil, err
		}
		if n.Text != merged.Text {
			return nil, fmt.Errorf("merge notes: texts differ: %w", ErrNote)
		}
		for _, s := range n.UnverifiedSigs {
			if k := (key{s.Name, s.Hash}); !have[k] {
				have[k] = true
				merged.UnverifiedSigs = append(merged.UnverifiedSigs, s)
			}
		}
	}
	b, err := note.Sign(merged)
	if err != nil {
		return nil, fmt.Errorf("merge notes: %w", errors.Join(ErrNote, err))
	}
	return b, nil
}

// NoteText returns the text of a signed note without looking at any signature. It returns ErrNote if msg is not one.
func NoteText(msg []byte) (string, error) {
	n, err := parseNote(msg)
	if err != nil {
		return "", err
	}
	return n.Text, nil
}

// OpenNote reads a signed note and checks the lines of the given verifiers; lines of unknown keys are passed over, as
// signed-note demands. It returns ErrNote if the note is malformed or too long, if a known key's line is bad, or if
// no line is of a known key.
func OpenNote(msg []byte, verifiers ...Verifier) (Note, error) {
	if len(msg) > MaxNoteBytes {
		return Note{}, fmt.Errorf("open note of %d bytes: %w", len(msg), ErrNote)
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	if err != nil {
		return Note{}, fmt.Errorf("open note: %w", errors.Join(ErrNote, err))
	}
	opened := Note{Text: n.Text}
	for _, s := range n.Sigs {
		sig := Signature{Name: s.Name, KeyHash: s.Hash}
		for _, v := range verifiers {
			if v.Name() != s.Name || v.KeyHash() != s.Hash {
				continue
			}
			if k, ok := v.(verifier); ok && k.kind == kindCosigner {
				sig.Cosign, sig.Time = true, lineTime(s.Base64)
			}
		}
		opened.Signatures = append(opened.Signatures, sig)
	}
	return opened, nil
}

// parseNote reads a note without verifiers: all its lines are in UnverifiedSigs.
func parseNote(msg []byte) (*note.Note, error) {
	if len(msg) > MaxNoteBytes {
		return nil, fmt.Errorf("read note of %d bytes: %w", len(msg), ErrNote)
	}
	_, err := note.Open(msg, note.VerifierList())
	unverified, ok := errors.AsType[*note.UnverifiedNoteError](err)
	if !ok {
		return nil, fmt.Errorf("read note: %w", errors.Join(ErrNote, err))
	}
	return unverified.Note, nil
}

// lineTime is the time inside a verified cosignature line.
func lineTime(b64 string) int64 {
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(raw) < 12 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw[4:12]))
}
