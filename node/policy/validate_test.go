package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func department() Department {
	return Department{Code: "spj", Name: "行政审批局", ShortName: "审批局", USCC: "91350100M000100Y43", Kind: "government",
		Level: "county", Region: "511600", Parent: "gov", LegacyCodes: List{"008765432"}}
}

func TestValidate(t *testing.T) {
	system := System{Code: "s", Department: "spj", Name: "n", Roles: List{RolePublisher}, Resources: List{"*", "approvals.*"}, Pinned: map[string]uint32{"a.b": 1}}
	key := Credential{ID: "k1", System: "spj.s", Kind: CredentialAPIKey, Hash: strings.Repeat("a", 64), Scopes: List{RolePublisher}}
	sub := Subscription{Subscription: "sub", Resource: "a.b", Grant: "g", Sink: Sink{SinkPull}, System: "spj.s", State: SubscriptionActive}
	object := func(o interface{ Validate() []error }) []error { return o.Validate() }
	alter := func(f func(*Department)) []error { d := department(); f(&d); return d.Validate() }
	grant := func(f func(*Grant)) []error { g := approved(); f(&g); return g.Validate() }
	sys := func(f func(*System)) []error { s := system; f(&s); return s.Validate() }
	cred := func(f func(*Credential)) []error { c := key; f(&c); return c.Validate() }
	subs := func(f func(*Subscription)) []error { s := sub; f(&s); return s.Validate() }
	for _, tt := range []struct {
		name string
		got  []error
		want string // members at fault
	}{
		{"department", object(department()), ""},
		{"department empty", object(Department{}), "code name kind level region"},
		{"department code", alter(func(d *Department) { d.Code = "审批局" }), "code"},
		{"department code with dot", alter(func(d *Department) { d.Code = "a.b" }), "code"},
		{"department code upper case", alter(func(d *Department) { d.Code = "SPJ" }), "code"},
		{"department code ends in hyphen", alter(func(d *Department) { d.Code = "spj-" }), "code"},
		{"department code too long", alter(func(d *Department) { d.Code = strings.Repeat("a", 65) }), "code"},
		{"department check character", alter(func(d *Department) { d.USCC = "91350100M000100Y44" }), "uscc"},
		{"department lower-case uscc", alter(func(d *Department) { d.USCC = "91350100m000100y43" }), "uscc"},
		{"department region", alter(func(d *Department) { d.Region = "5116" }), "region"},
		{"department town region", alter(func(d *Department) { d.Region = "511602101" }), ""},
		{"department parent", alter(func(d *Department) { d.Parent = "spj" }), "parent"},
		{"department control character", alter(func(d *Department) { d.Name = "a\nb" }), "name"},
		{"department legacy twice", alter(func(d *Department) { d.LegacyCodes = List{"1", "1", ""} }), "legacy_codes legacy_codes"},
		{"group", object(Group{Code: "towns", Name: "乡镇", Departments: List{"a"}}), ""},
		{"group member", object(Group{Code: "towns", Name: "乡镇", Departments: List{"a", "B"}}), "departments"},
		{"system", object(system), ""},
		{"system role", sys(func(s *System) { s.Roles = List{"god"} }), "roles"},
		{"system no role", sys(func(s *System) { s.Roles = nil }), "roles"},
		{"system glob", sys(func(s *System) { s.Resources = List{"["} }), "resources"},
		{"system pin", sys(func(s *System) { s.Pinned = map[string]uint32{"a.b": 0} }), "pinned"},
		{"system pin of nothing", sys(func(s *System) { s.Pinned = map[string]uint32{"a": 1} }), "pinned"},
		{"key", object(key), ""},
		{"key without hash", cred(func(c *Credential) { c.Hash = "" }), "hash"},
		{"certificate without fingerprint", cred(func(c *Credential) { c.Kind = CredentialCertificate }), "fingerprint"},
		{"credential of no system", cred(func(c *Credential) { c.System = "spj" }), "system"},
		{"credential scope", cred(func(c *Credential) { c.Scopes = List{"all"} }), "scopes"},
		{"credential id", cred(func(c *Credential) { c.ID = "a b" }), "id"},
		{"grant", object(approved()), ""},
		{"grant to a group", grant(func(g *Grant) { g.Subscriber = "group:towns" }), ""},
		{"grant to everyone", grant(func(g *Grant) { g.Subscriber = "*" }), "subscriber"},
		{"grant of no field", grant(func(g *Grant) { g.Fields = Fields{} }), "fields"},
		{"grant of a bad path", grant(func(g *Grant) { g.Fields = OnlyFields("a", "/b", "~2") }), "fields fields"},
		{"grant twice", grant(func(g *Grant) { g.Fields = OnlyFields("a", "a") }), "fields"},
		{"grant with filter", grant(func(g *Grant) { g.Filter = "true" }), "filter"},
		{"grant without end", grant(func(g *Grant) { g.NotAfter = "" }), "not_after"},
		{"grant without purpose", grant(func(g *Grant) { g.Purpose = "" }), "purpose"},
		{"grant state", grant(func(g *Grant) { g.State = "ok" }), "state"},
		{"grant resource", grant(func(g *Grant) { g.Resource = "a" }), "resource"},
		{"subscription", object(sub), ""},
		{"subscription sink", subs(func(s *Subscription) { s.Sink.Kind = "webhook" }), "sink.kind"},
		{"subscription filter", subs(func(s *Subscription) { s.Filter = "x" }), "filter"},
		{"subscription state", subs(func(s *Subscription) { s.State = "" }), "state"},
		{"subscription system", subs(func(s *Subscription) { s.System = "s" }), "system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var members []string
			for _, err := range tt.got {
				d, ok := Explain(err)
				if !ok || !errors.Is(err, ErrInvalid) || d.Zh == "" || d.En == "" {
					t.Fatalf("not a sentence in both languages: %v", err)
				}
				members = append(members, d.Member)
			}
			if diff := cmp.Diff(tt.want, strings.Join(members, " ")); diff != "" {
				t.Errorf("members at fault (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckParent(t *testing.T) {
	all := map[string]Department{"gov": {Code: "gov"}, "a": {Code: "a", Parent: "b"}, "b": {Code: "b", Parent: "gov"},
		"x": {Code: "x", Parent: "y"}, "y": {Code: "y", Parent: "x"}}
	look := func(c string) (Department, bool) { d, ok := all[c]; return d, ok }
	for _, tt := range []struct{ code, parent, reason string }{
		{"new", "", ""}, {"new", "a", ""}, {"gov", "a", "cycle"}, {"a", "a", "cycle"}, {"new", "none", "unknown_parent"}, {"new", "x", "cycle"},
	} {
		err := CheckParent(tt.code, tt.parent, look)
		if got := strings.Join(reasons(err), " "); got != tt.reason {
			t.Errorf("%s under %s: got %q, want %q", tt.code, tt.parent, got, tt.reason)
		}
	}
}
