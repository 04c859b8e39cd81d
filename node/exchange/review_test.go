package exchange

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/tlog"
)

func (b *bench) project(code, name string) {
	b.t.Helper()
	in := PublishRequest{Resource: projects, Language: "zh", Lines: [][]byte{fmt.Appendf(nil, `{"op":"upsert","data":{"project_code":%q,"project_name":%q,"status":"preparation","remark":"内部备注"}}`, code, name)}}
	if a := must(b.Publish(b.t.Context(), b.as("fgw.pub"), in))(b.t); a.Accepted != 1 {
		b.t.Fatalf("%+v", a.Items)
	}
}

func (b *bench) publication() api.Publication {
	b.t.Helper()
	list, next, err := b.Publications(b.t.Context(), b.as("egov.admin"), ListRequest{Limit: 10})
	if err != nil || len(list) != 1 || next != "" {
		b.t.Fatalf("%+v, %q, %v", list, next, err)
	}
	return list[0]
}

func (b *bench) decide(who, action string, in Put[api.Decision]) error {
	in.Path = map[string]string{"publication": b.publication().ID}
	_, err := b.DecidePublication(b.t.Context(), b.as(who), action, in)
	return err
}

// feeds are the two documents, which must agree on what is public.
func (b *bench) feeds(word string) bool {
	b.t.Helper()
	atom, err := b.Feed(projects, "atom")
	if err != nil {
		b.t.Fatal(err)
	}
	document, err := b.Feed(projects, "json")
	if err != nil {
		b.t.Fatal(err)
	}
	a, j := bytes.Contains(atom.Body, []byte(word)), bytes.Contains(document.Body, []byte(word))
	if a != j {
		b.t.Errorf("the feeds disagree on %s:\n%s\n%s", word, atom.Body, document.Body)
	}
	if bytes.Contains(atom.Body, []byte("内部备注")) || bytes.Contains(document.Body, []byte("内部备注")) {
		b.t.Error("a field that is never public is on a feed")
	}
	return a
}

func TestReviewAndFeeds(t *testing.T) {
	b := newBench(t)
	b.project("P-1", "滨河路改造")
	if p := b.publication(); p.State != disclosure.Pending || p.Open() != 0 || len(p.Steps) != 2 {
		t.Fatalf("%+v", p)
	}
	refusedWith(t, "the second step first", b.decide("bmj.rev", "approve", Put[api.Decision]{}), api.CodeNotGranted)
	refusedWith(t, "an unknown act", b.decide("fgw.rev", "wave", Put[api.Decision]{}), api.CodeInvalid)
	if err := b.decide("fgw.rev", "approve", Put[api.Decision]{}); err != nil {
		t.Fatal(err)
	}
	if b.feeds("滨河路") {
		t.Fatal("public before its last step")
	}
	// An edit between a reviewer's look and its word is not waved through.
	looked := b.publication()
	b.project("P-1", "滨河路改造二期")
	seen := Put[api.Decision]{Revision: looked.Revision, HasRevision: true}
	refusedWith(t, "a decision on what was edited since", b.decide("bmj.rev", "approve", seen), api.CodeRevisionConflict)
	for _, who := range []string{"fgw.rev", "bmj.rev"} {
		p := b.publication()
		if err := b.decide(who, "approve", Put[api.Decision]{Revision: p.Revision, HasRevision: true}); err != nil {
			t.Fatalf("%s: %v", who, err)
		}
	}
	if p := b.publication(); p.State != disclosure.Published || p.Steps[1].Seen == "" || p.Steps[1].By != "bmj.rev" {
		t.Errorf("published %+v", p)
	}
	if !b.feeds("滨河路改造二期") {
		t.Error("not public after its last step")
	}
	refusedWith(t, "a step that is done", b.decide("bmj.rev", "approve", Put[api.Decision]{}), api.CodeConflict)
	if err := b.decide("fgw.rev", "withdraw", Put[api.Decision]{Object: api.Decision{Note: "暂缓公开"}}); err != nil {
		t.Fatal(err)
	}
	if b.feeds("滨河路") || !b.atomHas("deleted-entry") {
		t.Error("withdrawn, but still there or without a tombstone")
	}
	for name, address := range map[string][2]string{"no resource": {"no.such", "atom"}, "no route": {cases, "atom"}, "no format": {projects, "rss"}} {
		_, err := b.Feed(address[0], address[1])
		refusedWith(t, name, err, api.CodeNotFound)
	}
}

// TestDecisionSentAgain loses the answer of a decision: it counts once, and the
// key is no free pass for another.
func TestDecisionSentAgain(t *testing.T) {
	b := newBench(t)
	b.project("P-1", "滨河路改造")
	in := Put[api.Decision]{Request: "r1"}
	for range 2 {
		if err := b.decide("fgw.rev", "approve", in); err != nil {
			t.Fatal(err)
		}
		if p := b.publication(); p.Open() != 1 || p.Steps[0].By != "fgw.rev" || p.Steps[1].By != "" {
			t.Errorf("%+v", p)
		}
	}
	in.Object.Note = "另一意见"
	refusedWith(t, "another decision under the same key", b.decide("fgw.rev", "return", in), api.CodeConflict)
	in = Put[api.Decision]{Request: "r1", Revision: b.publication().Revision, HasRevision: true}
	refusedWith(t, "the same key with a precondition of its own", b.decide("fgw.rev", "approve", in), api.CodeConflict)
}

func (b *bench) atomHas(word string) bool {
	b.t.Helper()
	doc, err := b.Feed(projects, "atom")
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Contains(string(doc.Body), word)
}

func TestPublicationsPageAndHide(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for i := range 5 {
		b.project(fmt.Sprintf("P-%d", i), "项目")
	}
	var got []string
	in := ListRequest{Limit: 2, State: disclosure.Pending}
	for range 10 {
		list, next, err := b.Publications(ctx, b.as("egov.admin"), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			got = append(got, p.Key)
		}
		if in.After = next; next == "" {
			break
		}
	}
	if strings.Join(got, " ") != "P-0 P-1 P-2 P-3 P-4" {
		t.Errorf("pages %v", got)
	}
	if list, _, err := b.Publications(ctx, b.as("czj.sub"), ListRequest{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("a stranger's list: %v, %v", list, err)
	}
	list, _, _ := b.Publications(ctx, b.as("egov.admin"), ListRequest{Limit: 1})
	_, err := b.Publication(ctx, b.as("czj.sub"), list[0].ID)
	refusedWith(t, "a stranger", err, api.CodeNotFound)
	_, err = b.Publication(ctx, b.as("egov.admin"), "p-none")
	refusedWith(t, "no publication", err, api.CodeNotFound)
	refusedWith(t, "a decision on none", func() error {
		_, err := b.DecidePublication(ctx, b.as("fgw.rev"), "approve", Put[api.Decision]{Path: map[string]string{"publication": "p-none"}})
		return err
	}(), api.CodeNotFound)
}

func TestPublicLog(t *testing.T) {
	b := newBench(t)
	note := must(b.Checkpoint(tlog.ShortLogName(logName)))(t)
	checkpoint, _, err := b.trust.Check(note)
	if err != nil || checkpoint.Origin != logName || checkpoint.Size == 0 {
		t.Errorf("checkpoint %+v, %v", checkpoint, err)
	}
	_, err = b.Checkpoint("1999-1")
	refusedWith(t, "another log", err, api.CodeNotFound)
	path := strings.TrimPrefix(tlog.TilePath(0, 0, int(checkpoint.Size)), "tile/")
	tile, full, err := b.Tile("2026-1", path)
	if err != nil || full || len(tile) != int(checkpoint.Size)*tlog.HashSize {
		t.Errorf("tile of %d bytes, full %v, %v", len(tile), full, err)
	}
	for name, at := range map[string][2]string{
		"another log": {"1999-1", path}, "no tile": {"2026-1", "0/x999"}, "not grown to it": {"2026-1", "0/000"}, "entries are nobody's": {"2026-1", "entries/000"},
	} {
		_, _, err := b.Tile(at[0], at[1])
		refusedWith(t, name, err, api.CodeNotFound)
	}
	trust := must(b.Trust(t.Context(), b.as("gtfg.pub")))(t)
	if !bytes.Equal(trust, b.trust.Encode()) {
		t.Errorf("trust file:\n%s\nwant:\n%s", trust, b.trust.Encode())
	}
}
