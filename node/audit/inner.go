package audit

import (
	"fmt"
	"math/bits"

	"github.com/hutong-bus/hutong/node/tlog"
)

// InnerRoot is the RFC 6962 root over the bytes of items, as it stands in the field Root of their range leaf. For no
// items it is the hash of the empty string.
func InnerRoot(items [][]byte) tlog.Hash {
	if len(items) == 0 {
		root, _ := tlog.TreeHash(0, nil) // cannot fail: nothing is read for the empty tree
		return root
	}
	return subtree(leafHashes(items))
}

// InnerPath is the inclusion path of items[i], its sibling first; empty if i is not among the items.
func InnerPath(items [][]byte, i int) []tlog.Hash {
	if i < 0 || i >= len(items) {
		return nil
	}
	var path []tlog.Hash
	hashes := leafHashes(items)
	for len(hashes) > 1 {
		k := split(len(hashes))
		if i < k {
			path = append(path, subtree(hashes[k:]))
			hashes = hashes[:k]
		} else {
			path = append(path, subtree(hashes[:k]))
			hashes, i = hashes[k:], i-k
		}
	}
	for a, z := 0, len(path)-1; a < z; a, z = a+1, z-1 {
		path[a], path[z] = path[z], path[a]
	}
	return path
}

// CheckInner returns nil if path proves that the range leaf with inner root root over n items has item at place i,
// else ErrInner.
func CheckInner(root tlog.Hash, item []byte, i, n int, path []tlog.Hash) error {
	if err := tlog.CheckRecord(path, int64(n), root, int64(i), tlog.LeafHash(item)); err != nil {
		return fmt.Errorf("item %d of %d: %w", i, n, ErrInner)
	}
	return nil
}

func leafHashes(items [][]byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(items))
	for i, item := range items {
		hashes[i] = tlog.LeafHash(item)
	}
	return hashes
}

// subtree is the root over at least one leaf hash.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	k := split(len(hashes))
	return tlog.NodeHash(subtree(hashes[:k]), subtree(hashes[k:]))
}

// split is the greatest power of two below n, for n > 1.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }
