package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// line is one resource in the summary.
type line struct {
	resource string
	sent     counts // by the senders
	bus      uint64 // by the bus: its newest offset
	boxes    map[string]inbox
	feed     *portal // nil: it has none
	want     expectation
}

// publicResources have a feed.
var publicResources = []string{"org.unit", "approvals.service_item", "projects.disclosure"}

// sumUp compares what was sent with what was received, takes the evidence, ends
// all processes, verifies offline, and fails unless everything agrees.
func (d *demo) sumUp(ctx context.Context) error {
	lines, faults, err := d.collect(ctx)
	if err != nil {
		return err
	}
	same, err := d.sameReplicas(ctx)
	if err != nil {
		return err
	}
	faults = append(faults, same...)
	proof, err := d.takeEvidence(ctx)
	if err != nil {
		return err
	}
	d.say("停止全部进程,然后离线验证", "ending all processes, then verifying offline")
	died, names := d.sup.restarts()
	d.sup.stop()
	offline, err := d.verify(ctx, proof)
	if err != nil {
		faults = append(faults, err.Error())
	}
	for _, l := range lines {
		faults = append(faults, l.faults(d)...)
	}
	d.printTable(lines)
	d.printStory(lines, offline)
	if died > 0 {
		fmt.Fprintf(d.out, "  进程意外退出%d次 / processes died %d times: %s\n", died, died, strings.Join(names, ", "))
	}
	if len(faults) > 0 {
		fmt.Fprintf(d.out, "\n不一致 / DISAGREEMENTS\n  %s\n", strings.Join(faults, "\n  "))
		return fmt.Errorf("%d things do not agree", len(faults))
	}
	fmt.Fprintf(d.out, "\n全部一致 / all agrees (%.1fs)\n", time.Since(d.began).Seconds())
	return nil
}

// collect asks senders, bus, receivers and feeds, each for itself.
func (d *demo) collect(ctx context.Context) (lines []line, faults []string, err error) {
	sent, faults, err := d.senders(ctx)
	if err != nil {
		return nil, nil, err
	}
	heads, err := d.heads(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range resources() {
		l := line{resource: r, sent: sent[r], bus: heads[r], boxes: map[string]inbox{}, want: d.story.expect(r, true)}
		for _, o := range orders() {
			if o.resource != r {
				continue
			}
			for _, dept := range o.systems {
				list, err := d.received(dept, r)
				if err != nil {
					return nil, nil, err
				}
				l.boxes[dept] = examine(list)
			}
		}
		if slices.Contains(publicResources, r) {
			feed, err := d.readFeed(ctx, r)
			if err != nil {
				return nil, nil, err
			}
			l.feed = &feed
		}
		lines = append(lines, l)
	}
	return lines, faults, nil
}

// settleWait is how long adapters have to write down their last counts; they do
// so every five seconds at least.
const settleWait = 20 * time.Second

// senders are the senders' own counts by resource: adapters, and hutongctl for
// the register of units. Running adapters write their counts down now and then,
// so it asks until they have come to rest: what they wrote is complete, or
// newer than the question.
func (d *demo) senders(ctx context.Context) (out map[string]counts, faults []string, err error) {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	err = until(ctx, 300*time.Millisecond, func() (bool, error) {
		out = map[string]counts{"org.unit": {Read: len(d.byHand.Items), Queued: len(d.byHand.Items), Accepted: d.byHand.Accepted, Duplicate: d.byHand.Duplicate, Stale: d.byHand.Stale, Rejected: d.byHand.Rejected}}
		faults, d.refusals = nil, map[string][]string{}
		resting := true
		for _, dept := range publishers() {
			st, err := d.status(ctx, dept)
			if err != nil {
				return false, err
			}
			faults = append(faults, d.note(dept, st, out)...)
			resting = resting && st.At.After(asked)
		}
		return len(faults) == 0 && (resting || d.complete(out)), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // what does not add up is told
	}
	return out, faults, err
}

// note adds what one adapter counted, and says what does not add up.
func (d *demo) note(dept string, st adapterStatus, into map[string]counts) (faults []string) {
	for _, s := range st.Streams {
		if !s.Counts.balanced() || s.State == "stopped" {
			faults = append(faults, fmt.Sprintf("adapter of %s, stream %s: state %s, %+v do not add up", dept, s.Name, s.State, s.Counts))
		}
		into[s.Resource] = into[s.Resource].plus(s.Counts)
		for _, r := range s.Refusals {
			for _, p := range r.Problems {
				d.refusals[s.Resource] = append(d.refusals[s.Resource], p.Zh)
			}
		}
	}
	return faults
}

// complete is true when the senders have counted all that there is.
func (d *demo) complete(sent map[string]counts) bool {
	for _, r := range resources() {
		if sent[r].taken() < d.story.expect(r, true).records {
			return false
		}
	}
	return true
}

func (c counts) plus(o counts) counts {
	return counts{c.Read + o.Read, c.Filtered + o.Filtered, c.Refused + o.Refused, c.Unchanged + o.Unchanged, c.Queued + o.Queued, c.Accepted + o.Accepted, c.Duplicate + o.Duplicate, c.Stale + o.Stale, c.Rejected + o.Rejected, c.Warnings + o.Warnings}
}

// heads are the newest offsets as the bus tells them: cursor and lag of a
// subscription.
func (d *demo) heads(ctx context.Context) (map[string]uint64, error) {
	list, err := api.List[api.Subscription](ctx, d.clients[auditorContext], nil, "subscriptions")
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	out := map[string]uint64{}
	for _, s := range list {
		out[s.Resource] = max(out[s.Resource], s.Cursor+s.LagRecords)
	}
	return out, nil
}

// faults lists what does not agree.
func (l line) faults(d *demo) []string {
	var out []string
	bad := func(format string, args ...any) { out = append(out, l.resource+": "+fmt.Sprintf(format, args...)) }
	if l.sent.taken() != l.want.records || l.sent.Refused != l.want.refused || l.sent.Rejected != l.want.rejected {
		bad("senders count %d accepted, %d refused, %d rejected; the story has %d, %d, %d", l.sent.taken(), l.sent.Refused, l.sent.Rejected, l.want.records, l.want.refused, l.want.rejected)
	}
	if l.bus != uint64(l.want.records) {
		bad("the bus has %d records, %d were accepted", l.bus, l.want.records)
	}
	for _, dept := range slices.Sorted(maps.Keys(l.boxes)) {
		box := l.boxes[dept]
		if box.records != l.want.records {
			bad("%s received %d of %d", dept, box.records, l.want.records)
		}
		for _, f := range box.faults {
			bad("%s: %s", dept, f)
		}
		out = append(out, l.leaks(dept, box)...)
	}
	out = append(out, l.different(l.boxes["xzf"])...)
	if l.feed == nil {
		return out
	}
	shown, withdrawn, titles := d.story.expectedFeed(l.resource)
	if l.feed.shown != shown || l.feed.withdrawn != withdrawn || l.feed.atom != shown || !maps.Equal(l.feed.titles, titles) {
		bad("the feed shows %d (Atom %d) and %d withdrawn, want %d and %d, each under its title", l.feed.shown, l.feed.atom, l.feed.withdrawn, shown, withdrawn)
	}
	if l.resource == "projects.disclosure" && d.early != 0 {
		bad("the feed showed %d before the last reviews", d.early)
	}
	return out
}

// leaks are members that a department received without a grant on them, or
// that the schema lets nobody have.
func (l line) leaks(dept string, box inbox) []string {
	var out []string
	for _, o := range orders() {
		if o.resource != l.resource || !slices.Contains(o.systems, dept) {
			continue
		}
		for _, f := range slices.Sorted(maps.Keys(box.fields)) {
			if rulesOf(l.resource)[f] == ruleWithheld || o.fields != nil && !slices.Contains(o.fields, f) {
				out = append(out, fmt.Sprintf("%s: %s received field %s, which it was not granted", l.resource, dept, f))
			}
		}
	}
	return out
}

// What the schema says of a member that goes to other departments.
const (
	ruleMasked   = "masked"
	ruleWithheld = "withheld"
)

// rulesOf are the members of a resource that other departments receive masked or
// not at all. A mask beside the portal rule mask is for the portal only.
func rulesOf(resource string) map[string]string {
	out := map[string]string{}
	raw, ok := schemas.EmbeddedSchema(resource, 1)
	schema, err := schemas.Compile(resource, 1, raw)
	if !ok || err != nil {
		return out // the bus has refused the same schema already
	}
	for _, a := range schema.Annotations() {
		switch {
		case len(a.Pointer) != 1:
		case a.Sharing == schemas.SharingWithheld:
			out[a.Pointer[0]] = ruleWithheld
		case a.Mask != "" && a.Portal != schemas.PortalMask:
			out[a.Pointer[0]] = ruleMasked
		}
	}
	return out
}

// different are keys whose newest body, as the office that receives everything
// has it, is not the one that was sent.
func (l line) different(box inbox) []string {
	var out []string
	rules := rulesOf(l.resource)
	for _, key := range slices.Sorted(maps.Keys(l.want.last)) {
		got, want := maps.Clone(box.last[key]), plain(l.want.last[key])
		for name, rule := range rules {
			sent, _ := want[name].(string)
			seen, _ := got[name].(string)
			if rule == ruleWithheld || sent != seen && strings.Contains(seen, "*") {
				delete(want, name)
			}
			if rule == ruleMasked && want[name] == nil {
				delete(got, name)
			}
		}
		if !reflect.DeepEqual(got, want) {
			out = append(out, fmt.Sprintf("%s: the body of %s is not the one that was sent: %s", l.resource, key, firstDifference(got, want)))
		}
	}
	return out[:min(3, len(out))]
}

// plain is a body as it comes out of JSON.
func plain(b body) body {
	raw, err := json.Marshal(b)
	if err != nil {
		panic(err) // texts, numbers and lists of them
	}
	var out body
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func firstDifference(got, want body) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(got[name], want[name]) {
			return fmt.Sprintf("%s is %v, sent %v", name, got[name], want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return name + " was not sent"
		}
	}
	return ""
}
