package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/store"
)

// load reads what Apply keeps in memory from a database.
func load(r store.Reader, clusterID string) (*work, error) {
	w := newWork()
	w.clusterID = clusterID
	if err := w.loadFormat(r); err != nil || w.fresh {
		return w, err
	}
	var err error
	if w.cat, err = loadCatalogue(r); err != nil {
		return nil, err
	}
	if b, ok, err := optional(r, metaKey(metaCluster)); err != nil {
		return nil, err
	} else if ok {
		if err := json.Unmarshal(b, &w.cat.cluster); err != nil {
			return nil, fmt.Errorf("read cluster: %w: %w", ErrCorrupt, err)
		}
	}
	if have := w.cat.cluster.Cluster; clusterID != "" && have != "" && have != clusterID {
		return nil, fmt.Errorf("database of cluster %s, not %s: %w", have, clusterID, ErrForeign)
	}
	if b, ok, err := optional(r, metaKey(metaNext)); err != nil {
		return nil, err
	} else if ok {
		if w.next, err = decodeNext(b); err != nil {
			return nil, err
		}
	}
	for _, read := range []func(store.Reader) error{w.loadLinks, w.loadHeads, w.loadCounters, w.loadHeld} {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// loadFormat reads format and standing; a database without a format must be
// empty.
func (w *work) loadFormat(r store.Reader) error {
	b, ok, err := optional(r, metaKey(metaFormat))
	switch {
	case err != nil:
		return err
	case !ok:
		it := r.NewIter(nil, nil)
		some := it.First()
		if err := it.Close(); err != nil {
			return err
		}
		if some {
			return fmt.Errorf("database with content but without format: %w", ErrCorrupt)
		}
		w.fresh = true
		return nil
	case len(b) != 1:
		return fmt.Errorf("format of the database: %w", ErrCorrupt)
	case b[0] != StateFormat:
		return fmt.Errorf("database of format %d: %w", b[0], ErrUpgrade)
	}
	b, ok, err = optional(r, metaKey(metaApplied))
	if err != nil || !ok {
		return errors.Join(err, corrupt("applied index", "missing"))
	}
	w.standing, err = decodeStanding(b)
	return err
}

func (w *work) loadLinks(r store.Reader) error {
	return each(r, store.TableLink, func(key, value []byte) error {
		epoch, number, err := decodePair(value, "link")
		w.links[string(key[1:])] = link{epoch, number}
		return err
	})
}

func (w *work) loadHeads(r store.Reader) error {
	return each(r, store.TableHead, func(key, value []byte) error {
		h, err := decodeHead(value)
		w.heads[binary.BigEndian.Uint32(key[1:])] = &h
		return err
	})
}

func (w *work) loadCounters(r store.Reader) error {
	return each(r, store.TableCounter, func(key, value []byte) error {
		records, epoch, err := decodePair(value, "counter")
		w.counters[binary.BigEndian.Uint32(key[1:])] = &counter{records, epoch}
		return err
	})
}

func (w *work) loadHeld(r store.Reader) error {
	return each(r, store.TableHeld, func(key, value []byte) error {
		v := reader{b: value}
		w.held[binary.BigEndian.Uint32(key[1:])] = &held{v.uint(), v.uint(), v.uint()}
		return v.done("quarantine of a system")
	})
}

// each calls f for all rows of a table.
func each(r store.Reader, table byte, f func(key, value []byte) error) error {
	it := r.NewIter([]byte{table}, []byte{table + 1})
	var err error
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if len(it.Key()) < 5 && table != store.TableLink {
			err = corrupt("key of table", fmt.Sprintf("%#x", table))
			break
		}
		err = f(it.Key(), it.Value())
	}
	return errors.Join(err, it.Close())
}

// optional reads a value that may be absent.
func optional(r store.Reader, key []byte) ([]byte, bool, error) {
	b, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	return b, err == nil, err
}
