package policy

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares got with a file under testdata, or writes it with -rewrite.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// fields is a schema made of its annotations only.
type fields []schemas.Annotation

func (f fields) Annotations() []schemas.Annotation { return f }

// field annotates one path; words are sharing, portal and mask, - for none.
func field(path, words string) schemas.Annotation {
	w := append(strings.Fields(words), "-", "-", "-")
	for i := range w {
		w[i] = strings.TrimPrefix(w[i], "-")
	}
	p, err := parsePath(path)
	if err != nil {
		panic(err)
	}
	return schemas.Annotation{Pointer: p, Sharing: w[0], Portal: w[1], Mask: w[2]}
}

// caseSchema is a small approvals.case.
var caseSchema = fields{
	field("case_no", "unconditional mask tail"),
	field("task_name", "unconditional publish"),
	field("status", "unconditional publish"),
	field("result_no", "unconditional decided"),
	field("applicant_name", "conditional mask name"),
	field("applicant_id", "conditional never id"),
	field("phone", "withheld"),
	field("agent", "conditional"),
	field("agent/name", "- mask name"),
	field("agent/phone", "withheld"),
	field("materials", "unconditional publish"),
	field("materials/*", ""),
	field("materials/*/name", ""),
	field("materials/*/holder", "- never"),
}

func caseResource() schemas.Resource {
	return schemas.Resource{
		Resource: "approvals.case", Owner: "spj", Sharing: schemas.SharingUnconditional,
		Publishers: []string{"spj", "group:towns"},
		Disclosure: schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{{Name: "s", Role: RoleReviewer, Department: "spj"}}},
	}
}

func caller(department, system string, roles ...string) Caller {
	return Caller{
		System:     System{Code: system, Department: department, Roles: roles, Resources: List{"approvals.*"}},
		Department: Department{Code: department},
	}
}

func approved() Grant {
	return Grant{
		Grant: "g1", Resource: "approvals.case", Subscriber: "fgw", Fields: AllFields(), Purpose: "并联审批",
		LegalBasis: LegalBasis{"政务信息资源共享管理暂行办法", "第十条"}, NotAfter: "2030-01-01T00:00:00Z", State: GrantApproved,
	}
}

const now = 1_800_000_000_000 // 2027-01-15

// reasons lists the reason codes of an error, in order.
func reasons(err error) []string {
	var r []string
	for _, d := range Denials(err) {
		if d.Zh == "" || d.En == "" {
			r = append(r, "no sentence")
		}
		r = append(r, d.Reason)
	}
	return r
}

func TestCanPublish(t *testing.T) {
	towns := func(code string) []string {
		if code == "towns" {
			return []string{"zhenan", "zhendong"}
		}
		return nil
	}
	everyone := caseResource()
	everyone.Publishers = []string{"*"}
	ownerOnly := caseResource()
	ownerOnly.Publishers = nil
	narrowed := caller("spj", "s", RolePublisher, RoleSubscriber)
	narrowed.Scopes = []string{RoleSubscriber}
	noGlobs := caller("spj", "s", RolePublisher)
	noGlobs.System.Resources = nil
	otherGlobs := caller("spj", "s", RolePublisher)
	otherGlobs.System.Resources = List{"motions.*", "approvals.event"}
	borrowed := caller("spj", "s", RolePublisher)
	borrowed.Department.Code = "fgw"
	// A department whose code is that of a group must not pass for the group.
	namesake := caseResource()
	namesake.Publishers = []string{"group:towns"}

	for _, tt := range []struct {
		name   string
		caller Caller
		r      schemas.Resource
		class  error
		reason string
	}{
		{"listed", caller("spj", "s", RolePublisher), caseResource(), nil, ""},
		{"in group", caller("zhenan", "s", RolePublisher), caseResource(), nil, ""},
		{"not in group", caller("fgw", "s", RolePublisher), caseResource(), ErrNotGranted, "not_publisher"},
		{"named like the group", caller("towns", "s", RolePublisher), namesake, ErrNotGranted, "not_publisher"},
		{"everyone", caller("fgw", "s", RolePublisher), everyone, nil, ""},
		{"owner alone", caller("spj", "s", RolePublisher), ownerOnly, nil, ""},
		{"owner alone, other", caller("zhenan", "s", RolePublisher), ownerOnly, ErrNotGranted, "not_publisher"},
		{"no role", caller("spj", "s", RoleSubscriber, RoleAdministrator), caseResource(), ErrNotGranted, "role_missing"},
		{"scope", narrowed, caseResource(), ErrNotGranted, "role_missing"},
		{"no globs", noGlobs, caseResource(), ErrNotGranted, "system_resources"},
		{"other globs", otherGlobs, caseResource(), ErrNotGranted, "system_resources"},
		{"nobody", Caller{}, everyone, ErrUnauthenticated, "unauthenticated"},
		{"system of another department", borrowed, everyone, ErrUnauthenticated, "unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, CanPublish(tt.caller, tt.r, towns), tt.class, tt.reason) })
	}
}

// check compares class and reason of a refusal; class nil means none.
func check(t *testing.T, err, class error, reason string) {
	t.Helper()
	if class == nil {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	if !errors.Is(err, class) {
		t.Fatalf("got %v, want class %v", err, class)
	}
	if diff := cmp.Diff([]string{reason}, reasons(err)); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
}

func TestEntitles(t *testing.T) {
	group := approved()
	group.Subscriber = "group:towns"
	inGroup := caller("zhenan", "s", RoleSubscriber)
	inGroup.Groups = []string{"towns"}
	with := func(change func(*Grant)) Grant {
		g := approved()
		change(&g)
		return g
	}
	noGlobs, otherGlobs := caller("fgw", "s", RoleSubscriber), caller("fgw", "s", RoleSubscriber)
	noGlobs.System.Resources, otherGlobs.System.Resources = nil, List{"motions.*"}
	end, err := ParseTime(approved().NotAfter)
	if err != nil {
		t.Fatal(err)
	}
	me := caller("fgw", "s", RoleSubscriber)

	for _, tt := range []struct {
		name   string
		g      Grant
		c      Caller
		now    int64
		class  error
		reason string
	}{
		{"approved", approved(), me, now, nil, ""},
		{"last millisecond", approved(), me, end - 1, nil, ""},
		{"end", approved(), me, end, ErrNotGranted, "grant_expired"},
		{"unreadable end", with(func(g *Grant) { g.NotAfter = "never" }), me, now, ErrNotGranted, "grant_expired"},
		{"no end", with(func(g *Grant) { g.NotAfter = "" }), me, now, ErrNotGranted, "grant_expired"},
		{"requested", with(func(g *Grant) { g.State = GrantRequested }), me, now, ErrNotGranted, "grant_requested"},
		{"refused", with(func(g *Grant) { g.State = GrantRefused }), me, now, ErrNotGranted, "grant_refused"},
		{"revoked", with(func(g *Grant) { g.State = GrantRevoked }), me, now, ErrNotGranted, "grant_revoked"},
		{"no state", with(func(g *Grant) { g.State = "" }), me, now, ErrNotGranted, "grant_"},
		{"filter", with(func(g *Grant) { g.Filter = "true" }), me, now, ErrNotGranted, "filter_unsupported"},
		{"other resource", with(func(g *Grant) { g.Resource = "approvals.event" }), me, now, ErrNotGranted, "other_resource"},
		{"other department", approved(), caller("jw", "s", RoleSubscriber), now, ErrNotGranted, "not_subscriber"},
		{"no subscriber", with(func(g *Grant) { g.Subscriber = "" }), me, now, ErrNotGranted, "not_subscriber"},
		{"group", group, inGroup, now, nil, ""},
		{"not in group", group, caller("towns", "s", RoleSubscriber), now, ErrNotGranted, "not_subscriber"},
		{"publisher only", approved(), caller("fgw", "s", RolePublisher), now, ErrNotGranted, "role_missing"},
		{"administrator only", approved(), caller("fgw", "s", RoleAdministrator), now, ErrNotGranted, "role_missing"},
		{"system lists nothing", approved(), noGlobs, now, nil, ""},
		{"system lists others", approved(), otherGlobs, now, ErrNotGranted, "system_resources"},
		{"nobody", approved(), Caller{}, now, ErrUnauthenticated, "unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, Entitles(tt.g, tt.c, "approvals.case", tt.now), tt.class, tt.reason) })
	}
}

func TestCheckGrant(t *testing.T) {
	withheld := caseResource()
	withheld.Sharing = schemas.SharingWithheld
	conditional := caseResource()
	conditional.Sharing = schemas.SharingConditional
	stricter := caseResource()
	stricter.Fields = map[string]schemas.FieldRule{"status": {Sharing: schemas.SharingWithheld}, "ghost": {Portal: schemas.PortalNever}}
	looser := caseResource()
	looser.Fields = map[string]schemas.FieldRule{"phone": {Sharing: schemas.SharingUnconditional}}
	for _, tt := range []struct {
		name    string
		r       schemas.Resource
		f       Fields
		purpose string
		basis   LegalBasis
		want    []string
	}{
		{"all with basis", caseResource(), AllFields(), "p", approved().LegalBasis, nil},
		{"all without basis", caseResource(), AllFields(), "p", LegalBasis{}, []string{"legal_basis_missing"}},
		{"unconditional needs no basis", caseResource(), OnlyFields("task_name", "materials"), "p", LegalBasis{}, nil},
		{"conditional field", caseResource(), OnlyFields("applicant_name"), "p", LegalBasis{Instrument: "x"}, []string{"legal_basis_missing"}},
		{"conditional above", caseResource(), OnlyFields("agent/name"), "p", LegalBasis{Article: "x"}, []string{"legal_basis_missing"}},
		{"conditional resource", conditional, OnlyFields("task_name"), "p", LegalBasis{}, []string{"legal_basis_missing"}},
		{"no purpose", caseResource(), OnlyFields("task_name"), " ", LegalBasis{}, []string{"purpose_missing"}},
		{"withheld", caseResource(), OnlyFields("phone"), "p", LegalBasis{}, []string{"field_withheld"}},
		{"withheld below", caseResource(), OnlyFields("agent/phone"), "p", LegalBasis{}, []string{"field_withheld"}},
		{"withheld by the resource", stricter, OnlyFields("status"), "p", LegalBasis{}, []string{"field_withheld"}},
		{"resource cannot loosen", looser, OnlyFields("phone"), "p", LegalBasis{}, []string{"field_withheld"}},
		{"withheld resource", withheld, OnlyFields("task_name"), "p", LegalBasis{}, []string{"resource_withheld"}},
		{"unknown", caseResource(), OnlyFields("task_name", "nothing", "agent/nothing", "a//b"), "p", LegalBasis{},
			[]string{"field_unknown", "field_unknown", "field_unknown"}},
		{"named by the resource only", stricter, OnlyFields("ghost"), "p", LegalBasis{}, []string{"field_unknown"}},
		{"element", caseResource(), OnlyFields("materials/*/name"), "p", LegalBasis{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := Grant{Grant: "g", Resource: "approvals.case", Fields: tt.f, Purpose: tt.purpose, LegalBasis: tt.basis}
			if diff := cmp.Diff(tt.want, reasons(CheckGrant(g, tt.r, caseSchema))); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
	err := CheckGrant(approved(), schemas.Resource{Resource: "approvals.event", Sharing: "unconditional"}, caseSchema)
	if diff := cmp.Diff([]string{"other_resource"}, reasons(err)); diff != "" {
		t.Errorf("grant of another resource (-want +got):\n%s", diff)
	}
	if err := CheckGrant(approved(), caseResource(), caseSchema); err != nil {
		t.Errorf("whole grant refused: %v", err)
	}
}

func TestDecide(t *testing.T) {
	reviewer := caller("spj", "dec", RoleReviewer)
	states := []string{GrantRequested, GrantApproved, GrantRefused, GrantRevoked, GrantExpired, ""}
	legal := map[string]string{
		GrantRequested + " " + ActionApprove: GrantApproved,
		GrantRequested + " " + ActionRefuse:  GrantRefused,
		GrantApproved + " " + ActionRevoke:   GrantRevoked,
	}
	for _, state := range states {
		for _, action := range []string{ActionApprove, ActionRefuse, ActionRevoke} {
			g := approved()
			g.State = state
			got, err := Decide(g, action, reviewer, caseResource(), "理由", now)
			to, ok := legal[state+" "+action]
			if !ok {
				if !errors.Is(err, ErrTransition) || got.State != state {
					t.Errorf("%s of a grant that is %q: got %v and state %q", action, state, err, got.State)
				}
				continue
			}
			if err != nil || got.State != to || got.DecidedBy != "spj.dec" || got.Reason != "理由" {
				t.Errorf("%s of a grant that is %q: got %+v, %v", action, state, got, err)
			}
		}
	}
	requested := approved()
	requested.State = GrantRequested
	end, _ := ParseTime(requested.NotAfter)
	for _, tt := range []struct {
		name   string
		action string
		by     Caller
		reason string
		at     int64
		class  error
		want   string
	}{
		{"administrator", ActionApprove, caller("dzzwb", "admin", RoleAdministrator), "", now, nil, ""},
		{"reviewer of another department", ActionApprove, caller("fgw", "s", RoleReviewer), "", now, ErrNotGranted, "not_decider"},
		{"owner without the role", ActionApprove, caller("spj", "s", RolePublisher, RoleSubscriber), "", now, ErrNotGranted, "not_decider"},
		{"auditor", ActionApprove, caller("jw", "s", RoleAuditor), "", now, ErrNotGranted, "not_decider"},
		{"nobody", ActionApprove, Caller{}, "", now, ErrUnauthenticated, "unauthenticated"},
		{"unknown action", "cancel", reviewer, "r", now, ErrInvalid, "unknown_action"},
		{"refuse without reason", ActionRefuse, reviewer, " ", now, ErrInvalid, "reason_missing"},
		{"reason too long", ActionRefuse, reviewer, strings.Repeat("长", 201), now, ErrInvalid, "text"},
		{"already over", ActionApprove, reviewer, "", end, ErrTransition, "grant_expired"},
		{"over but refused", ActionRefuse, reviewer, "r", end, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decide(requested, tt.action, tt.by, caseResource(), tt.reason, tt.at)
			check(t, err, tt.class, tt.want)
			if err != nil {
				if diff := cmp.Diff(requested, got); diff != "" {
					t.Errorf("a refused decision changed the grant:\n%s", diff)
				}
			}
		})
	}
	other := caseResource()
	other.Resource, other.Owner = "approvals.event", "fgw"
	if _, err := Decide(requested, ActionApprove, caller("fgw", "s", RoleReviewer), other, "", now); !errors.Is(err, ErrInvalid) {
		t.Errorf("decided over a grant of another owner's resource: %v", err)
	}
}

// TestRights prints the whole table: for each verb, who may use it on an object
// of their own department and on one of another.
func TestRights(t *testing.T) {
	var verbs []string
	for v := range rights {
		verbs = append(verbs, v)
	}
	verbs = append(verbs, "department delete", "record get")
	sortStrings(verbs)
	var b strings.Builder
	b.WriteString("verb                  role of the caller: o own object only, x any object, . never\n")
	b.WriteString("                      publisher subscriber reviewer administrator auditor nobody\n")
	for _, v := range verbs {
		noun, verb, _ := strings.Cut(v, " ")
		b.WriteString(v + strings.Repeat(" ", 24-len(v)))
		for _, role := range append(roles, "nobody") {
			c := caller("spj", "s", role)
			if role == "nobody" {
				c = Caller{}
			}
			mark := "."
			if May(c, noun, verb, "fgw", "spj") == nil {
				mark = "o"
			}
			if May(c, noun, verb, "fgw") == nil && May(c, noun, verb) == nil {
				mark = "x"
			}
			b.WriteString(mark + strings.Repeat(" ", max(1, len(role))))
		}
		b.WriteString("\n")
	}
	golden(t, "rights.txt", trimLines(b.String()))
	check(t, May(Caller{}, "resource", "list"), ErrUnauthenticated, "unauthenticated")
	check(t, May(caller("spj", "s", RolePublisher), "cluster", "transfer", "spj"), ErrNotGranted, "right_missing")
}
