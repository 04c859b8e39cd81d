package state

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
)

// The hashes that a leaf completes are one row under its index: the leaf's own
// and those of the subtrees it is the last leaf of. The hash (level, n) so lies
// in the row of leaf ((n+1) << level) − 1 at place level.

func hashRowKey(level int, n int64) []byte {
	return logKey(store.TableHash, uint64((n+1)<<level)-1)
}

func hashInRow(row []byte, ok bool, level int, n int64) (h tlog.Hash, err error) {
	if !ok || len(row) < (level+1)*tlog.HashSize {
		return h, fmt.Errorf("tree hash %d at level %d: %w", n, level, ErrCorrupt)
	}
	copy(h[:], row[level*tlog.HashSize:])
	return h, nil
}

// splitStored is the inverse of tlog.StoredHashIndex. Before leaf n two hashes a
// leaf were stored, less one for each subtree that n leaves do not complete:
// 2n − ones(n). The hash under index belongs to the last leaf that begins at or
// before it, and its level is the distance.
func splitStored(index int64) (level int, n int64) {
	leaf := index / 2
	for firstStored(leaf+1) <= index {
		leaf++
	}
	level = int(index - firstStored(leaf))
	return level, leaf >> level
}

// firstStored is tlog.StoredHashIndex(0, leaf).
func firstStored(leaf int64) int64 { return 2*leaf - int64(bits.OnesCount64(uint64(leaf))) }

// hashReader reads the tree's hashes from a snapshot.
func hashReader(r store.Reader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := splitStored(x)
			row, err := r.Get(hashRowKey(level, n))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, fmt.Errorf("read tree hash: %w", err)
			}
			if out[i], err = hashInRow(row, err == nil, level, n); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}
