package exchange

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

const (
	cases    = "approvals.case"
	projects = "projects.project"
	noSchema = "duty.report" // in the catalogue, without a schema
	logName  = "bus.example/2026-1"
)

// bench is one node without its listeners: a real store, state and replica in a
// folder of its own, and the service on them. Hooks stand around the log, so
// that a test can let something happen while a request is under way.
type bench struct {
	*Service
	t       *testing.T
	replica *replica.Replica
	callers map[string]policy.Caller // by full name of the system
	keys    map[string]string        // API keys, likewise
	trust   tlog.Trust

	mu       sync.Mutex
	before   []func() // each is called once, before the next groups go to the log
	after    []func() // each is called once, after the next groups were applied
	sections [][]byte // of the last group
	stale    atomic.Bool
	room     atomic.Uint32
	unsealed atomic.Bool // no checkpoint is signed
	logKey   *tlog.Key
	nodeKey  *tlog.Key
	cluster  fakeMembers
}

// fakeMembers is a struct of functions; see package node for the real one.
type fakeMembers struct {
	show     func() (api.Cluster, error)
	add      func(api.MemberRequest) ([]byte, error)
	remove   func(string) error
	transfer func(string) error
}

func (f *fakeMembers) Cluster(context.Context) (api.Cluster, error) { return f.show() }
func (f *fakeMembers) Add(_ context.Context, in api.MemberRequest) ([]byte, error) {
	return f.add(in)
}
func (f *fakeMembers) Remove(_ context.Context, id string) error   { return f.remove(id) }
func (f *fakeMembers) Transfer(_ context.Context, to string) error { return f.transfer(to) }

// issuer makes certificates under the bench's authorities.
type issuer struct{ keys *authority.Keys }

func (i issuer) IssueCertificate(system string, notAfter time.Time) (certificatePEM, keyPEM []byte, fingerprint string, err error) {
	out, err := i.keys.IssueSystem(system, authority.P256, time.Now(), notAfter, rand.Reader)
	return out.CertPEM, out.KeyPEM, out.Fingerprint, err
}
func (i issuer) Fingerprint(c *x509.Certificate) string { return authority.Fingerprint(c.Raw) }

// wire is the bench as its service sees log, disk and checkpoints.
type wire struct{ b *bench }

func (w wire) Propose(ctx context.Context, sections [][]byte) ([]state.Result, error) {
	w.b.run(&w.b.before)
	w.b.mu.Lock()
	w.b.sections = sections
	w.b.mu.Unlock()
	results, err := w.b.replica.Propose(ctx, sections)
	w.b.run(&w.b.after)
	return results, err
}

// run calls the next hook of a list. The hook itself may propose.
func (b *bench) run(hooks *[]func()) {
	b.mu.Lock()
	var next func()
	if len(*hooks) > 0 {
		next, *hooks = (*hooks)[0], (*hooks)[1:]
	}
	b.mu.Unlock()
	if next != nil {
		next()
	}
}

func (w wire) Now() int64 { return w.b.replica.Now() }
func (w wire) Fresh() error {
	if w.b.stale.Load() {
		return replica.ErrNotFresh
	}
	return w.b.replica.Fresh()
}
func (w wire) Strong(ctx context.Context) error { return w.b.replica.Strong(ctx) }
func (w wire) Room() Room                       { return Room(w.b.room.Load()) }

// Latest signs the tree as it stands, as node/checkpoint does each second.
func (w wire) Latest() []byte {
	if w.b.unsealed.Load() {
		return nil
	}
	v, err := w.b.machine.View()
	if err != nil {
		return nil
	}
	defer v.Close()
	root, err := v.Root()
	if err != nil {
		return nil
	}
	note, err := tlog.SignNote(tlog.Checkpoint{Origin: v.Log(), Size: v.TreeSize(), Root: root}.Encode(), w.b.logKey.Signer(), w.b.nodeKey.Cosigner(time.Now().Unix()))
	if err != nil {
		return nil
	}
	return note
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newBench founds a small county; see county.
func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, callers: map[string]policy.Caller{}, keys: map[string]string{}}
	b.logKey = must(tlog.NewKey(rand.Reader, logName))(t)
	b.nodeKey = must(tlog.NewKey(rand.Reader, "n1"))(t)
	b.trust = must(tlog.NodeTrust(b.logKey.VKey(), []tlog.Witness{{Name: "n1", VKey: b.nodeKey.CosignerVKey()}}))(t)
	keys := must(authority.Init(filepath.Join(dir, "keys"), authority.Settings{Cluster: "c-test", Node: "n1", OriginKey: []byte(b.logKey.Encode()), CosignerKey: []byte(b.nodeKey.Encode()), Now: time.Now(), Random: rand.Reader}))(t)
	machine := b.openReplica(dir, keys)
	b.Service = New(Config{Node: "n1", LogVKey: b.logKey.VKey(), FeedDate: "2026-01-01", ReadWait: 500 * time.Millisecond}, Parts{
		Machine: machine, Replica: wire{b}, Checkpoints: wire{b}, Members: &b.cluster, Issuer: issuer{keys}, Disk: wire{b}, Key: b.nodeKey,
	})
	b.found()
	return b
}

// openReplica opens log, state and replica and runs them until the test ends.
func (b *bench) openReplica(dir string, keys *authority.Keys) *state.Machine {
	t := b.t
	t.Helper()
	log := must(store.OpenLog(filepath.Join(dir, "log"), store.Options{}))(t)
	place := must(replica.StateDir(store.Disk(), dir))(t)
	machine := must(state.Open(must(store.OpenState(place, store.Options{}))(t), state.Config{ClusterID: "c-test"}))(t)
	r := must(replica.Open(replica.Config{ClusterID: "c-test", NodeID: "n1", Dir: dir, Certificate: keys.NodeCertificate(), Roots: keys.NodeRoots(),
		Listen: "127.0.0.1:0", Bootstrap: true, Heartbeat: 50 * time.Millisecond}, log, machine))(t)
	b.replica = r
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	// Stops when the test's cleanup cancels ctx.
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, r.Close(), machine.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	b.until("a fresh node", func() bool { return r.Fresh() == nil })
	return machine
}

// until waits for something that must come.
func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// county are the systems of the bench, by full name with their roles.
var county = map[string][]string{
	"egov.admin": {policy.RoleAdministrator}, "egov.audit": {policy.RoleAuditor},
	"gtfg.pub": {policy.RolePublisher}, "gtfg.rev": {policy.RoleReviewer}, "gtfg.sub": {policy.RoleSubscriber},
	"fgw.pub": {policy.RolePublisher}, "fgw.rev": {policy.RoleReviewer},
	"hbj.pub": {policy.RolePublisher, policy.RoleSubscriber},
	"czj.sub": {policy.RoleSubscriber}, "bmj.rev": {policy.RoleReviewer},
}

// found gives the county its first objects: gtfg owns the cases (and hbj may
// publish them), fgw the projects, which pass fgw and bmj before the public.
func (b *bench) found() {
	t := b.t
	t.Helper()
	boot := state.Bootstrap{Cluster: "c-test", Log: logName, Epoch: 1,
		Members: []state.Member{{ID: "n1", Addresses: map[string]string{"node": "127.0.0.1:1"}, VKey: b.nodeKey.CosignerVKey(), Voter: true}},
		Resources: []schemas.Resource{
			{Resource: cases, Title: schemas.Title{Zh: "办件", En: "Cases"}, Owner: "gtfg", Publishers: []string{"gtfg", "hbj"}, Key: []string{"case_no"}, Sharing: schemas.SharingConditional, Erasable: true, Disclosure: schemas.Disclosure{Route: schemas.RouteNone}},
			{Resource: projects, Title: schemas.Title{Zh: "项目", En: "Projects"}, Owner: "fgw", Key: []string{"project_code"}, Sharing: schemas.SharingUnconditional,
				Disclosure: schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{{Name: "单位初审", Role: policy.RoleReviewer, Department: schemas.StepPublisher}, {Name: "保密审查", Role: policy.RoleReviewer, Department: "bmj"}}},
				Feed:       &schemas.Feed{Title: "{{.project_name}}", Summary: "{{.status}}", Link: "/projects/{{.project_code}}"}},
			{Resource: noSchema, Title: schemas.Title{Zh: "值班报告", En: "Duty"}, Owner: "gtfg", Sharing: schemas.SharingConditional, Disclosure: schemas.Disclosure{Route: schemas.RouteNone}},
		},
	}
	for _, name := range []string{cases, projects} {
		text, ok := schemas.EmbeddedSchema(name, 1)
		if !ok {
			t.Fatalf("no schema of %s", name)
		}
		boot.Schemas = append(boot.Schemas, state.SchemaText{Resource: name, Schema: string(text)})
	}
	departments := map[string]bool{}
	for name, roles := range county {
		department, code, _ := strings.Cut(name, ".")
		if !departments[department] {
			departments[department] = true
			boot.Departments = append(boot.Departments, policy.Department{Code: department, Name: department, Kind: "government", Level: "county", Region: "500154"})
		}
		boot.Systems = append(boot.Systems, policy.System{Code: code, Department: department, Name: name, Roles: roles, Resources: policy.List{"*.*"}})
		id, key, hash, err := NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b.keys[name] = key
		boot.Credentials = append(boot.Credentials, policy.Credential{ID: id, System: name, Kind: policy.CredentialAPIKey, Hash: hash})
	}
	if err := b.Ready(); err == nil {
		t.Error("a node is ready before its cluster was founded")
	}
	if err := b.Bootstrap(t.Context(), boot); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	for name, key := range b.keys {
		b.callers[name] = must(b.AuthenticateKey(t.Context(), key))(t)
	}
}

// as is a caller by the full name of its system.
func (b *bench) as(name string) policy.Caller {
	b.t.Helper()
	c, ok := b.callers[name]
	if !ok {
		b.t.Fatalf("no system %s", name)
	}
	return c
}

// refusedWith wants a problem of one code.
func refusedWith(t *testing.T, what string, err error, want api.Code) *api.Problem {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
		return &api.Problem{}
	}
	return p
}

// grant gives a department fields of a resource.
func (b *bench) grant(id, resource, subscriber string, fields policy.Fields) api.Grant {
	b.t.Helper()
	owner := map[string]string{cases: "gtfg.rev", projects: "fgw.rev"}[resource]
	asked := api.Grant{Grant: id, Resource: resource, Subscriber: subscriber, Fields: fields, Purpose: "资金监管", LegalBasis: policy.LegalBasis{Instrument: "县政府令第1号", Article: "第八条"}, NotAfter: "2099-01-01T00:00:00Z"}
	if _, err := b.RequestGrant(b.t.Context(), b.as("egov.admin"), Put[api.Grant]{Object: asked}); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.DecideGrant(b.t.Context(), b.as(owner), policy.ActionApprove, Put[api.Decision]{Path: map[string]string{"grant": id}})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) revoke(id string) {
	b.t.Helper()
	if _, err := b.DecideGrant(b.t.Context(), b.as("egov.admin"), policy.ActionRevoke, Put[api.Decision]{Path: map[string]string{"grant": id}, Object: api.Decision{Reason: "到期收回"}}); err != nil {
		b.t.Error(err)
	}
}

// touch moves the revision of a resource, as any change of its entry does.
func (b *bench) touch(resource string) {
	b.t.Helper()
	r := must(b.Resource(b.t.Context(), b.as("egov.admin"), resource))(b.t)
	r.Summary += "。"
	if _, err := b.PutResource(b.t.Context(), b.as("egov.admin"), Put[api.Resource]{Path: map[string]string{"resource": resource}, Object: r, Revision: r.Revision, HasRevision: true}); err != nil {
		b.t.Error(err)
	}
}

// decodedSections are the kinds and counts of the last group that was proposed.
func (b *bench) decodedSections() []string {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, s := range b.sections {
		h := must(record.ParseHeader(s))(b.t)
		out = append(out, fmt.Sprintf("%s %d", h.Kind, h.Count))
	}
	return out
}

// schemaWith registers approvals.case anew with more required members.
func (b *bench) schemaWith(required ...string) {
	b.t.Helper()
	raw, _ := schemas.EmbeddedSchema(cases, 1)
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		b.t.Fatal(err)
	}
	list := doc["required"].([]any)
	for _, r := range required {
		list = append(list, r)
		doc["x-expected"] = slices.DeleteFunc(doc["x-expected"].([]any), func(v any) bool { return v == r })
	}
	doc["required"], doc["$id"] = list, "hutong:approvals.case:2"
	text, err := json.Marshal(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.RegisterSchema(b.t.Context(), b.as("egov.admin"), cases, text, ""); err != nil {
		b.t.Error(err)
	}
}
