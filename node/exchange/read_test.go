package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

func keysOf(p api.Page) []string {
	out := []string{}
	for _, r := range p.Records {
		out = append(out, r.Key)
	}
	return out
}

// TestReadOwnOrGranted asks for records with and without a right to them.
func TestReadOwnOrGranted(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	sent := caseOf("A-00001", map[string]any{"applicant_name": "<欧阳>锦程"})
	must(b.one(sent))(t)
	in := batchOf(caseOf("H-00001", nil))
	must(b.Publish(ctx, b.as("hbj.pub"), in))(t)
	all := ReadRequest{Resource: cases, Limit: 10}
	// A publisher reads back its own, whole and byte for byte, and passes over the others'.
	page := must(b.Records(ctx, b.as("gtfg.pub"), all))(t)
	var body struct{ Data json.RawMessage }
	if err := json.Unmarshal(sent, &body); err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != 1 || string(page.Records[0].Data) != string(body.Data) || page.Through != 2 || !page.End {
		t.Errorf("own records: %+v", page)
	}
	for name, read := range map[string]func(policy.Caller, ReadRequest) error{
		"records": func(c policy.Caller, in ReadRequest) error { _, err := b.Records(ctx, c, in); return err },
		"current": func(c policy.Caller, in ReadRequest) error { _, _, err := b.Current(ctx, c, in); return err },
		"history": func(c policy.Caller, in ReadRequest) error { _, err := b.History(ctx, c, in); return err },
	} {
		in := ReadRequest{Resource: cases, Key: "A-00001", Limit: 10}
		for _, who := range []string{"czj.sub", "egov.admin", "egov.audit", "gtfg.sub", "gtfg.rev"} {
			refusedWith(t, name+" by "+who, read(b.as(who), in), api.CodeNotGranted)
		}
		if name != "records" {
			refusedWith(t, name+" of another publisher's key", read(b.as("hbj.pub"), in), api.CodeNotFound)
			in.Key = "A-99999"
			refusedWith(t, name+" of no key", read(b.as("gtfg.pub"), in), api.CodeNotFound)
		}
		in.Resource = "no.such"
		refusedWith(t, name+" of no resource", read(b.as("gtfg.pub"), in), api.CodeNotFound)
	}
	b.grant("g1", cases, "czj", policy.OnlyFields("case_no", "status", "applicant_name"))
	page = must(b.Records(ctx, b.as("czj.sub"), all))(t)
	want := `{"case_no":"A-00001","status":"受理","applicant_name":"<欧阳>锦程"}`
	var got, wanted any
	if len(page.Records) != 2 || json.Unmarshal(page.Records[0].Data, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || !cmp.Equal(got, wanted) {
		t.Errorf("granted fields: %s", page.Records[0].Data)
	}
	record, tag, err := b.Current(ctx, b.as("czj.sub"), ReadRequest{Resource: cases, Key: "A-00001"})
	if err != nil || string(record.Data) != string(page.Records[0].Data) || tag == "" || strings.Contains(tag, "A-00001") {
		t.Errorf("current %s, tag %s, %v", record.Data, tag, err)
	}
	// Withheld fields are never in a grant.
	_, err = b.RequestGrant(ctx, b.as("czj.sub"), Put[api.Grant]{Object: api.Grant{Grant: "g9", Resource: cases, Subscriber: "czj", Fields: policy.OnlyFields("phone", "no_such"), Purpose: "x", NotAfter: "2099-01-01T00:00:00Z"}})
	if p := refusedWith(t, "withheld", err, api.CodeInvalid); len(p.Errors) != 2 {
		t.Errorf("reasons %+v", p.Errors)
	}
}

func TestSeveralGrants(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	must(b.one(caseOf("A-00001", nil)))(t)
	b.grant("g1", cases, "czj", policy.OnlyFields("case_no"))
	b.grant("g2", cases, "czj", policy.OnlyFields("status"))
	b.grant("g3", cases, "hbj", policy.OnlyFields("status"))
	c := b.as("czj.sub")
	for name, err := range map[string]error{
		"records":  func() error { _, err := b.Records(ctx, c, ReadRequest{Resource: cases, Limit: 1}); return err }(),
		"current":  func() error { _, _, err := b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001"}); return err }(),
		"evidence": func() error { _, err := b.Evidence(ctx, c, ReadRequest{Resource: cases, Key: "A-00001"}); return err }(),
	} {
		refusedWith(t, name+" without grant=", err, api.CodeMalformed)
	}
	for grant, want := range map[string]string{"g1": `{"case_no":"A-00001"}`, "g2": `{"status":"受理"}`} {
		r, _, err := b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001", Grant: grant})
		if err != nil || string(r.Data) != want {
			t.Errorf("under %s: %s, %v", grant, r.Data, err)
		}
	}
	_, _, err := b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001", Grant: "g3"})
	refusedWith(t, "another's grant", err, api.CodeNotGranted)
	_, _, err = b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001", Grant: "g99"})
	refusedWith(t, "no grant", err, api.CodeNotGranted)
	// A trace opens nothing: no grant needs to be named.
	if _, err := b.Events(ctx, c, EventFilter{Resource: cases, Key: "A-00001", Limit: 10}); err != nil {
		t.Errorf("trace: %v", err)
	}
	b.revoke("g2")
	if r, _, err := b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001"}); err != nil || string(r.Data) != `{"case_no":"A-00001"}` {
		t.Errorf("with one left: %s, %v", r.Data, err)
	}
	b.revoke("g1")
	_, _, err = b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001"})
	refusedWith(t, "with none left", err, api.CodeNotGranted)
}

func TestHistoryAndWithdrawal(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	must(b.one(caseOf("A-00001", nil)))(t)
	must(b.one(caseOf("A-00001", map[string]any{"status": "办理中"})))(t)
	must(b.one([]byte(`{"op":"withdraw","key":"A-00001","reason":"重复登记"}`)))(t)
	b.grant("g1", cases, "czj", policy.OnlyFields("status"))
	page := must(b.History(ctx, b.as("czj.sub"), ReadRequest{Resource: cases, Key: "A-00001"}))(t)
	var got []string
	for _, r := range page.Records {
		got = append(got, fmt.Sprintf("%d %s %s%s", r.Version, r.Op, r.Data, r.Reason))
	}
	want := []string{`1 upsert {"status":"受理"}`, `2 upsert {"status":"办理中"}`, `3 withdraw withdrawn`} // the reason is free text: only a whole view has it
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// A withdrawal is nobody's who may see nothing of the record.
	other := must(b.Records(ctx, b.as("hbj.pub"), ReadRequest{Resource: cases, Limit: 10}))(t)
	if len(other.Records) != 0 || other.Through != 3 {
		t.Errorf("another publisher reads %+v", other)
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	var lines [][]byte
	for i := range 5 {
		lines = append(lines, caseOf(fmt.Sprintf("A-%05d", i), nil))
	}
	b.publish(batchOf(lines...))
	c := b.as("gtfg.pub")
	var got []string
	in := ReadRequest{Resource: cases, Limit: 2}
	for {
		page := must(b.Records(ctx, c, in))(t)
		got = append(got, keysOf(page)...)
		if in.After = page.Through; page.End {
			break
		}
	}
	if diff := cmp.Diff([]string{"A-00000", "A-00001", "A-00002", "A-00003", "A-00004"}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	in.Epoch, in.After = 7, 99
	_, err := b.Records(ctx, c, in)
	if p := refusedWith(t, "another life of the cluster", err, api.CodeEpochChanged); p.Expected != 5 {
		t.Errorf("resume from %d, want 5", p.Expected)
	}
}

// TestLongPoll waits for a record, for the end of its time, and for the node's
// end.
func TestLongPoll(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	c := b.as("gtfg.pub")
	in := ReadRequest{Resource: cases, Limit: 10, Wait: time.Minute}
	answers := make(chan api.Page, 1)
	poll := func() {
		page, err := b.Records(ctx, c, in)
		if err != nil {
			t.Error(err)
		}
		answers <- page
	}
	go poll()
	must(b.one(caseOf("A-00001", nil)))(t)
	if page := <-answers; len(page.Records) != 1 {
		t.Errorf("woken by a record: %+v", page)
	}
	in.After, in.Wait = 1, 20*time.Millisecond
	go poll()
	if page := <-answers; len(page.Records) != 0 || page.Through != 1 || !page.End {
		t.Errorf("nothing came: %+v", page)
	}
	in.Wait = time.Hour // the test would hang
	go poll()
	b.Drain()
	if page := <-answers; len(page.Records) != 0 {
		t.Errorf("the node stops: %+v", page)
	}
}

// TestLongPollOutlivesItsRight ends a right while a reader waits under it.
func TestLongPollOutlivesItsRight(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*bench, policy.Caller)
		want api.Code
	}{
		"grant": {func(b *bench, _ policy.Caller) { b.revoke("g1") }, api.CodeNotGranted},
		"credential": {func(b *bench, c policy.Caller) {
			if err := b.RevokeCredential(b.t.Context(), b.as("egov.admin"), "czj", "sub", c.Credential); err != nil {
				b.t.Error(err)
			}
		}, api.CodeUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.grant("g1", cases, "czj", policy.AllFields())
			c := b.as("czj.sub")
			failed := make(chan error, 1)
			go func() {
				_, err := b.Records(t.Context(), c, ReadRequest{Resource: cases, Limit: 10, Wait: time.Minute})
				failed <- err
			}()
			tt.end(b, c)
			must(b.one(caseOf("A-00001", nil)))(t)
			refusedWith(t, "ended while waiting", <-failed, tt.want)
		})
	}
}

func TestReadYourWrites(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	must(b.one(caseOf("A-00001", nil)))(t)
	index, epoch := b.Position()
	if index == 0 || epoch != 1 {
		t.Errorf("position %d, %d", index, epoch)
	}
	c := b.as("gtfg.pub")
	if _, err := b.Records(ctx, c, ReadRequest{Resource: cases, Limit: 1, MinIndex: index, Strong: true}); err != nil {
		t.Errorf("what was written: %v", err)
	}
	// An index that nobody wrote is not waited for without end.
	_, err := b.Records(ctx, c, ReadRequest{Resource: cases, Limit: 1, MinIndex: index + 1_000_000})
	refusedWith(t, "an index that never comes", err, api.CodeNotFresh)
	_, _, err = b.Current(ctx, c, ReadRequest{Resource: cases, Key: "A-00001", MinIndex: index + 1_000_000})
	refusedWith(t, "an index that never comes", err, api.CodeNotFresh)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = b.Records(gone, c, ReadRequest{Resource: cases, Limit: 1, MinIndex: index + 1_000_000})
	refusedWith(t, "the caller went away", err, api.CodeNoLeader)
}

func TestEmptyViewSeesNothing(t *testing.T) {
	b := newBench(t)
	b.schemaWith()
	must(b.one(recordOf(`"schema_version":1,`, "A-00001", nil)))(t)
	must(b.one([]byte(`{"op":"withdraw","key":"A-00001","reason":"重复"}`)))(t)
	v := must(b.machine.View())(t)
	defer v.Close()
	stored := must(v.RecordAt(cases, 2))(t)
	if stored.Op != record.Withdraw {
		t.Fatalf("%+v", stored)
	}
	r, _, _ := v.Resource(cases)
	nothing := access{caller: b.as("czj.sub"), resource: r, grant: &policy.Grant{Grant: "g0", Resource: cases, Subscriber: "czj", Fields: policy.OnlyFields("of_another_version")}}
	for offset := uint64(1); offset <= 2; offset++ {
		stored := must(v.RecordAt(cases, offset))(t)
		if out, ok, err := b.Service.project(v, nothing, &stored); ok || err != nil {
			t.Errorf("a grant that covers no field shows %+v, %v", out, err)
		}
	}
}
