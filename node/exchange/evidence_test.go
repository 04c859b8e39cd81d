package exchange

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
)

// delivered makes a record whose life has everything: two versions, two
// subscriptions of different departments, deliveries, acknowledgements.
func delivered(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	ctx := t.Context()
	must(b.one(recordOf(`"id":"a1",`, "A-00001", nil)))(t)
	must(b.one(recordOf(`"id":"a2",`, "A-00001", map[string]any{"status": "办理中"})))(t)
	must(b.one(caseOf("A-00002", nil)))(t)
	b.grant("g-czj", cases, "czj", policy.OnlyFields("case_no", "status"))
	b.grant("g-hbj", cases, "hbj", policy.AllFields())
	for who, grant := range map[string]string{"czj.sub": "g-czj", "hbj.pub": "g-hbj"} {
		c := b.as(who)
		id := "s-" + grant
		must(b.CreateSubscription(ctx, c, Put[api.Subscription]{Object: api.Subscription{Subscription: id, Grant: grant, Sink: policy.Sink{Kind: policy.SinkPull}, Start: policy.Start{Earliest: true}}}))(t)
		page := must(b.Pull(ctx, c, ReadRequest{Subscription: id, Limit: 10}))(t)
		must(b.Ack(ctx, c, id, page.Through))(t)
	}
	return b
}

// opened says what an evidence file opens and which subscriptions it names.
func opened(t *testing.T, file []byte) []string {
	t.Helper()
	e, err := audit.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range e.Records {
		for what, o := range map[string]*audit.Opening{"body": r.Open.Body, "key": r.Open.Key, "id": r.Open.ID} {
			if o != nil {
				out = append(out, fmt.Sprintf("%s %d", what, r.Offset))
			}
		}
	}
	for _, d := range e.Deliveries {
		if d.Projection != nil {
			out = append(out, "projection "+string(d.Projection.Value))
		}
	}
	seen := map[string]bool{}
	for _, l := range e.Leaves {
		leaf, err := audit.ParseLeaf(l.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if leaf.Subscription != "" && !seen[leaf.Subscription] {
			seen[leaf.Subscription] = true
			out = append(out, "subscription "+leaf.Subscription)
		}
	}
	slices.Sort(out)
	return out
}

// inside is every file of an evidence file, one after the other.
func inside(t *testing.T, file []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, r); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func TestEvidence(t *testing.T) {
	b := delivered(t)
	ctx := t.Context()
	in := ReadRequest{Resource: cases, Key: "A-00001"}
	everybody := []string{"subscription s-g-czj", "subscription s-g-hbj"}
	for _, tt := range []struct {
		who  string
		want []string
		bare bool // no value of the record stands in the file
	}{
		{"gtfg.pub", append([]string{"body 1", "body 2", "id 1", "id 2", "key 1", "key 2"}, everybody...), false},
		{"egov.audit", everybody, true},
		{"egov.admin", everybody, true},
		{"gtfg.rev", everybody, true}, // its department answers for the resource; the role reads no bodies
		{"czj.sub", []string{"key 1", "key 2", `projection {"case_no":"A-00001","status":"办理中"}`, `projection {"case_no":"A-00001","status":"受理"}`, "subscription s-g-czj"}, false},
	} {
		t.Run(tt.who, func(t *testing.T) {
			file := must(b.Evidence(ctx, b.as(tt.who), in))(t)
			if diff := cmp.Diff(tt.want, opened(t, file)); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
			report := must(audit.Verify(bytes.NewReader(file), int64(len(file)), b.trust))(t)
			if report.Verdict != audit.Valid {
				t.Errorf("verdict %s\n%s", report.Verdict, report.Text("en"))
			}
			text := inside(t, file)
			if strings.Contains(text, "13800138000") != (tt.who == "gtfg.pub") {
				t.Error("a withheld field stands in the evidence")
			}
			if tt.bare && strings.Contains(text, "A-00001") {
				t.Error("evidence without a right to the data holds the key")
			}
		})
	}
	// Nobody else; and what is not there looks as what may not be seen.
	_, err := b.Evidence(ctx, b.as("fgw.pub"), in)
	refusedWith(t, "a stranger", err, api.CodeNotGranted)
	in.Key = "A-99999"
	_, err = b.Evidence(ctx, b.as("gtfg.pub"), in)
	refusedWith(t, "no such key", err, api.CodeNotFound)
	_, err = b.Evidence(ctx, b.as("fgw.pub"), in)
	refusedWith(t, "a stranger and no such key", err, api.CodeNotGranted)
}

// TestEvidenceOfAnotherPublisher: the right to publish a resource is none to
// learn of another's records.
func TestEvidenceOfAnotherPublisher(t *testing.T) {
	b := newBench(t)
	must(b.one(caseOf("A-00001", nil)))(t)
	in := ReadRequest{Resource: cases, Key: "A-00001"}
	_, err := b.Evidence(t.Context(), b.as("hbj.pub"), in)
	refusedWith(t, "evidence", err, api.CodeNotFound)
	_, err = b.Events(t.Context(), b.as("hbj.pub"), EventFilter{Resource: cases, Key: "A-00001", Limit: 10})
	refusedWith(t, "trace", err, api.CodeNotFound)
	_, err = b.Receipt(t.Context(), b.as("hbj.pub"), in)
	refusedWith(t, "receipt", err, api.CodeNotFound)
}

// TestEvidenceOfARevokedGrant revokes while the evidence waits for its
// checkpoint.
func TestEvidenceOfARevokedGrant(t *testing.T) {
	b := delivered(t)
	b.unsealed.Store(true) // so that it waits
	failed := make(chan error, 1)
	waiting := make(chan struct{})
	go func() {
		close(waiting)
		_, err := b.Evidence(t.Context(), b.as("czj.sub"), ReadRequest{Resource: cases, Key: "A-00001"})
		failed <- err
	}()
	<-waiting
	b.revoke("g-czj")
	b.unsealed.Store(false)
	refusedWith(t, "revoked meanwhile", <-failed, api.CodeNotGranted)
}

// TestEvidenceWithoutCheckpoint says itself that it is not covered.
func TestEvidenceWithoutCheckpoint(t *testing.T) {
	b := delivered(t)
	b.unsealed.Store(true)
	file := must(b.Evidence(t.Context(), b.as("gtfg.pub"), ReadRequest{Resource: cases, Key: "A-00001"}))(t)
	report := must(audit.Verify(bytes.NewReader(file), int64(len(file)), b.trust))(t)
	if report.Verdict != audit.NotCovered {
		t.Errorf("verdict %s", report.Verdict)
	}
	_, err := b.Checkpoint("")
	refusedWith(t, "no checkpoint", err, api.CodeNotFound)
}

func TestReceipt(t *testing.T) {
	b := delivered(t)
	ctx := t.Context()
	in := ReadRequest{Resource: cases, Key: "A-00001"}
	note := must(b.Receipt(ctx, b.as("gtfg.pub"), in))(t)
	r, nodes, err := audit.OpenReceipt(note, b.trust)
	if err != nil || !cmp.Equal(nodes, []string{"n1"}) || r.Key != "A-00001" || r.ID != "a2" || r.Version != 2 || r.Offset != 2 || r.Epoch != 1 || r.Log != logName {
		t.Errorf("receipt %+v by %v, %v", r, nodes, err)
	}
	again := must(b.one(recordOf(`"id":"a2",`, "A-00001", map[string]any{"status": "办理中"})))(t)
	if fmt.Sprintf("%x", r.Commitment[:]) != again.Commitment || audit.Address(logName, r.Leaf) != again.Leaf || r.Ordinal != again.Ordinal {
		t.Errorf("the signed receipt %+v differs from the answer %+v", r, again)
	}
	for _, who := range []string{"czj.sub", "egov.admin", "gtfg.rev"} {
		_, err := b.Receipt(ctx, b.as(who), in)
		refusedWith(t, "receipt for "+who, err, api.CodeNotFound)
	}
}

// typesOf are the events' types with their system.
func typesOf(p EventPage) []string {
	out := []string{}
	for _, e := range p.Events {
		out = append(out, strings.TrimSpace(e.Type+" "+e.System))
	}
	return out
}

func TestTrace(t *testing.T) {
	b := delivered(t)
	ctx := t.Context()
	f := EventFilter{Resource: cases, Key: "A-00001", Limit: 1000}
	whole := must(b.Events(ctx, b.as("gtfg.pub"), f))(t)
	counts := map[string]int{}
	for _, e := range whole.Events {
		counts[e.Type]++
		if e.Key != "A-00001" {
			t.Errorf("an event of the trace without its key: %+v", e)
		}
	}
	want := map[string]int{audit.SubmissionAccepted: 2, audit.DeliveryDelivered: 4, audit.DeliveryAcknowledged: 4, audit.SubscriptionCreated: 2, audit.GrantRequested: 2, audit.GrantApproved: 2}
	if diff := cmp.Diff(want, counts); diff != "" || !whole.End {
		t.Errorf("the owner's trace (-want +got):\n%s", diff)
	}
	for _, e := range must(b.Events(ctx, b.as("czj.sub"), f))(t).Events {
		if strings.HasPrefix(e.System, "hbj.") || e.Grant == "g-hbj" {
			t.Errorf("a subscriber learns of another's delivery: %+v", e)
		}
	}
	// Page by page it is the same; a leaf with several events is not cut.
	var paged []api.Event
	f.Limit = 1
	for range 100 {
		page := must(b.Events(ctx, b.as("gtfg.pub"), f))(t)
		paged = append(paged, page.Events...)
		if f.Begin = page.Through + 1; page.End {
			break
		}
	}
	if diff := cmp.Diff(whole.Events, paged); diff != "" {
		t.Errorf("paged (-whole +paged):\n%s", diff)
	}
	f = EventFilter{Key: "A-00001", Limit: 1}
	_, err := b.Events(ctx, b.as("gtfg.pub"), f)
	refusedWith(t, "a key without its resource", err, api.CodeMalformed)
}

func TestEvents(t *testing.T) {
	b := delivered(t)
	ctx := t.Context()
	admin := b.as("egov.admin")
	all := must(b.Events(ctx, admin, EventFilter{Limit: 10_000}))(t)
	if len(all.Events) == 0 || all.Events[0].Leaf != audit.Address(logName, 0) || !all.End || all.Through != uint64(len(all.Events)-1) {
		t.Fatalf("%d events, first %+v, through %d", len(all.Events), all.Events[0], all.Through)
	}
	// Leaf 0 is in the first page and in no other.
	var paged []api.Event
	f := EventFilter{Limit: 7}
	for range 1000 {
		page := must(b.Events(ctx, admin, f))(t)
		paged = append(paged, page.Events...)
		if f.Begin = page.Through + 1; page.End {
			break
		}
	}
	if diff := cmp.Diff(all.Events, paged); diff != "" {
		t.Errorf("paged (-whole +paged):\n%s", diff)
	}
	if beyond := must(b.Events(ctx, admin, EventFilter{Begin: all.Through + 1, Limit: 5}))(t); len(beyond.Events) != 0 || !beyond.End {
		t.Errorf("after the last: %+v", beyond)
	}
	for name, tt := range map[string]struct {
		who  string
		f    EventFilter
		want []string
	}{
		"by type":                    {"egov.audit", EventFilter{Type: audit.DeliveryDelivered}, []string{"delivery.delivered czj.sub", "delivery.delivered hbj.pub"}},
		"by department":              {"egov.audit", EventFilter{Department: "czj"}, []string{"subscription.created czj.sub", "delivery.delivered czj.sub", "delivery.acknowledged czj.sub"}},
		"by resource and type":       {"egov.audit", EventFilter{Resource: projects, Type: audit.SubmissionAccepted}, []string{}},
		"before all":                 {"egov.audit", EventFilter{To: "1999-01-01T00:00:00Z"}, []string{}},
		"after all":                  {"egov.audit", EventFilter{From: time.Now().Add(time.Hour).Format(time.RFC3339)}, []string{}},
		"the owner's resource":       {"gtfg.pub", EventFilter{Type: audit.DeliveryDelivered}, []string{"delivery.delivered czj.sub", "delivery.delivered hbj.pub"}},
		"a subscriber sees its own":  {"czj.sub", EventFilter{Type: audit.DeliveryDelivered}, []string{"delivery.delivered czj.sub"}},
		"a stranger sees none of it": {"bmj.rev", EventFilter{Type: audit.DeliveryDelivered}, []string{}},
	} {
		tt.f.Limit = 100
		got := typesOf(must(b.Events(ctx, b.as(tt.who), tt.f))(t))
		slices.Sort(got)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err := b.Events(ctx, admin, EventFilter{From: "yesterday", Limit: 1})
	refusedWith(t, "no time", err, api.CodeMalformed)
}
