package exchange

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
)

func TestPutObjects(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	admin := b.as("egov.admin")
	put := func(code, name string, revision uint64, has bool) (api.Department, error) {
		return b.PutDepartment(ctx, admin, Put[api.Department]{Path: map[string]string{"department": code}, Revision: revision, HasRevision: has,
			Object: api.Department{Code: code, Name: name, Kind: "government", Level: "county", Region: "500154"}})
	}
	made := must(put("swj", "水务局", 0, true))(t)
	if made.Revision != 1 {
		t.Errorf("made %+v", made)
	}
	_, err := put("swj", "水务局二", 0, false)
	refusedWith(t, "without If-Match", err, api.CodePreconditionRequired)
	_, err = put("swj", "水务局二", 7, true)
	refusedWith(t, "another revision", err, api.CodeRevisionConflict)
	if changed := must(put("swj", "水务局二", 1, true))(t); changed.Revision != 2 {
		t.Errorf("changed %+v", changed)
	}
	if got := must(b.Department(ctx, b.as("czj.sub"), "swj"))(t); got.Name != "水务局二" {
		t.Errorf("read %+v", got)
	}
	_, err = put("SWJ", "x", 0, true)
	if p := refusedWith(t, "bad code", err, api.CodeInvalid); len(p.Errors) == 0 || p.Errors[0].Pointer != "/code" {
		t.Errorf("%+v", p)
	}
	_, err = b.PutDepartment(ctx, admin, Put[api.Department]{Path: map[string]string{"department": "other"}, Object: made})
	refusedWith(t, "name and address differ", err, api.CodeInvalid)
	for _, who := range []string{"gtfg.pub", "egov.audit"} {
		_, err := b.PutGroup(ctx, b.as(who), Put[api.Group]{Path: map[string]string{"group": "g"}, Object: api.Group{Code: "g", Name: "g"}})
		refusedWith(t, "put by "+who, err, api.CodeNotGranted)
	}
	must(b.PutGroup(ctx, admin, Put[api.Group]{Path: map[string]string{"group": "towns"}, Object: api.Group{Code: "towns", Name: "乡镇", Departments: policy.List{"swj"}}}))(t)
	if groups := must(b.Groups(ctx, b.as("czj.sub")))(t); len(groups) != 1 {
		t.Errorf("groups %+v", groups)
	}
	_, err = b.Group(ctx, admin, "none")
	refusedWith(t, "no group", err, api.CodeNotFound)
	// A resource whose entry does not fit its schema.
	r := must(b.Resource(ctx, admin, cases))(t)
	r.Key = []string{"no_such_field"}
	_, err = b.PutResource(ctx, admin, Put[api.Resource]{Path: map[string]string{"resource": cases}, Object: r, Revision: r.Revision, HasRevision: true})
	refusedWith(t, "a key field that the schema has not", err, api.CodeInvalid)
}

func TestSchemas(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	admin := b.as("egov.admin")
	raw, _ := schemas.EmbeddedSchema(cases, 1)
	if again := must(b.RegisterSchema(ctx, admin, cases, raw, ""))(t); again.Version != 1 {
		t.Errorf("the same text is another version: %+v", again)
	}
	b.schemaWith("applied_at")
	list := must(b.Schemas(ctx, b.as("czj.sub"), cases))(t)
	if len(list) != 2 || list[1].Version != 2 {
		t.Errorf("versions %+v", list)
	}
	if got := must(b.Schema(ctx, b.as("czj.sub"), cases, 1))(t); string(got) != string(raw) {
		t.Error("a schema is not given as it was registered")
	}
	_, err := b.Schema(ctx, admin, cases, 9)
	refusedWith(t, "no such version", err, api.CodeNotFound)
	_, err = b.RegisterSchema(ctx, admin, "no.such", raw, "")
	refusedWith(t, "no resource", err, api.CodeNotFound)
	_, err = b.RegisterSchema(ctx, admin, cases, []byte(`{"type":"object","properties":{"a":{"type":"string","$ref":"https://x/"}}}`), "")
	if p := refusedWith(t, "outside the profile", err, api.CodeSchemaRefused); len(p.Errors) == 0 || p.Errors[0].Message == "" {
		t.Errorf("%+v", p)
	}
	_, err = b.RegisterSchema(ctx, b.as("gtfg.pub"), cases, raw, "")
	refusedWith(t, "by a publisher", err, api.CodeNotGranted)
	// The pinned version counts where a record names none.
	s := must(b.System(ctx, admin, "gtfg", "pub"))(t)
	s.Pinned = map[string]uint32{cases: 1}
	must(b.PutSystem(ctx, admin, Put[api.System]{Path: map[string]string{"department": "gtfg", "system": "pub"}, Object: s, Revision: s.Revision, HasRevision: true}))(t)
	if got := statuses(b.publish(batchOf(caseOf("A-00001", nil), recordOf(`"schema_version":2,`, "A-00002", nil)))); !cmp.Equal(got, []string{"accepted", "rejected missing"}) {
		t.Errorf("pinned: %v", got)
	}
}

func TestCredentials(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	admin := b.as("egov.admin")
	path := map[string]string{"department": "gtfg", "system": "rev"}
	issue := func(in api.CredentialRequest) (api.Credential, error) {
		return b.IssueCredential(ctx, admin, Put[api.CredentialRequest]{Path: path, Object: in})
	}
	key := must(issue(api.CredentialRequest{Kind: policy.CredentialAPIKey}))(t)
	if c, err := b.AuthenticateKey(ctx, key.Secret); err != nil || c.System.FullName() != "gtfg.rev" || c.Credential != key.ID {
		t.Errorf("%+v, %v", c, err)
	}
	certificate := must(issue(api.CredentialRequest{Kind: policy.CredentialCertificate}))(t)
	block, _ := pem.Decode([]byte(certificate.Certificate))
	parsed := must(x509.ParseCertificate(block.Bytes))(t)
	if c, err := b.AuthenticateCertificate(ctx, parsed); err != nil || c.System.FullName() != "gtfg.rev" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, k := range must(b.Credentials(ctx, admin, "gtfg", "rev"))(t) {
		if k.Secret != "" || k.Key != "" || k.Certificate != "" {
			t.Errorf("a list shows a secret: %+v", k)
		}
	}
	for name, in := range map[string]api.CredentialRequest{
		"no kind": {}, "in the past": {Kind: "api_key", NotAfter: "2001-01-01T00:00:00Z"}, "no time": {Kind: "api_key", NotAfter: "soon"},
		"for a century": {Kind: "api_key", NotAfter: time.Now().AddDate(100, 0, 0).Format(time.RFC3339)}, "no such role": {Kind: "api_key", Scopes: []string{"emperor"}},
	} {
		_, err := issue(in)
		refusedWith(t, name, err, api.CodeInvalid)
	}
	_, err := b.IssueCredential(ctx, b.as("gtfg.rev"), Put[api.CredentialRequest]{Path: path, Object: api.CredentialRequest{Kind: "api_key"}})
	refusedWith(t, "by oneself", err, api.CodeNotGranted)
	refusedWith(t, "of another system", b.RevokeCredential(ctx, admin, "gtfg", "pub", key.ID), api.CodeNotFound)
	if err := b.RevokeCredential(ctx, admin, "gtfg", "rev", key.ID); err != nil {
		t.Fatal(err)
	}
	_, err = b.AuthenticateKey(ctx, key.Secret)
	refusedWith(t, "revoked", err, api.CodeUnauthenticated)
	for _, k := range []string{"", "hk_", "xx_" + key.Secret, key.Secret + "x", KeyPrefix + strings.Repeat("x", 200)} {
		_, err := b.AuthenticateKey(ctx, k)
		p := refusedWith(t, "key "+k, err, api.CodeUnauthenticated)
		if len(k) > 10 && strings.Contains(p.Detail, k[3:]) {
			t.Errorf("the answer repeats the key: %s", p.Detail)
		}
	}
	// A credential narrowed to a role has no other.
	narrow := must(b.IssueCredential(ctx, admin, Put[api.CredentialRequest]{Path: map[string]string{"department": "hbj", "system": "pub"}, Object: api.CredentialRequest{Kind: "api_key", Scopes: []string{policy.RoleSubscriber}}}))(t)
	c := must(b.AuthenticateKey(ctx, narrow.Secret))(t)
	_, err = b.Publish(ctx, c, batchOf(caseOf("H-00001", nil)))
	refusedWith(t, "narrowed", err, api.CodeNotGranted)
}

func TestFence(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.publish(producerBatch(seqOf(1, "A-00001", nil)))
	path := map[string]string{"department": "gtfg", "system": "pub"}
	_, err := b.FenceSystem(ctx, b.as("czj.sub"), Put[Fence]{Path: path})
	refusedWith(t, "by a stranger", err, api.CodeNotGranted)
	got := must(b.FenceSystem(ctx, b.as("egov.admin"), Put[Fence]{Path: path, Object: Fence{Epoch: 3}}))(t)
	if got.Epoch != 3 {
		t.Errorf("fenced at %d", got.Epoch)
	}
	item := b.publish(producerBatch(seqOf(2, "A-00002", nil))).Items[0]
	if item.Status != string(api.CodeFenced) || item.Expected != 3 {
		t.Errorf("an older epoch: %+v", item)
	}
}

func TestGrants(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	asked := api.Grant{Resource: cases, Subscriber: "czj", Fields: policy.OnlyFields("status"), Purpose: "监管", LegalBasis: policy.LegalBasis{Instrument: "县政府令第1号", Article: "第八条"}, NotAfter: "2099-01-01T00:00:00Z"}
	g := must(b.RequestGrant(ctx, b.as("czj.sub"), Put[api.Grant]{Object: asked, Request: "r1"}))(t)
	if g.Grant == "" || g.State != policy.GrantRequested {
		t.Fatalf("%+v", g)
	}
	if again := must(b.RequestGrant(ctx, b.as("czj.sub"), Put[api.Grant]{Object: asked, Request: "r1"}))(t); again.Grant != g.Grant {
		t.Errorf("the same request made another grant: %s, %s", g.Grant, again.Grant)
	}
	_, err := b.RequestGrant(ctx, b.as("hbj.pub"), Put[api.Grant]{Object: asked})
	refusedWith(t, "for another department", err, api.CodeNotGranted)
	of := func(action string, reason string) Put[api.Decision] {
		return Put[api.Decision]{Path: map[string]string{"grant": g.Grant}, Object: api.Decision{Reason: reason}}
	}
	_, err = b.DecideGrant(ctx, b.as("czj.sub"), policy.ActionApprove, of("approve", ""))
	refusedWith(t, "by the subscriber", err, api.CodeNotGranted)
	stale := of("approve", "")
	stale.Revision, stale.HasRevision = 9, true
	_, err = b.DecideGrant(ctx, b.as("gtfg.rev"), policy.ActionApprove, stale)
	refusedWith(t, "of a revision that was not seen", err, api.CodeRevisionConflict)
	must(b.DecideGrant(ctx, b.as("gtfg.rev"), policy.ActionApprove, of("approve", "")))(t)
	_, err = b.DecideGrant(ctx, b.as("gtfg.rev"), policy.ActionRevoke, of("revoke", ""))
	refusedWith(t, "revoke without a reason", err, api.CodeInvalid)
	_, err = b.DecideGrant(ctx, b.as("gtfg.rev"), policy.ActionRefuse, of("refuse", "不同意"))
	p := refusedWith(t, "refuse what is approved", err, api.CodeConflict)
	if zh, en := api.In("zh", p.Detail), api.In("en", p.Detail); zh == en || zh == "" || en == "" {
		t.Errorf("one language only: %s", p.Detail)
	}
	if got := must(b.Grants(ctx, b.as("czj.sub"), cases, policy.GrantApproved))(t); len(got) != 1 || got[0].Grant != g.Grant {
		t.Errorf("the subscriber lists %+v", got)
	}
	for _, who := range []string{"gtfg.pub", "egov.audit"} {
		if got := must(b.Grants(ctx, b.as(who), "", ""))(t); len(got) != 1 {
			t.Errorf("%s lists %+v", who, got)
		}
		must(b.Grant(ctx, b.as(who), g.Grant))(t)
	}
	if got := must(b.Grants(ctx, b.as("bmj.rev"), "", ""))(t); len(got) != 0 {
		t.Errorf("a stranger lists %+v", got)
	}
	_, err = b.Grant(ctx, b.as("bmj.rev"), g.Grant)
	refusedWith(t, "a stranger", err, api.CodeNotFound)
	asked.Resource = noSchema
	_, err = b.RequestGrant(ctx, b.as("czj.sub"), Put[api.Grant]{Object: asked})
	refusedWith(t, "no schema", err, api.CodeSchemaUnknown)
	asked.Resource, asked.Filter = cases, "true"
	_, err = b.RequestGrant(ctx, b.as("czj.sub"), Put[api.Grant]{Object: asked})
	refusedWith(t, "a filter", err, api.CodeInvalid)
}

func TestSubscriptionsBelongToTheirDepartment(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.grant("g1", cases, "czj", policy.AllFields())
	make := func(who, id, grant string) error {
		_, err := b.CreateSubscription(ctx, b.as(who), Put[api.Subscription]{Object: api.Subscription{Subscription: id, Grant: grant, Sink: policy.Sink{Kind: policy.SinkPull}}})
		return err
	}
	refusedWith(t, "under another's grant", make("hbj.pub", "s1", "g1"), api.CodeNotGranted)
	refusedWith(t, "under no grant", make("czj.sub", "s1", "g9"), api.CodeNotFound)
	if err := make("czj.sub", "s1", "g1"); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "twice", make("czj.sub", "s1", "g1"), api.CodeIDConflict)
	_, err := b.Subscription(ctx, b.as("hbj.pub"), "s1")
	refusedWith(t, "a stranger", err, api.CodeNotGranted)
	for who, want := range map[string]int{"czj.sub": 1, "egov.audit": 1, "hbj.pub": 0} {
		if got := must(b.Subscriptions(ctx, b.as(who), ""))(t); len(got) != want {
			t.Errorf("%s lists %+v", who, got)
		}
	}
	must(b.one(caseOf("A-00001", nil)))(t)
	if got := must(b.Subscription(ctx, b.as("czj.sub"), "s1"))(t); got.LagRecords != 1 || got.LagSeconds < 0 {
		t.Errorf("lag %+v", got)
	}
	if got := must(b.Subscriptions(ctx, b.as("egov.audit"), projects))(t); len(got) != 0 {
		t.Errorf("of another resource %+v", got)
	}
	refusedWith(t, "deleted by a stranger", b.DeleteSubscription(ctx, b.as("hbj.pub"), "s1"), api.CodeNotGranted)
	if err := b.DeleteSubscription(ctx, b.as("czj.sub"), "s1"); err != nil {
		t.Fatal(err)
	}
	_, err = b.Subscription(ctx, b.as("czj.sub"), "s1")
	refusedWith(t, "deleted", err, api.CodeNotFound)
	refusedWith(t, "the name of a deleted one", make("czj.sub", "s1", "g1"), api.CodeIDConflict)
}

func TestCluster(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.cluster = fakeMembers{
		show:     func() (api.Cluster, error) { return api.Cluster{Cluster: "c-test"}, nil },
		add:      func(in api.MemberRequest) ([]byte, error) { return []byte(in.ID), nil },
		remove:   func(string) error { return fmt.Errorf("remove: %w", replica.ErrNotMember) },
		transfer: func(string) error { return fmt.Errorf("transfer: %w", replica.ErrNoLeader) },
	}
	admin := b.as("egov.admin")
	if got := must(b.Service.Cluster(ctx, b.as("egov.audit")))(t); got.Cluster != "c-test" {
		t.Errorf("%+v", got)
	}
	if got := must(b.AddMember(ctx, admin, api.MemberRequest{ID: "n2", Address: api.Addresses{Node: "127.0.0.1:1"}}))(t); string(got) != "n2" {
		t.Errorf("bundle %s", got)
	}
	_, err := b.AddMember(ctx, admin, api.MemberRequest{ID: "n2"})
	refusedWith(t, "no address", err, api.CodeInvalid)
	refusedWith(t, "no such node", b.RemoveMember(ctx, admin, "n9"), api.CodeNotFound)
	refusedWith(t, "no leader", b.TransferLeadership(ctx, admin, Transfer{}), api.CodeNoLeader)
	_, err = b.AddMember(ctx, b.as("egov.audit"), api.MemberRequest{ID: "n2", Address: api.Addresses{Node: "x"}})
	refusedWith(t, "added by an auditor", err, api.CodeNotGranted)
	refusedWith(t, "removed by a publisher", b.RemoveMember(ctx, b.as("gtfg.pub"), "n1"), api.CodeNotGranted)
	refusedWith(t, "handed on by a publisher", b.TransferLeadership(ctx, b.as("gtfg.pub"), Transfer{}), api.CodeNotGranted)
	_, err = b.Service.Cluster(ctx, b.as("gtfg.pub"))
	refusedWith(t, "shown to a publisher", err, api.CodeNotGranted)
}

func TestProblem(t *testing.T) {
	for _, tt := range []struct {
		err    error
		code   api.Code
		detail string
	}{
		{replica.ErrPushback, api.CodePushback, "nothing was taken"},
		{replica.ErrUnknown, api.CodeNoLeader, "taken once"},
		{replica.ErrClosed, api.CodeNoLeader, "stopping"},
		{fmt.Errorf("%w: the last voter cannot be removed", replica.ErrAnswer), api.CodeConflict, "last voter"},
		{&state.Refusal{Code: state.CodeInvalid, Detail: "d", DetailZh: "细"}, api.CodeInvalid, "细 / d"},
		{&state.Refusal{Code: state.CodeRevisionConflict, Detail: "by now"}, api.CodeRevisionConflict, "by now"},
		{&state.Refusal{Code: state.CodeRevisionConflict, Reason: "grant_revoked"}, api.CodeConflict, ""},
		{errors.New("pebble: /var/lib/secret"), api.CodeInternal, ""},
	} {
		p := refusedWith(t, tt.err.Error(), problem(fmt.Errorf("act: %w", tt.err)), tt.code)
		if !strings.Contains(p.Detail, tt.detail) || strings.Contains(p.Detail, "/var") {
			t.Errorf("%v: detail %q", tt.err, p.Detail)
		}
	}
	if problem(nil) != nil {
		t.Error("no error is a problem")
	}
	var many []error
	for range 40 {
		many = append(many, errors.New("x"))
	}
	if p := refusedWith(t, "many", invalid(many), api.CodeInvalid); len(p.Errors) != 32 || p.More != 8 {
		t.Errorf("%d faults, %d more", len(p.Errors), p.More)
	}
}
