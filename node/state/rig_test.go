package state

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

const (
	testCluster = "c-test"
	testLog     = "bus.example/log/2026-1"
	testStart   = int64(1_767_225_600_000) // 2026-01-01T00:00:00Z
)

// rig drives one machine by hand: one link, time that moves only when told.
type rig struct {
	tb    testing.TB
	fs    *store.MemFS
	m     *Machine
	index uint64
	now   int64
	node  string
	epoch uint64
	next  uint64
	req   int
}

// newRig gives a machine with a small county in it.
func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := bareRig(tb)
	r.bootstrap()
	return r
}

func bareRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{tb: tb, fs: store.NewMemFS(), now: testStart, node: "n1", epoch: 1}
	r.m = r.open("state")
	tb.Cleanup(func() { _ = r.m.Close() })
	return r
}

func (r *rig) open(dir string) *Machine {
	r.tb.Helper()
	db, err := store.OpenState(dir, store.Options{FS: r.fs})
	if err != nil {
		r.tb.Fatal(err)
	}
	m, err := Open(db, Config{ClusterID: testCluster})
	if err != nil {
		r.tb.Fatal(err)
	}
	return m
}

func title(zh string) schemas.Title { return schemas.Title{Zh: zh, En: zh} }

func system(department, code string, roles ...string) policy.System {
	return policy.System{Code: code, Department: department, Name: code, Roles: roles, Resources: policy.List{"*.*"}}
}

// county is what the tests' bootstrap brings along.
func county() *Bootstrap {
	b := &Bootstrap{
		Head: Head{Request: "bootstrap"}, Cluster: testCluster, Log: testLog, Epoch: 1,
		Members: []Member{{ID: "n1", Addresses: map[string]string{"api": "127.0.0.1:7080"}, VKey: "n1+00000000+AA", Voter: true}},
		Groups:  []policy.Group{{Code: "towns", Name: "乡镇", Departments: policy.List{"town1", "town2"}}},
		Systems: []policy.System{
			system("fagai", "pub", policy.RolePublisher), system("fagai", "two", policy.RolePublisher),
			system("fagai", "rev", policy.RoleReviewer), system("jianwei", "pub", policy.RolePublisher),
			system("town1", "pub", policy.RolePublisher), system("town1", "sub", policy.RoleSubscriber),
			system("town2", "sub", policy.RoleSubscriber), system("zhengwu", "admin", policy.RoleAdministrator),
			system("zhengwu", "rev", policy.RoleReviewer),
		},
		Credentials: []policy.Credential{{ID: "k1", System: "fagai.pub", Kind: policy.CredentialAPIKey, Hash: "aa"}},
		Resources: []schemas.Resource{
			{Resource: "approvals.case", Title: title("办件"), Owner: "fagai", Publishers: []string{"fagai", "jianwei", "group:towns"},
				Sharing: schemas.SharingConditional, Disclosure: schemas.Disclosure{Route: schemas.RouteNone}},
			{Resource: "org.unit", Title: title("单位"), Owner: "zhengwu", Publishers: []string{"*"}, SharedKeys: true,
				Sharing: schemas.SharingUnconditional, Disclosure: schemas.Disclosure{Route: schemas.RouteSelf}},
			{Resource: "projects.project", Title: title("项目"), Owner: "fagai", Sharing: schemas.SharingUnconditional,
				Disclosure: schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{
					{Name: "unit", Role: policy.RoleReviewer, Department: schemas.StepPublisher},
					{Name: "office", Role: policy.RoleReviewer, Department: "zhengwu"},
				}}},
		},
		Schemas: []SchemaText{
			{Resource: "approvals.case", Schema: `{"type":"object"}`}, {Resource: "org.unit", Schema: `{"type":"object"}`},
			{Resource: "projects.project", Schema: `{"type":"object"}`},
		},
	}
	for _, d := range []string{"fagai", "jianwei", "town1", "town2", "zhengwu"} {
		b.Departments = append(b.Departments, policy.Department{Code: d, Name: d, Kind: "government", Level: "county", Region: "511600"})
	}
	return b
}

func (r *rig) bootstrap() {
	r.tb.Helper()
	if res := r.command(county()); res.Code != Applied {
		r.tb.Fatalf("bootstrap: %v", res.Err)
	}
}

// header is that of the next section for a resource.
func (r *rig) header(resource string, systems ...string) record.Header {
	h := record.Header{Node: r.node, LinkEpoch: r.epoch, LinkNumber: r.next + 1, Codec: record.CodecS2, Systems: systems}
	h.Secret = sha256.Sum256(fmt.Appendf(nil, "%s-%d-%d", r.node, r.epoch, r.next+1))
	if resource == "" {
		return h
	}
	v := r.view()
	defer v.Close()
	obj, number, ok := v.Resource(resource)
	if !ok {
		r.tb.Fatalf("no resource %s", resource)
	}
	h.Resource, h.Revision = number, obj.Revision
	return h
}

func (r *rig) view() *View {
	r.tb.Helper()
	v, err := r.m.View()
	if err != nil {
		r.tb.Fatal(err)
	}
	return v
}

// apply applies sections as one entry and keeps the link.
func (r *rig) apply(sections ...[]byte) []Result {
	r.tb.Helper()
	r.index++
	out, err := r.m.Apply([]Entry{{Index: r.index, Time: r.now, Sections: sections}})
	if err != nil {
		r.tb.Fatal(err)
	}
	for _, res := range out[0] {
		if res.Node == r.node && (res.Code == Applied || res.Code == Refused) {
			r.next = res.LinkNumber
		}
	}
	return out[0]
}

func (r *rig) command(c Command) Result {
	r.tb.Helper()
	if c.head().Request == "" {
		r.req++
		c.head().Request = fmt.Sprintf("req-%d", r.req)
	}
	text, err := EncodeCommand(c)
	if err != nil {
		r.tb.Fatal(err)
	}
	s, err := record.EncodeCommand(r.header(""), text)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.apply(s)[0]
}

// must applies a command that has to succeed.
func (r *rig) must(c Command) Result {
	r.tb.Helper()
	res := r.command(c)
	if res.Code != Applied {
		r.tb.Fatalf("%T: %s: %v", c, res.Code, res.Err)
	}
	return res
}

func admin() Head { return by("zhengwu.admin") }

func by(system string) Head { return Head{By: By{System: system}} }

func (r *rig) records(h record.Header, recs ...record.SectionRecord) Result {
	r.tb.Helper()
	s, err := record.EncodeRecords(h, recs)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.apply(s)[0]
}

func (r *rig) refusals(h record.Header, rs ...record.Refusal) Result {
	r.tb.Helper()
	s, err := record.EncodeRefusals(h, rs)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.apply(s)[0]
}

func (r *rig) cursors(ms ...record.CursorMove) Result {
	r.tb.Helper()
	s, err := record.EncodeCursors(r.header(""), ms)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.apply(s)[0]
}

// up is an upsert in the id form.
func up(id, key string) record.SectionRecord {
	return record.SectionRecord{Op: record.Upsert, Producer: -1, ID: id, Key: key, SchemaVersion: 1, Body: []byte(`{"id":"` + id + `"}`)}
}

// seq is an upsert in the producer form.
func seq(n uint64, key string) record.SectionRecord {
	return record.SectionRecord{Op: record.Upsert, Seq: n, Key: key, SchemaVersion: 1, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func withdraw(id, key string) record.SectionRecord {
	return record.SectionRecord{Op: record.Withdraw, Producer: -1, ID: id, Key: key, Reason: "不再公开"}
}

// words writes results as one line each record would print.
func words(res Result) string {
	out := res.Code.String()
	for _, r := range res.Records {
		out += " " + r.Status.String()
		switch r.Status {
		case StatusAccepted:
			if r.Offset > 0 {
				out += fmt.Sprintf("(%d v%d)", r.Offset, r.Version)
			}
		case StatusDuplicate:
			if r.Known > 0 {
				out += fmt.Sprintf("(%d v%d)", r.Offset, r.Version)
			}
		case StatusRejected:
			again := ""
			if r.Refused {
				again = "again "
			}
			out += fmt.Sprintf("(%sq%d)", again, r.Quarantine)
		case StatusSequenceGap, StatusFenced, StatusAhead, StatusOverlap:
			out += fmt.Sprintf("(%d)", r.Expected)
		}
	}
	if res.Err != nil {
		out += " " + res.Err.Code
	}
	return out
}

func answer[T any](tb testing.TB, res Result) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(res.Answer, &v); err != nil {
		tb.Fatalf("answer %s: %v", res.Answer, err)
	}
	return v
}

// dump is the whole database, key by key.
func dump(tb testing.TB, m *Machine) map[string]string {
	tb.Helper()
	v, err := m.View()
	if err != nil {
		tb.Fatal(err)
	}
	defer v.Close()
	out := make(map[string]string)
	it := v.snap.NewIter(nil, nil)
	for ok := it.First(); ok; ok = it.Next() {
		out[string(it.Key())] = string(it.Value())
	}
	if err := it.Close(); err != nil {
		tb.Fatal(err)
	}
	return out
}
