package transport

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

const logName = "bus.example/2026-1"

// rig is both listeners over a real service and state. Its log is a function
// call: what node/replica does is tested there and in node/exchange.
type rig struct {
	t       *testing.T
	server  *Server
	api     *httptest.Server
	public  *httptest.Server
	keys    map[string]string // API keys by short name of the system
	machine *state.Machine
	logged  strings.Builder // what the server logged

	mu     sync.Mutex
	index  uint64
	number uint64
	key    *tlog.Key
	stale  atomic.Bool
	broken atomic.Bool // the log panics
}

// Propose applies sections at once.
func (r *rig) Propose(_ context.Context, sections [][]byte) ([]state.Result, error) {
	if r.broken.Load() {
		panic("the log is broken: hk_secret")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range sections {
		r.number++
		record.Restamp(s, 1, r.number)
	}
	r.index++
	out, err := r.machine.Apply([]state.Entry{{Index: r.index, Time: r.Now(), Sections: sections}})
	if err != nil {
		return nil, err
	}
	for _, res := range out[0] {
		if res.Code == state.Revalidate {
			return nil, errors.New("the catalogue moved")
		}
	}
	return out[0], nil
}

// Now is the wall clock.
func (r *rig) Now() int64 { return time.Now().UnixMilli() }

// Fresh says no while stale.
func (r *rig) Fresh() error {
	if r.stale.Load() {
		return replica.ErrNotFresh
	}
	return nil
}

// Strong has nothing to wait for.
func (r *rig) Strong(context.Context) error { return nil }

// Latest signs the tree as it stands.
func (r *rig) Latest() []byte {
	v, err := r.machine.View()
	if err != nil {
		return nil
	}
	defer v.Close()
	root, err := v.Root()
	if err != nil {
		return nil
	}
	note, err := tlog.SignNote(tlog.Checkpoint{Origin: v.Log(), Size: v.TreeSize(), Root: root}.Encode(), r.key.Signer())
	if err != nil {
		return nil
	}
	return note
}

// Cluster, Add, Remove, Transfer stand for package node.
func (r *rig) Cluster(context.Context) (api.Cluster, error) {
	return api.Cluster{Cluster: "c-test", Epoch: 1, Leader: "n1", Nodes: []api.Member{{ID: "n1"}}}, nil
}
func (r *rig) Add(_ context.Context, in api.MemberRequest) ([]byte, error) {
	return []byte(`{"node":"` + in.ID + `"}`), nil
}
func (r *rig) Remove(_ context.Context, id string) error   { return nil }
func (r *rig) Transfer(_ context.Context, to string) error { return nil }

// IssueCertificate and Fingerprint stand for package node.
func (r *rig) IssueCertificate(string, time.Time) ([]byte, []byte, string, error) {
	return nil, nil, "", errors.New("no authority here")
}
func (r *rig) Fingerprint(*x509.Certificate) string { return "" }

// people are the systems of the rig, by short name.
var people = map[string]policy.System{
	"admin": {Code: "admin", Department: "egov", Roles: policy.List{policy.RoleAdministrator}},
	"audit": {Code: "audit", Department: "egov", Roles: policy.List{policy.RoleAuditor}},
	"pub":   {Code: "pub", Department: "gtfg", Roles: policy.List{policy.RolePublisher, policy.RoleReviewer}},
	"sub":   {Code: "sub", Department: "czj", Roles: policy.List{policy.RoleSubscriber}},
}

func newRig(t *testing.T, tune func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, keys: map[string]string{}}
	db, err := store.OpenState("state", store.Options{FS: store.NewMemFS()})
	if err != nil {
		t.Fatal(err)
	}
	if r.machine, err = state.Open(db, state.Config{ClusterID: "c-test"}); err != nil {
		t.Fatal(err)
	}
	if r.key, err = tlog.NewKey(rand.Reader, logName); err != nil {
		t.Fatal(err)
	}
	node, err := r.key.Named("n1")
	if err != nil {
		t.Fatal(err)
	}
	service := exchange.New(exchange.Config{Node: "n1", LogVKey: r.key.VKey(), FeedDate: "2026-01-01", ReadWait: 50 * time.Millisecond},
		exchange.Parts{Machine: r.machine, Replica: r, Checkpoints: r, Members: r, Issuer: r, Key: node})
	config := Default()
	config.VersionString = "test"
	if tune != nil {
		tune(&config)
	}
	r.server = New(config, service, slog.New(slog.NewTextHandler(&r.logged, &slog.HandlerOptions{Level: slog.LevelDebug})), prometheus.NewRegistry())
	r.api, r.public = httptest.NewServer(r.server.API()), httptest.NewServer(r.server.Public())
	r.found(service, node)
	t.Cleanup(func() {
		r.api.Close()
		r.public.Close()
		if err := r.machine.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) found(service *exchange.Service, node *tlog.Key) {
	r.t.Helper()
	b := state.Bootstrap{Cluster: "c-test", Log: logName, Epoch: 1,
		Members: []state.Member{{ID: "n1", Addresses: map[string]string{}, VKey: node.CosignerVKey(), Voter: true}},
		Resources: []schemas.Resource{{Resource: "approvals.case", Title: schemas.Title{Zh: "办件", En: "Cases"}, Owner: "gtfg", Key: []string{"case_no"}, Sharing: schemas.SharingConditional, Erasable: true, Disclosure: schemas.Disclosure{Route: schemas.RouteNone}},
			{Resource: "org.unit", Title: schemas.Title{Zh: "单位", En: "Units"}, Owner: "gtfg", Key: []string{"unit_code"}, Sharing: schemas.SharingUnconditional, Disclosure: schemas.Disclosure{Route: schemas.RouteSelf}}},
	}
	for _, name := range []string{"approvals.case", "org.unit"} {
		text, ok := schemas.EmbeddedSchema(name, 1)
		if !ok {
			r.t.Fatalf("no schema of %s", name)
		}
		b.Schemas = append(b.Schemas, state.SchemaText{Resource: name, Schema: string(text)})
	}
	seen := map[string]bool{}
	for who, s := range people {
		if !seen[s.Department] {
			seen[s.Department] = true
			b.Departments = append(b.Departments, policy.Department{Code: s.Department, Name: s.Department, Kind: "government", Level: "county", Region: "500154"})
		}
		s.Name, s.Resources = who, policy.List{"*.*"}
		id, key, hash, err := exchange.NewKey(rand.Reader)
		if err != nil {
			r.t.Fatal(err)
		}
		r.keys[who] = key
		b.Systems = append(b.Systems, s)
		b.Credentials = append(b.Credentials, policy.Credential{ID: id, System: s.FullName(), Kind: policy.CredentialAPIKey, Hash: hash})
	}
	if err := service.Bootstrap(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

// request makes a request in somebody's name; portal asks the public listener.
func (r *rig) request(who, method, path string, header http.Header, body string) *http.Request {
	r.t.Helper()
	base := r.api.URL
	if who == "portal" {
		base = r.public.URL
	}
	q, err := http.NewRequestWithContext(r.t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range header {
		q.Header[k] = v
	}
	if key := r.keys[who]; key != "" {
		q.Header.Set("Authorization", "Bearer "+key)
	}
	return q
}
