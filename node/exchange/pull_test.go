package exchange

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
)

func TestPull(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for i := range 3 {
		must(b.one(caseOf(fmt.Sprintf("A-%05d", i), nil)))(t)
	}
	b.grant("g1", cases, "czj", policy.OnlyFields("case_no", "status"))
	c := b.as("czj.sub")
	order := Put[api.Subscription]{Request: "r1", Object: api.Subscription{Grant: "g1", Sink: policy.Sink{Kind: policy.SinkPull}, Start: policy.Start{Earliest: true}}}
	sub := must(b.CreateSubscription(ctx, c, order))(t)
	if sub.Subscription == "" || sub.LagRecords != 3 || sub.Resource != cases || sub.System != "czj.sub" {
		t.Errorf("created %+v", sub)
	}
	if again := must(b.CreateSubscription(ctx, c, order))(t); again.Subscription != sub.Subscription {
		t.Errorf("the same request made another: %+v", again)
	}
	pull := ReadRequest{Subscription: sub.Subscription, Limit: 2}
	first := must(b.Pull(ctx, c, pull))(t)
	if diff := cmp.Diff([]string{"A-00000", "A-00001"}, keysOf(first)); diff != "" || first.Through != 2 || first.End {
		t.Errorf("first %+v", first)
	}
	if string(first.Records[0].Data) != `{"case_no":"A-00000","status":"受理"}` && string(first.Records[0].Data) != `{"status":"受理","case_no":"A-00000"}` {
		t.Errorf("projection %s", first.Records[0].Data)
	}
	// What was not acknowledged comes again.
	if again := must(b.Pull(ctx, c, pull))(t); !cmp.Equal(again, first) {
		t.Errorf("redelivery (-first +again):\n%s", cmp.Diff(first, again))
	}
	_, err := b.Ack(ctx, c, sub.Subscription, 3)
	if p := refusedWith(t, "past what was handed out", err, api.CodeAhead); p.Expected != 2 {
		t.Errorf("expected %d", p.Expected)
	}
	if got := must(b.Ack(ctx, c, sub.Subscription, 1))(t); got.Cursor != 1 || got.LagRecords != 2 {
		t.Errorf("acknowledged %+v", got)
	}
	if next := must(b.Pull(ctx, c, pull))(t); !cmp.Equal(keysOf(next), []string{"A-00001"}) {
		t.Errorf("after a partial acknowledgement: %v", keysOf(next))
	}
	must(b.Ack(ctx, c, sub.Subscription, 2))(t)
	if got := must(b.Ack(ctx, c, sub.Subscription, 1))(t); got.Cursor != 2 {
		t.Errorf("an old acknowledgement moved the cursor to %d", got.Cursor)
	}
	last := must(b.Pull(ctx, c, pull))(t)
	if !cmp.Equal(keysOf(last), []string{"A-00002"}) || !last.End {
		t.Errorf("last %+v", last)
	}
	must(b.Ack(ctx, c, sub.Subscription, 3))(t)
	if empty := must(b.Pull(ctx, c, pull))(t); len(empty.Records) != 0 || empty.Through != 3 || !empty.End {
		t.Errorf("nothing left: %+v", empty)
	}
	pull.Wait = time.Minute
	woken := make(chan api.Page, 1)
	go func() {
		page, err := b.Pull(ctx, c, pull)
		if err != nil {
			t.Error(err)
		}
		woken <- page
	}()
	must(b.one(caseOf("A-00003", nil)))(t)
	if page := <-woken; !cmp.Equal(keysOf(page), []string{"A-00003"}) {
		t.Errorf("woken %+v", page)
	}
}

func TestPullNeedsARight(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	must(b.one(caseOf("A-00001", nil)))(t)
	b.grant("g1", cases, "czj", policy.AllFields())
	c := b.as("czj.sub")
	sub := must(b.CreateSubscription(ctx, c, Put[api.Subscription]{Object: api.Subscription{Subscription: "czj-1", Resource: cases, Grant: "g1", Sink: policy.Sink{Kind: policy.SinkPull}, Start: policy.Start{Earliest: true}}}))(t)
	pull := ReadRequest{Subscription: "czj-1", Limit: 10}
	for _, who := range []string{"hbj.pub", "egov.admin", "gtfg.pub"} {
		_, err := b.Pull(ctx, b.as(who), pull)
		refusedWith(t, "pull by "+who, err, api.CodeNotGranted)
		_, err = b.Ack(ctx, b.as(who), "czj-1", 1)
		refusedWith(t, "ack by "+who, err, api.CodeNotGranted)
	}
	_, err := b.Pull(ctx, c, ReadRequest{Subscription: "no-such", Limit: 1})
	refusedWith(t, "no subscription", err, api.CodeNotFound)
	must(b.SetSubscription(ctx, c, "czj-1", policy.SubscriptionPaused, ""))(t)
	_, err = b.Pull(ctx, c, pull)
	refusedWith(t, "paused", err, api.CodeConflict)
	if got := must(b.SetSubscription(ctx, c, "czj-1", policy.SubscriptionActive, ""))(t); got.LagRecords != 1 {
		t.Errorf("resumed %+v", got)
	}
	// Revoked while the move is under way: nothing leaves, and the log holds no
	// delivery.
	b.before = []func(){func() { b.revoke("g1") }}
	page, err := b.Pull(ctx, c, pull)
	refusedWith(t, "revoked before the move is applied", err, api.CodeNotGranted)
	if len(page.Records) != 0 {
		t.Error("a record left")
	}
	v := must(b.machine.View())(t)
	defer v.Close()
	if d := must(v.Deliveries("czj-1", 1, 10))(t); len(d) != 0 {
		t.Errorf("the log says that something was delivered: %+v", d)
	}
	if sub.Cursor != 0 {
		t.Errorf("cursor %d", sub.Cursor)
	}
}

// TestRevokedAfterTheMove revokes between the move's entry into the log and the
// answer: the move stands, and still nothing leaves.
func TestRevokedAfterTheMove(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	must(b.one(caseOf("A-00001", nil)))(t)
	b.grant("g1", cases, "czj", policy.AllFields())
	c := b.as("czj.sub")
	must(b.CreateSubscription(ctx, c, Put[api.Subscription]{Object: api.Subscription{Subscription: "czj-1", Grant: "g1", Sink: policy.Sink{Kind: policy.SinkPull}, Start: policy.Start{Earliest: true}}}))(t)
	for name, hook := range map[string]func(){
		"stale": func() { b.stale.Store(true) },
	} {
		b.after = []func(){hook}
		page, err := b.Pull(ctx, c, ReadRequest{Subscription: "czj-1", Limit: 10})
		refusedWith(t, name, err, api.CodeNotFresh)
		if len(page.Records) != 0 {
			t.Errorf("%s: a record left", name)
		}
		b.stale.Store(false)
	}
	b.after = []func(){func() { b.revoke("g1") }}
	page, err := b.Pull(ctx, c, ReadRequest{Subscription: "czj-1", Limit: 10})
	refusedWith(t, "revoked", err, api.CodeNotGranted)
	if len(page.Records) != 0 {
		t.Error("a record left after its grant was revoked")
	}
}
