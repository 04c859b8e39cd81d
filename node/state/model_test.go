package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas/record"
)

// model is the specification once more, as plainly as it can be said: maps and
// slices, no batches, no encodings, nothing shared with the code it checks but
// the words of the answers.
type model struct {
	now       int64
	resources map[string]*mResource
	links     map[string][2]uint64
	counters  map[string]uint64
	fences    map[string]uint64
	epochs    map[string]uint64 // newest producer epoch of a system
	mayNot    map[string]bool   // systems that lost the role publisher
	towns     bool              // town1 is in the group
	revoked   bool              // credential k1
	held      map[string]map[uint64]mHeld
	heldNext  map[string]uint64
	grants    map[string]*mGrant
	subs      map[string]*mSub
	pubs      []*mPub
	leaves    uint64
	section   map[uint64]*record.SectionRecord // accepted in the section so far, by offset
	requests  map[string]mRequest
}

// mRequest is a command that was answered under a request id.
type mRequest struct {
	at   int64
	text string // without the request id
	word string
}

type mResource struct {
	name     string
	number   uint32
	revision uint64
	schemas  uint32
	shared   bool
	recs     []mRecord
	keys     map[string]*mKey
	ids      map[string]uint64
	prods    map[string]*mProducer
	pubs     map[string]*mPub
	feed     []string
}

type mRecord struct {
	key, id, system   string
	op                record.Op
	version, previous uint64
	counter           uint64
	leaf              uint64
	ordinal           int
}

type mKey struct {
	owner           string
	version, offset uint64
	source          *int64
}

type mProducer struct {
	epoch   uint64
	answers []mAnswer
}

type mAnswer struct {
	status Status
	value  uint64 // offset or quarantine number
}

type mHeld struct {
	resource, id, key, body string
	producer                bool
	at                      int64
}

type mGrant struct {
	revision uint64
	state    string
}

type mSub struct {
	grant         string
	paused        bool
	acked, handed uint64
}

type mPub struct {
	id, key            string
	res                *mResource
	state              string
	step               int
	version, published uint64
}

func newModel() *model {
	m := &model{
		now: testStart, resources: map[string]*mResource{}, links: map[string][2]uint64{}, counters: map[string]uint64{}, fences: map[string]uint64{},
		epochs: map[string]uint64{}, mayNot: map[string]bool{}, towns: true, held: map[string]map[uint64]mHeld{}, heldNext: map[string]uint64{},
		grants: map[string]*mGrant{}, subs: map[string]*mSub{}, requests: map[string]mRequest{},
	}
	for i, name := range []string{"approvals.case", "org.unit", "projects.project"} {
		m.resources[name] = &mResource{
			name: name, number: uint32(i + 1), revision: 2, schemas: 1, shared: name == "org.unit", keys: map[string]*mKey{}, ids: map[string]uint64{},
			prods: map[string]*mProducer{}, pubs: map[string]*mPub{},
		}
	}
	return m
}

func department(system string) string { d, _, _ := strings.Cut(system, "."); return d }

// mayPublish is the county's rule for a section's system.
func (m *model) mayPublish(full, resource string) bool {
	system, credential, _ := strings.Cut(full, "/")
	if credential != "" && (credential != "k1" || system != "fagai.pub" || m.revoked) {
		return false
	}
	if !strings.HasSuffix(system, ".pub") && system != "fagai.two" || m.mayNot[system] {
		return false
	}
	switch resource {
	case "org.unit":
		return true
	case "projects.project":
		return department(system) == "fagai"
	}
	return department(system) == "fagai" || department(system) == "jianwei" || department(system) == "town1" && m.towns
}

var systemsThere = map[string]bool{
	"fagai.pub": true, "fagai.two": true, "fagai.rev": true, "jianwei.pub": true, "town1.pub": true, "town1.sub": true, "town2.sub": true,
	"zhengwu.admin": true, "zhengwu.rev": true,
}

// order is the rule of FORMATS §4.
func (m *model) order(h record.Header) Code {
	l := m.links[h.Node]
	if h.LinkEpoch < l[0] || h.LinkEpoch == l[0] && h.LinkNumber <= l[1] {
		return Superseded
	}
	if h.LinkEpoch == l[0] && h.LinkNumber == l[1]+1 || h.LinkEpoch > l[0] && h.LinkNumber == 1 {
		return Applied
	}
	return Resend
}

// place takes the section's number, or says why not.
func (m *model) place(h record.Header, res *mResource) (string, bool) {
	if c := m.order(h); c != Applied {
		return c.String(), false
	}
	if res != nil && h.Revision != res.revision {
		return "revalidate", false
	}
	m.links[h.Node] = [2]uint64{h.LinkEpoch, h.LinkNumber}
	return "", true
}

// sequence answers what is not the next of a producer's sequence.
func (m *model) sequence(res *mResource, producer string, epoch, seq uint64, system string) (word string, p *mProducer) {
	if producer != system && !(strings.HasPrefix(producer, system+".") && len(producer) > len(system)+1) {
		return "not_granted", nil
	}
	if epoch > 9_007_199_254_740_992 {
		return "malformed", nil
	}
	p = res.prods[producer]
	if p == nil {
		p = &mProducer{}
	}
	if least := max(m.fences[system], p.epoch); epoch < least {
		return fmt.Sprintf("fenced(%d)", least), nil
	}
	if epoch > p.epoch {
		if seq != 1 {
			return "sequence_gap(1)", nil
		}
		return "", &mProducer{epoch: epoch}
	}
	if seq == 0 || seq > uint64(len(p.answers))+1 {
		return fmt.Sprintf("sequence_gap(%d)", len(p.answers)+1), nil
	}
	if seq == uint64(len(p.answers))+1 {
		return "", p
	}
	switch a := p.answers[seq-1]; a.status {
	case StatusAccepted:
		return fmt.Sprintf("duplicate(%d v%d)", a.value, res.recs[a.value-1].version), nil
	case StatusRejected:
		if _, ok := m.held[system][a.value]; !ok {
			return "rejected(again q0)", nil
		}
		return fmt.Sprintf("rejected(again q%d)", a.value), nil
	default:
		return a.status.String(), nil
	}
}

// clone copies what a strict section must leave untouched.
func (res *mResource) clone() *mResource {
	c := *res
	c.recs = slices.Clone(res.recs)
	c.keys = maps.Clone(res.keys)
	c.ids = maps.Clone(res.ids)
	c.prods = map[string]*mProducer{}
	for id, p := range res.prods {
		c.prods[id] = &mProducer{p.epoch, slices.Clone(p.answers)}
	}
	return &c
}

// records predicts a section of records.
func (m *model) records(h record.Header, name string, recs []record.SectionRecord) string {
	res := m.resources[name]
	if word, ok := m.place(h, res); !ok {
		return word
	}
	var before *mResource
	if h.Strict {
		before = res.clone()
	}
	counters := maps.Clone(m.counters)
	first := len(res.recs)
	epochs := map[string]uint64{}
	var out []string
	bad := false
	m.section = map[uint64]*record.SectionRecord{}
	for i := range recs {
		word := m.one(h, res, &recs[i], epochs, first)
		out = append(out, word)
		if !strings.HasPrefix(word, "accepted") && !strings.HasPrefix(word, "duplicate") {
			bad = true
		}
	}
	if h.Strict && bad {
		for i, word := range out {
			var offset int
			if n, _ := fmt.Sscanf(word, "duplicate(%d", &offset); strings.HasPrefix(word, "accepted") || n == 1 && offset > first {
				out[i] = "unapplied"
			}
		}
		res.recs, res.keys, res.ids, res.prods = before.recs, before.keys, before.ids, before.prods
		m.counters = counters
		return "refused " + strings.Join(out, " ") + " strict_refused"
	}
	for i, word := range out {
		if strings.HasPrefix(word, "accepted") {
			m.corrected(h, res, &recs[i])
		}
	}
	for s, e := range epochs {
		m.epochs[s] = max(m.epochs[s], e)
	}
	if fresh := res.recs[first:]; len(fresh) > 0 {
		for i := range fresh {
			fresh[i].leaf, fresh[i].ordinal = m.leaves, i
		}
		m.leaves++
		for i := range fresh {
			m.disclose(res, uint64(first+i+1), &fresh[i])
		}
	}
	return "applied " + strings.Join(out, " ")
}

func (m *model) one(h record.Header, res *mResource, rec *record.SectionRecord, epochs map[string]uint64, first int) string {
	full := h.Systems[rec.System]
	system, _, _ := strings.Cut(full, "/")
	if !systemsThere[system] {
		return "not_granted"
	}
	var p *mProducer
	var pid, id string
	if rec.Producer >= 0 {
		pr := h.Producers[rec.Producer]
		var word string
		if word, p = m.sequence(res, pr.ID, pr.Epoch, rec.Seq, system); p == nil {
			if m.differs(h, word, rec) {
				return fmt.Sprintf("ahead(%d)", len(res.prods[pr.ID].answers))
			}
			return word
		}
		pid, id = pr.ID, fmt.Sprintf("%s-%d-%d", pr.ID, pr.Epoch, rec.Seq)
	} else {
		id = rec.ID
		if offset, ok := res.ids[system+"|"+id]; ok {
			word := fmt.Sprintf("duplicate(%d v%d)", offset, res.recs[offset-1].version)
			if m.differs(h, word, rec) {
				return "conflict"
			}
			return word
		}
	}
	if !m.mayPublish(full, res.name) {
		return "not_granted"
	}
	offset := uint64(len(res.recs) + 1)
	k := mKey{owner: department(system)}
	if old := res.keys[rec.Key]; old != nil {
		k = *old
	}
	status := StatusAccepted
	switch {
	case rec.Key == "" || rec.Op == record.Upsert && (rec.SchemaVersion < 1 || rec.SchemaVersion > res.schemas):
		status = StatusRejected
	case rec.Op == record.Withdraw && k.version == 0:
		status = StatusNotFound
	case k.owner != department(system) && !res.shared:
		status = StatusKeyOwned
	case k.source != nil && rec.SourceVersion != nil && *rec.SourceVersion <= *k.source:
		status = StatusStale
	}
	if p != nil {
		a := mAnswer{status, 0}
		if status == StatusAccepted {
			a.value = offset
		}
		p.answers = append(p.answers, a)
		res.prods[pid] = p
		epochs[system] = max(epochs[system], p.epoch)
	}
	switch status {
	case StatusRejected:
		return "rejected(q0)"
	case StatusAccepted:
	default:
		return status.String()
	}
	m.counters[system]++
	m.section[offset] = rec
	res.recs = append(res.recs, mRecord{key: rec.Key, id: id, system: system, op: rec.Op, version: k.version + 1, previous: k.offset, counter: m.counters[system]})
	res.keys[rec.Key] = &mKey{owner: k.owner, version: k.version + 1, offset: offset, source: rec.SourceVersion}
	if p == nil {
		res.ids[system+"|"+id] = offset
	}
	return fmt.Sprintf("accepted(%d v%d)", offset, k.version+1)
}

// disclose follows an accepted record along the route of its resource.
func (m *model) disclose(res *mResource, offset uint64, r *mRecord) {
	if res.name == "approvals.case" {
		return
	}
	p := res.pubs[r.key]
	if p == nil {
		if r.op == record.Withdraw {
			return
		}
		p = &mPub{id: fmt.Sprintf("p%d", len(m.pubs)+1), key: r.key, res: res}
		m.pubs = append(m.pubs, p)
		res.pubs[r.key] = p
	}
	p.version = r.version
	switch {
	case r.op == record.Withdraw:
		m.takeDown(p)
	case res.name == "org.unit":
		p.state, p.published = "published", r.version
		res.feed = append(res.feed, fmt.Sprintf("%s v%d false", r.key, r.version))
		m.leaves++
	default:
		p.state, p.step = "pending", 0
	}
}

// takeDown withdraws; a tombstone and a leaf are left when something was public.
func (m *model) takeDown(p *mPub) {
	p.state = "withdrawn"
	if p.published != 0 {
		p.res.feed = append(p.res.feed, fmt.Sprintf("%s v%d true", p.key, p.published))
		p.published = 0
		m.leaves++
	}
}
