package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// deliveries checks ranges and acknowledgements of each subscription, and the delivery items that are given.
func (c *checker) deliveries() {
	if !c.deliveryItems() {
		return
	}
	var names []string
	for _, l := range c.order {
		awaited := l.Type == SubscriptionCreated && l.Resource == c.e.Resource && l.First <= c.lastOffset() && !c.deleted(l)
		if (awaited || l.Type == DeliveryDelivered || l.Type == DeliveryAcknowledged) && !slices.Contains(names, l.Subscription) {
			names = append(names, l.Subscription)
		}
	}
	for _, name := range names {
		if !c.subscription(name) {
			return
		}
	}
	if len(names) == 0 {
		c.r.claim(ClaimDeliveries, Valid, "文件中没有投递", "there is no delivery in the file")
		return
	}
	c.r.claim(ClaimDeliveries, Valid, fmt.Sprintf("所示 %d 个订阅的投递区间相接,确认都有投递在前;有无别的订阅,文件证明不了", len(names)),
		fmt.Sprintf("ranges of the %d subscriptions shown join, every acknowledgement follows a delivery; whether there are others the file cannot show", len(names)))
}

// lastOffset is the offset of the last version in the file, 0 without one.
func (c *checker) lastOffset() uint64 {
	if len(c.chained) == 0 {
		return 0
	}
	return c.chained[len(c.chained)-1].item.Offset
}

// deleted reports whether the file shows the end of a subscription after its beginning: then nothing more is awaited.
func (c *checker) deleted(created Leaf) bool {
	return slices.ContainsFunc(c.order, func(l Leaf) bool {
		return l.Type == SubscriptionDeleted && l.Subscription == created.Subscription && l.I > created.I
	})
}

// deliveryItems checks items against the inner roots of their leaves, and openings of projections.
func (c *checker) deliveryItems() bool {
	opened := 0
	for _, p := range c.e.Deliveries {
		item, err := ParseDeliveryItem(p.Item)
		l, ok := c.leaves[p.Leaf]
		n := l.Delivered + l.Filtered
		switch {
		case err != nil || item.Offset != p.Offset || !ok || l.Type != DeliveryDelivered:
			c.fail(ClaimDeliveries, fmt.Sprintf("叶 %d 位移 %d 的投递项不合格式或没有投递叶", p.Leaf, p.Offset),
				fmt.Sprintf("the delivery item of offset %d in leaf %d is malformed or has no delivery leaf", p.Offset, p.Leaf))
			return false
		case n > 1<<31 || item.Offset < l.First || item.Offset > l.Through || c.versionAt(item.Offset) == 0 ||
			CheckInner(l.Root, p.Item, p.Place, int(n), p.Path) != nil:
			c.fail(ClaimDeliveries, fmt.Sprintf("位移 %d 的投递项不在叶 %d 之内:内容或路径被改动", p.Offset, p.Leaf),
				fmt.Sprintf("the delivery item of offset %d does not lead to the inner root of leaf %d: it was altered", p.Offset, p.Leaf))
			return false
		case p.Projection != nil && !p.Projection.holds(record.TagProjection, item.Projection):
			c.fail(ClaimOpenings, fmt.Sprintf("叶 %d 位移 %d 的投递内容与承诺不符:开示的内容被改动", p.Leaf, p.Offset),
				fmt.Sprintf("leaf %d, offset %d: the opening of what was delivered does not match: it was altered", p.Leaf, p.Offset))
			return false
		}
		switch {
		case p.Projection != nil:
			opened++
		case item.Verdict == VerdictDelivered:
			c.r.Sealed++
		}
	}
	c.r.Opened += opened
	return true
}

// versionAt is the version of this record at an offset, 0 if there is none.
func (c *checker) versionAt(offset uint64) uint64 {
	for _, v := range c.chained {
		if v.item.Offset == offset {
			return v.item.Version
		}
	}
	return 0
}

// subscription checks the leaves of one subscription, in the order of the log: each range well-formed, no version of
// the record left out between two ranges, nothing acknowledged that no range before delivered.
func (c *checker) subscription(name string) bool {
	s := ReportSubscription{Subscription: name, Grants: []string{}, Delivered: []uint64{}, Filtered: []uint64{}, Acknowledged: []uint64{}, Projections: []string{}}
	var reached uint64 // the highest offset a range has come to since the subscription began
	for _, l := range c.order {
		if l.Subscription != name {
			continue
		}
		switch l.Type {
		case SubscriptionCreated, SubscriptionDeleted:
			reached = 0 // begins anew where it was told to
		case DeliveryDelivered:
			if !c.delivered(l, reached, &s) {
				return false
			}
			reached = max(reached, l.Through)
		case DeliveryAcknowledged:
			if !c.acknowledged(l, &s) {
				return false
			}
		}
	}
	s.Closed = slices.Contains(s.Acknowledged, c.last())
	c.r.Subscriptions = append(c.r.Subscriptions, s)
	return true
}

func (c *checker) delivered(l Leaf, reached uint64, s *ReportSubscription) bool {
	if l.Resource != c.e.Resource || l.First == 0 || l.Through < l.First || l.Delivered+l.Filtered > l.Through-l.First+1 {
		c.fail(ClaimDeliveries, fmt.Sprintf("投递叶 %d 的区间不合理", l.I), fmt.Sprintf("delivery leaf %d has an impossible range", l.I))
		return false
	}
	if len(l.Systems) == 1 {
		s.System = l.Systems[0]
	}
	if l.Grant != "" && !slices.Contains(s.Grants, l.Grant) {
		s.Grants = append(s.Grants, l.Grant)
	}
	for _, v := range c.chained {
		o := v.item.Offset
		if reached > 0 && o > reached && o < l.First {
			c.fail(ClaimDeliveries, fmt.Sprintf("订阅 %s 的投递链断开:第 %d 版(位移 %d)所在的区间不在文件中", s.Subscription, v.item.Version, o),
				fmt.Sprintf("chain broken for subscription %s: the range with version %d (offset %d) is not in the file", s.Subscription, v.item.Version, o))
			return false
		}
		if o < l.First || o > l.Through {
			continue
		}
		if v.leaf.I >= l.I {
			c.fail(ClaimDeliveries, fmt.Sprintf("叶 %d 在接收之前投递了位移 %d", l.I, o), fmt.Sprintf("leaf %d delivers offset %d before it was accepted", l.I, o))
			return false
		}
		to := &s.Delivered
		if c.filtered(l, o, s) {
			to = &s.Filtered
		}
		if !slices.Contains(*to, v.item.Version) {
			*to = append(*to, v.item.Version)
		}
		s.passed = append(s.passed, v.item.Version)
	}
	return true
}

// filtered reports whether the file proves that a delivery passed an offset over, and takes what it opens of it.
func (c *checker) filtered(l Leaf, offset uint64, s *ReportSubscription) bool {
	for _, p := range c.e.Deliveries {
		if p.Leaf != l.I || p.Offset != offset {
			continue
		}
		if p.Projection != nil {
			s.Projections = append(s.Projections, string(p.Projection.Value))
		}
		item, err := ParseDeliveryItem(p.Item)
		return err == nil && item.Verdict == VerdictFiltered
	}
	return false
}

func (c *checker) acknowledged(l Leaf, s *ReportSubscription) bool {
	if l.Resource != c.e.Resource || l.Through == 0 || l.First > l.Through {
		c.fail(ClaimDeliveries, fmt.Sprintf("确认叶 %d 的区间不合理", l.I), fmt.Sprintf("acknowledgement leaf %d has an impossible range", l.I))
		return false
	}
	for _, v := range c.chained {
		o := v.item.Offset
		if o < l.First || o > l.Through || slices.Contains(s.Acknowledged, v.item.Version) {
			continue
		}
		if !slices.Contains(s.passed, v.item.Version) {
			if l.First == 0 {
				continue // an acknowledgement without a beginning reaches back before the subscription's start
			}
			c.fail(ClaimDeliveries, fmt.Sprintf("订阅 %s 的投递链断开:第 %d 版有确认却没有投递", s.Subscription, v.item.Version),
				fmt.Sprintf("chain broken for subscription %s: version %d is acknowledged, but its delivery is not in the file", s.Subscription, v.item.Version))
			return false
		}
		s.Acknowledged = append(s.Acknowledged, v.item.Version)
	}
	return true
}

// graceMs is how long after a revocation a delivery may still enter the log: invariant 5 gives it one second to take
// effect everywhere.
const graceMs = 1000

// grantState is what the leaves of one grant have said so far.
type grantState struct {
	approved bool
	revision uint64 // of the approval
	from     int64  // log time since which only this revision counts
	ended    bool   // revoked, refused or expired
	end      int64  // log time of that
}

// covers reports whether a delivery may lie under the grant as it stands.
func (g grantState) covers(delivery Leaf) bool {
	if g.ended && delivery.T > g.end+graceMs {
		return false
	}
	older := g.approved && delivery.GrantRevision != 0 && delivery.GrantRevision < g.revision
	return !older || delivery.T <= g.from+graceMs
}

// grants checks that no delivery lies outside its grant as far as the file shows it.
func (c *checker) grants() {
	grants := map[string]grantState{}
	revisions := map[string]map[uint64]bool{} // shown, by grant
	shown, missing, unseen := 0, []string{}, []string{}
	for _, l := range c.order {
		g := grants[l.Grant]
		if strings.HasPrefix(l.Type, "grant.") && l.GrantRevision != 0 {
			if revisions[l.Grant] == nil {
				revisions[l.Grant] = map[uint64]bool{}
			}
			revisions[l.Grant][l.GrantRevision] = true
		}
		switch l.Type {
		case GrantApproved:
			grants[l.Grant] = grantState{approved: true, revision: l.GrantRevision, from: l.T}
		case GrantRevoked, GrantExpired, GrantRefused:
			g.ended, g.end = true, l.T
			grants[l.Grant] = g
		case DeliveryDelivered:
			switch {
			case !g.covers(l):
				c.fail(ClaimGrants, fmt.Sprintf("叶 %d 的投递不在授权 %s 之内", l.I, l.Grant), fmt.Sprintf("the delivery of leaf %d lies outside grant %s", l.I, l.Grant))
				return
			case g.approved:
				shown++
				at := fmt.Sprintf("%s(%d)", l.Grant, l.GrantRevision)
				if l.GrantRevision > g.revision && !revisions[l.Grant][l.GrantRevision] && !slices.Contains(unseen, at) {
					unseen = append(unseen, at)
				}
			case l.Grant != "" && !slices.Contains(missing, l.Grant):
				missing = append(missing, l.Grant)
			}
		}
	}
	if shown == 0 && len(missing) == 0 {
		return
	}
	zh := fmt.Sprintf("%d 次投递在所示授权之内;授权有无未示出的撤销,文件证明不了", shown)
	en := fmt.Sprintf("%d deliveries lie within the grants shown; whether a grant was revoked beside what is shown the file cannot show", shown)
	if len(unseen) > 0 {
		list := strings.Join(unseen, " ")
		c.r.claim(ClaimGrants, NotCovered, "有投递依授权的较新修订 "+list+",该修订不在文件中", "deliveries were made under a newer revision of a grant, "+list+", which is not in the file")
		return
	}
	if len(missing) > 0 {
		list := strings.Join(missing, " ")
		zh += ";授权 " + list + " 的批准不在文件中"
		en += "; the approval of grant " + list + " is not in the file"
	}
	c.r.claim(ClaimGrants, Valid, zh, en)
}

// publications checks that decisions of the disclosure route concern versions of this record, after acceptance.
func (c *checker) publications() {
	n := 0
	for _, l := range c.order {
		if !strings.HasPrefix(l.Type, "publication.") {
			continue
		}
		n++
		known := slices.ContainsFunc(c.chained, func(v version) bool { return v.item.Offset == l.Offset && v.leaf.I < l.I })
		earlier := len(c.chained) > 0 && c.chained[0].item.Version > 1 && l.Offset < c.chained[0].item.Offset
		if l.Resource != c.e.Resource || l.Offset != 0 && !known && !earlier {
			c.fail(ClaimPublications, fmt.Sprintf("叶 %d 的公开决定与本记录无关", l.I), fmt.Sprintf("the decision of leaf %d does not concern this record", l.I))
			return
		}
	}
	if n > 0 {
		c.r.claim(ClaimPublications, Valid, fmt.Sprintf("%d 个公开环节", n), fmt.Sprintf("%d decisions of the disclosure route", n))
	}
}

// objects checks catalogue objects against the digests in their leaves.
func (c *checker) objects() {
	for _, o := range c.e.Objects {
		if l, ok := c.leaves[o.Leaf]; !ok || l.Digest != Digest(o.JSON) {
			c.fail(ClaimObjects, fmt.Sprintf("叶 %d 的目录对象与摘要不符", o.Leaf), fmt.Sprintf("the catalogue object of leaf %d does not match its digest", o.Leaf))
			return
		}
	}
	if n := len(c.e.Objects); n > 0 {
		c.r.claim(ClaimObjects, Valid, fmt.Sprintf("%d 个对象与摘要相符", n), fmt.Sprintf("%d match their digests", n))
	}
}

// receipts checks signed receipts against leaf and item.
func (c *checker) receipts() {
	for i, msg := range c.e.Receipts {
		r, _, err := OpenReceipt(msg, c.trust)
		unknown := false
		if err != nil && c.byStrangers(msg) {
			if text, bad := tlog.NoteText(msg); bad == nil {
				r, err = ParseReceipt(text)
				unknown = true
			}
		}
		if err != nil {
			c.fail(ClaimReceipts, fmt.Sprintf("回执 %d 不合格式,或不是信任的节点所签", i), fmt.Sprintf("receipt %d is malformed or not signed by a trusted node", i))
			return
		}
		l, ok := c.leaves[r.Leaf]
		matches := slices.ContainsFunc(c.chained, func(v version) bool {
			return v.item.Offset == r.Offset && v.item.Version == r.Version && v.item.Body == r.Commitment && v.leaf.I == r.Leaf && v.proof.Place == r.Ordinal
		})
		if !ok || !matches || r.Log != c.e.Log || r.Resource != c.e.Resource || r.LeafHash != tlog.LeafHash(l.Encode()) {
			c.fail(ClaimReceipts, fmt.Sprintf("回执 %d 与叶 %d 不符", i, r.Leaf), fmt.Sprintf("receipt %d does not match leaf %d", i, r.Leaf))
			return
		}
		if unknown {
			c.r.claim(ClaimReceipts, NotCovered, fmt.Sprintf("回执 %d 为信任文件不认识的节点所签,请取新的信任文件", i),
				fmt.Sprintf("receipt %d is signed by a node the trust file does not know; get a newer trust file", i))
			return
		}
	}
	if n := len(c.e.Receipts); n > 0 {
		c.r.claim(ClaimReceipts, Valid, fmt.Sprintf("%d 张回执与叶相符", n), fmt.Sprintf("%d match their leaves", n))
	}
}

// bounds says what a file proves and what no file can: it shows leaves of a prefix of the log, and whoever passed it
// on may have left others of the same prefix out.
func bounds(size, last uint64) (zh, en string) {
	zh = fmt.Sprintf("只证明文件所示的内容,所示各叶在日志的前 %d 叶之内;文件证明不了没有别的:这 %d 叶之内未在文件中示出的叶(第 %d 版以后的版本、授权的撤销、别的订阅)不能由它排除,此后发生的事也不在其内。"+
		"要确知没有遗漏,请与发布部门的连续版本号核对,或另取一份新的证据包,或核对日志的完整导出", size, size, last)
	en = fmt.Sprintf("prefix as of size %d: only what the file shows is proven. It does not prove that there is nothing else: leaves within these %d that the file does not show (versions after %d, revocations, other subscriptions) are not excluded by it, and nothing later is in it. "+
		"To be sure, compare with the publisher's dense versions, with a fresh evidence file, or with the full export of the log", size, size, last)
	return zh, en
}

// end says where the evidence ends: a prefix of the log always, closed if every subscription in it has come through.
func (c *checker) end() {
	var open []string
	for _, s := range c.r.Subscriptions {
		if !s.Closed {
			open = append(open, s.Subscription)
		}
	}
	c.r.Closed = c.r.Verdict == Valid && len(c.r.Subscriptions) > 0 && len(open) == 0
	if c.r.Verdict == Invalid {
		c.r.EndZh, c.r.EndEn = "文件无效,不说明任何事实", "the file is invalid and shows nothing"
		return
	}
	k := c.last()
	zh, en := bounds(c.r.Size, k)
	switch {
	case len(c.r.Subscriptions) == 0:
		zh, en = "文件中没有投递;"+zh, "the file shows no delivery; "+en
	case c.r.Closed:
		zh, en = fmt.Sprintf("就文件所示,交换已闭合:所示 %d 个订阅都确认了所示最后一版(第 %d 版);", len(c.r.Subscriptions), k)+zh,
			fmt.Sprintf("exchange closed as far as the file shows: all %d subscriptions shown acknowledged the last version shown, %d; ", len(c.r.Subscriptions), k)+en
	case len(open) > 0:
		list := strings.Join(open, " ")
		zh, en = "交换未闭合:订阅 "+list+" 尚未确认所示最后一版;"+zh, "exchange not closed: subscription "+list+" has not acknowledged the last version shown; "+en
	}
	c.r.EndZh, c.r.EndEn = plain(zh), plain(en)
}
