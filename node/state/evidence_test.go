package state

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/tlog"
)

// Every proof that readers hand out holds: inclusion and consistency in the
// tree, and items in their range leaf.
func TestEvidenceHolds(t *testing.T) {
	r := newRig(t)
	for i := range 40 {
		pub(up(fmt.Sprint("a", i), "k1"), up(fmt.Sprint("b", i), fmt.Sprint("k", i)), up(fmt.Sprint("c", i), "k2"), withdraw(fmt.Sprint("d", i), "k2"))(r)
	}
	v := r.view()
	defer v.Close()
	root, err := v.Root()
	if err != nil {
		t.Fatal(err)
	}
	size, reader := int64(v.TreeSize()), v.HashReader()
	var leaves [][]byte
	if err := v.Leaves(0, 1<<20, func(i uint64, leaf []byte) bool {
		leaves = append(leaves, slices.Clone(leaf))
		return true
	}); err != nil || int64(len(leaves)) != size {
		t.Fatalf("%d leaves of %d: %v", len(leaves), size, err)
	}
	for i, leaf := range leaves {
		proof, err := tlog.ProveRecord(size, int64(i), reader)
		if err != nil || tlog.CheckRecord(proof, size, root, int64(i), tlog.LeafHash(leaf)) != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
		got, err := v.Leaf(uint64(i))
		if err != nil || string(got) != string(leaf) {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	old, err := tlog.TreeHash(17, reader)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ProveTree(size, 17, reader)
	if err != nil || tlog.CheckTree(proof, size, root, 17, old) != nil {
		t.Fatalf("consistency: %v", err)
	}
	for offset := uint64(1); offset <= 160; offset++ {
		rec, err := v.RecordAt("approvals.case", offset)
		if err != nil {
			t.Fatal(err)
		}
		seg, err := v.Segment("approvals.case", offset)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := audit.ParseLeaf(leaves[rec.Leaf])
		if err != nil {
			t.Fatal(err)
		}
		path := audit.InnerPath(seg.Items(), rec.Ordinal)
		if err := audit.CheckInner(leaf.Root, rec.Item().Encode(), rec.Ordinal, int(leaf.Count), path); err != nil {
			t.Fatalf("offset %d: %v", offset, err)
		}
		if leaf.First+uint64(rec.Ordinal) != offset {
			t.Fatalf("ordinal of offset %d is %d in a leaf from %d", offset, rec.Ordinal, leaf.First)
		}
	}
}

func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		pub(up(fmt.Sprint("a", i), "k1"), up(fmt.Sprint("b", i), ""), up(fmt.Sprint("c", i), "k2"))(r)
	}
	v := r.view()
	defer v.Close()
	for _, tt := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, 3, []uint64{1, 2, 3}}, {3, 2, []uint64{4, 5}}, {4, 1, []uint64{5}}, {18, 9, []uint64{19, 20}}, {20, 9, nil}, {99, 9, nil}, {0, 0, nil},
	} {
		var got []uint64
		if err := v.Records("approvals.case", tt.after, tt.limit, func(r *StoredRecord) bool {
			got = append(got, r.Offset)
			if want := fmt.Sprintf(`{"id":%q}`, r.ID); string(r.Body) != want {
				t.Errorf("offset %d has body %s, want %s", r.Offset, r.Body, want)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("after %d limit %d (-want +got)\n%s", tt.after, tt.limit, diff)
		}
	}
	if _, err := v.RecordAt("approvals.case", 21); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if _, err := v.RecordAt("approvals.case", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

func TestSplitStored(t *testing.T) {
	for level := range 12 {
		for n := range int64(300) {
			l, m := splitStored(tlog.StoredHashIndex(level, n))
			if l != level || m != n {
				t.Fatalf("hash %d at level %d comes back as %d at %d", n, level, m, l)
			}
		}
	}
}
