package state

import (
	"bytes"
	"encoding/binary"

	"github.com/hutong-bus/hutong/node/store"
)

// waitingPrefix begins the rows of what waits in a system's quarantine under one
// hash; the quarantine number follows, and the value is what the item counts
// for in bytes, so that it can leave without being read.
func waitingPrefix(resource uint32, id sectionID) []byte {
	return idKey(make([]byte, 0, 40), store.TableRefusedID, resource, id.system, id.hash)
}

func waitingKey(resource uint32, id sectionID, number uint64) []byte {
	return binary.BigEndian.AppendUint64(waitingPrefix(resource, id), number)
}

// keyHash stands for a key where idHash stands for an id; no id has its source.
func keyHash(key string) [16]byte { return idHash("\x00key", key) }

// waitsUnder is the hash a refused record waits under: its id in the id form,
// its key in the producer form, whose correction comes under another seq. False
// when it names none: then it leaves by discard or in time only.
func (q *quarantineRow) waitsUnder() ([16]byte, bool) {
	if q.producer != "" {
		return keyHash(q.key), q.key != ""
	}
	return idHash("", q.id), q.id != ""
}

// size is what a refused record counts for in its system's quarantine.
func (q *quarantineRow) size() uint64 {
	return uint64(len(q.body) + len(q.errors) + len(q.id) + len(q.key) + 64)
}

// waitingItem is a refused record that was corrected.
type waitingItem struct {
	id     sectionID
	number uint64
	size   uint64
}

// corrected takes out of quarantine what waits under the ids (producer form: the
// keys) of the drafts: their publisher has mended it. At most MaxQuarantineItems
// of each system are there.
func (w *work) corrected() {
	x := &w.rec
	var it *store.Iter
	var items []waitingItem
	var seen map[sectionID]bool
	for n := range x.drafts {
		rec := &x.recs[x.drafts[n].place]
		system := x.systems[rec.System].entry.Number
		if w.heldBy(system).items == 0 {
			continue
		}
		id := sectionID{system: system}
		if rec.Producer >= 0 {
			id.hash = keyHash(rec.Key)
		} else {
			id.hash = idHash("", rec.ID) // refusals name no source
		}
		if seen[id] {
			continue
		}
		if it == nil {
			table := store.ResourceKey(nil, store.TableRefusedID, x.h.Resource)
			it, seen = w.batch.NewIter(table, store.PrefixEnd(table)), make(map[sectionID]bool)
		}
		seen[id] = true
		prefix := waitingPrefix(x.h.Resource, id)
		for ok := it.SeekGE(prefix); ok && bytes.HasPrefix(it.Key(), prefix); ok = it.Next() {
			r := reader{b: it.Value()}
			items = append(items, waitingItem{id: id, number: lastNumber(it.Key()), size: r.uint()})
			w.fail(r.done("waiting refusal"))
		}
	}
	if it != nil {
		w.fail(it.Close())
	}
	for _, item := range items {
		w.leave(x.h.Resource, item)
	}
}

// leave removes a waiting item and its row of the index.
func (w *work) leave(resource uint32, item waitingItem) {
	w.del(quarantineKey(item.id.system, item.number))
	w.del(waitingKey(resource, item.id, item.number))
	w.forgo(item.id.system, item.size)
}

// forgo takes one item of a size off what a system has in quarantine.
func (w *work) forgo(system uint32, size uint64) {
	h := w.heldBy(system)
	h.items -= min(h.items, 1)
	h.bytes -= min(h.bytes, size)
	w.saveHeld(system, h)
}

// newestUnder is the number of the newest item that waits under an id.
func (w *work) newestUnder(resource uint32, id sectionID) (number uint64, ok bool) {
	prefix := waitingPrefix(resource, id)
	it := w.batch.NewIter(prefix, store.PrefixEnd(prefix))
	if ok = it.Last(); ok {
		number = lastNumber(it.Key())
	}
	w.fail(it.Close())
	return number, ok
}
