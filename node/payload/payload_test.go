package payload

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// kept is a state with two segments of resource 7, in which the second record
// of each section was not accepted, and one that is broken.
func kept(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.OpenState("state", store.Options{FS: store.NewMemFS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := db.NewWriteBatch()
	for _, first := range []uint64{1, 3} {
		var recs []record.SectionRecord
		for i := range 3 {
			recs = append(recs, record.SectionRecord{Op: record.Upsert, Producer: -1, ID: "x", Key: "k", Body: fmt.Appendf(nil, `{"at":"%d-%d"}`, first, i)})
		}
		section, err := record.EncodeRecords(record.Header{Codec: record.CodecS2, Systems: []string{"a.b"}}, recs)
		if err != nil {
			t.Fatal(err)
		}
		seg := store.Segment{Rows: []store.SegmentRow{{Place: 0, Version: 1}, {Place: 2, Version: 1}}, Section: section}
		if err := b.Set(store.SegmentKey(nil, 7, first), store.AppendSegment(nil, first, 3, seg)); err != nil {
			t.Fatal(err)
		}
	}
	broken := store.Segment{Rows: []store.SegmentRow{{}}, Section: []byte("no section")}
	if err := errors.Join(b.Set(store.SegmentKey(nil, 8, 1), store.AppendSegment(nil, 1, 1, broken)), b.Commit()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestGetAll(t *testing.T) {
	db := kept(t)
	released := 0
	e := Embedded{Read: func() (store.Reader, func(), error) { return db, func() { released++ }, nil }}
	if err := e.PutAll(t.Context(), [][]byte{[]byte("anything")}); err != nil {
		t.Fatal(err)
	}
	got, err := e.GetAll(t.Context(), []Position{{7, 2}, {7, 3}, {7, 4}, {7, 1}})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, b := range got {
		texts = append(texts, string(b))
	}
	if diff := cmp.Diff([]string{`{"at":"1-2"}`, `{"at":"3-0"}`, `{"at":"3-2"}`, `{"at":"1-0"}`}, texts); diff != "" {
		t.Errorf("bodies (-want +got)\n%s", diff)
	}
	for _, tt := range []struct {
		at   Position
		want error
	}{
		{Position{7, 5}, ErrNotFound}, {Position{7, 0}, ErrNotFound}, {Position{6, 1}, ErrNotFound}, {Position{8, 1}, ErrCorrupt},
	} {
		if _, err := e.GetAll(t.Context(), []Position{tt.at}); !errors.Is(err, tt.want) {
			t.Errorf("%v: %v, want %v", tt.at, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	if _, err := e.GetAll(ctx, []Position{{7, 1}}); err == nil || err.Error() != "gone" {
		t.Errorf("%v, want the cause", err)
	}
	if released != 6 {
		t.Errorf("released %d of 6 pictures", released)
	}
	failed := Embedded{Read: func() (store.Reader, func(), error) { return nil, nil, store.ErrClosed }}
	if _, err := failed.GetAll(t.Context(), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("%v, want the reader's error", err)
	}
}
