package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble"
)

// get returns a copy of a value, nil where there is none.
func (b *Box) get(key []byte) ([]byte, error) {
	v, closer, err := b.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w: %w", ErrCorrupt, err)
	}
	out := bytes.Clone(v)
	if out == nil {
		out = []byte{}
	}
	return out, closer.Close()
}

// scan calls f for every row from lower up to, not including, upper. The
// slices hold only during the call.
func (b *Box) scan(lower, upper []byte, f func(key, value []byte) error) error {
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read outbox: %w: %w", ErrCorrupt, err)
	}
	return nil
}

func (b *Box) scanTable(table byte, f func(key, value []byte) error) error {
	return b.scan([]byte{table}, prefixEnd([]byte{table}), f)
}

// errStop ends a scan early.
var errStop = errors.New("stop")

// nameOf takes the length-prefixed name that follows skip bytes of key.
func nameOf(key []byte, skip int) (name string, rest []byte, err error) {
	r := reader{b: key}
	r.take(uint64(skip))
	name = r.name()
	if r.bad {
		return "", nil, fmt.Errorf("key is cut short: %w", ErrCorrupt)
	}
	return name, r.b, nil
}

// load reads the identity and everything that is kept in memory. known is what
// the marker file says.
func (b *Box) load(known *identity) error {
	raw, err := b.get([]byte{tableMeta})
	switch {
	case err != nil:
		return err
	case raw == nil && known != nil:
		return fmt.Errorf("marker of epoch %d without content: %w", known.Epoch, ErrCorrupt)
	case raw == nil:
		return b.create()
	}
	if err := decodeJSON(raw, &b.id); err != nil {
		return err
	}
	if b.id.Producer != b.opt.Producer {
		return fmt.Errorf("open outbox of %q for %q: %w", b.id.Producer, b.opt.Producer, ErrProducer)
	}
	if known == nil || known.Epoch != b.id.Epoch { // the crash between create's two steps
		if err := writeMarker(b.opt.FS, b.opt.Dir, b.id); err != nil {
			return err
		}
	}
	return errors.Join(b.loadQueues(), b.loadTotals(), b.loadRefusals(), b.loadVerdicts())
}

// create begins a new outbox: first the database, then the marker, so that a
// marker never stands beside nothing.
func (b *Box) create() error {
	b.id = identity{Producer: b.opt.Producer, Epoch: uint64(b.opt.Now().Unix()), Secret: make([]byte, 32)}
	if b.opt.Rand == nil {
		return fmt.Errorf("new outbox: no source of randomness")
	}
	if _, err := io.ReadFull(b.opt.Rand, b.id.Secret); err != nil {
		return fmt.Errorf("new outbox: %w", err)
	}
	if err := b.db.Set([]byte{tableMeta}, encodeJSON(b.id), pebble.Sync); err != nil {
		return fmt.Errorf("new outbox: %w", err)
	}
	return writeMarker(b.opt.FS, b.opt.Dir, b.id)
}

func (b *Box) loadQueues() error {
	return b.scanTable(tableResource, func(key, value []byte) error {
		name, _, err := nameOf(key, 1)
		if err != nil {
			return err
		}
		var q queue
		if err := decodeJSON(value, &q); err != nil {
			return err
		}
		b.queues[name] = q
		b.bytes += q.Bytes
		return nil
	})
}

func (b *Box) loadTotals() error {
	prefix := append([]byte{tableCounter}, totalDay...)
	return b.scan(prefix, prefixEnd(prefix), func(key, value []byte) error {
		name, _, err := nameOf(key, len(prefix))
		if err != nil {
			return err
		}
		var c Counts
		if err := decodeJSON(value, &c); err != nil {
			return err
		}
		b.totals[name] = c
		return nil
	})
}

func (b *Box) loadRefusals() error {
	return b.scanTable(tableRefusal, func(key, value []byte) error {
		stream, _, err := nameOf(key, 1)
		if err != nil {
			return err
		}
		var r Refusal
		if err := decodeJSON(value, &r); err != nil {
			return err
		}
		n := lastNumber(key)
		b.refusals[stream] = append(b.refusals[stream], openRefusal{n, r.Key, r.Unit})
		b.nextRef[stream] = n + 1
		return nil
	})
}

func (b *Box) loadVerdicts() error {
	return b.scanTable(tableVerdict, func(key, value []byte) error {
		stream, rest, err := nameOf(key, 1)
		if err != nil {
			return err
		}
		n := binary.BigEndian.Uint64(rest)
		s := b.verdicts[stream]
		if s.size == nil {
			s.size = map[uint64]int64{}
		}
		s.next, s.size[n] = n+1, int64(len(value))
		b.verdicts[stream] = s
		b.bytes += int64(len(value))
		return nil
	})
}
