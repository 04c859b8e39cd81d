package policy

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestObjectsOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"department", Department{Code: "spj", Name: "审批局", Kind: "government", Level: "county", Region: "511600"},
			`{"code":"spj","name":"审批局","kind":"government","level":"county","region":"511600","legacy_codes":[],"revision":0}`},
		{"group", Group{Code: "towns", Name: "乡镇", Departments: List{"a", "b"}, Revision: 2},
			`{"code":"towns","name":"乡镇","departments":["a","b"],"revision":2}`},
		{"system", System{Code: "s", Department: "spj", Name: "n", Roles: List{"publisher"}, Pinned: map[string]uint32{"a.b": 2}},
			`{"code":"s","department":"spj","name":"n","roles":["publisher"],"resources":[],"pinned":{"a.b":2},"revision":0}`},
		{"credential", Credential{ID: "1", System: "spj.s", Kind: "api_key", Hash: "h", NotAfter: now},
			`{"id":"1","system":"spj.s","kind":"api_key","hash":"h","scopes":[],"revision":0,"not_after":"2027-01-15T08:00:00.000Z"}`},
		{"credential shown", Credential{ID: "1", System: "spj.s", Kind: "api_key", Hash: "h", Revoked: true}.Public(),
			`{"id":"1","system":"spj.s","kind":"api_key","scopes":[],"revoked":true,"revision":0}`},
		{"grant", approved(), `{"grant":"g1","resource":"approvals.case","subscriber":"fgw","fields":"all","purpose":"并联审批",` +
			`"legal_basis":{"instrument":"政务信息资源共享管理暂行办法","article":"第十条"},"not_after":"2030-01-01T00:00:00Z","state":"approved","revision":0}`},
		{"subscription", Subscription{Subscription: "s", Resource: "a.b", Grant: "g", Sink: Sink{SinkPull}, Start: Start{Offset: 7}, System: "spj.s", State: "active"},
			`{"subscription":"s","resource":"a.b","grant":"g","sink":{"kind":"pull"},"start":{"offset":7},"system":"spj.s","state":"active","cursor":0,"lag_records":0,"lag_seconds":0,"revision":0}`},
		{"fields", OnlyFields("a", "b"), `["a","b"]`},
		{"no fields", Fields{}, `[]`},
		{"now", Start{}, `"now"`},
		{"earliest", Start{Earliest: true}, `"earliest"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := json.Marshal(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(b)); diff != "" {
				t.Fatalf("wire form (-want +got):\n%s", diff)
			}
			back := newOf(tt.in)
			if err := strict(b, back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.in, valueOf(back)); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialValidAt(t *testing.T) {
	c := Credential{ID: "k", NotAfter: now}
	endless, revoked := Credential{ID: "k"}, Credential{ID: "k", NotAfter: now, Revoked: true}
	for _, tt := range []struct {
		name string
		c    Credential
		at   int64
		want bool
	}{
		{"before its end", c, now - 1, true}, {"at its end", c, now, false}, {"without an end", endless, now, true},
		{"revoked", revoked, 1, false}, {"none", Credential{}, 1, false},
	} {
		if got := tt.c.ValidAt(tt.at); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestWireRefusals(t *testing.T) {
	for _, tt := range []struct {
		into any
		in   string
	}{
		{&Fields{}, `"some"`}, {&Fields{}, `{"a":1}`}, {&Fields{}, `[1]`}, {&Fields{}, `7`},
		{&Start{}, `"later"`}, {&Start{}, `{"offset":0}`}, {&Start{}, `{"time":"2020-01-01"}`}, {&Start{}, `{"offset":1,"x":2}`},
		{&Start{}, `{"offset":-1}`}, {&List{}, `"a"`}, {&List{}, `{"a":1}`},
		{&Credential{}, `{"id":"a","secret":"x"}`}, {&Credential{}, `{"not_after":"tomorrow"}`},
		{&Grant{}, `{"grant":"g","fields":"most"}`}, {&Grant{}, `{"rows":1}`},
	} {
		if err := strict([]byte(tt.in), tt.into); err == nil {
			t.Errorf("%T took %s", tt.into, tt.in)
		}
	}
	for _, bad := range []string{"", "2027-01-01", "1969-12-31T23:59:59Z", "2027-01-01T00:00:00"} {
		if _, err := ParseTime(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseTime(%q) gave %v", bad, err)
		}
	}
}
