package exchange

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
)

func TestStrict(t *testing.T) {
	b := newBench(t)
	strict := func(lines ...[]byte) PublishRequest {
		in := batchOf(lines...)
		in.Strict = true
		return in
	}
	good := recordOf(`"id":"s1",`, "A-00001", nil)
	other := recordOf(`"id":"s2",`, "A-00002", nil)
	if got := b.publish(strict(good)); got.Accepted != 1 {
		t.Fatalf("%+v", got)
	}
	for _, tt := range []struct {
		name   string
		in     PublishRequest
		code   api.Code
		reason string
		line   string
	}{
		{"an invalid record", strict(other, recordOf(`"id":"s3",`, "A-00003", map[string]any{"status": "无"})), api.CodeInvalidRecord, "unknown_code", "第2条"},
		{"an unreadable line", strict(other, []byte(`{`)), api.CodeMalformed, "malformed", ""},
		{"a known id with other content", strict(other, recordOf(`"id":"s1",`, "A-00001", map[string]any{"task_name": "验收"})), api.CodeInvalidRecord, "id_conflict", "第2条"},
		{"one id twice with different content", strict(other, recordOf(`"id":"s2",`, "A-00003", nil)), api.CodeInvalidRecord, "id_conflict", "第2条"},
		{"too long", strict(other, caseOf("A-00004", map[string]any{"content": strings.Repeat("x", strictRawBytes)})), api.CodeTooLarge, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Publish(t.Context(), b.as("gtfg.pub"), tt.in)
			if tt.code == api.CodeTooLarge && tt.name == "too long" {
				refusedWith(t, tt.name, err, api.CodeTooLarge)
				return
			}
			p := refusedWith(t, tt.name, err, tt.code)
			if len(p.Errors) == 0 || p.Errors[0].Code != tt.reason || !strings.Contains(p.Detail, tt.line) {
				t.Errorf("got %s, %+v", p.Detail, p.Errors)
			}
		})
	}
	// State finds what the node cannot: a key of another department.
	foreign := strict(recordOf(`"id":"h1",`, "B-00001", nil), recordOf(`"id":"h2",`, "A-00001", nil))
	_, err := b.Publish(t.Context(), b.as("hbj.pub"), foreign)
	if p := refusedWith(t, "foreign key", err, api.CodeInvalidRecord); len(p.Errors) != 1 || p.Errors[0].Code != string(api.CodeKeyOwned) || !strings.Contains(p.Detail, "第2条") {
		t.Errorf("got %s, %+v", p.Detail, p.Errors)
	}
	if page := must(b.Records(t.Context(), b.as("gtfg.pub"), ReadRequest{Resource: cases, Limit: 10}))(t); page.Through != 1 {
		t.Errorf("something of a refused batch was stored: %+v", page)
	}
	// Duplicates count as done.
	if diff := cmp.Diff([]string{"duplicate", "accepted"}, statuses(b.publish(strict(good, other)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if q, _, err := b.Quarantine(t.Context(), b.as("gtfg.pub"), ListRequest{Limit: 10}); err != nil || len(q) != 0 {
		t.Errorf("a strict batch left refusals: %+v, %v", q, err)
	}
}
