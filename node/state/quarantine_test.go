package state

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

func TestQuarantine(t *testing.T) {
	r := walk(t, []step{
		{"", refuseIn(0, refusal(0, "a", `{"x":1}`), refusal(0, "b", `{}`)), "applied rejected(q1) rejected(q2)"},
		{"the same again", refuseIn(0, refusal(0, "a", `{"x":1}`), refusal(0, "a", `{"x":1}`)), "applied rejected(q1) rejected(q1)"},
		{"another content is another refusal", refuseIn(0, refusal(0, "a", `{"x":2}`), refusal(0, "a", `{"x":2}`)), "applied rejected(q3) rejected(q3)"},
		{"discard", cmd(&QuarantineDiscard{Head: by("fagai.two"), System: "fagai.pub", Number: 2}), "applied"},
		{"gone", cmd(&QuarantineDiscard{Head: by("fagai.two"), System: "fagai.pub", Number: 2}), "refused not_found"},
		{"another department", cmd(&QuarantineDiscard{Head: by("jianwei.pub"), System: "fagai.pub", Number: 1}), "refused not_granted"},
		{"by producer", refuseIn(1, refusal(1, "", `{}`), refusal(2, "", `{}`)), "applied rejected(q4) rejected(q5)"},
		{"", cmd(&QuarantineDiscard{Head: admin(), System: "fagai.pub", Number: 4}), "applied"},
		{"a seq stays consumed without its reasons", refuseIn(1, refusal(1, "", `{}`), refusal(2, "", `{}`)), "applied rejected(again q0) rejected(again q5)"},
		{"no right to publish", func(r *rig) Result { return r.refusals(r.header("approvals.case", "town1.sub"), refusal(0, "a", "{}")) }, "applied not_granted"},
	})
	v := r.view()
	items, err := v.Quarantine("fagai.pub", 0, 100)
	v.Close()
	if err != nil || len(items) != 3 || items[0].Number != 1 || items[0].Resource != "approvals.case" || string(items[0].Body) != `{"x":1}` || items[2].RecordID != "fagai.pub-1-2" {
		t.Fatalf("items %+v %v", items, err)
	}
	r.now += QuarantineMs
	if got := words(refuseIn(0, refusal(0, "a", `{"x":1}`))(r)); got != "applied rejected(q6)" {
		t.Fatalf("after its time: %s", got)
	}
	v = r.view()
	defer v.Close()
	items, err = v.Quarantine("fagai.pub", 0, 100)
	if err != nil || len(items) != 1 || r.m.work.held[1].items != 1 {
		t.Fatalf("after its time: %+v %v %+v", items, err, r.m.work.held[1])
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	r := newRig(t)
	var rs []record.Refusal
	for i := range 5001 {
		rs = append(rs, refusal(0, fmt.Sprint("id", i), "{}"))
	}
	first := refuseIn(0, rs...)(r)
	for i := range rs {
		rs[i].ID = fmt.Sprint("other", i)
	}
	second := refuseIn(0, rs...)(r)
	full := 0
	for _, res := range append(first.Records, second.Records...) {
		if res.Status == StatusQuarantineFull {
			full++
		}
	}
	if full != 2 {
		t.Fatalf("%d of 10,002 found it full, want 2", full)
	}
	if got := words(refuseIn(1, refusal(1, "", "{}"), refusal(2, "", "{}"))(r)); got != "applied quarantine_full sequence_gap(1)" {
		t.Fatalf("a full quarantine consumes nothing: %s", got)
	}
	r.must(&QuarantineDiscard{Head: admin(), System: "fagai.pub", Number: 7})
	if got := words(refuseIn(1, refusal(1, "", "{}"), refusal(2, "", "{}"))(r)); got != "applied rejected(q10001) quarantine_full" {
		t.Fatalf("after a discard: %s", got)
	}
	r.m.work.held[1].bytes = MaxQuarantineBytes - 10
	r.m.work.held[1].items = 1
	if got := words(refuseIn(1, refusal(2, "", "{}"))(r)); got != "applied quarantine_full" {
		t.Fatalf("by bytes: %s", got)
	}
}

// TestCorrectionClearsQuarantine: what was mended waits no longer, by id in the
// one form and by key in the other, for the same system and resource only.
func TestCorrectionClearsQuarantine(t *testing.T) {
	keyed := func(n uint64, key string) record.Refusal {
		f := refusal(n, "", `{}`)
		f.Key = key
		return f
	}
	waiting := func(want ...uint64) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			t.Helper()
			v := r.view()
			defer v.Close()
			items, err := v.Quarantine("fagai.pub", 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			var size uint64
			for _, it := range items {
				got = append(got, it.Number)
				size += uint64(len(it.Body) + len(it.Errors) + len(it.RecordID) + len(it.Key) + 64)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("waiting (-want +got)\n%s", diff)
			}
			if h := r.m.work.held[1]; h.items != uint64(len(items)) || h.bytes != size {
				t.Errorf("held %+v, there are %d items of %d bytes", *h, len(items), size)
			}
			if rows := indexRows(t, r); rows != len(items) {
				t.Errorf("%d rows of the index for %d items", rows, len(items))
			}
		}
	}
	for _, tt := range []struct {
		name  string
		do    func(*rig) Result
		want  string
		check func(*testing.T, *rig)
	}{
		{"the id", pub(up("a", "z")), "applied accepted(1 v1)", waiting(2, 4, 5, 6)},
		{"the key in the producer form", adapter(1, seq(4, "k1")), "applied accepted(1 v1)", waiting(1, 2, 3, 6)},
		{"twice in one section", adapter(1, seq(4, "k1"), seq(5, "k1"), seq(6, "k2")), "applied accepted(1 v1) accepted(2 v2) accepted(3 v1)", waiting(1, 2, 3)},
		{"an id that is a key clears no key", pub(up("k1", "z")), "applied accepted(1 v1)", waiting(1, 2, 3, 4, 5, 6)},
		{"a key that is an id clears no id", adapter(1, seq(4, "a")), "applied accepted(1 v1)", waiting(1, 2, 3, 4, 5, 6)},
		{"another system", as("fagai.two", up("a", "z")), "applied accepted(1 v1)", waiting(1, 2, 3, 4, 5, 6)},
		{"another resource", on("org.unit", "fagai.pub", up("a", "z")), "applied accepted(1 v1)", waiting(1, 2, 3, 4, 5, 6)},
		{"what was not accepted", pub(up("a", "")), "applied rejected(q0)", waiting(1, 2, 3, 4, 5, 6)},
		{"a strict section that was refused", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("a", "z"), up("x", ""))
		}), "refused unapplied rejected(q0) strict_refused", waiting(1, 2, 3, 4, 5, 6)},
		{"its seq hears of the refusal without reasons", func(r *rig) Result {
			adapter(1, seq(4, "k1"))(r)
			return adapter(1, seq(1, "k1"), seq(3, "k2"))(r)
		}, "applied rejected(again q0) rejected(again q6)", waiting(1, 2, 3, 6)},
		{"discarded first", func(r *rig) Result {
			r.must(&QuarantineDiscard{Head: admin(), System: "fagai.pub", Number: 3})
			return pub(up("a", "z"))(r)
		}, "applied accepted(1 v1)", waiting(2, 4, 5, 6)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			other := refusal(0, "a", `{"x":2}`)
			refuseIn(0, refusal(0, "a", `{"x":1}`), refusal(0, "b", `{}`), other)(r)
			refuseIn(1, keyed(1, "k1"), keyed(2, "k1"), keyed(3, "k2"))(r)
			if got := words(tt.do(r)); got != tt.want {
				t.Fatalf("got %s, want %s", got, tt.want)
			}
			tt.check(t, r)
		})
	}
}

// indexRows counts the rows by which corrections find what waits.
func indexRows(t *testing.T, r *rig) (n int) {
	for k := range dump(t, r.m) {
		if k[0] == store.TableRefusedID {
			n++
		}
	}
	return n
}

// TestCorrectingPublisherNeverFillsQuarantine: more refusals than quarantine
// holds, each corrected, and never full.
func TestCorrectingPublisherNeverFillsQuarantine(t *testing.T) {
	r := newRig(t)
	const each = 1500
	seqNo := uint64(0)
	for round := range 8 {
		var rs []record.Refusal
		var recs []record.SectionRecord
		for i := range each {
			f := refusal(seqNo+uint64(i)+1, "", `{}`)
			f.Key = fmt.Sprint("k", i)
			rs = append(rs, f)
			recs = append(recs, seq(seqNo+each+uint64(i)+1, f.Key))
		}
		seqNo += 2 * each
		for i, res := range append(refuseIn(1, rs...)(r).Records, adapter(1, recs...)(r).Records...) {
			if want := []Status{StatusRejected, StatusAccepted}[i/each]; res.Status != want {
				t.Fatalf("round %d, %d: %s, want %s", round, i, res.Status, want)
			}
		}
		if h := r.m.work.held[1]; h.items != 0 || h.bytes != 0 || indexRows(t, r) != 0 {
			t.Fatalf("round %d: still held %+v", round, *h)
		}
	}
}

func TestAnswered(t *testing.T) {
	r := newRig(t)
	gone := withdraw("", "none")
	gone.Producer, gone.Seq = 0, 6
	two, one := int64(2), int64(1)
	fresh, stale := seq(7, "s"), seq(8, "s")
	fresh.SourceVersion, stale.SourceVersion = &two, &one
	adapter(1, seq(1, "k1"), seq(2, "k2"))(r)
	refuseIn(1, refusal(3, "", `{}`), refusal(4, "", `{}`))(r)
	as("jianwei.pub", up("j", "owned"))(r)
	adapter(1, seq(5, "owned"), gone, fresh, stale)(r)
	v := r.view()
	defer v.Close()
	want := []Answered{
		{}, {Status: StatusAccepted, Offset: 1, Last: 8}, {Status: StatusAccepted, Offset: 2, Last: 8}, {Status: StatusRejected, Quarantine: 1, Last: 8},
		{Status: StatusRejected, Quarantine: 2, Last: 8}, {Status: StatusKeyOwned, Last: 8}, {Status: StatusNotFound, Last: 8},
		{Status: StatusAccepted, Offset: 4, Last: 8}, {Status: StatusStale, Last: 8}, {},
	}
	for n := range want {
		got, ok, err := v.Answered("approvals.case", "fagai.pub", 1, uint64(n))
		if err != nil || got != want[n] || ok != (want[n].Status != 0) {
			t.Errorf("seq %d: %+v %v %v, want %+v", n, got, ok, err, want[n])
		}
	}
	for _, tt := range []struct {
		producer string
		epoch    uint64
	}{{"fagai.pub", 2}, {"fagai.pub", 0}, {"fagai.pub.2", 1}} {
		if got, ok, err := v.Answered("approvals.case", tt.producer, tt.epoch, 1); ok || err != nil {
			t.Errorf("%s epoch %d: %+v %v", tt.producer, tt.epoch, got, err)
		}
	}
	if _, _, err := v.Answered("no.such", "fagai.pub", 1, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown resource: %v", err)
	}
}
