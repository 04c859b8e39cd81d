package exchange

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// pointers are where the reasons of an item stand.
func pointers(errs []api.FieldError) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Pointer+" "+e.Code)
	}
	return out
}

func TestPublishJudges(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name string
		line []byte
		code api.Code
		want []string
	}{
		{"key field missing: one reason for one fault", caseOf("", map[string]any{"case_no": nil}), api.CodeInvalidRecord, []string{"/case_no missing"}},
		{"another member missing and a key field of the wrong type: each has its reason",
			caseOf("", map[string]any{"case_no": []any{}, "status": nil}), api.CodeInvalidRecord, []string{"/case_no wrong_type", "/status missing"}},
		{"a key with a control character beside a missing member: the key's reason is not swallowed",
			caseOf("", map[string]any{"case_no": "GTFG\u000100001", "task_name": nil}), api.CodeInvalidRecord, []string{"/task_name missing", "/case_no key_field"}},
		{"key differs", recordOf(`"key":"other",`, "GTFG-1", nil), api.CodeInvalidRecord, []string{" key_differs"}},
		{"a member too many is no malformed request", caseOf("GTFG-1", map[string]any{"mobile": "1"}), api.CodeInvalidRecord, []string{"/mobile unknown_member"}},
		{"a number too large is no large request", caseOf("GTFG-1", map[string]any{"paused_workdays": 1e9}), api.CodeInvalidRecord, nil},
		{"no such schema version", recordOf(`"schema_version":9,`, "GTFG-1", nil), api.CodeSchemaUnknown, []string{" schema_unknown"}},
		{"withdrawal without key", []byte(`{"op":"withdraw","reason":"重复"}`), api.CodeInvalidRecord, []string{" key_missing"}},
		{"not JSON", []byte(`{"op":`), api.CodeMalformed, nil},
		{"unknown member of the envelope", []byte(`{"op":"upsert","data":{},"x":1}`), api.CodeUnknownMember, []string{"/x unknown_member"}},
		{"seq without producer", seqOf(1, "GTFG-1", nil), api.CodeMalformed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.one(tt.line)
			p := refusedWith(t, tt.name, err, tt.code)
			if got := pointers(p.Errors); tt.want != nil && !cmp.Equal(got, tt.want) {
				t.Errorf("reasons (-want +got):\n%s", cmp.Diff(tt.want, got))
			}
			for _, e := range p.Errors {
				if e.Message == "" {
					t.Errorf("a reason without a sentence: %+v", e)
				}
			}
			// Validate says the same and stores nothing.
			in := batchOf(tt.line)
			verdict, err := b.Validate(t.Context(), b.as("gtfg.pub"), in)
			switch {
			case tt.code == api.CodeMalformed || tt.code == api.CodeUnknownMember:
				refusedWith(t, "validate", err, tt.code)
			case err != nil || verdict.Valid || !cmp.Equal(verdict.Errors, p.Errors):
				t.Errorf("validate differs: %+v, %v", verdict, err)
			}
		})
	}
	if page := must(b.Records(t.Context(), b.as("gtfg.pub"), ReadRequest{Resource: cases, Limit: 10}))(t); len(page.Records) != 0 {
		t.Errorf("something refused was stored: %+v", page)
	}
}

func TestReceipts(t *testing.T) {
	b := newBench(t)
	first := must(b.one(recordOf(`"id":"a1",`, "GTFG-000001", nil)))(t)
	if first.Status != api.StatusAccepted || first.Offset != 1 || first.Version != 1 || first.Leaf == "" || len(first.Commitment) != 64 || first.Epoch != 1 || first.Key != "GTFG-000001" {
		t.Errorf("receipt %+v", first)
	}
	if len(first.Warnings) == 0 {
		t.Error("expected members are missing, and no warning")
	}
	again := must(b.one(recordOf(`"id":"a1",`, "GTFG-000001", nil)))(t)
	if again.Status = api.StatusAccepted; !cmp.Equal(first, again) {
		t.Errorf("the same record again (-first +again):\n%s", cmp.Diff(first, again))
	}
	_, err := b.one(recordOf(`"id":"a1",`, "GTFG-000001", map[string]any{"task_name": "验收"}))
	refusedWith(t, "same id, other content", err, api.CodeIDConflict)
	_, err = b.one([]byte(`{"id":"a1","op":"withdraw","key":"GTFG-000001","reason":"x"}`))
	refusedWith(t, "same id, other op", err, api.CodeIDConflict)
	_, err = b.one(recordOf(`"id":"a1",`, "GTFG-000001", map[string]any{"status": "无"}))
	refusedWith(t, "same id, invalid content", err, api.CodeIDConflict)
	// A refused id stays free for the corrected record.
	_, err = b.one(recordOf(`"id":"a2",`, "GTFG-000002", map[string]any{"status": "无"}))
	if p := refusedWith(t, "invalid", err, api.CodeInvalidRecord); p.Quarantine == 0 {
		t.Errorf("a refused record waits nowhere: %+v", p)
	}
	if r := must(b.one(recordOf(`"id":"a2",`, "GTFG-000002", nil)))(t); r.Status != api.StatusAccepted {
		t.Errorf("corrected: %+v", r)
	}
	in := batchOf(recordOf(`"id":"x1",`, "GTFG-000001", nil))
	in.Single = true
	_, err = b.PublishOne(t.Context(), b.as("hbj.pub"), in)
	refusedWith(t, "foreign key", err, api.CodeKeyOwned)
	if _, err = b.one(recordOf(`"source_version":5,`, "GTFG-000009", nil)); err != nil {
		t.Fatal(err)
	}
	_, err = b.one(recordOf(`"source_version":5,`, "GTFG-000009", map[string]any{"status": "办理中"}))
	refusedWith(t, "not newer", err, api.CodeStaleVersion)
}

func TestPublishNeedsARight(t *testing.T) {
	b := newBench(t)
	for name, tt := range map[string]struct {
		caller string
		in     PublishRequest
		want   api.Code
	}{
		"no publisher":      {"czj.sub", batchOf(caseOf("A-00001", nil)), api.CodeNotGranted},
		"not its resource":  {"fgw.pub", batchOf(caseOf("A-00001", nil)), api.CodeNotGranted},
		"no resource":       {"gtfg.pub", PublishRequest{Resource: "no.such", Lines: [][]byte{{}}}, api.CodeNotFound},
		"nothing":           {"gtfg.pub", batchOf(), api.CodeMalformed},
		"foreign producer":  {"hbj.pub", producerBatch(seqOf(1, "A-00001", nil)), api.CodeNotGranted},
		"producer of a kin": {"gtfg.pub", PublishRequest{Resource: cases, Producer: "gtfg.publisher", Epoch: 1, Lines: [][]byte{{}}}, api.CodeNotGranted},
		"bare dot":          {"gtfg.pub", PublishRequest{Resource: cases, Producer: "gtfg.pub.", Epoch: 1, Lines: [][]byte{{}}}, api.CodeNotGranted},
	} {
		_, err := b.Publish(t.Context(), b.as(tt.caller), tt.in)
		refusedWith(t, name, err, tt.want)
	}
	in := batchOf(caseOf("A-00001", nil))
	in.Resource = noSchema
	answer, err := b.Publish(t.Context(), b.as("gtfg.pub"), in)
	if err != nil || answer.Items[0].Status != api.StatusRejected || !strings.Contains(answer.Items[0].Errors[0].Message, "还没有登记模式") {
		t.Errorf("a resource without schema: %+v, %v", answer, err)
	}
}

// TestSectionsCloseBeforeARefusal shows that link order is sequence order.
func TestSectionsCloseBeforeARefusal(t *testing.T) {
	b := newBench(t)
	bad := map[string]any{"status": "无"}
	answer := b.publish(producerBatch(seqOf(1, "A-00001", nil), seqOf(2, "A-00002", nil), seqOf(3, "A-00003", bad), seqOf(4, "A-00004", bad), seqOf(5, "A-00005", nil)))
	if diff := cmp.Diff([]string{"records 2", "refusals 2", "records 1"}, b.decodedSections()); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"accepted", "accepted", "rejected unknown_code", "rejected unknown_code", "accepted"}, statuses(answer)); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if answer.Accepted != 3 || answer.Rejected != 2 || answer.Items[4].Index != 4 || answer.Items[4].Offset != 3 {
		t.Errorf("answer %+v", answer)
	}
}

// TestRefusalsFitTheirSections publishes what is short and wrong in many ways:
// the reasons are longer than the records.
func TestRefusalsFitTheirSections(t *testing.T) {
	b := newBench(t)
	many := map[string]any{"amount": "x", "region": "x", "applied_at": "x", "closed_at": "x", "due_at": "x", "accepted_at": "x", "applicant_type": "x", "status": "x", "currency": "x", "longitude": "x", "latitude": "x"}
	for i := range 40 {
		many[fmt.Sprintf("surplus_%02d", i)] = i
	}
	var lines [][]byte
	for i := range 1500 {
		lines = append(lines, caseOf(fmt.Sprintf("A-%05d", i), many))
	}
	answer := b.publish(batchOf(lines...))
	if answer.Rejected != len(lines) || len(answer.Items[0].Errors) != schemas.MaxViolations || answer.Items[0].More == 0 {
		t.Errorf("%d of %d rejected; %d reasons, %d more", answer.Rejected, len(lines), len(answer.Items[0].Errors), answer.Items[0].More)
	}
	for _, s := range b.sections {
		if h := must(record.ParseHeader(s))(t); h.RawBytes > sectionRawBytes {
			t.Errorf("a section of %d raw bytes", h.RawBytes)
		}
	}
}

func TestKeptReasons(t *testing.T) {
	long := schemas.Violation{Pointer: "/a", Keyword: "enum", Code: "not_in_list", Params: map[string]string{"allowed": strings.Repeat("x", record.MaxRefusedBytes/2)}}
	for _, tt := range []struct{ n, more, kept, left int }{{1, 0, 1, 0}, {3, 2, 1, 4}} {
		var vs []schemas.Violation
		for range tt.n {
			vs = append(vs, long)
		}
		raw, more := keptReasons(vs, tt.more)
		back, err := schemas.DecodeViolations(raw)
		if err != nil || len(raw) > record.MaxRefusedBytes || len(back) != tt.kept || more != tt.left {
			t.Errorf("%d reasons: %d bytes, %d kept, %d more, %v", tt.n, len(raw), len(back), more, err)
		}
	}
	long.Params["allowed"] = strings.Repeat("x", 2*record.MaxRefusedBytes)
	raw, more := keptReasons([]schemas.Violation{long}, 0)
	if back, err := schemas.DecodeViolations(raw); err != nil || len(back) != 1 || back[0].Params != nil || more != 0 {
		t.Errorf("one reason beyond all bounds: %d bytes, %d more, %v", len(raw), more, err)
	}
}

// TestRevalidate moves the catalogue while a batch is under way: it is judged
// again, by what holds then (invariant 4).
func TestRevalidate(t *testing.T) {
	b := newBench(t)
	line := seqOf(1, "A-00001", nil)
	b.before = []func(){func() { b.touch(cases) }}
	if got := statuses(b.publish(producerBatch(line))); got[0] != api.StatusAccepted {
		t.Errorf("after one move: %v", got)
	}
	// The new schema wants more: what was valid when judged is refused when applied.
	b.before = []func(){func() { b.schemaWith("applied_at") }}
	answer := b.publish(producerBatch(seqOf(2, "A-00002", nil), seqOf(3, "A-00003", map[string]any{"applied_at": "2026-11-02T09:30:00+08:00"})))
	if diff := cmp.Diff([]string{"rejected missing", "accepted"}, statuses(answer)); diff != "" {
		t.Errorf("after the schema moved (-want +got):\n%s", diff)
	}
	// A catalogue that never rests is answered with a push-back, and nothing is taken.
	for range rejudgeMax {
		b.before = append(b.before, func() { b.touch(cases) }, nil) // the command's own proposal takes a hook too
	}
	_, err := b.Publish(t.Context(), b.as("gtfg.pub"), producerBatch(seqOf(4, "A-00004", map[string]any{"applied_at": "2026-11-02T09:30:00+08:00"})))
	refusedWith(t, "restless catalogue", err, api.CodePushback)
	b.before = nil
	if page := must(b.Records(t.Context(), b.as("gtfg.pub"), ReadRequest{Resource: cases, Limit: 10}))(t); len(page.Records) != 2 || page.Through != 2 {
		t.Errorf("stored %+v", page)
	}
}

// TestRightEndsUnderWay revokes the publisher's credential after its batch was
// judged: state asks again.
func TestRightEndsUnderWay(t *testing.T) {
	b := newBench(t)
	c := b.as("gtfg.pub")
	b.before = []func(){func() {
		if err := b.RevokeCredential(t.Context(), b.as("egov.admin"), "gtfg", "pub", c.Credential); err != nil {
			t.Error(err)
		}
	}}
	answer, err := b.Publish(t.Context(), c, batchOf(caseOf("A-00001", nil)))
	if err != nil || answer.Items[0].Status != api.StatusRejected || answer.Items[0].Errors[0].Code != string(api.CodeNotGranted) {
		t.Errorf("revoked under way: %+v, %v", answer, err)
	}
	_, err = b.Publish(t.Context(), c, batchOf(caseOf("A-00001", nil)))
	refusedWith(t, "revoked before", err, api.CodeUnauthenticated)
	_, err = b.AuthenticateKey(t.Context(), b.keys["gtfg.pub"])
	refusedWith(t, "revoked key", err, api.CodeUnauthenticated)
}

func TestProducerForm(t *testing.T) {
	b := newBench(t)
	bad := map[string]any{"status": "无"}
	one, two, three := seqOf(1, "A-00001", nil), seqOf(2, "A-00002", bad), seqOf(3, "A-00003", nil)
	first := b.publish(producerBatch(one, two, three))
	for _, tt := range []struct {
		name     string
		in       PublishRequest
		want     []string
		expected uint64
	}{
		{"all again", producerBatch(one, two, three), []string{"duplicate", "rejected unknown_code", "duplicate"}, 0},
		{"lower and different", producerBatch(seqOf(1, "A-00001", map[string]any{"task_name": "验收"})), []string{"ahead ahead"}, 3},
		{"lower, refused then, different now", producerBatch(seqOf(2, "A-00002", nil)), []string{"ahead ahead"}, 3},
		{"lower, accepted then, invalid now", producerBatch(seqOf(3, "A-00003", bad)), []string{"ahead ahead"}, 3},
		{"higher", producerBatch(seqOf(5, "A-00005", nil)), []string{"sequence_gap sequence_gap"}, 4},
		{"higher and refused", producerBatch(seqOf(5, "A-00005", bad)), []string{"sequence_gap sequence_gap"}, 4},
		{"an unreadable line takes no number", producerBatch([]byte(`{"seq":4`), seqOf(5, "A-00005", nil)), []string{"malformed malformed", "sequence_gap sequence_gap"}, 0},
		{"a line without seq", producerBatch(caseOf("A-00005", nil)), []string{"malformed malformed"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := b.publish(tt.in)
			if diff := cmp.Diff(tt.want, statuses(got)); diff != "" {
				t.Fatalf("statuses (-want +got):\n%s", diff)
			}
			if tt.expected != 0 && got.Items[0].Expected != tt.expected {
				t.Errorf("expected %d, want %d", got.Items[0].Expected, tt.expected)
			}
		})
	}
	again := b.publish(producerBatch(one, two, three))
	for i := range again.Items {
		f, a := first.Items[i], again.Items[i]
		if f.Offset != a.Offset || f.Version != a.Version || f.Leaf != a.Leaf || f.Ordinal != a.Ordinal || f.Quarantine != a.Quarantine || f.ID != a.ID || !cmp.Equal(f.Errors, a.Errors) {
			t.Errorf("item %d again: %+v, first %+v", i, a, f)
		}
	}
	older := producerBatch(seqOf(1, "A-00009", nil))
	older.Epoch = 2
	if got := statuses(b.publish(older)); got[0] != api.StatusAccepted {
		t.Errorf("a newer epoch begins again: %v", got)
	}
	got := b.publish(producerBatch(seqOf(4, "A-00004", nil)))
	if got.Items[0].Status != string(api.CodeFenced) || got.Items[0].Expected != 2 {
		t.Errorf("an older epoch: %+v", got.Items[0])
	}
}

// TestDuplicateAfterTheSchemaMoved loses an answer and finds the catalogue
// changed: what was accepted stays accepted, what was refused is refused with the
// reasons of then.
func TestDuplicateAfterTheSchemaMoved(t *testing.T) {
	b := newBench(t)
	line, refused := seqOf(1, "A-00001", nil), seqOf(2, "A-00002", map[string]any{"status": "无"})
	byID := recordOf(`"id":"a1",`, "A-00007", nil)
	b.publish(producerBatch(line, refused))
	b.publish(batchOf(byID))
	b.schemaWith("applied_at")
	if diff := cmp.Diff([]string{"duplicate", "rejected unknown_code"}, statuses(b.publish(producerBatch(line, refused)))); diff != "" {
		t.Errorf("producer form (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"duplicate"}, statuses(b.publish(batchOf(byID)))); diff != "" {
		t.Errorf("id form (-want +got):\n%s", diff)
	}
	// What quarantine no longer keeps is rejected without reasons.
	id := fmt.Sprintf("gtfg.pub:%d", b.publish(producerBatch(refused)).Items[0].Quarantine)
	if err := b.DiscardQuarantine(t.Context(), b.as("gtfg.pub"), id, ""); err != nil {
		t.Fatal(err)
	}
	got := b.publish(producerBatch(refused)).Items[0]
	if got.Status != api.StatusRejected || got.Errors != nil || got.Quarantine != 0 {
		t.Errorf("after discarding: %+v", got)
	}
	in := producerBatch(refused)
	in.Single = true
	_, err := b.PublishOne(t.Context(), b.as("gtfg.pub"), in)
	refusedWith(t, "one of a producer", err, api.CodeInvalidRecord)
}

func TestDiskLow(t *testing.T) {
	b := newBench(t)
	must(b.one(caseOf("A-00001", nil)))(t)
	b.room.Store(uint32(RoomNone))
	_, err := b.one(caseOf("A-00002", nil))
	if p := refusedWith(t, "no room", err, api.CodeDiskLow); p.RetryAfter == 0 {
		t.Error("no word on when to come again")
	}
	// Everything else goes on.
	if _, err := b.Records(t.Context(), b.as("gtfg.pub"), ReadRequest{Resource: cases, Limit: 1}); err != nil {
		t.Errorf("reading: %v", err)
	}
	b.grant("g1", cases, "czj", policy.AllFields())
	b.room.Store(uint32(RoomSlow))
	must(b.one(caseOf("A-00003", nil)))(t)
}

func TestStaleNode(t *testing.T) {
	b := newBench(t)
	must(b.one(caseOf("A-00001", nil)))(t)
	c := b.as("gtfg.pub")
	b.stale.Store(true)
	_, err := b.Records(t.Context(), c, ReadRequest{Resource: cases, Limit: 1})
	refusedWith(t, "read", err, api.CodeNotFresh)
	_, _, err = b.Current(t.Context(), c, ReadRequest{Resource: cases, Key: "A-00001"})
	refusedWith(t, "current", err, api.CodeNotFresh)
	_, err = b.Evidence(t.Context(), c, ReadRequest{Resource: cases, Key: "A-00001"})
	refusedWith(t, "evidence", err, api.CodeNotFresh)
	_, err = b.one(caseOf("A-00002", nil))
	refusedWith(t, "publish", err, api.CodeNotFresh)
	_, err = b.AuthenticateKey(t.Context(), b.keys["gtfg.pub"])
	refusedWith(t, "authenticate", err, api.CodeNotFresh)
	refusedWith(t, "ready", b.Ready(), api.CodeNotFresh)
	// What is public goes on, and says its age.
	if _, err := b.Feed(projects, "atom"); err != nil {
		t.Errorf("feed: %v", err)
	}
	if _, err := b.Checkpoint(""); err != nil {
		t.Errorf("checkpoint: %v", err)
	}
	b.stale.Store(false)
	b.Drain()
	refusedWith(t, "stopping", b.Ready(), api.CodeNoLeader)
}
