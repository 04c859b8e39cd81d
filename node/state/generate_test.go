package state

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hutong-bus/hutong/schemas/record"
)

var (
	commands = flag.Int("commands", 20_000, "sections TestModel generates")
	seed     = flag.Uint64("seed", 0, "seed of TestModel; 0: a fresh one")
)

// testGrantEnd is when the grants of the generator end: 60 days in.
const testGrantEnd = testStart + 60*24*3600*1000

// generator makes sections as nodes would, mostly right ones, and asks the model
// what must become of each.
type generator struct {
	*rand.Rand
	t     *testing.T
	m     *model
	a     *rig // one Apply call for each entry
	n     int
	want  []string
	grant int
	subs  int
	last  Command // the last one that was answered
	marks []record.Mark
}

// TestModel compares the machine with the model on generated sections, and with
// a second machine that is fed the same entries in other groups and goes through
// checkpoints, restores and restarts on the way.
func TestModel(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with: go test ./node/state -run TestModel -seed=%d -commands=%d", s, *commands)
	g := &generator{Rand: rand.New(rand.NewPCG(s, 1)), t: t, m: newModel(), a: newRig(t)}
	b := &second{t: t, r: bareRig(t), rand: rand.New(rand.NewPCG(s, 2))}
	b.feed(Entry{Index: 1, Time: testStart, Sections: [][]byte{bootstrapSection(t, g.a)}}, nil)
	g.m.leaves = g.treeSize()
	g.m.links["n1"] = [2]uint64{1, 1}
	for g.n < *commands {
		e, want := g.entry()
		results := g.apply(e)
		for i := range results {
			if got := words(results[i]); got != want[i] {
				t.Fatalf("section %d: the machine says\n %s\nthe model\n %s", g.n-len(want)+i, got, want[i])
			}
		}
		b.feed(e, results)
		if g.n%1000 < len(want) {
			b.compare(g.a.m)
		}
	}
	b.compare(g.a.m)
	g.compareContent()
	checkTree(t, g.a.m)
}

// bootstrapSection is the section newRig bootstrapped a with.
func bootstrapSection(t *testing.T, a *rig) []byte {
	t.Helper()
	text, err := EncodeCommand(county())
	if err != nil {
		t.Fatal(err)
	}
	h := record.Header{Node: a.node, LinkEpoch: 1, LinkNumber: 1, Codec: record.CodecS2, Secret: sha256.Sum256([]byte("n1-1-1"))}
	s, err := record.EncodeCommand(h, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (g *generator) treeSize() uint64 {
	v := g.a.view()
	defer v.Close()
	return v.TreeSize()
}

func (g *generator) apply(e Entry) []Result {
	out, err := g.a.m.Apply([]Entry{e})
	if err != nil {
		g.t.Fatal(err)
	}
	if ms := g.lastTime(); ms != g.m.now {
		g.t.Fatalf("section %d: log time is %d, the model has %d", g.n, ms, g.m.now)
	}
	if size := g.treeSize(); size != g.m.leaves {
		g.t.Fatalf("section %d: the tree has %d leaves, the model %d", g.n, size, g.m.leaves)
	}
	return out[0]
}

// entry makes the next entry and what the model says to each of its sections.
func (g *generator) entry() (Entry, []string) {
	g.m.now += g.Int64N(3_000)
	if g.IntN(400) == 0 {
		g.m.now += 11 * 24 * 3600 * 1000
	}
	g.a.index += 1 + uint64(g.IntN(8)/7) // raft keeps some indexes to itself
	e := Entry{Index: g.a.index, Time: g.m.now - g.Int64N(2)*g.Int64N(5000)}
	if len(g.want) == 0 && e.Time < g.m.now {
		e.Time = g.m.now
	}
	g.m.now = max(e.Time, g.lastTime())
	var want []string
	for range g.IntN(5) {
		g.n++
		s, w := g.section()
		e.Sections = append(e.Sections, s)
		want = append(want, w)
	}
	g.want = want
	if len(g.marks) < 32 && g.IntN(3) == 0 {
		g.marks = append(g.marks, g.a.markNow())
	}
	return e, want
}

func (g *generator) lastTime() int64 {
	_, ms, _ := g.a.m.Applied()
	return ms
}

func (g *generator) section() ([]byte, string) {
	switch n := g.IntN(100); {
	case n < 55:
		return g.records()
	case n < 67:
		return g.refusals()
	case n < 80:
		return g.cursors()
	case n < 97:
		return g.command()
	}
	return g.mark()
}

// header is the next of one of three nodes, or now and then another.
func (g *generator) header(res *mResource) record.Header {
	node := fmt.Sprintf("n%d", 1+g.IntN(3))
	l := g.m.links[node]
	h := record.Header{Node: node, LinkEpoch: l[0], LinkNumber: l[1] + 1, Codec: record.CodecS2}
	switch g.IntN(40) {
	case 0:
		h.LinkEpoch, h.LinkNumber = l[0]+1, 1
	case 1:
		h.LinkNumber += uint64(g.IntN(3)) - 1
	case 2:
		h.LinkEpoch = l[0] + uint64(g.IntN(3)) - 1
	}
	h.Secret = sha256.Sum256(fmt.Append(nil, "secret", g.n))
	if res != nil {
		h.Resource, h.Revision = res.number, res.revision
		if g.IntN(40) == 0 {
			h.Revision += uint64(g.IntN(3)) - 1
		}
		h.Strict = g.IntN(8) == 0
		publishers := []string{"fagai.pub", "fagai.pub/k1", "fagai.two", "jianwei.pub", "town1.pub", "town1.sub", "no.such", "fagai.two/k1"}
		for range 1 + g.IntN(2) {
			h.Systems = append(h.Systems, publishers[min(g.IntN(5)+g.IntN(20)/17*g.IntN(4), 7)])
		}
	}
	return h
}

func (g *generator) resource() *mResource {
	return g.m.resources[[]string{"approvals.case", "org.unit", "projects.project"}[g.IntN(3)]]
}

// producer adds the producer of one of the header's systems.
func (g *generator) producer(h *record.Header, res *mResource) (index, system int, epoch, next uint64) {
	system = g.IntN(len(h.Systems))
	full, _ := splitSystem(h.Systems[system])
	id := full + []string{"", ".2"}[g.IntN(2)]
	if g.IntN(60) == 0 {
		id = "forged.one"
	}
	p := res.prods[id]
	if p == nil {
		p = &mProducer{epoch: 1}
	}
	epoch, next = p.epoch, uint64(len(p.answers))+1
	if f := g.m.fences[full]; f > epoch {
		epoch, next = f, 1
	}
	switch g.IntN(40) {
	case 0:
		epoch, next = epoch+1, 1
	case 1:
		epoch--
	case 2:
		epoch, next = MaxEpoch+1+g.Uint64N(1<<60), 1
	}
	h.Producers = append(h.Producers, record.Producer{ID: id, Epoch: epoch})
	return len(h.Producers) - 1, system, epoch, next
}

func (g *generator) records() ([]byte, string) {
	res := g.resource()
	h := g.header(res)
	var recs []record.SectionRecord
	producer, system, _, next := -1, 0, uint64(0), uint64(0)
	if g.IntN(2) == 0 {
		producer, system, _, next = g.producer(&h, res)
	}
	for range 1 + g.IntN(6) {
		rec := record.SectionRecord{Op: record.Upsert, System: g.IntN(len(h.Systems)), Producer: -1, Key: fmt.Sprint("k", g.IntN(40)), SchemaVersion: res.schemas}
		rec.ID = fmt.Sprint("id", g.IntN(1+g.n/2))
		if len(recs) > 0 && recs[len(recs)-1].ID != "" && g.IntN(30) == 0 {
			rec.ID = recs[len(recs)-1].ID
		}
		if producer >= 0 && g.IntN(10) > 0 {
			rec.Producer, rec.System, rec.ID, rec.Seq = producer, system, "", next
			switch g.IntN(20) {
			case 0:
				rec.Seq += uint64(g.IntN(3))
			case 1:
				rec.Seq -= min(rec.Seq, uint64(g.IntN(6)))
			default:
				next++
			}
		}
		if g.IntN(12) == 0 {
			v := g.Int64N(6)
			rec.SourceVersion = &v
		}
		if g.IntN(60) == 0 {
			rec.Key = ""
		}
		if g.IntN(80) == 0 {
			rec.SchemaVersion += uint32(g.IntN(2))*2 - 1
		}
		if g.IntN(10) == 0 {
			rec.Op, rec.Reason, rec.SchemaVersion = record.Withdraw, "撤回", 0
		} else {
			rec.Body = fmt.Appendf(nil, `{"n":%d,"pad":"%x"}`, g.n, g.Uint64())
		}
		if len(recs) > 0 && g.IntN(60) == 0 {
			rec = recs[len(recs)-1] // word for word
		}
		recs = append(recs, rec)
	}
	s, err := record.EncodeRecords(h, recs)
	return g.coded(s, err), g.m.records(h, res.name, recs)
}

func (g *generator) coded(s []byte, err error) []byte {
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *generator) refusals() ([]byte, string) {
	res := g.resource()
	h := g.header(res)
	h.Strict = false
	var rs []record.Refusal
	producer, system, _, next := -1, 0, uint64(0), uint64(0)
	if g.IntN(2) == 0 {
		producer, system, _, next = g.producer(&h, res)
	}
	for range 1 + g.IntN(3) {
		ref := record.Refusal{
			System: g.IntN(len(h.Systems)), Producer: -1, ID: fmt.Sprint("id", g.IntN(1+g.n/2)), Key: fmt.Sprint("k", g.IntN(4)), Op: record.Upsert,
			Errors: []byte(`[{"pointer":"/a","keyword":"required","code":"required"}]`), Body: fmt.Appendf(nil, `{"x":%d}`, g.IntN(2)),
		}
		if producer >= 0 {
			ref.Producer, ref.System, ref.ID, ref.Seq = producer, system, "", next
			next++
		}
		rs = append(rs, ref)
	}
	s, err := record.EncodeRefusals(h, rs)
	return g.coded(s, err), g.m.refusals(h, res.name, rs)
}

func (g *generator) cursors() ([]byte, string) {
	h := g.header(nil)
	var moves []record.CursorMove
	for range 1 + g.IntN(3) {
		id := fmt.Sprint("s", 1+g.IntN(max(1, g.subs)))
		c := record.CursorMove{Subscription: id, Action: record.ActionAck, System: "town1.sub"}
		s := g.m.subs[id]
		if s == nil {
			s = &mSub{}
		}
		c.Through = s.acked + uint64(g.IntN(8))
		if g.IntN(2) == 0 {
			c.Action = record.ActionHanded
			c.From = s.handed + 1
			if g.IntN(10) == 0 {
				c.From = s.acked + uint64(g.IntN(4))
			}
			c.Through = c.From + uint64(g.IntN(20))
			c.Filtered = g.IntN(int(c.Through-c.From) + 2)
			c.Delivered = int(c.Through-c.From) + 1 - c.Filtered
			if gr := g.m.grants[s.grant]; gr != nil {
				c.GrantRevision = gr.revision
			}
			if g.IntN(20) == 0 {
				c.GrantRevision++
			}
		}
		if g.IntN(30) == 0 {
			c.System = "town2.sub"
		}
		moves = append(moves, c)
	}
	s, err := record.EncodeCursors(h, moves)
	return g.coded(s, err), g.m.cursors(h, moves)
}

func (g *generator) mark() ([]byte, string) {
	h := g.header(nil)
	if len(g.marks) == 0 {
		g.marks = append(g.marks, g.a.markNow())
	}
	m := g.marks[g.IntN(len(g.marks))]
	if g.IntN(2) == 0 {
		g.marks = nil
	}
	word, ok := g.m.place(h, nil)
	if ok {
		word = "applied"
		if g.a.index-m.Index >= ringSize {
			word = "refused not_found"
		}
	}
	s, err := record.EncodeMark(h, m)
	return g.coded(s, err), word
}
