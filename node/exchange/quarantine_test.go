package exchange

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas/record"
)

// TestQuarantineShowsValuesToTheOwnerOnly reads a refused record as everybody.
func TestQuarantineShowsValuesToTheOwnerOnly(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	secret := map[string]any{"status": "三十天", "applicant_name": "欧阳锦程"}
	item := b.publish(batchOf(recordOf(`"id":"a1",`, "A-00001", secret))).Items[0]
	id := fmt.Sprintf("gtfg.pub:%d", item.Quarantine)
	if !strings.Contains(item.Errors[0].Message, "三十天") {
		t.Errorf("the publisher does not see what stood there: %s", item.Errors[0].Message)
	}
	own := must(b.QuarantineItem(ctx, b.as("gtfg.pub"), id, "zh"))(t)
	if own.Key != "A-00001" || own.RecordID != "a1" || !strings.Contains(string(own.Body), "欧阳锦程") || own.Op != "upsert" || !strings.Contains(own.Errors[0].Message, "三十天") {
		t.Errorf("the owner sees %+v", own)
	}
	if en := must(b.QuarantineItem(ctx, b.as("gtfg.pub"), id, "en"))(t); !strings.Contains(en.Errors[0].Message, "Remedy") {
		t.Errorf("in English: %s", en.Errors[0].Message)
	}
	for _, who := range []string{"egov.admin", "egov.audit"} {
		got := must(b.QuarantineItem(ctx, b.as(who), id, "zh"))(t)
		list, _, err := b.Quarantine(ctx, b.as(who), ListRequest{Limit: 10, Language: "zh"})
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %+v, %v", who, list, err)
		}
		text := fmt.Sprintf("%+v %s %+v", got, got.Body, list)
		for _, value := range []string{"三十天", "欧阳锦程", "A-00001", "a1 "} {
			if strings.Contains(text, value) {
				t.Errorf("%s sees %s in %s", who, value, text)
			}
		}
		if len(got.Errors) != 1 || got.Errors[0].Pointer != "/status" || got.Errors[0].Message == "" || got.ID != id {
			t.Errorf("%s sees no reason: %+v", who, got)
		}
	}
	for _, who := range []string{"hbj.pub", "czj.sub", "gtfg.sub"} {
		_, err := b.QuarantineItem(ctx, b.as(who), id, "zh")
		refusedWith(t, who, err, api.CodeNotGranted)
		if list, _, err := b.Quarantine(ctx, b.as(who), ListRequest{Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("%s lists %+v, %v", who, list, err)
		}
		refusedWith(t, who+" discards", b.DiscardQuarantine(ctx, b.as(who), id, ""), api.CodeNotGranted)
	}
	if err := b.DiscardQuarantine(ctx, b.as("gtfg.pub"), id, ""); err != nil {
		t.Fatal(err)
	}
	_, err := b.QuarantineItem(ctx, b.as("gtfg.pub"), id, "zh")
	refusedWith(t, "discarded", err, api.CodeNotFound)
	for _, wrong := range []string{"", "gtfg.pub", "gtfg.pub:x", ":"} {
		_, err := b.QuarantineItem(ctx, b.as("egov.admin"), wrong, "zh")
		refusedWith(t, "id "+wrong, err, api.CodeNotFound)
	}
}

func TestQuarantinePages(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	bad := map[string]any{"status": "无"}
	var lines, foreign [][]byte
	for i := range 2*quarantineRun + 3 {
		lines = append(lines, caseOf(fmt.Sprintf("A-%05d", i), bad))
	}
	foreign = append(foreign, caseOf("H-00001", bad), caseOf("H-00002", bad))
	b.publish(batchOf(lines...))
	must(b.Publish(ctx, b.as("hbj.pub"), batchOf(foreign...)))(t)
	for _, limit := range []int{1, 7, quarantineRun, 1000} {
		seen := map[string]bool{}
		in := ListRequest{Limit: limit, Language: "zh"}
		for range 1000 {
			list, next, err := b.Quarantine(ctx, b.as("egov.audit"), in)
			if err != nil || len(list) > limit {
				t.Fatalf("%d items, %v", len(list), err)
			}
			for _, q := range list {
				if seen[q.ID] {
					t.Errorf("%s twice", q.ID)
				}
				seen[q.ID] = true
			}
			if in.After = next; next == "" {
				break
			}
		}
		if len(seen) != len(lines)+len(foreign) {
			t.Errorf("limit %d: %d of %d items", limit, len(seen), len(lines)+len(foreign))
		}
	}
	if list, _, err := b.Quarantine(ctx, b.as("egov.audit"), ListRequest{Limit: 10, Resource: projects}); err != nil || len(list) != 0 {
		t.Errorf("of another resource: %+v, %v", list, err)
	}
	_, _, err := b.Quarantine(ctx, b.as("egov.audit"), ListRequest{Limit: 10, After: "x"})
	refusedWith(t, "after nonsense", err, api.CodeNotFound)
}

// TestQuarantineOfALongBody keeps what fits, and its reasons without values.
func TestQuarantineOfALongBody(t *testing.T) {
	b := newBench(t)
	long := map[string]any{"status": "三十天", "content": strings.Repeat("长", record.MaxRefusedBytes/3)}
	item := b.publish(batchOf(caseOf("A-00001", long))).Items[0]
	got := must(b.QuarantineItem(t.Context(), b.as("gtfg.pub"), fmt.Sprintf("gtfg.pub:%d", item.Quarantine), "zh"))(t)
	if got.Body != nil || len(got.Errors) == 0 || got.Errors[0].Message == "" {
		t.Errorf("body of %d bytes, reasons %+v", len(got.Body), got.Errors)
	}
	if diff := cmp.Diff(pointers(item.Errors), pointers(got.Errors)); diff != "" {
		t.Errorf("reasons (-answered +kept):\n%s", diff)
	}
}
