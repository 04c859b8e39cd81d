package state

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
)

// compareContent compares all that is stored with the model.
func (g *generator) compareContent() {
	g.t.Helper()
	v := g.a.view()
	defer v.Close()
	for name, res := range g.m.resources {
		var got []mRecord
		err := v.Records(name, 0, 1<<30, func(r *StoredRecord) bool {
			got = append(got, mRecord{r.Key, r.ID, r.System, r.Op, r.Version, r.Previous, r.Counter, r.Leaf, r.Ordinal})
			return true
		})
		if err != nil {
			g.t.Fatal(err)
		}
		if diff := cmp.Diff(res.recs, got, cmp.AllowUnexported(mRecord{})); diff != "" {
			g.t.Fatalf("records of %s (-model +machine)\n%s", name, diff)
		}
		for key, k := range res.keys {
			s, ok, err := v.KeyState(name, key)
			if err != nil || !ok || s.Version != k.version || s.Offset != k.offset || s.Owner != k.owner {
				g.t.Fatalf("%s %s: %+v %v %v, the model has %+v", name, key, s, ok, err, k)
			}
			h, err := v.History(name, key, 1<<20)
			if err != nil || uint64(len(h)) != k.version {
				g.t.Fatalf("%s %s has a history of %d, %v", name, key, len(h), err)
			}
		}
		g.compareProducersAndFeed(v, name, res)
	}
	for id, s := range g.m.subs {
		got, ok, err := v.Subscription(id)
		if err != nil || !ok || got.Cursor != s.acked || got.Handed != s.handed {
			g.t.Fatalf("subscription %s: %+v %v %v, the model has %+v", id, got, ok, err, s)
		}
	}
	for system, held := range g.m.held {
		items, err := v.Quarantine(system, 0, 1<<20)
		if err != nil {
			g.t.Fatal(err)
		}
		number := g.a.m.work.cat.systems[system].Number
		if h := g.a.m.work.heldBy(number); h.items != uint64(len(held)) {
			g.t.Fatalf("quarantine of %s counts %d items, the model has %d", system, h.items, len(held))
		}
		for _, it := range items {
			want, ok := held[it.Number]
			if !ok || want.key != it.Key || want.body != string(it.Body) || want.id != it.RecordID || want.resource != it.Resource {
				g.t.Fatalf("quarantine of %s: %+v, the model has %+v", system, it, want)
			}
			delete(held, it.Number)
		}
		for n, it := range held {
			if it.at > g.m.now-QuarantineMs {
				g.t.Fatalf("quarantine of %s lacks %d", system, n)
			}
		}
	}
	for _, p := range g.m.pubs {
		got, ok, err := v.Publication(p.id)
		if err != nil || !ok || got.State != p.state || got.PublishedVersion != p.published || got.Version != p.version {
			g.t.Fatalf("publication %s: %+v %v %v, the model has %+v", p.id, got, ok, err, p)
		}
	}
}

func (g *generator) compareProducersAndFeed(v *View, name string, res *mResource) {
	g.t.Helper()
	for id, p := range res.prods {
		got, err := v.Producer(name, "fagai.pub", id)
		if err != nil || got.Epoch != p.epoch || got.Last != uint64(len(p.answers)) {
			g.t.Fatalf("producer %s of %s: %+v %v, the model has epoch %d and %d answers", id, name, got, err, p.epoch, len(p.answers))
		}
	}
	es, err := v.FeedEntries(name, 0, 1<<30)
	if err != nil {
		g.t.Fatal(err)
	}
	var feed []string
	for i, e := range es {
		if e.Seq != uint64(i+1) || res.recs[e.Offset-1].version != e.Version || res.recs[e.Offset-1].key != e.Key {
			g.t.Fatalf("feed of %s: entry %d is %+v", name, i, e)
		}
		feed = append(feed, fmt.Sprintf("%s v%d %v", e.Key, e.Version, e.Tombstone))
	}
	if diff := cmp.Diff(res.feed, feed); diff != "" {
		g.t.Fatalf("feed of %s (-model +machine)\n%s", name, diff)
	}
}

// checkTree computes root and inner roots the plain way.
func checkTree(t *testing.T, m *Machine) {
	t.Helper()
	v, err := m.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var hashes []tlog.Hash
	if err := v.Leaves(0, 1<<30, func(i uint64, b []byte) bool {
		hashes = append(hashes, sha256.Sum256(append([]byte{0}, b...)))
		l, err := audit.ParseLeaf(b)
		if err != nil || l.I != i {
			t.Fatalf("leaf %d: %+v %v", i, l, err)
		}
		if l.Type == audit.SubmissionAccepted {
			seg, err := v.Segment(l.Resource, l.First)
			if err != nil || seg.Leaf != i || uint64(len(seg.Records)) != l.Count || audit.InnerRoot(seg.Items()) != l.Root {
				t.Fatalf("leaf %d does not stand for segment %d of %s: %v", i, l.First, l.Resource, err)
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	root, err := v.Root()
	if err != nil || root != plainRoot(hashes) {
		t.Fatalf("root %s %v, computed %s", root, err, plainRoot(hashes))
	}
}

// plainRoot is MTH of RFC 6962 §2.1.
func plainRoot(h []tlog.Hash) tlog.Hash {
	if len(h) == 1 {
		return h[0]
	}
	k := 1
	for k*2 < len(h) {
		k *= 2
	}
	l, r := plainRoot(h[:k]), plainRoot(h[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// second is the other machine: it gets the same entries in other groups.
type second struct {
	t       *testing.T
	r       *rig
	rand    *rand.Rand
	waiting []Entry
	want    [][]Result
	dirs    int
}

func (b *second) feed(e Entry, want []Result) {
	// Through the bytes, as over raft.
	d, err := DecodeEntry(e.Index, EncodeEntry(e.Time, e.Sections))
	if err != nil {
		b.t.Fatal(err)
	}
	b.waiting, b.want = append(b.waiting, d), append(b.want, want)
	if b.rand.IntN(4) == 0 || len(b.waiting) > 20 {
		b.flush()
	}
}

func (b *second) flush() {
	b.t.Helper()
	got, err := b.r.m.Apply(b.waiting)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range got {
		if b.want[i] == nil {
			continue
		}
		if !reflect.DeepEqual(b.want[i], got[i]) {
			b.t.Fatalf("entry %d (-one by one +grouped)\n%s", b.waiting[i].Index, cmp.Diff(b.want[i], got[i]))
		}
	}
	again := b.waiting
	b.waiting, b.want = nil, nil
	switch b.rand.IntN(60) {
	case 0:
		b.restore(false)
	case 1:
		b.restore(true)
	case 2:
		if err := b.r.m.Close(); err != nil {
			b.t.Fatal(err)
		}
		b.r.m = b.r.open(b.dir())
	case 3: // what raft replays after a restart changes nothing
		if got, err := b.r.m.Apply(again); err != nil || slices.ContainsFunc(got, func(r []Result) bool { return r != nil }) {
			b.t.Fatalf("applied again: %v %v", got, err)
		}
	}
}

func (b *second) dir() string {
	if b.dirs == 0 {
		return "state"
	}
	return fmt.Sprint("state", b.dirs)
}

// restore goes on from a checkpoint: swapped in, or opened after a crash.
func (b *second) restore(swap bool) {
	b.t.Helper()
	b.dirs++
	if err := b.r.m.Checkpoint(b.dir()); err != nil {
		b.t.Fatal(err)
	}
	if !swap {
		if err := b.r.m.Abandon(); err != nil {
			b.t.Fatal(err)
		}
		b.r.m = b.r.open(b.dir())
		return
	}
	db, err := store.OpenState(b.dir(), store.Options{FS: b.r.fs, MustExist: true})
	if err != nil {
		b.t.Fatal(err)
	}
	drained, err := b.r.m.Swap(db)
	if err != nil {
		b.t.Fatal(err)
	}
	<-drained
}

// compare compares everything stored, byte for byte.
func (b *second) compare(a *Machine) {
	b.t.Helper()
	b.flush()
	i1, t1, h1 := a.Applied()
	i2, t2, h2 := b.r.m.Applied()
	if i1 != i2 || t1 != t2 || h1 != h2 {
		b.t.Fatalf("one stands at %d %d %x, the other at %d %d %x", i1, t1, h1, i2, t2, h2)
	}
	if x, y := dump(b.t, a), dump(b.t, b.r.m); !maps.Equal(x, y) {
		b.t.Fatalf("stored bytes differ (-one by one +grouped)\n%s", cmp.Diff(x, y))
	}
}
