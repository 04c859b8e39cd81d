package state

import (
	"testing"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
)

func TestCatalogueRevisions(t *testing.T) {
	one, two, zero := uint64(1), uint64(2), uint64(0)
	dep := func(name string) policy.Department {
		return policy.Department{Code: "weijian", Name: name, Kind: "government", Level: "county", Region: "511600"}
	}
	res := func(summary string) schemas.Resource {
		return schemas.Resource{Resource: "a.b", Title: title("x"), Summary: summary, Owner: "fagai", Sharing: "conditional", SchemaVersion: 77}
	}
	walk(t, []step{
		{"create", cmd(&DepartmentPut{Head: admin(), Object: dep("a")}), "applied"},
		{"the same again", cmd(&DepartmentPut{Head: admin(), Object: dep("a")}), "applied"},
		{"without the revision that was read", cmd(&DepartmentPut{Head: admin(), Object: dep("b")}), "refused precondition_required"},
		{"with another", cmd(&DepartmentPut{Head: admin(), IfRevision: &two, Object: dep("b")}), "refused revision_conflict"},
		{"with it", cmd(&DepartmentPut{Head: admin(), IfRevision: &one, Object: dep("b")}), "applied"},
		{"must not exist", cmd(&DepartmentPut{Head: admin(), IfRevision: &zero, Object: dep("c")}), "refused revision_conflict"},
		{"not an administrator", cmd(&DepartmentPut{Head: by("fagai.pub"), IfRevision: &two, Object: dep("c")}), "refused not_granted"},
		{"nobody", cmd(&DepartmentPut{IfRevision: &two, Object: dep("c")}), "refused not_granted"},
		{"not its department", cmd(&DepartmentPut{Head: Head{By: By{System: "zhengwu.admin", Department: "fagai"}}, IfRevision: &two, Object: dep("c")}), "refused not_granted"},
		{"gone meanwhile", cmd(&GroupPut{Head: admin(), IfRevision: &one, Object: policy.Group{Code: "g"}}), "refused revision_conflict"},
		{"a group of what does not exist", cmd(&GroupPut{Head: admin(), Object: policy.Group{Code: "g", Departments: policy.List{"x"}}}), "refused not_found"},
		{"a system of what does not exist", cmd(&SystemPut{Head: admin(), Object: system("x", "y")}), "refused not_found"},
		{"a bad name", cmd(&SystemPut{Head: admin(), Object: system("fagai", "a/b")}), "refused malformed"},
		{"resource", cmd(&ResourcePut{Head: admin(), Object: res("a")}), "applied"},
		{"no schema yet", on("a.b", "fagai.pub", up("a", "k")), "applied rejected(q0)"},
		{"not JSON", cmd(&SchemaRegister{Head: admin(), Resource: "a.b", Schema: `{`}), "refused schema_refused"},
		{"register", cmd(&SchemaRegister{Head: admin(), Resource: "a.b", Schema: `{}`}), "applied"},
		{"the same again", cmd(&SchemaRegister{Head: admin(), Resource: "a.b", Schema: `{}`}), "applied"},
		{"a skipped version", cmd(&SchemaRegister{Head: admin(), Resource: "a.b", Version: 3, Schema: `{ }`}), "refused revision_conflict"},
		{"the next", cmd(&SchemaRegister{Head: admin(), Resource: "a.b", Version: 2, Schema: `{ }`}), "applied"},
		{"by that version", on("a.b", "fagai.pub", up("a", "k")), "applied accepted(1 v1)"},
		{"putting keeps the schemas", func(r *rig) Result {
			three := uint64(3)
			got := r.must(&ResourcePut{Head: admin(), IfRevision: &three, Object: res("b")})
			if o := answer[schemas.Resource](t, got); o.SchemaVersion != 2 || o.Revision != 4 {
				t.Errorf("resource %+v", o)
			}
			return got
		}, "applied"},
		{"a credential twice", cmd(&CredentialIssue{Head: admin(), Object: policy.Credential{ID: "k1", System: "fagai.pub", Hash: "bb"}}), "refused id_conflict"},
		{"a secret twice", cmd(&CredentialIssue{Head: admin(), Object: policy.Credential{ID: "k2", System: "fagai.pub", Hash: "aa"}}), "refused id_conflict"},
		{"without a secret", cmd(&CredentialIssue{Head: admin(), Object: policy.Credential{ID: "k2", System: "fagai.pub"}}), "refused malformed"},
		{"bootstrap twice", func(r *rig) Result {
			b := county()
			b.Request = "again"
			return r.command(b)
		}, "refused conflict"},
		{"a grant's id twice", cmd(&GrantRequest{Head: by("town1.sub"), Object: func() policy.Grant { g := grant("town1"); g.Grant = "mine"; return g }()}), "applied"},
		{"", cmd(&GrantRequest{Head: by("town1.sub"), Object: func() policy.Grant { g := grant("town1"); g.Grant = "mine"; return g }()}), "refused id_conflict"},
		{"a grant for others", cmd(&GrantRequest{Head: by("town1.sub"), Object: grant("town2")}), "refused not_granted"},
		{"approve", cmd(&GrantDecide{Head: by("fagai.rev"), Grant: "mine", Action: "approve", IfRevision: &one}), "applied"},
		{"of an older revision", cmd(&GrantDecide{Head: by("fagai.rev"), Grant: "mine", Action: "revoke", Reason: "x", IfRevision: &one}), "refused revision_conflict"},
		{"", cmd(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Subscription: "mine", Grant: "mine"}}), "applied"},
		{"pause", cmd(&SubscriptionPause{Head: by("town1.sub"), Subscription: "mine"}), "applied"},
		{"others may not", cmd(&SubscriptionResume{Head: by("town2.sub"), Subscription: "mine"}), "refused not_granted"},
		{"resume", cmd(&SubscriptionResume{Head: by("town1.sub"), Subscription: "mine"}), "applied"},
		{"delete", cmd(&SubscriptionDelete{Head: by("town1.sub"), Subscription: "mine"}), "applied"},
		{"a name is not used twice", cmd(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Subscription: "mine", Grant: "mine"}}), "refused id_conflict"},
		{"member", cmd(&MemberNote{Action: MemberAdded, Member: Member{ID: "n2"}}), "applied"},
		{"removed", cmd(&MemberNote{Head: admin(), Action: MemberRemoved, Member: Member{ID: "n2"}}), "applied"},
		{"by a department", cmd(&MemberNote{Head: by("fagai.pub"), Action: MemberRemoved, Member: Member{ID: "n1"}}), "refused not_granted"},
	})
}

func TestRequestIDs(t *testing.T) {
	r := newRig(t)
	put := func(name string) Result {
		h := admin()
		h.Request = "r1"
		return r.command(&GroupPut{Head: h, Object: policy.Group{Code: "g", Name: name}})
	}
	first := put("a")
	size := func() uint64 { v := r.view(); defer v.Close(); return v.TreeSize() }
	before := size()
	if again := put("a"); again.Code != Applied || string(again.Answer) != string(first.Answer) || again.Leaf != first.Leaf || size() != before {
		t.Fatalf("again: %s %s", again.Code, again.Answer)
	}
	other := put("b")
	if got := words(other); got != "refused conflict" || other.Err.Reason != ReasonRequestReused || size() != before {
		t.Fatalf("another content: %s %+v", got, other.Err)
	}
	h := admin()
	h.Request = "r1"
	if got := words(r.command(&SystemFence{Head: h, System: "fagai.pub"})); got != "refused conflict" {
		t.Fatalf("another command: %s", got)
	}
	h.At, h.By.Credential, h.By.Department = 77, "", "zhengwu"
	if got := words(r.command(&GroupPut{Head: h, Object: policy.Group{Code: "g", Name: "a"}})); got != "applied" {
		t.Fatalf("the same, asked later: %s", got)
	}
	h = by("fagai.rev")
	h.Request = "r1"
	if got := words(r.command(&GrantDecide{Head: h, Grant: "none", Action: "approve"})); got != "refused not_found" {
		t.Fatalf("of another system: %s", got)
	}
	r.now += requestMs - 1
	if got := words(put("b")); got != "refused conflict" {
		t.Fatalf("just within 24 h: %s", got)
	}
	r.now++
	if got := words(put("b")); got != "refused precondition_required" {
		t.Fatalf("after 24 h: %s", got)
	}
	rows := 0
	for k := range dump(t, r.m) {
		if k[0] == 0x05 || k[0] == 0x06 {
			rows++
		}
	}
	if rows != 2 {
		t.Fatalf("%d rows of remembered requests are left, want that of the last command", rows)
	}
}

// TestRequestIDOfACredential: a repeat draws another secret, whose hash is no
// other content; all else is.
func TestRequestIDOfACredential(t *testing.T) {
	r := newRig(t)
	issue := func(id, hash string) string {
		h := admin()
		h.Request = "r1"
		return words(r.command(&CredentialIssue{Head: h, Object: policy.Credential{ID: id, System: "fagai.pub", Kind: policy.CredentialAPIKey, Hash: hash}}))
	}
	for _, tt := range []struct{ id, hash, want string }{{"k7", "01", "applied"}, {"k7", "02", "applied"}, {"k8", "01", "refused conflict"}} {
		if got := issue(tt.id, tt.hash); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.id, tt.hash, got, tt.want)
		}
	}
	v := r.view()
	defer v.Close()
	if c, ok := v.CredentialByHash("01"); !ok || c.ID != "k7" {
		t.Errorf("the first one stands: %+v %v", c, ok)
	}
	if _, ok := v.CredentialByHash("02"); ok {
		t.Error("the repeat's secret was taken")
	}
}
