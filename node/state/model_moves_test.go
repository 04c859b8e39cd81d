package state

import (
	"fmt"
	"strings"

	"github.com/hutong-bus/hutong/schemas/record"
)

// refusals predicts a section of refusals.
func (m *model) refusals(h record.Header, name string, rs []record.Refusal) string {
	res := m.resources[name]
	if word, ok := m.place(h, res); !ok {
		return word
	}
	for _, full := range h.Systems {
		system, _, _ := strings.Cut(full, "/")
		for n, item := range m.held[system] {
			if item.at <= m.now-QuarantineMs {
				m.release(system, n)
			}
		}
	}
	var out []string
	fresh := map[int]bool{}
	for i := range rs {
		word, isNew := m.oneRefusal(h, res, &rs[i])
		out = append(out, word)
		if isNew {
			fresh[rs[i].System] = true
		}
	}
	m.leaves += uint64(len(fresh))
	return strings.TrimSpace("applied " + strings.Join(out, " "))
}

func (m *model) oneRefusal(h record.Header, res *mResource, ref *record.Refusal) (string, bool) {
	full := h.Systems[ref.System]
	system, _, _ := strings.Cut(full, "/")
	if !systemsThere[system] {
		return "not_granted", false
	}
	var p *mProducer
	if ref.Producer >= 0 {
		pr := h.Producers[ref.Producer]
		var word string
		if word, p = m.sequence(res, pr.ID, pr.Epoch, ref.Seq, system); p == nil {
			return word, false
		}
	} else {
		if offset, ok := res.ids[system+"|"+ref.ID]; ok {
			return fmt.Sprintf("duplicate(%d v%d)", offset, res.recs[offset-1].version), false
		}
		newest := uint64(0)
		for n, it := range m.held[system] {
			if it.resource == res.name && !it.producer && it.id == ref.ID {
				newest = max(newest, n)
			}
		}
		if it := m.held[system][newest]; newest > 0 && it.key == ref.Key && it.body == string(ref.Body) {
			return fmt.Sprintf("rejected(q%d)", newest), false
		}
	}
	if !m.mayPublish(full, res.name) {
		return "not_granted", false
	}
	m.heldNext[system]++
	n := m.heldNext[system]
	if m.held[system] == nil {
		m.held[system] = map[uint64]mHeld{}
	}
	item := mHeld{resource: res.name, id: ref.ID, key: ref.Key, body: string(ref.Body), at: m.now}
	if p != nil {
		pr := h.Producers[ref.Producer]
		item.producer = true
		item.id = fmt.Sprintf("%s-%d-%d", pr.ID, pr.Epoch, ref.Seq)
		p.answers = append(p.answers, mAnswer{StatusRejected, n})
		res.prods[pr.ID] = p
		m.epochs[system] = max(m.epochs[system], p.epoch)
	}
	m.held[system][n] = item
	return fmt.Sprintf("rejected(q%d)", n), true
}

func (m *model) release(system string, n uint64) { delete(m.held[system], n) }

// cursors predicts a section of cursor moves of town1.sub.
func (m *model) cursors(h record.Header, moves []record.CursorMove) string {
	if word, ok := m.place(h, nil); !ok {
		return word
	}
	out := "applied"
	for i := range moves {
		out += " " + m.move(&moves[i])
	}
	return out
}

func (m *model) move(c *record.CursorMove) string {
	s := m.subs[c.Subscription]
	if s == nil {
		return "not_found"
	}
	if c.System != "town1.sub" {
		return "not_granted"
	}
	if c.Action == record.ActionAck {
		switch {
		case c.Through > s.handed:
			return fmt.Sprintf("ahead(%d)", s.handed)
		case c.Through <= s.acked:
			return "duplicate"
		}
		s.acked = c.Through
		m.leaves++
		return "accepted"
	}
	g := m.grants[s.grant]
	last := uint64(len(m.resources["approvals.case"].recs))
	switch {
	case s.paused || g.state != "approved" || g.revision != c.GrantRevision || m.now >= testGrantEnd:
		return "not_granted"
	case c.From == 0 || c.Through < c.From || uint64(c.Delivered+c.Filtered) != c.Through-c.From+1:
		return fmt.Sprintf("overlap(%d)", s.handed+1)
	case c.Through > last:
		return fmt.Sprintf("ahead(%d)", last)
	case c.From > s.acked && c.Through <= s.handed:
		return "duplicate"
	case c.From != s.handed+1:
		return fmt.Sprintf("overlap(%d)", s.handed+1)
	}
	s.handed = c.Through
	m.leaves++
	return "accepted"
}

// differs says whether a strict section holds another record at the offset that
// one of its records is a duplicate of.
func (m *model) differs(h record.Header, word string, rec *record.SectionRecord) bool {
	var offset uint64
	if n, _ := fmt.Sscanf(word, "duplicate(%d", &offset); n != 1 || !h.Strict || m.section[offset] == nil {
		return false
	}
	first := m.section[offset]
	return first.Op != rec.Op || first.Key != rec.Key || first.Reason != rec.Reason || string(first.Body) != string(rec.Body)
}

// corrected takes away what waits in quarantine for an accepted record.
func (m *model) corrected(h record.Header, res *mResource, rec *record.SectionRecord) {
	system, _, _ := strings.Cut(h.Systems[rec.System], "/")
	for n, item := range m.held[system] {
		mine := !item.producer && item.id == rec.ID
		if rec.Producer >= 0 {
			mine = item.producer && item.key == rec.Key
		}
		if mine && item.resource == res.name {
			m.release(system, n)
		}
	}
}
