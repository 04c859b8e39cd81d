package exchange

import (
	"fmt"
	"testing"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// TestGoodRecordUnderARefusedNumber: a number that a refusal took is not the
// number of a record that would be accepted now; answering "rejected" would lose
// it in the outbox without a word.
func TestGoodRecordUnderARefusedNumber(t *testing.T) {
	b := newBench(t)
	send := func(line string) api.PublishItem {
		t.Helper()
		out, err := b.Publish(t.Context(), b.as("gtfg.pub"), PublishRequest{Resource: cases, Producer: "gtfg.pub", Epoch: 1, Lines: [][]byte{[]byte(line)}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Items[0]
	}
	record := func(status string) string {
		return fmt.Sprintf(`{"seq":1,"op":"upsert","data":{"case_no":"A-00001","task_name":"预售许可","dept_code":"GTFG01","status":%q}}`, status)
	}
	if got := send(record("已受理")); got.Status != api.StatusRejected {
		t.Fatalf("a wrong status: %+v", got)
	}
	if got := send(record("已受理")); got.Status != api.StatusRejected || len(got.Errors) == 0 {
		t.Errorf("the same again: %+v", got)
	}
	if got := send(record("受理")); got.Status != string(api.CodeAhead) || got.Expected != 1 {
		t.Errorf("a good record under the refused number: %+v", got)
	}
}

// TestWithdrawalOfAnUnknownKey owns nothing.
func TestWithdrawalOfAnUnknownKey(t *testing.T) {
	b := newBench(t)
	_, err := b.one([]byte(`{"op":"withdraw","key":"NOBODYS-1","reason":"x"}`))
	refusedWith(t, "withdrawal of a key that nobody published", err, api.CodeNotFound)
}

// TestTemplateThatCannotBeServed is refused when the resource is put, not when
// the public asks for the feed.
func TestTemplateThatCannotBeServed(t *testing.T) {
	b := newBench(t)
	r := must(b.Resource(t.Context(), b.as("egov.admin"), projects))(t)
	r.Feed = &schemas.Feed{Title: `{{define "x"}}{{end}}`}
	_, err := b.PutResource(t.Context(), b.as("egov.admin"), Put[api.Resource]{Path: map[string]string{"resource": projects}, Object: r, Revision: r.Revision, HasRevision: true})
	refusedWith(t, "a template with define", err, api.CodeInvalid)
}
