package state

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
)

// TreeSize is the number of leaves in the audit log.
func (v *View) TreeSize() uint64 { return v.size }

// Root is the root over all leaves.
func (v *View) Root() (tlog.Hash, error) {
	return tlog.TreeHash(int64(v.size), v.HashReader())
}

// HashReader reads the stored hashes of the tree; valid until Close.
func (v *View) HashReader() tlog.HashReader { return hashReader(v.snap) }

// Leaf gives the bytes of a leaf, or ErrNotFound.
func (v *View) Leaf(i uint64) ([]byte, error) {
	if i >= v.size {
		return nil, notFound("leaf", uintText(i))
	}
	return v.need(logKey(store.TableLeaf, i), "leaf", uintText(i))
}

// Leaves calls f for the bytes of the leaves from an index on, at most limit,
// until f says false; the bytes are valid until f returns.
func (v *View) Leaves(from uint64, limit int, f func(index uint64, leaf []byte) bool) error {
	it := v.snap.NewIter(logKey(store.TableLeaf, from), logKey(store.TableLeaf, v.size))
	for ok := it.First(); ok && limit > 0; ok = it.Next() {
		if limit--; !f(lastNumber(it.Key()), it.Value()) {
			break
		}
	}
	return it.Close()
}

// LeavesOf lists the leaf indexes of a subject from an index on, at most limit.
func (v *View) LeavesOf(s Subject, from uint64, limit int) ([]uint64, error) {
	var out []uint64
	it := v.snap.NewIter(subjectKey(s, from), store.PrefixEnd(subjectPrefix(s)))
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		out = append(out, lastNumber(it.Key()))
	}
	return out, it.Close()
}

// Deliveries lists a subscription's logged ranges, the first one covering or
// following an offset, at most limit. Also of a deleted subscription.
func (v *View) Deliveries(subscription string, from uint64, limit int) ([]Delivery, error) {
	prefix := store.AppendName(store.Key(store.TableDelivery), subscription)
	it := v.snap.NewIter(prefix, store.PrefixEnd(prefix))
	ok := it.SeekLT(rangeKey(store.TableDelivery, subscription, from+1))
	if !ok {
		ok = it.First()
	}
	var out []Delivery
	for ; ok && len(out) < limit; ok = it.Next() {
		through, leaf, err := decodePair(it.Value(), "delivery")
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		if through >= from {
			out = append(out, Delivery{Subscription: subscription, From: lastNumber(it.Key()), Through: through, Leaf: leaf})
		}
	}
	return out, it.Close()
}

// Acknowledged is the leaf of the first acknowledgement that covers an offset;
// ok is false when none does.
func (v *View) Acknowledged(subscription string, offset uint64) (leaf, through uint64, ok bool, err error) {
	prefix := store.AppendName(store.Key(store.TableAck), subscription)
	it := v.snap.NewIter(rangeKey(store.TableAck, subscription, offset), store.PrefixEnd(prefix))
	if it.First() {
		through = lastNumber(it.Key())
		var from uint64
		from, leaf, err = decodePair(it.Value(), "acknowledgement")
		ok = err == nil && from <= offset
	}
	return leaf, through, ok, errors.Join(err, it.Close())
}

// Mark is the newest mark that this replica agreed with; ok is false when there
// is none.
func (v *View) Mark() (m MarkState, ok bool, err error) {
	b, ok, err := optional(v.snap, metaKey(metaMark))
	if err != nil || !ok {
		return m, false, err
	}
	m, err = decodeMark(b)
	return m, err == nil, err
}

// Publication gives one by its id.
func (v *View) Publication(id string) (disclosure.Publication, bool, error) {
	n, ok := publicationNumber(id)
	if !ok {
		return disclosure.Publication{}, false, nil
	}
	return v.publication(n)
}

func (v *View) publication(number uint64) (p disclosure.Publication, ok bool, err error) {
	b, ok, err := optional(v.snap, publicationKey(number))
	if err != nil || !ok {
		return p, false, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, false, fmt.Errorf("publication %d: %w: %w", number, ErrCorrupt, err)
	}
	return p, true, nil
}

// PublicationOf gives the publication of a key; false when it has none.
func (v *View) PublicationOf(resource, key string) (disclosure.Publication, bool, error) {
	n, err := v.number(resource)
	if err != nil {
		return disclosure.Publication{}, false, err
	}
	b, ok, err := optional(v.snap, publishedKey(n, key))
	if err != nil || !ok {
		return disclosure.Publication{}, false, err
	}
	number, _, err := decodePair(b, "publication of a key")
	if err != nil {
		return disclosure.Publication{}, false, err
	}
	return v.publication(number)
}

// Publications lists those that pass the filter, in the order they were made.
func (v *View) Publications(f PublicationFilter) ([]disclosure.Publication, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	after, ok := publicationNumber(f.After)
	if f.After != "" && !ok {
		return nil, notFound("publication", f.After)
	}
	lower, upper := publicationKey(after+1), []byte{store.TablePublication + 1}
	if f.State != "" {
		state := publicState(f.State)
		lower, upper = publicStateKey(state, after+1), []byte{store.TablePublicStates, state + 1}
	}
	var out []disclosure.Publication
	it := v.snap.NewIter(lower, upper)
	for ok := it.First(); ok && len(out) < f.Limit; ok = it.Next() {
		p, ok, err := v.publication(lastNumber(it.Key()))
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		if ok && (f.Resource == "" || p.Resource == f.Resource) && (f.State == "" || p.State == f.State) {
			out = append(out, p)
		}
	}
	return out, it.Close()
}

// FeedSize is the last sequence of a resource's public feed, 0 for none.
func (v *View) FeedSize(resource string) (uint64, error) {
	n, err := v.number(resource)
	if err != nil {
		return 0, err
	}
	h, err := v.head(n)
	return h.feed, err
}

// FeedEntries lists a resource's feed after a sequence, oldest first, at most
// limit.
func (v *View) FeedEntries(resource string, after uint64, limit int) ([]FeedEntry, error) {
	n, err := v.number(resource)
	if err != nil {
		return nil, err
	}
	it := v.snap.NewIter(feedKey(n, after+1), feedEnd(n))
	return feedOf(it, it.First(), it.Next, limit)
}

// FeedTail lists a resource's feed before a sequence (0: from the end), newest
// first, at most limit.
func (v *View) FeedTail(resource string, before uint64, limit int) ([]FeedEntry, error) {
	n, err := v.number(resource)
	if err != nil {
		return nil, err
	}
	upper := feedEnd(n)
	if before > 0 {
		upper = feedKey(n, before)
	}
	it := v.snap.NewIter(feedKey(n, 0), upper)
	return feedOf(it, it.Last(), it.Prev, limit)
}

func feedEnd(resource uint32) []byte {
	return store.PrefixEnd(store.ResourceKey(nil, store.TableFeed, resource))
}

func feedOf(it *store.Iter, ok bool, next func() bool, limit int) ([]FeedEntry, error) {
	var out []FeedEntry
	for ; ok && len(out) < limit; ok = next() {
		e, err := decodeFeed(lastNumber(it.Key()), it.Value())
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		out = append(out, e)
	}
	return out, it.Close()
}
