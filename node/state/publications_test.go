package state

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas/record"
)

func TestPublications(t *testing.T) {
	decide := func(system, action, note string) func(*rig) Result {
		return cmd(&PublicationDecide{Head: by(system), Publication: "p1", Action: action, Note: note, Seen: "c0ffee"})
	}
	project := func(recs ...record.SectionRecord) func(*rig) Result {
		return on("projects.project", "fagai.pub", recs...)
	}
	r := walk(t, []step{
		{"", project(up("a", "k")), "applied accepted(1 v1)"},
		{"the first step is the publisher's", decide("zhengwu.rev", "approve", ""), "refused not_granted"},
		{"", decide("fagai.rev", "approve", ""), "applied"},
		{"an edit sends it back", project(up("b", "k")), "applied accepted(2 v2)"},
		{"so the first step has it again", decide("zhengwu.rev", "approve", ""), "refused not_granted"},
		{"", decide("fagai.rev", "approve", ""), "applied"},
		{"published", decide("zhengwu.rev", "approve", ""), "applied"},
		{"nothing is pending", decide("zhengwu.rev", "approve", ""), "refused conflict"},
		{"a return says why", decide("fagai.rev", "return", ""), "refused invalid"},
		{"another revision", func(r *rig) Result {
			one := uint64(1)
			return r.command(&PublicationDecide{Head: by("fagai.rev"), Publication: "p1", Action: "return", Note: "缺附件", IfRevision: &one})
		}, "refused revision_conflict"},
		{"an edit of what is public", project(up("c", "k"), up("d", "k")), "applied accepted(3 v3) accepted(4 v4)"},
		{"returned", decide("fagai.rev", "return", "缺附件"), "applied"},
		{"the publisher withdraws", project(withdraw("e", "k")), "applied accepted(5 v5)"},
		{"route self without steps", on("org.unit", "fagai.pub", up("a", "u"), up("b", "u"), withdraw("c", "u")),
			"applied accepted(1 v1) accepted(2 v2) accepted(3 v3)"},
		{"a withdrawal of what was never there", on("org.unit", "fagai.pub", withdraw("d", "w")), "applied not_found"},
		{"", on("projects.project", "fagai.pub", up("x", "k2")), "applied accepted(6 v1)"},
		{"no such publication", cmd(&PublicationDecide{Head: by("fagai.rev"), Publication: "p9", Action: "approve", Seen: "x"}), "refused not_found"},
	})
	v := r.view()
	defer v.Close()
	feed := func(resource string) (lines []string) {
		es, err := v.FeedEntries(resource, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			lines = append(lines, fmt.Sprintf("%d %s v%d @%d %v", e.Seq, e.Key, e.Version, e.Offset, e.Tombstone))
		}
		return lines
	}
	if diff := cmp.Diff([]string{"1 k v2 @2 false", "2 k v2 @2 true"}, feed("projects.project")); diff != "" {
		t.Errorf("feed of projects (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1 u v1 @1 false", "2 u v2 @2 false", "3 u v2 @2 true"}, feed("org.unit")); diff != "" {
		t.Errorf("feed of units (-want +got)\n%s", diff)
	}
	tail, err := v.FeedTail("org.unit", 3, 1)
	if err != nil || len(tail) != 1 || tail[0].Seq != 2 {
		t.Errorf("tail %v %v", tail, err)
	}
	pending, err := v.Publications(PublicationFilter{State: "pending"})
	if err != nil || len(pending) != 1 || pending[0].Key != "k2" {
		t.Errorf("pending %+v %v", pending, err)
	}
	all, err := v.Publications(PublicationFilter{Resource: "projects.project"})
	if err != nil || len(all) != 2 || all[0].State != "withdrawn" || all[0].ID != "p1" {
		t.Errorf("all %+v %v", all, err)
	}
	p, ok, err := v.PublicationOf("projects.project", "k2")
	if err != nil || !ok || p.ID != pending[0].ID {
		t.Errorf("publication of a key %+v %v %v", p, ok, err)
	}
	leaves, err := v.LeavesOf(Subject{SubjectPublication, "p1"}, 0, 100)
	if err != nil || len(leaves) != 5 { // approve, approve, publish, return, withdraw
		t.Errorf("leaves %v %v", leaves, err)
	}
}

func TestWithdrawalByReview(t *testing.T) {
	r := newRig(t)
	project := func(recs ...record.SectionRecord) { on("projects.project", "fagai.pub", recs...)(r) }
	project(up("a", "k"))
	for _, s := range []string{"fagai.rev", "zhengwu.rev"} {
		r.must(&PublicationDecide{Head: by(s), Publication: "p1", Action: "approve", Seen: "x"})
	}
	project(up("b", "k"), up("c", "other"), up("d", "k")) // pending again, v1 still public
	r.must(&PublicationDecide{Head: by("zhengwu.rev"), Publication: "p1", Action: "withdraw", Note: "涉密"})
	v := r.view()
	defer v.Close()
	es, err := v.FeedEntries("projects.project", 0, 10)
	if err != nil || len(es) != 2 || !es[1].Tombstone || es[1].Version != 1 || es[1].Offset != 1 {
		t.Fatalf("the tombstone names the version that was public: %+v %v", es, err)
	}
}
