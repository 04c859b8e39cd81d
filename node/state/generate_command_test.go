package state

import (
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

// command makes an administrative command; the model is changed only when the
// section takes its place.
func (g *generator) command() ([]byte, string) {
	h := g.header(nil)
	c, effect := g.choose()
	c.head().Request = fmt.Sprint("req", g.n)
	if g.last != nil && g.IntN(20) == 0 {
		if g.IntN(2) == 0 && g.m.asked(g.last) {
			c, effect = g.last, nil // the same once more, asked later
			c.head().At = g.m.now
		} else if c.head().By == g.last.head().By {
			c.head().Request = g.last.head().Request
		}
	}
	text, err := EncodeCommand(c)
	if err != nil {
		g.t.Fatal(err)
	}
	word, ok := g.m.place(h, nil)
	if ok {
		word = g.m.request(c, effect)
		g.last = c
	}
	s, err := record.EncodeCommand(h, text)
	return g.coded(s, err), word
}

// asked says whether the command's request id was answered within a day.
func (m *model) asked(c Command) bool {
	old, ok := m.requests[c.head().By.System+"|"+c.head().Request]
	return ok && m.now < old.at+24*3600*1000
}

// request answers a command by its request id where that was answered within a
// day, else by its effect.
func (m *model) request(c Command, effect func() string) string {
	h := *c.head()
	id := h.By.System + "|" + h.Request
	c.head().Request, c.head().At = "", 0
	text := string(mustJSON(c))
	*c.head() = h
	if m.asked(c) {
		if old := m.requests[id]; old.text == text {
			return old.word
		}
		return "refused conflict"
	}
	word := effect()
	m.requests[id] = mRequest{at: m.now, text: text, word: word}
	return word
}

func (g *generator) choose() (Command, func() string) {
	done := func(f func()) func() string {
		return func() string { f(); g.m.leaves++; return "applied" }
	}
	switch g.IntN(11) {
	case 0:
		return g.putGroup()
	case 1:
		return g.putSystem()
	case 2:
		return g.fence()
	case 3:
		res := g.resource()
		return &SchemaRegister{Head: admin(), Resource: res.name, Schema: fmt.Sprintf(`{"title":"%d"}`, g.n)},
			done(func() { res.schemas++; res.revision++ })
	case 4:
		gr := grant("town1")
		gr.NotAfter = policy.FormatTime(testGrantEnd)
		return &GrantRequest{Head: by("town1.sub"), Object: gr}, done(func() {
			g.grant++
			g.m.grants[fmt.Sprint("g", g.grant)] = &mGrant{1, "requested"}
		})
	case 5:
		return g.decideGrant()
	case 6:
		return g.subscribe()
	case 7:
		return g.changeSubscription()
	case 8:
		return g.discard()
	}
	return g.decidePublication()
}

func (g *generator) putGroup() (Command, func() string) {
	members := policy.List{"town1", "town2"}
	if g.IntN(2) == 0 {
		members = members[1:]
	}
	v := g.a.view()
	now, _ := v.Group("towns")
	v.Close()
	return &GroupPut{Head: admin(), IfRevision: &now.Revision, Object: policy.Group{Code: "towns", Name: "乡镇", Departments: members}}, func() string {
		if g.m.towns == (len(members) == 2) {
			return "applied"
		}
		if now.Revision != g.groupRevision() {
			return "refused revision_conflict"
		}
		g.m.towns = len(members) == 2
		g.m.resources["approvals.case"].revision++
		g.m.leaves++
		g.m.counters["group"]++
		return "applied"
	}
}

func (g *generator) groupRevision() uint64 { return g.m.counters["group"] + 1 }

func (g *generator) putSystem() (Command, func() string) {
	s := system("jianwei", "pub", policy.RolePublisher)
	lose := g.IntN(2) == 0
	if lose {
		s.Roles = policy.List{policy.RoleAuditor}
	}
	revision := g.m.counters["system"] + 1
	return &SystemPut{Head: admin(), IfRevision: &revision, Object: s}, func() string {
		if g.m.mayNot["jianwei.pub"] == lose {
			return "applied"
		}
		if revision != g.m.counters["system"]+1 {
			return "refused revision_conflict"
		}
		g.m.mayNot["jianwei.pub"] = lose
		g.m.leaves++
		g.m.counters["system"]++
		return "applied"
	}
}

func (g *generator) fence() (Command, func() string) {
	name := []string{"fagai.pub", "jianwei.pub", "town1.pub"}[g.IntN(3)]
	c := &SystemFence{Head: admin(), System: name}
	if g.IntN(2) == 0 {
		c.Epoch = g.m.epochs[name]
	}
	return c, func() string {
		epoch := c.Epoch
		if epoch == 0 {
			epoch = max(g.m.epochs[name]+1, g.m.fences[name])
		}
		if epoch > g.m.fences[name] {
			g.m.fences[name] = epoch
			g.m.leaves++
		}
		return "applied"
	}
}

func (g *generator) decideGrant() (Command, func() string) {
	id := fmt.Sprint("g", 1+g.IntN(max(1, g.grant)))
	action := []string{"approve", "approve", "approve", "revoke", "refuse"}[g.IntN(5)]
	return &GrantDecide{Head: by("fagai.rev"), Grant: id, Action: action, Reason: "核实"}, func() string {
		gr := g.m.grants[id]
		next := map[string]string{"requested approve": "approved", "requested refuse": "refused", "approved revoke": "revoked"}
		switch {
		case gr == nil:
			return "refused not_found"
		case next[gr.state+" "+action] == "", action == "approve" && g.m.now >= testGrantEnd:
			return "refused conflict"
		}
		gr.state = next[gr.state+" "+action]
		gr.revision++
		g.m.leaves++
		return "applied"
	}
}

func (g *generator) subscribe() (Command, func() string) {
	id := fmt.Sprint("g", 1+g.IntN(max(1, g.grant)))
	start := policy.Start{Earliest: g.IntN(2) == 0}
	return &SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: id, Start: start}}, func() string {
		gr := g.m.grants[id]
		if gr == nil {
			return "refused not_found"
		}
		if gr.state != "approved" || g.m.now >= testGrantEnd {
			return "refused not_granted"
		}
		s := &mSub{grant: id}
		if !start.Earliest {
			s.acked = uint64(len(g.m.resources["approvals.case"].recs))
		}
		s.handed = s.acked
		g.subs++
		g.m.subs[fmt.Sprint("s", g.subs)] = s
		g.m.leaves++
		return "applied"
	}
}

func (g *generator) changeSubscription() (Command, func() string) {
	id := fmt.Sprint("s", 1+g.IntN(max(1, g.subs)))
	change := func(f func(*mSub) bool) func() string {
		return func() string {
			s := g.m.subs[id]
			if s == nil {
				return "refused not_found"
			}
			if f(s) {
				g.m.leaves++
			}
			return "applied"
		}
	}
	switch g.IntN(5) {
	case 0:
		return &SubscriptionDelete{Head: by("town1.sub"), Subscription: id}, change(func(*mSub) bool { delete(g.m.subs, id); return true })
	case 1:
		return &SubscriptionPause{Head: by("town1.sub"), Subscription: id}, change(func(s *mSub) bool { was := s.paused; s.paused = true; return !was })
	}
	return &SubscriptionResume{Head: by("town1.sub"), Subscription: id}, change(func(s *mSub) bool { was := s.paused; s.paused = false; return was })
}

func (g *generator) discard() (Command, func() string) {
	name := []string{"fagai.pub", "fagai.two", "jianwei.pub", "town1.pub"}[g.IntN(4)]
	n := 1 + g.Uint64N(1+g.m.heldNext[name])
	return &QuarantineDiscard{Head: admin(), System: name, Number: n}, func() string {
		if _, ok := g.m.held[name][n]; !ok {
			return "refused not_found"
		}
		g.m.release(name, n)
		g.m.leaves++
		return "applied"
	}
}

func (g *generator) decidePublication() (Command, func() string) {
	id := fmt.Sprint("p", 1+g.IntN(len(g.m.pubs)+1))
	c := &PublicationDecide{Head: by([]string{"fagai.rev", "zhengwu.rev"}[g.IntN(2)]), Publication: id, Action: "approve", Note: "看过", Seen: "c"}
	switch g.IntN(10) {
	case 0:
		c.Action = "return"
	case 1:
		c.Action, c.Head = "withdraw", admin()
	}
	return c, func() string { return g.decided(c) }
}

func (g *generator) decided(c *PublicationDecide) string {
	i := slices.IndexFunc(g.m.pubs, func(p *mPub) bool { return p.id == c.Publication })
	if i < 0 {
		return "refused not_found"
	}
	p := g.m.pubs[i]
	if c.Action == "withdraw" {
		if p.state == "withdrawn" {
			return "refused conflict"
		}
		if p.published == 0 {
			g.m.leaves++
		}
		g.m.takeDown(p)
		return "applied"
	}
	if p.state != "pending" {
		return "refused conflict"
	}
	if c.By.System != []string{"fagai.rev", "zhengwu.rev"}[p.step] {
		return "refused not_granted"
	}
	g.m.leaves++
	switch {
	case c.Action == "return":
		p.state = "returned"
	case p.step == 1:
		p.state, p.published = "published", p.version
		p.res.feed = append(p.res.feed, fmt.Sprintf("%s v%d false", p.key, p.version))
	default:
		p.step = 1
	}
	return "applied"
}
