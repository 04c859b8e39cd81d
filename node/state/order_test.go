package state

import (
	"fmt"
	"testing"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

func TestRevalidate(t *testing.T) {
	r := newRig(t)
	h := r.header("approvals.case", "fagai.pub")
	r.must(&SchemaRegister{Head: admin(), Resource: "approvals.case", Schema: `{"type":"object","title":"2"}`})
	h.LinkNumber = r.next + 1
	stale, err := record.EncodeRecords(h, []record.SectionRecord{up("a", "k")})
	if err != nil {
		t.Fatal(err)
	}
	behind := r.header("approvals.case", "fagai.pub")
	behind.LinkNumber++
	next, err := record.EncodeRecords(behind, []record.SectionRecord{up("b", "k")})
	if err != nil {
		t.Fatal(err)
	}
	got := r.apply(stale, next)
	if got[0].Code != Revalidate || got[1].Code != Resend || len(got[0].Records) != 0 {
		t.Fatalf("got %s and %s", got[0].Code, got[1].Code)
	}
	if got := words(pub(up("a", "k"), up("b", "k"))(r)); got != "applied accepted(1 v1) accepted(2 v2)" {
		t.Fatalf("after judging again: %s", got)
	}
	moved := r.header("approvals.case", "fagai.pub")
	one := uint64(1)
	r.must(&GroupPut{Head: admin(), IfRevision: &one, Object: policy.Group{Code: "towns", Name: "乡镇", Departments: policy.List{"town1"}}})
	moved.LinkNumber = r.next + 1
	if got := words(r.refusals(moved, refusal(0, "c", "{}"))); got != "revalidate" {
		t.Fatalf("a group named by the resource moved: %s", got)
	}
}

func TestLinkOrder(t *testing.T) {
	r := newRig(t)
	type place struct{ epoch, number uint64 }
	send := func(node string, p place) Code {
		h := r.header("approvals.case", "fagai.pub")
		h.Node, h.LinkEpoch, h.LinkNumber = node, p.epoch, p.number
		return r.records(h, up(fmt.Sprint(node, p), "k")).Code
	}
	for i, tt := range []struct {
		p    place
		want Code
	}{
		{place{5, 2}, Resend}, {place{5, 1}, Applied}, {place{5, 1}, Superseded}, {place{5, 3}, Resend},
		{place{5, 2}, Applied}, {place{4, 1}, Superseded}, {place{4, 3}, Superseded}, {place{6, 3}, Resend},
		{place{5, 3}, Applied}, {place{6, 1}, Applied}, {place{5, 4}, Superseded}, {place{6, 2}, Applied}, {place{6, 2}, Superseded},
	} {
		if got := send("n2", tt.p); got != tt.want {
			t.Fatalf("%d: epoch %d number %d: got %s, want %s", i, tt.p.epoch, tt.p.number, got, tt.want)
		}
	}
	if got := send("n3", place{1, 1}); got != Applied {
		t.Fatalf("another node's order: %s", got)
	}
	if e, n := r.m.Link("n2"); e != 6 || n != 2 {
		t.Fatalf("link %d %d", e, n)
	}
}

func TestMalformedSections(t *testing.T) {
	r := newRig(t)
	good, err := record.EncodeCommand(r.header(""), []byte(`{"type":"group.put","v":1,"request":"x","by":{"system":"","department":""},"object":{},"object":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := words(r.apply(good)[0]); got != "refused malformed" {
		t.Fatalf("a name twice: %s", got)
	}
	broken := append([]byte(nil), good...)
	broken[len(broken)-1] ^= 1
	if got := words(r.apply(broken)[0]); got != "refused malformed" {
		t.Fatalf("broken: %s", got)
	}
	h := r.header("approvals.case", "fagai.pub")
	h.Resource = 99
	if got := words(r.records(h, up("a", "k"))); got != "refused not_found" {
		t.Fatalf("unknown resource: %s", got)
	}
}
