package state

import (
	"fmt"
	"testing"

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
		{"a seq stays consumed without its reasons", refuseIn(1, refusal(1, "", `{}`), refusal(2, "", `{}`)), "applied rejected(q0) rejected(q5)"},
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
