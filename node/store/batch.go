package store

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble"
)

// Batch collects changes that become visible and durable together. One made by
// NewBatch also answers reads, its own changes included; one made by
// NewWriteBatch only writes and is cheaper.
type Batch struct {
	b       *pebble.Batch
	db      *DB
	indexed bool
}

// NewBatch begins a batch that can be read.
func (db *DB) NewBatch() *Batch { return &Batch{b: db.pdb.NewIndexedBatch(), db: db, indexed: true} }

// NewWriteBatch begins a batch that cannot be read.
func (db *DB) NewWriteBatch() *Batch { return &Batch{b: db.pdb.NewBatch(), db: db} }

// Get gives a copy of key's value as the batch would leave it, or ErrNotFound.
func (b *Batch) Get(key []byte) ([]byte, error) {
	v, closer, err := b.b.Get(key)
	return copied("get", v, closer, err)
}

// AppendGet appends key's value to dst and says whether the key is there; it
// allocates only when dst is too small.
func (b *Batch) AppendGet(dst, key []byte) ([]byte, bool, error) {
	v, closer, err := b.b.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return dst, false, nil
		}
		return dst, false, wrap("get", err)
	}
	dst = append(dst, v...)
	return dst, true, wrap("get", closer.Close())
}

// Set writes a value; key and value are copied.
func (b *Batch) Set(key, value []byte) error { return wrap("set", b.b.Set(key, value, nil)) }

// Delete removes a key, there or not.
func (b *Batch) Delete(key []byte) error { return wrap("delete", b.b.Delete(key, nil)) }

// DeleteRange removes the keys in [lower, upper).
func (b *Batch) DeleteRange(lower, upper []byte) error {
	return wrap("delete range", b.b.DeleteRange(lower, upper, nil))
}

// NewIter walks [lower, upper) as the batch would leave it. Changes made to the
// batch after the call are not seen.
func (b *Batch) NewIter(lower, upper []byte) *Iter {
	it, err := b.b.NewIter(bounds(lower, upper))
	return newIter(it, err)
}

// Bytes is the size of the batch so far.
func (b *Batch) Bytes() int { return b.b.Len() }

// Commit applies the batch and closes it. In the log database it returns after
// the fsync; in the state database durability comes with the next Flush.
func (b *Batch) Commit() error {
	if err := b.b.Commit(b.db.write); err != nil {
		return wrap("commit", err)
	}
	return wrap("close batch", b.b.Close())
}

// Discard drops a batch that is not to be committed.
func (b *Batch) Discard() error { return wrap("close batch", b.b.Close()) }

// Snapshot is the content of a database at one moment.
type Snapshot struct{ s *pebble.Snapshot }

// Get gives a copy of key's value, or ErrNotFound.
func (s *Snapshot) Get(key []byte) ([]byte, error) {
	v, closer, err := s.s.Get(key)
	return copied("get", v, closer, err)
}

// NewIter walks the keys in [lower, upper); nil bounds are open.
func (s *Snapshot) NewIter(lower, upper []byte) *Iter {
	it, err := s.s.NewIter(bounds(lower, upper))
	return newIter(it, err)
}

// Close releases the snapshot.
func (s *Snapshot) Close() error { return wrap("close snapshot", s.s.Close()) }

// Reader is what can be read: a DB, a Batch made by NewBatch, a Snapshot.
type Reader interface {
	// Get gives a copy of key's value, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// NewIter walks the keys in [lower, upper).
	NewIter(lower, upper []byte) *Iter
}

var (
	_ Reader = (*DB)(nil)
	_ Reader = (*Batch)(nil)
	_ Reader = (*Snapshot)(nil)
)

// Iter walks keys in order. Key and Value are valid until the next move.
// A failed iterator is never Valid; Error and Close say why.
type Iter struct {
	it  *pebble.Iterator
	err error
}

func newIter(it *pebble.Iterator, err error) *Iter {
	if err != nil {
		return &Iter{err: wrap("iterate", err)}
	}
	return &Iter{it: it}
}

// First moves to the first key.
func (i *Iter) First() bool { return i.err == nil && i.it.First() }

// Last moves to the last key.
func (i *Iter) Last() bool { return i.err == nil && i.it.Last() }

// SeekGE moves to the first key ≥ key.
func (i *Iter) SeekGE(key []byte) bool { return i.err == nil && i.it.SeekGE(key) }

// SeekLT moves to the last key < key.
func (i *Iter) SeekLT(key []byte) bool { return i.err == nil && i.it.SeekLT(key) }

// Next moves one key on.
func (i *Iter) Next() bool { return i.err == nil && i.it.Next() }

// Prev moves one key back.
func (i *Iter) Prev() bool { return i.err == nil && i.it.Prev() }

// Valid says whether the iterator stands on a key.
func (i *Iter) Valid() bool { return i.err == nil && i.it.Valid() }

// Key is the key stood on.
func (i *Iter) Key() []byte { return i.it.Key() }

// Value is the value stood on.
func (i *Iter) Value() []byte { return i.it.Value() }

// Error is why the iterator stopped, nil at the end of the range.
func (i *Iter) Error() error {
	if i.err != nil {
		return i.err
	}
	return wrap("iterate", i.it.Error())
}

// Close releases the iterator and gives its error.
func (i *Iter) Close() error {
	if i.it == nil {
		return i.err
	}
	err := wrap("iterate", i.it.Close())
	if i.err != nil {
		return i.err
	}
	return err
}

func bounds(lower, upper []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: lower, UpperBound: upper}
}

func copied(act string, v []byte, closer io.Closer, err error) ([]byte, error) {
	if err != nil {
		return nil, wrap(act, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	if err := closer.Close(); err != nil {
		return nil, wrap(act, err)
	}
	return out, nil
}
