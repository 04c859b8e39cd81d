package state

import (
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

// step is one section and the answer to it.
type step struct {
	name string
	do   func(r *rig) Result
	want string
}

func walk(t *testing.T, steps []step) *rig {
	t.Helper()
	r := newRig(t)
	for i, s := range steps {
		if got := words(s.do(r)); got != s.want {
			t.Fatalf("step %d, %s:\n got %s\nwant %s", i, s.name, got, s.want)
		}
	}
	return r
}

// pub publishes on approvals.case as fagai.pub.
func pub(recs ...record.SectionRecord) func(*rig) Result {
	return func(r *rig) Result { return r.records(r.header("approvals.case", "fagai.pub"), recs...) }
}

func as(system string, recs ...record.SectionRecord) func(*rig) Result {
	return func(r *rig) Result { return r.records(r.header("approvals.case", system), recs...) }
}

func on(resource, system string, recs ...record.SectionRecord) func(*rig) Result {
	return func(r *rig) Result { return r.records(r.header(resource, system), recs...) }
}

// adapter publishes in the producer form at an epoch.
func adapter(epoch uint64, recs ...record.SectionRecord) func(*rig) Result {
	return func(r *rig) Result {
		h := r.header("approvals.case", "fagai.pub")
		h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: epoch}}
		return r.records(h, recs...)
	}
}

func strict(f func(*rig, *record.Header) Result) func(*rig) Result {
	return func(r *rig) Result {
		h := r.header("approvals.case", "fagai.pub")
		h.Strict = true
		return f(r, &h)
	}
}

func refuseIn(epoch uint64, rs ...record.Refusal) func(*rig) Result {
	return func(r *rig) Result {
		h := r.header("approvals.case", "fagai.pub")
		if epoch > 0 {
			h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: epoch}}
		}
		return r.refusals(h, rs...)
	}
}

func refusal(seq uint64, id, body string) record.Refusal {
	f := record.Refusal{Producer: -1, ID: id, Key: "k", Op: record.Upsert, Errors: []byte(`[{"pointer":"/a","code":"required"}]`), Body: []byte(body)}
	if seq > 0 {
		f.Producer, f.ID, f.Seq = 0, "", seq
	}
	return f
}

func cmd(c Command) func(*rig) Result { return func(r *rig) Result { return r.command(c) } }

func sourced(id, key string, version int64) record.SectionRecord {
	rec := up(id, key)
	rec.SourceVersion = &version
	return rec
}

func TestIdempotencyByID(t *testing.T) {
	walk(t, []step{
		{"new", pub(up("a", "k1"), up("b", "k2")), "applied accepted(1 v1) accepted(2 v1)"},
		{"known, in a later section", pub(up("a", "k1")), "applied duplicate(1 v1)"},
		{"known, with another key: the node compares", pub(up("a", "k9")), "applied duplicate(1 v1)"},
		{"twice in one section", pub(up("c", "k1"), up("c", "k1")), "applied accepted(3 v2) duplicate(3 v2)"},
		{"same id of another system of the department", as("fagai.two", up("a", "k1")), "applied accepted(4 v3)"},
		{"same id in another resource", on("org.unit", "fagai.pub", up("a", "k1")), "applied accepted(1 v1)"},
		{"another CloudEvents source", func(r *rig) Result {
			rec := up("a", "k1")
			rec.Source = "urn:x"
			return pub(rec)(r)
		}, "applied accepted(5 v4)"},
		{"a refused id stays free", refuseIn(0, refusal(0, "x", `{}`)), "applied rejected(q1)"},
		{"for the corrected record", pub(up("x", "k1")), "applied accepted(6 v5)"},
		{"a known id refused is a duplicate for the node to compare", refuseIn(0, refusal(0, "x", `{}`)), "applied duplicate(6 v5)"},
	})
}

func TestIdempotencyByProducer(t *testing.T) {
	r := walk(t, []step{
		{"must begin at 1", adapter(1, seq(2, "k")), "applied sequence_gap(1)"},
		{"0 is no seq", adapter(1, seq(0, "k")), "applied sequence_gap(1)"},
		{"next", adapter(1, seq(1, "k1"), seq(2, "k2"), seq(3, "k1")), "applied accepted(1 v1) accepted(2 v1) accepted(3 v2)"},
		{"resent in whole", adapter(1, seq(1, "k1"), seq(2, "k2"), seq(3, "k1")), "applied duplicate(1 v1) duplicate(2 v1) duplicate(3 v2)"},
		{"another writer between breaks the run", pub(up("z", "k9")), "applied accepted(4 v1)"},
		{"known and new in one section", adapter(1, seq(3, "k1"), seq(4, "k4"), seq(4, "k4"), seq(6, "k6"), seq(5, "k5")),
			"applied duplicate(3 v2) accepted(5 v1) duplicate(5 v1) sequence_gap(5) accepted(6 v1)"},
		{"a refusal consumes its seq", refuseIn(1, refusal(6, "", `{"bad":1}`)), "applied rejected(q1)"},
		{"and is replayed", refuseIn(1, refusal(6, "", `{"bad":1}`)), "applied rejected(again q1)"},
		{"also when it comes as a record: the node sees that it is another", adapter(1, seq(6, "k6")), "applied rejected(again q1)"},
		{"key_owned consumes", func(r *rig) Result {
			as("jianwei.pub", up("j", "owned"))(r)
			return adapter(1, seq(7, "owned"))(r)
		}, "applied key_owned"},
		{"and is replayed", adapter(1, seq(7, "owned"), seq(8, "k8")), "applied key_owned accepted(8 v1)"},
		{"stale consumes", func(r *rig) Result {
			one, two := int64(1), int64(2)
			a, b := seq(9, "s"), seq(10, "s")
			a.SourceVersion, b.SourceVersion = &two, &one
			return adapter(1, a, b)(r)
		}, "applied accepted(9 v1) stale"},
		{"and is replayed", adapter(1, seq(10, "s"), seq(1, "k1")), "applied stale duplicate(1 v1)"},
		{"a newer epoch begins at 1", adapter(2, seq(11, "k")), "applied sequence_gap(1)"},
		{"and fences the older one", adapter(2, seq(1, "k1")), "applied accepted(10 v3)"},
		{"for good", adapter(1, seq(11, "k"), seq(1, "k1")), "applied fenced(2) fenced(2)"},
		{"fence by command", cmd(&SystemFence{Head: admin(), System: "fagai.pub"}), "applied"},
		{"", adapter(2, seq(2, "k")), "applied fenced(3)"},
		{"", adapter(3, seq(1, "k1")), "applied accepted(11 v4)"},
	})
	v := r.view()
	defer v.Close()
	got, err := v.Producer("approvals.case", "fagai.pub", "fagai.pub")
	if want := (ProducerState{Epoch: 3, Last: 1, Fence: 3}); err != nil || got != want {
		t.Fatalf("producer %+v %v, want %+v", got, err, want)
	}
}

func TestForgedProducer(t *testing.T) {
	for _, tt := range []struct {
		producer, want string
	}{
		{"fagai.pub", "applied accepted(1 v1)"},
		{"fagai.pub.2", "applied accepted(1 v1)"},
		{"fagai.pub.", "applied not_granted"},
		{"fagai.pubx", "applied not_granted"},
		{"jianwei.pub", "applied not_granted"},
		{"", "applied not_granted"},
	} {
		r := newRig(t)
		h := r.header("approvals.case", "fagai.pub")
		h.Producers = []record.Producer{{ID: tt.producer, Epoch: 1}}
		if got := words(r.records(h, seq(1, "k"))); got != tt.want {
			t.Errorf("producer %q: got %s, want %s", tt.producer, got, tt.want)
		}
	}
}

func TestStrict(t *testing.T) {
	r := walk(t, []step{
		{"all or nothing", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("a", "k1"), up("b", ""))
		}), "refused unapplied rejected(q0) strict_refused"},
		{"nothing was kept", pub(up("a", "k1")), "applied accepted(1 v1)"},
		{"a duplicate counts as done", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("a", "k1"), up("b", "k1"))
		}), "applied duplicate(1 v1) accepted(2 v2)"},
		{"a repeat of what is not applied is not applied", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("c", "k1"), up("c", "k1"), up("d", ""))
		}), "refused unapplied unapplied rejected(q0) strict_refused"},
		{"seqs are not consumed", strict(func(r *rig, h *record.Header) Result {
			h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: 1}}
			return r.records(*h, seq(1, "k1"), seq(3, "k1"))
		}), "refused unapplied sequence_gap(2) strict_refused"},
		{"", adapter(1, seq(1, "k1")), "applied accepted(3 v3)"},
	})
	v := r.view()
	defer v.Close()
	if n := v.TreeSize(); n == 0 {
		t.Fatal("no leaves")
	}
	leaves, err := v.LeavesOf(Subject{SubjectResource, "approvals.case"}, 0, 100)
	if err != nil || len(leaves) != 2+3 { // resource, schema, three acceptances
		t.Fatalf("leaves %v %v", leaves, err)
	}
}

func TestKeyOwnership(t *testing.T) {
	walk(t, []step{
		{"", pub(up("a", "k1")), "applied accepted(1 v1)"},
		{"another department", as("jianwei.pub", up("b", "k1"), up("c", "k2")), "applied key_owned accepted(2 v1)"},
		{"another system of the owner", as("fagai.two", up("d", "k1")), "applied accepted(3 v2)"},
		{"not even a withdrawal", as("jianwei.pub", withdraw("e", "k1")), "applied key_owned"},
		{"the owner's withdrawal", pub(withdraw("f", "k1")), "applied accepted(4 v3)"},
		{"keeps the key", as("jianwei.pub", up("g", "k1")), "applied key_owned"},
		{"shared keys", on("org.unit", "fagai.pub", up("a", "u")), "applied accepted(1 v1)"},
		{"have no owner", on("org.unit", "jianwei.pub", up("a", "u")), "applied accepted(2 v2)"},
		{"in one section two departments meet", func(r *rig) Result {
			h := r.header("approvals.case", "fagai.pub", "jianwei.pub")
			a, b := up("m", "k7"), up("n", "k7")
			b.System = 1
			return r.records(h, a, b)
		}, "applied accepted(5 v1) key_owned"},
	})
}

func TestSourceVersion(t *testing.T) {
	walk(t, []step{
		{"", pub(sourced("a", "k", 5)), "applied accepted(1 v1)"},
		{"not newer", pub(sourced("b", "k", 5), sourced("c", "k", 4)), "applied stale stale"},
		{"stale ids are not remembered", pub(sourced("b", "k", 6)), "applied accepted(2 v2)"},
		{"without one it is taken", pub(up("d", "k")), "applied accepted(3 v3)"},
		{"and nothing is known then", pub(sourced("e", "k", 1)), "applied accepted(4 v4)"},
	})
}

func TestRights(t *testing.T) {
	walk(t, []step{
		{"unknown system", as("nobody.x", up("a", "k")), "applied not_granted"},
		{"not a publisher", as("town1.sub", up("a", "k")), "applied not_granted"},
		{"in a group that is", as("town1.pub", up("a", "k")), "applied accepted(1 v1)"},
		{"with a credential that stands", as("fagai.pub/k1", up("b", "k2")), "applied accepted(2 v1)"},
		{"of another system", as("fagai.two/k1", up("c", "k2")), "applied not_granted"},
		{"revoked", func(r *rig) Result {
			r.must(&CredentialRevoke{Head: admin(), Credential: "k1"})
			return as("fagai.pub/k1", up("c", "k2"), up("b", "k2"))(r)
		}, "applied not_granted duplicate(2 v1)"},
		{"out of the group", func(r *rig) Result {
			one := uint64(1)
			r.must(&GroupPut{Head: admin(), IfRevision: &one, Object: policy.Group{Code: "towns", Name: "乡镇", Departments: policy.List{"town2"}}})
			return as("town1.pub", up("d", "k"))(r)
		}, "applied not_granted"},
	})
}

func TestLongKeysAndNames(t *testing.T) {
	walk(t, []step{
		{"longest", pub(up("a", strings.Repeat("k", 512))), "applied accepted(1 v1)"},
		{"longer", pub(up("b", strings.Repeat("k", 513))), "applied rejected(q0)"},
		{"none", pub(up("c", "")), "applied rejected(q0)"},
		{"unknown schema version", func(r *rig) Result {
			rec := up("d", "k")
			rec.SchemaVersion = 2
			return pub(rec)(r)
		}, "applied rejected(q0)"},
		{"no id", pub(up("", "k")), "applied rejected(q0)"},
		{"a withdrawal needs no schema version", func(r *rig) Result {
			rec := withdraw("e", strings.Repeat("k", 512))
			return pub(rec)(r)
		}, "applied accepted(2 v2)"},
	})
}

func TestWithdrawalOfAnUnknownKey(t *testing.T) {
	gone := func(n uint64, key string) record.SectionRecord {
		rec := withdraw("", key)
		rec.Producer, rec.Seq = 0, n
		return rec
	}
	walk(t, []step{
		{"nobody published it", as("jianwei.pub", withdraw("a", "k1")), "applied not_found"},
		{"so nobody owns it", pub(up("a", "k1")), "applied accepted(1 v1)"},
		{"its id stays free", as("jianwei.pub", up("a", "k2")), "applied accepted(2 v1)"},
		{"in the producer form the seq is consumed", adapter(1, gone(1, "none"), gone(2, "none"), seq(3, "k3"), gone(4, "k3")),
			"applied not_found not_found accepted(3 v1) accepted(4 v2)"},
		{"and the answer replayed", adapter(1, gone(1, "none"), gone(2, "none"), seq(2, "none")), "applied not_found not_found not_found"},
		{"what was withdrawn may be again", adapter(1, gone(5, "k3")), "applied accepted(5 v3)"},
		{"published earlier in the section", pub(up("b", "k4"), withdraw("c", "k4")), "applied accepted(6 v1) accepted(7 v2)"},
		{"shared keys too", on("org.unit", "fagai.pub", withdraw("a", "u")), "applied not_found"},
		{"strict", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("d", "k1"), withdraw("e", "none"))
		}), "refused unapplied not_found strict_refused"},
	})
}

func TestEpochsAreBounded(t *testing.T) {
	walk(t, []step{
		{"too high", adapter(MaxEpoch+1, seq(1, "k")), "applied malformed"},
		{"by far", adapter(1<<64-1, seq(1, "k")), "applied malformed"},
		{"also of a refusal", refuseIn(1<<64-1, refusal(1, "", "{}")), "applied malformed"},
		{"nothing was taken", adapter(1, seq(1, "k")), "applied accepted(1 v1)"},
		{"highest", adapter(MaxEpoch, seq(1, "k")), "applied accepted(2 v2)"},
		{"no fence above what can be", cmd(&SystemFence{Head: admin(), System: "fagai.pub", Epoch: MaxEpoch + 2}), "refused invalid"},
		{"a fence is above all", func(r *rig) Result {
			res := r.must(&SystemFence{Head: admin(), System: "fagai.pub"})
			if got := answer[FenceAnswer](t, res); got.Epoch != MaxEpoch+1 {
				t.Errorf("fence at %d, want %d", got.Epoch, uint64(MaxEpoch+1))
			}
			return adapter(MaxEpoch, seq(2, "k"))(r)
		}, "applied fenced(9007199254740993)"},
		{"again", cmd(&SystemFence{Head: admin(), System: "fagai.pub"}), "applied"},
		{"other systems go on", as("jianwei.pub", up("a", "k2")), "applied accepted(3 v1)"},
	})
}

func TestStrictWithARepeatedID(t *testing.T) {
	change := func(f func(*record.SectionRecord)) record.SectionRecord {
		rec := up("a", "k1")
		f(&rec)
		return rec
	}
	for name, rec := range map[string]record.SectionRecord{
		"body": change(func(r *record.SectionRecord) { r.Body = []byte(`{"id":"other"}`) }),
		"key":  change(func(r *record.SectionRecord) { r.Key = "k2" }),
		"op":   change(func(r *record.SectionRecord) { *r = withdraw("a", "k1") }),
	} {
		walk(t, []step{
			{name, strict(func(r *rig, h *record.Header) Result { return r.records(*h, up("a", "k1"), rec) }), "refused unapplied conflict strict_refused"},
			{"nothing was kept", pub(rec), map[bool]string{true: "applied not_found", false: "applied accepted(1 v1)"}[rec.Op == record.Withdraw]},
		})
	}
	other := seq(1, "k2")
	walk(t, []step{
		{"by seq", strict(func(r *rig, h *record.Header) Result {
			h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: 1}}
			return r.records(*h, seq(1, "k1"), other)
		}), "refused unapplied ahead(1) strict_refused"},
		{"no seq was consumed", adapter(1, other), "applied accepted(1 v1)"},
		{"same content is a repeat", strict(func(r *rig, h *record.Header) Result {
			return r.records(*h, up("a", "k1"), up("a", "k1"))
		}), "applied accepted(2 v1) duplicate(2 v1)"},
		{"not strict: the node compares", pub(up("b", "k1"), change(func(r *record.SectionRecord) { r.ID = "b" })), "applied accepted(3 v2) duplicate(3 v2)"},
	})
}
