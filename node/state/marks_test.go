package state

import (
	"errors"
	"testing"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// markNow is the mark a leader would propose now.
func (r *rig) markNow() record.Mark {
	v := r.view()
	defer v.Close()
	index, _, running := v.Applied()
	root, err := v.Root()
	if err != nil {
		r.tb.Fatal(err)
	}
	return record.Mark{Index: index, Size: v.TreeSize(), Root: root, Running: running}
}

func (r *rig) mark(m record.Mark) ([][]Result, error) {
	s, err := record.EncodeMark(r.header(""), m)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.index++
	out, err := r.m.Apply([]Entry{{Index: r.index, Time: r.now, Sections: [][]byte{s}}})
	if err == nil {
		r.next++
	}
	return out, err
}

func TestMarks(t *testing.T) {
	r := newRig(t)
	pub(up("a", "k"))(r)
	m := r.markNow()
	pub(up("b", "k"), up("c", "k"))(r)
	out, err := r.mark(m)
	if err != nil || out[0][0].Code != Applied {
		t.Fatalf("a mark of two entries ago: %v %v", out, err)
	}
	v := r.view()
	got, ok, err := v.Mark()
	v.Close()
	if err != nil || !ok || got.Index != m.Index || got.Root != tlog.Hash(m.Root) || got.Size != m.Size {
		t.Fatalf("kept %+v %v %v", got, ok, err)
	}
	out, err = r.mark(record.Mark{Index: r.index + 1, Size: m.Size})
	if err != nil || words(out[0][0]) != "refused not_found" {
		t.Fatalf("a mark of an entry to come: %v %v", out, err)
	}
	old := r.markNow()
	for range ringSize {
		r.index++
		if _, err := r.m.Apply([]Entry{{Index: r.index, Time: r.now, Sections: nil}}); err != nil {
			t.Fatal(err)
		}
	}
	out, err = r.mark(old)
	if err != nil || words(out[0][0]) != "refused not_found" {
		t.Fatalf("a mark that is too old: %v %v", out, err)
	}
	last := r.markNow()
	if last.Index != r.index {
		t.Fatalf("applied %d, want %d", last.Index, r.index)
	}
	if out, err = r.mark(last); err != nil || out[0][0].Code != Applied {
		t.Fatalf("after entries without sections: %v %v", out, err)
	}
}

func TestDivergenceStopsTheMachine(t *testing.T) {
	for name, spoil := range map[string]func(*record.Mark){
		"running": func(m *record.Mark) { m.Running[0] ^= 1 },
		"root":    func(m *record.Mark) { m.Root[0] ^= 1 },
		"size":    func(m *record.Mark) { m.Size-- },
	} {
		r := newRig(t)
		pub(up("a", "k"))(r)
		before := r.view()
		m := r.markNow()
		spoil(&m)
		if _, err := r.mark(m); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: %v, want ErrDiverged", name, err)
		}
		if _, err := r.m.View(); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: view %v, want ErrDiverged", name, err)
		}
		if _, err := r.m.Apply([]Entry{{Index: 99}}); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: apply %v, want ErrDiverged", name, err)
		}
		if err := r.m.WaitApplied(t.Context(), 99); !errors.Is(err, ErrDiverged) {
			t.Fatalf("%s: wait %v, want ErrDiverged", name, err)
		}
		before.Close()
	}
}

// A bit that rots in one replica's state is found at the next mark, because
// what depends on it is hashed.
func TestRotIsFoundAtTheNextMark(t *testing.T) {
	a, b := newRig(t), newRig(t)
	for _, r := range []*rig{a, b} {
		pub(up("a", "k1"), up("b", "k2"))(r)
	}
	db := b.m.home.db
	batch := db.NewWriteBatch()
	key := keyKey(nil, 1, "k1")
	row := keyRow{version: 1, offset: 1, owner: "jianwei"}
	if err := errors.Join(batch.Set(key, row.encode(nil)), batch.Commit()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*rig{a, b} {
		pub(up("c", "k1"))(r)
	}
	if _, err := b.mark(a.markNow()); !errors.Is(err, ErrDiverged) {
		t.Fatalf("%v, want ErrDiverged", err)
	}
}

func TestUnknownFormatsStop(t *testing.T) {
	r := newRig(t)
	s, err := record.EncodeCommand(r.header(""), []byte(`{"type":"moon.landing","v":1,"request":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Apply([]Entry{{Index: r.index + 1, Sections: [][]byte{s}}}); !errors.Is(err, ErrUpgrade) {
		t.Fatalf("unknown command: %v, want ErrUpgrade", err)
	}
	r = newRig(t)
	s, err = record.EncodeRecords(r.header("approvals.case", "fagai.pub"), []record.SectionRecord{up("a", "k")})
	if err != nil {
		t.Fatal(err)
	}
	s[0] = 2
	if _, err := r.m.Apply([]Entry{{Index: r.index + 1, Sections: [][]byte{s}}}); !errors.Is(err, ErrUpgrade) {
		t.Fatalf("unknown section: %v, want ErrUpgrade", err)
	}
	if _, err := DecodeEntry(1, append([]byte{9}, EncodeEntry(1, nil)[1:]...)); !errors.Is(err, ErrUpgrade) {
		t.Fatalf("unknown entry: %v, want ErrUpgrade", err)
	}
}
