package deliver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

type annotated []schemas.Annotation

func (a annotated) Annotations() []schemas.Annotation { return a }

// views is the grant of field a under schema version 1, and of nothing under 2.
func views(t testing.TB) Views {
	t.Helper()
	r := schemas.Resource{Resource: "a.b", Sharing: schemas.SharingUnconditional}
	g := policy.Grant{Grant: "g", Resource: "a.b", Fields: policy.OnlyFields("a")}
	one, err := policy.GrantView(r, annotated{{Pointer: []string{"a"}}, {Pointer: []string{"secret"}, Sharing: schemas.SharingWithheld}}, nil, g)
	if err != nil {
		t.Fatal(err)
	}
	two, err := policy.GrantView(r, annotated{{Pointer: []string{"b"}}}, nil, g)
	if err != nil {
		t.Fatal(err)
	}
	return func(v uint32) (*policy.View, error) {
		switch v {
		case 1:
			return one, nil
		case 2:
			return two, nil
		}
		return nil, errNoSchema
	}
}

var errNoSchema = errors.New("no such schema")

func upsert(offset uint64) Stored {
	return Stored{Offset: offset, Version: 1, Key: fmt.Sprint("k", offset), Op: record.Upsert, SchemaVersion: 1, Secret: [32]byte{byte(offset)},
		Body: fmt.Appendf(nil, `{"a":%d,"secret":"x%d"}`, offset, offset)}
}

func run(first, last uint64) []Stored {
	var out []Stored
	for o := first; o <= last; o++ {
		out = append(out, upsert(o))
	}
	return out
}

func order(cursor, handed, last uint64) Order {
	return Order{Subscription: "s", System: "fgw.s", GrantRevision: 4, Cursor: cursor, Handed: handed, Last: last}
}

// brief is a batch in one line: offsets with d for delivered and f for filtered.
func brief(b Batch) string {
	var s strings.Builder
	for _, it := range b.Items {
		fmt.Fprintf(&s, "%d%s ", it.Offset, it.Verdict[:1])
	}
	fmt.Fprintf(&s, "through %d end %t", b.Through, b.End)
	return s.String()
}

func TestMake(t *testing.T) {
	at := func(offset uint64, change func(*Stored)) Stored { s := upsert(offset); change(&s); return s }
	second := func(s *Stored) { s.SchemaVersion = 2 }
	for _, tt := range []struct {
		name    string
		o       Order
		records []Stored
		part    bool // records are not all there are
		want    string
		err     error
	}{
		{"all", order(0, 0, 3), run(1, 3), false, "1d 2d 3d through 3 end true", nil},
		{"nothing new", order(3, 3, 3), nil, false, "through 3 end true", nil},
		{"empty resource", order(0, 0, 0), nil, false, "through 0 end true", nil},
		{"more to come", order(0, 0, 5), run(1, 3), true, "1d 2d 3d through 3 end false", nil},
		{"one of which nothing is granted", order(0, 0, 3), []Stored{upsert(1), at(2, second), upsert(3)}, false, "1d 2f 3d through 3 end true", nil},
		{"nothing granted at all", order(0, 0, 2), []Stored{at(1, second), at(2, second)}, false, "1f 2f through 2 end true", nil},
		{"offsets gone", order(0, 0, 6), []Stored{upsert(3), upsert(5)}, false, "1f 2f 3d 4f 5d 6f through 6 end true", nil},
		{"offsets gone, not all read", order(0, 0, 6), []Stored{upsert(3), upsert(5)}, true, "1f 2f 3d 4f 5d through 5 end false", nil},
		{"all gone", order(4, 4, 6), nil, false, "5f 6f through 6 end true", nil},
		{"none read", order(4, 4, 6), nil, true, "through 4 end false", nil},
		{"again what was handed out", order(1, 3, 6), run(2, 6), false, "2d 3d through 3 end false", nil},
		{"again, partly gone", order(1, 3, 6), run(4, 6), false, "2f 3f through 3 end false", nil},
		{"handed beyond a state that is behind", order(1, 9, 3), run(2, 3), false, "2d 3d through 3 end true", nil},
		{"before the cursor", order(3, 3, 6), run(3, 6), false, "", ErrOrder},
		{"descending", order(0, 0, 6), []Stored{upsert(2), upsert(1)}, false, "", ErrOrder},
		{"twice", order(0, 0, 6), []Stored{upsert(1), upsert(1)}, false, "", ErrOrder},
		{"past the end", order(0, 0, 2), run(1, 3), false, "", ErrOrder},
		{"no schema", order(0, 0, 1), []Stored{at(1, func(s *Stored) { s.SchemaVersion = 9 })}, false, "", errNoSchema},
		{"broken body", order(0, 0, 1), []Stored{at(1, func(s *Stored) { s.Body = []byte(`{"a":`) })}, false, "", policy.ErrRecord},
		{"no body", order(0, 0, 1), []Stored{at(1, func(s *Stored) { s.Body = nil })}, false, "", policy.ErrRecord},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Make(tt.o, tt.records, !tt.part, views(t))
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				if len(b.Records) > 0 {
					t.Error("records left beside an error")
				}
				return
			}
			if diff := cmp.Diff(tt.want, brief(b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			audited(t, tt.o, b)
		})
	}
}

// audited checks the books of a batch: contiguous, complete, and committed to.
func audited(t *testing.T, o Order, b Batch) {
	t.Helper()
	if b.Empty() {
		if b.Through != o.Cursor || b.Move != (record.CursorMove{}) {
			t.Errorf("an empty batch moves something: %+v", b)
		}
		return
	}
	var encoded [][]byte
	byOffset := map[uint64]Record{}
	for _, r := range b.Records {
		byOffset[r.Offset] = r
	}
	for i, it := range b.Items {
		if it.Offset != o.Cursor+1+uint64(i) {
			t.Errorf("item %d is of offset %d", i, it.Offset)
		}
		r, sent := byOffset[it.Offset]
		bytes := r.Data
		if r.Op == record.Withdraw {
			bytes = []byte(r.Reason)
		}
		want := audit.DeliveryItem{Offset: it.Offset, Verdict: audit.VerdictFiltered}
		if sent {
			secret := record.ProjectionSecret([32]byte{byte(it.Offset)}, o.Subscription)
			want = audit.DeliveryItem{Offset: it.Offset, Verdict: audit.VerdictDelivered, Projection: record.Commitment(record.TagProjection, secret, bytes)}
		}
		if it != want {
			t.Errorf("item %+v, want %+v", it, want)
		}
		if strings.Contains(string(r.Data), "secret") {
			t.Errorf("a withheld field left: %s", r.Data)
		}
		encoded = append(encoded, it.Encode())
	}
	want := record.CursorMove{Subscription: "s", Action: record.ActionHanded, From: o.Cursor + 1, Through: b.Through,
		Delivered: len(b.Records), Filtered: len(b.Items) - len(b.Records), GrantRevision: 4, Root: audit.InnerRoot(encoded), System: "fgw.s"}
	if diff := cmp.Diff(want, b.Move); diff != "" {
		t.Errorf("move (-want +got):\n%s", diff)
	}
	if got := uint64(b.Move.Delivered + b.Move.Filtered); got != b.Through-o.Cursor {
		t.Errorf("%d offsets in the books, the range has %d", got, b.Through-o.Cursor)
	}
}

func TestRecordOnItsWay(t *testing.T) {
	records := []Stored{upsert(1), upsert(2)}
	records[0].Department, records[0].OccurredAt, records[0].AcceptedAt, records[0].Version = "spj", 5, 6, 7
	records[1].Op, records[1].Body, records[1].Reason = record.Withdraw, nil, "重复报送"
	b, err := Make(order(0, 0, 2), records, true, views(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []Record{
		{Offset: 1, Version: 7, Key: "k1", Op: record.Upsert, OccurredAt: 5, AcceptedAt: 6, Department: "spj", SchemaVersion: 1, Data: []byte(`{"a":1}`)},
		{Offset: 2, Version: 1, Key: "k2", Op: record.Withdraw, SchemaVersion: 1, Reason: policy.ReasonHidden}, // the grant is of one field
	}
	if diff := cmp.Diff(want, b.Records); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	audited(t, order(0, 0, 2), b)

	all, err := policy.GrantView(schemas.Resource{Resource: "a.b", Sharing: schemas.SharingUnconditional}, annotated{{Pointer: []string{"a"}}, {Pointer: []string{"secret"}, Sharing: schemas.SharingWithheld}}, nil,
		policy.Grant{Grant: "g", Resource: "a.b", Fields: policy.AllFields()})
	if err != nil {
		t.Fatal(err)
	}
	b, err = Make(order(0, 0, 2), records, true, func(uint32) (*policy.View, error) { return all, nil })
	if err != nil || b.Records[1].Reason != "重复报送" {
		t.Errorf("a grant of all fields is told %+v, %v", b.Records, err)
	}
	audited(t, order(0, 0, 2), b)

	records[1].SchemaVersion = 2
	if b, err = Make(order(0, 0, 2), records, true, views(t)); err != nil || len(b.Records) != 1 {
		t.Errorf("a withdrawal of which nothing is granted left: %+v, %v", b.Records, err)
	}
	records[1].SchemaVersion, records[1].Reason = 1, ""
	if b, err = Make(order(0, 0, 2), records, true, views(t)); err != nil || len(b.Records) != 2 {
		t.Errorf("a withdrawal without a reason did not leave: %+v, %v", b.Records, err)
	}
}

func TestBounds(t *testing.T) {
	b, err := Make(order(0, 0, 3000), run(1, 3000), true, views(t))
	if err != nil || len(b.Records) != MaxRecords || b.Through != MaxRecords || b.End {
		t.Errorf("%d records through %d, %v", len(b.Records), b.Through, err)
	}
	big := run(1, 5)
	for i := range big {
		big[i].Body = []byte(`{"a":"` + strings.Repeat("x", MaxBytes/2-100) + `"}`)
	}
	if b, err = Make(order(0, 0, 5), big, true, views(t)); err != nil || len(b.Records) != 2 || b.Through != 2 || b.End {
		t.Errorf("%d big records through %d, %v", len(b.Records), b.Through, err)
	}
	big[0].Body = []byte(`{"a":"` + strings.Repeat("x", MaxBytes+1) + `"}`)
	if b, err = Make(order(0, 0, 5), big, true, views(t)); err != nil || len(b.Records) != 1 {
		t.Errorf("a record longer than a batch does not leave alone: %d, %v", len(b.Records), err)
	}
	far := []Stored{upsert(5 * MaxSpan)}
	if b, err = Make(order(2, 2, 5*MaxSpan), far, true, views(t)); err != nil || len(b.Items) != MaxSpan || len(b.Records) != 0 || b.End {
		t.Errorf("%d items, %v", len(b.Items), err)
	}
	audited(t, order(2, 2, 5*MaxSpan), b)
}

// TestBooksAddUp pulls a random resource to its end, now and then without an
// acknowledgement: ranges are contiguous, every record that is granted arrives
// once more for every time it was not acknowledged and never out of order, and a
// batch made again is the same to the byte.
func TestBooksAddUp(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		last := uint64(rnd.IntN(60))
		var kept []Stored
		var want []uint64
		for o := uint64(1); o <= last; o++ {
			s := upsert(o)
			switch rnd.IntN(4) {
			case 0:
				continue
			case 1:
				s.SchemaVersion = 2
			default:
				want = append(want, o)
			}
			kept = append(kept, s)
		}
		o := order(0, 0, last)
		var got []uint64
		for step := 0; o.Cursor < last; step++ {
			if step > 1000 {
				t.Fatalf("seed %d: does not come to an end at %+v", seed, o)
			}
			limit := 1 + rnd.IntN(7)
			var read []Stored
			for _, s := range kept {
				if s.Offset > o.Cursor && len(read) < limit {
					read = append(read, s)
				}
			}
			whole := len(read) == 0 || read[len(read)-1].Offset == kept[len(kept)-1].Offset
			b, err := Make(o, read, whole, views(t))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			again, err := Make(o, read, whole, views(t))
			if err != nil || !cmp.Equal(b, again) {
				t.Fatalf("seed %d: made again it is another batch", seed)
			}
			audited(t, o, b)
			if o.Handed > o.Cursor && b.Through > o.Handed {
				t.Fatalf("seed %d: a range is partly new: handed %d, batch %d to %d", seed, o.Handed, o.From(), b.Through)
			}
			o.Handed = max(o.Handed, b.Through)
			if rnd.IntN(3) == 0 {
				continue // not acknowledged: comes again
			}
			for _, r := range b.Records {
				got = append(got, r.Offset)
			}
			o.Cursor = b.Through
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: arrived (-want +got):\n%s", seed, diff)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	records, v := run(1, MaxRecords), views(b)
	for b.Loop() {
		if _, err := Make(order(0, 0, MaxRecords), records, true, v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*MaxRecords/b.Elapsed().Seconds(), "records/s")
}
