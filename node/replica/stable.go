package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/store"
)

// errStableNotFound is what raft compares by its text, which must be exactly this.
var errStableNotFound = errors.New("not found")

// stableStore is raft.StableStore (term and vote) over the log database; each
// Set returns after the fsync. The link epoch lies there too.
type stableStore struct{ db *store.DB }

var _ raft.StableStore = stableStore{}

// Set keeps a value.
func (s stableStore) Set(key, val []byte) error { return s.put(stableKey(key), val) }

// Get reads a value; the error for an absent one has the text "not found".
func (s stableStore) Get(key []byte) ([]byte, error) {
	v, err := s.db.Get(stableKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errStableNotFound
	} else if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	return v, nil
}

// SetUint64 keeps a number.
func (s stableStore) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// GetUint64 reads a number; the error for an absent one has the text "not found".
func (s stableStore) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("read %q: %w", key, ErrCorrupt)
	}
	return binary.BigEndian.Uint64(v), nil
}

// linkEpoch reads the link epoch, 0 before the first.
func (s stableStore) linkEpoch() (uint64, error) {
	v, err := s.db.Get([]byte{tableLink})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("read link epoch: %w", err)
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("read link epoch: %w", ErrCorrupt)
	}
	return binary.BigEndian.Uint64(v), nil
}

// setLinkEpoch keeps the link epoch and returns after the fsync.
func (s stableStore) setLinkEpoch(epoch uint64) error {
	return s.put([]byte{tableLink}, binary.BigEndian.AppendUint64(nil, epoch))
}

func (s stableStore) put(key, val []byte) error {
	b := s.db.NewWriteBatch()
	if err := b.Set(key, val); err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", key, err), b.Discard())
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("write %q: %w", key, err)
	}
	return nil
}

func stableKey(key []byte) []byte { return append([]byte{tableStable}, key...) }
