package state

import (
	"testing"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

func TestCursors(t *testing.T) {
	handed := func(from, through uint64, revision uint64) record.CursorMove {
		return record.CursorMove{
			Subscription: "s1", Action: record.ActionHanded, From: from, Through: through,
			Delivered: int(through - from), Filtered: 1, GrantRevision: revision, System: "town1.sub",
		}
	}
	ack := func(through uint64, system string) record.CursorMove {
		return record.CursorMove{Subscription: "s1", Action: record.ActionAck, Through: through, System: system}
	}
	move := func(ms ...record.CursorMove) func(*rig) Result {
		return func(r *rig) Result { return r.cursors(ms...) }
	}
	r := walk(t, []step{
		{"", pub(up("a", "k1"), up("b", "k2"), up("c", "k3"), up("d", "k4"), up("e", "k5")),
			"applied accepted(1 v1) accepted(2 v1) accepted(3 v1) accepted(4 v1) accepted(5 v1)"},
		{"no such subscription", move(ack(1, "town1.sub")), "applied not_found"},
		{"request", cmd(&GrantRequest{Head: by("town1.sub"), Object: grant("town1")}), "applied"},
		{"not yet approved", cmd(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1"}}), "refused not_granted"},
		{"only the owner decides", cmd(&GrantDecide{Head: by("zhengwu.rev"), Grant: "g1", Action: "approve"}), "refused not_granted"},
		{"approve", cmd(&GrantDecide{Head: by("fagai.rev"), Grant: "g1", Action: "approve"}), "applied"},
		{"create", cmd(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1", Start: policy.Start{Earliest: true}}}), "applied"},
		{"ack before anything was handed", move(ack(1, "town1.sub")), "applied ahead(0)"},
		{"handed", move(handed(1, 2, 2)), "applied accepted"},
		{"the same again changes nothing", move(handed(1, 2, 2)), "applied duplicate"},
		{"a gap", move(handed(4, 5, 2)), "applied overlap(3)"},
		{"an overlap", move(handed(2, 4, 2)), "applied overlap(3)"},
		{"beyond what there is", move(handed(3, 6, 2)), "applied ahead(5)"},
		{"counts that do not add up", move(func() record.CursorMove { m := handed(3, 5, 2); m.Filtered = 0; return m }()), "applied overlap(3)"},
		{"another revision of the grant", move(handed(3, 5, 1)), "applied not_granted"},
		{"another system", move(func() record.CursorMove { m := handed(3, 5, 2); m.System = "town2.sub"; return m }()), "applied not_granted"},
		{"go on", move(handed(3, 5, 2), ack(4, "town1.sub")), "applied accepted accepted"},
		{"ack again", move(ack(4, "town1.sub"), ack(3, "town1.sub")), "applied duplicate duplicate"},
		{"of another", move(ack(5, "town2.sub")), "applied not_granted"},
		{"ahead", move(ack(6, "town1.sub")), "applied ahead(5)"},
		{"handing out again what is not acknowledged", move(handed(5, 5, 2)), "applied duplicate"},
		{"but not what is", move(handed(4, 5, 2)), "applied overlap(6)"},
		{"revoke", cmd(&GrantDecide{Head: by("fagai.rev"), Grant: "g1", Action: "revoke", Reason: "到期"}), "applied"},
		{"nothing more is handed out", func(r *rig) Result {
			pub(up("f", "k6"))(r)
			return r.cursors(handed(6, 6, 2), handed(6, 6, 3))
		}, "applied not_granted not_granted"},
		{"what was handed out may be acknowledged", move(ack(5, "town1.sub")), "applied accepted"},
	})
	v := r.view()
	defer v.Close()
	s, ok, err := v.Subscription("s1")
	if err != nil || !ok || s.Cursor != 5 || s.Handed != 5 || s.LagRecords != 1 {
		t.Fatalf("subscription %+v %v %v", s, ok, err)
	}
	d, err := v.Deliveries("s1", 4, 10)
	if err != nil || len(d) != 1 || d[0].From != 3 || d[0].Through != 5 {
		t.Fatalf("deliveries %+v %v", d, err)
	}
	_, through, ok, err := v.Acknowledged("s1", 3)
	if err != nil || !ok || through != 4 {
		t.Fatalf("acknowledged %d %v %v", through, ok, err)
	}
	if _, _, ok, _ = v.Acknowledged("s1", 6); ok {
		t.Fatal("offset 6 was not acknowledged")
	}
}

func TestGrantExpiresByLogTime(t *testing.T) {
	r := newRig(t)
	pub(up("a", "k1"), up("b", "k2"))(r)
	r.must(&GrantRequest{Head: by("town1.sub"), Object: grant("town1")})
	r.must(&GrantDecide{Head: by("fagai.rev"), Grant: "g1", Action: "approve"})
	r.must(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1", Start: policy.Start{Earliest: true}}})
	move := record.CursorMove{Subscription: "s1", Action: record.ActionHanded, From: 1, Through: 1, Delivered: 1, GrantRevision: 2, System: "town1.sub"}
	r.now = mustTime(t, "2026-12-31T00:00:00Z") - 1
	if got := words(r.cursors(move)); got != "applied accepted" {
		t.Fatalf("a millisecond before its end: %s", got)
	}
	r.now++
	move.From, move.Through = 2, 2
	if got := words(r.cursors(move)); got != "applied not_granted" {
		t.Fatalf("at its end: %s", got)
	}
	v := r.view()
	defer v.Close()
	if g := v.Grants(GrantFilter{State: policy.GrantExpired}); len(g) != 1 {
		t.Fatalf("expired grants: %v", g)
	}
}

func TestSubscriptionStart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start policy.Start
		want  uint64
	}{
		{"now", policy.Start{}, 3}, {"earliest", policy.Start{Earliest: true}, 0},
		{"offset", policy.Start{Offset: 2}, 1}, {"offset to come", policy.Start{Offset: 9}, 3},
	} {
		r := newRig(t)
		pub(up("a", "k1"), up("b", "k2"), up("c", "k3"))(r)
		r.must(&GrantRequest{Head: by("town1.sub"), Object: grant("group:towns")})
		r.must(&GrantDecide{Head: by("fagai.rev"), Grant: "g1", Action: "approve"})
		res := r.must(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1", Start: tt.start}})
		if s := answer[policy.Subscription](t, res); s.Cursor != tt.want || s.Subscription != "s1" || s.Resource != "approvals.case" {
			t.Errorf("%s: %+v, want cursor %d", tt.name, s, tt.want)
		}
	}
}

func grant(subscriber string) policy.Grant {
	return policy.Grant{
		Resource: "approvals.case", Subscriber: subscriber, Fields: policy.AllFields(), Purpose: "核对",
		LegalBasis: policy.LegalBasis{Instrument: "办法", Article: "三"}, NotAfter: "2026-12-31T00:00:00Z",
	}
}

func mustTime(t *testing.T, s string) int64 {
	t.Helper()
	ms, err := policy.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}
