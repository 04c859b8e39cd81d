// Package tlog is the transparency log as an auditor needs it: hashes of RFC 6962, tiles and entry bundles
// (C2SP tlog-tiles), signed notes and cosignatures (signed-note, tlog-cosignature v1), checkpoints
// (tlog-checkpoint), the trust file (tlog-policy) and proofs as text (tlog-proof@v1).
//
// Invariant kept (DESIGN §4 no. 8): what this package calls proved follows from bytes, keys of the trust file and
// SHA-256 alone. Everything that is read is bounded and strict: one text has one meaning, and encoding what was
// parsed gives the text back.
//
// # Concurrency
//
// All functions are pure and all values are immutable after they are made; everything may be used from any number
// of goroutines.
//
// It never reads a clock, a source of randomness, the environment, a file or the network: times and randomness are
// arguments.
package tlog

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// HashSize is the size of a Hash in bytes.
const HashSize = tlog.HashSize

// MaxSize is the greatest number of leaves a tree may have here. Texts that claim more are refused: the arithmetic
// below stays far from the end of int64.
const MaxSize = 1 << 48

// Hash is a SHA-256 value: of a leaf, a node or a root of the tree. Its String is standard base64.
type Hash = tlog.Hash

// HashReader reads stored hashes by their storage index, see StoredHashIndex. It must return exactly one hash for
// each index or an error.
type HashReader = tlog.HashReader

// HashReaderFunc is a HashReader made of a function.
type HashReaderFunc = tlog.HashReaderFunc

// LeafHash is the RFC 6962 hash of a leaf: SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) Hash { return tlog.RecordHash(leaf) }

// NodeHash is the RFC 6962 hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right Hash) Hash { return tlog.NodeHash(left, right) }

// ParseHash reads the standard base64 form of a hash. It returns ErrProof for anything else.
func ParseHash(s string) (Hash, error) {
	h, err := tlog.ParseHash(s)
	if err != nil || h.String() != s {
		return Hash{}, fmt.Errorf("hash is not 32 bytes in base64: %w", ErrProof)
	}
	return h, nil
}

// StoredHashes returns the hashes to store when leaf number n (from 0) is appended, in the order of their storage
// indexes beginning at StoredHashIndex(0, n). It reads at most log₂ n older hashes from r. It returns ErrRange, or
// the error of r.
func StoredHashes(n int64, leaf []byte, r HashReader) ([]Hash, error) {
	if n < 0 || n >= MaxSize {
		return nil, fmt.Errorf("append leaf %d: %w", n, ErrRange)
	}
	return tlog.StoredHashes(n, leaf, r)
}

// StoredHashIndex is the dense number under which the hash at (level, n) is stored, level 0 being the leaves.
func StoredHashIndex(level int, n int64) int64 { return tlog.StoredHashIndex(level, n) }

// StoredHashCount is the number of hashes stored for a tree of n leaves.
func StoredHashCount(n int64) int64 { return tlog.StoredHashCount(n) }

// TreeHash is the root of the tree of the first n leaves; for n = 0 the hash of the empty string. It returns
// ErrRange, or the error of r.
func TreeHash(n int64, r HashReader) (Hash, error) {
	if n < 0 || n > MaxSize {
		return Hash{}, fmt.Errorf("root of %d leaves: %w", n, ErrRange)
	}
	return tlog.TreeHash(n, r)
}

// ProveRecord returns the inclusion path of leaf n in the tree of size leaves, leaf's sibling first. It returns
// ErrRange, or the error of r.
func ProveRecord(size, n int64, r HashReader) ([]Hash, error) {
	if n < 0 || n >= size || size > MaxSize {
		return nil, fmt.Errorf("prove leaf %d of %d: %w", n, size, ErrRange)
	}
	return tlog.ProveRecord(size, n, r)
}

// CheckRecord returns nil if path proves that the tree of size leaves with this root has leaf at place n, else
// ErrProof.
func CheckRecord(path []Hash, size int64, root Hash, n int64, leaf Hash) error {
	if n < 0 || n >= size || size > MaxSize {
		return fmt.Errorf("leaf %d of %d: %w", n, size, ErrProof)
	}
	if err := tlog.CheckRecord(path, size, root, n, leaf); err != nil {
		return fmt.Errorf("leaf %d of %d: calculated root differs: %w", n, size, ErrProof)
	}
	return nil
}

// ProveTree returns the proof that the tree of size leaves begins with the tree of old leaves. It returns ErrRange,
// or the error of r.
func ProveTree(size, old int64, r HashReader) ([]Hash, error) {
	if old < 1 || old > size || size > MaxSize {
		return nil, fmt.Errorf("prove size %d within %d: %w", old, size, ErrRange)
	}
	return tlog.ProveTree(size, old, r)
}

// CheckTree returns nil if path proves that the tree (size, root) begins with the tree (old, oldRoot), else ErrProof.
func CheckTree(path []Hash, size int64, root Hash, old int64, oldRoot Hash) error {
	if old < 1 || old > size || size > MaxSize {
		return fmt.Errorf("size %d within %d: %w", old, size, ErrProof)
	}
	if err := tlog.CheckTree(path, size, root, old, oldRoot); err != nil {
		return fmt.Errorf("size %d within %d: not a prefix: %w", old, size, ErrProof)
	}
	return nil
}
