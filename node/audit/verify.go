package audit

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Verify reads and judges an evidence file of size bytes with nothing but the auditor's trust file. Whatever is in the
// file, the answer is a Report; the error is only that of r, or tlog.ErrTrust for a trust file that cannot be used.
func Verify(r io.ReaderAt, size int64, trust tlog.Trust) (Report, error) {
	counted := &failingReader{r: r, size: size}
	e, err := Read(counted, size)
	if counted.err != nil {
		return Report{}, fmt.Errorf("verify evidence: %w", counted.err)
	}
	if err != nil {
		zh, en := "结构不合格式", "malformed"
		if refused, ok := errors.AsType[*archiveError](err); ok {
			zh, en = refused.zh, refused.en
		}
		rep := Report{Unverified: []string{"for", "at"}}
		rep.claim(ClaimContainer, Invalid, zh, en)
		return rep, nil
	}
	return Check(e, trust)
}

// failingReader tells a failing disk from a malformed file.
type failingReader struct {
	r    io.ReaderAt
	size int64
	err  error
}

func (f *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > f.size { // a malformed directory points anywhere
		return 0, io.ErrUnexpectedEOF
	}
	n, err := f.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// Check judges evidence with nothing but a trust file. It returns tlog.ErrTrust if that cannot be used.
func Check(e Evidence, trust tlog.Trust) (Report, error) {
	c := &checker{e: e, trust: trust, leaves: map[uint64]Leaf{}}
	c.r = Report{Log: e.Log, Resource: e.Resource, For: e.For, At: e.At, Unverified: []string{"for", "at"}}
	c.r.claim(ClaimContainer, Valid, "结构完整", "well-formed")
	if err := c.checkpoint(); err != nil {
		return Report{}, err
	}
	if c.readLeaves() {
		c.inclusion()
		c.time()
		c.records()
		c.chain()
		c.openings()
		c.deliveries()
		c.grants()
		c.publications()
		c.objects()
		c.receipts()
	}
	c.end()
	return c.r, nil
}

// claim adds a claim and raises the verdict to its own. A verdict nobody set is none to rely on.
func (r *Report) claim(name string, v Verdict, zh, en string) {
	if v == Unknown {
		v = Invalid
	}
	r.Claims = append(r.Claims, Claim{Name: name, Verdict: v, Zh: plain(zh), En: plain(en)})
	r.Verdict = max(r.Verdict, v)
}

// checker works through one evidence. Methods run in the order of Check; each adds at least one claim where there is
// something to say.
type checker struct {
	e       Evidence
	trust   tlog.Trust
	r       Report
	head    tlog.Checkpoint
	signed  bool            // head is signed by the log of the trust file; the quorum has its own claim
	stale   []string        // cosigners of the checkpoint whose keys the trust file does not know
	leaves  map[uint64]Leaf // by index
	order   []Leaf          // ascending by index
	chained []version       // versions 1..k, filled by chain
}

// version is one record of the chain.
type version struct {
	item  Item
	leaf  Leaf
	proof RecordProof
}

// fail claims that something does not hold.
func (c *checker) fail(name, zh, en string) { c.r.claim(name, Invalid, zh, en) }

// checkpoint judges the cosigned note. Only a trust file that cannot be used is an error.
func (c *checker) checkpoint() error {
	if c.e.Checkpoint == nil {
		if _, _, err := c.trust.Check(nil); errors.Is(err, tlog.ErrTrust) {
			return fmt.Errorf("verify evidence: %w", err)
		}
		c.r.claim(ClaimLog, NotCovered, "尚无检查点:请稍后重新取证", "no checkpoint yet: ask for the evidence again later")
		return nil
	}
	head, times, err := c.trust.Check(c.e.Checkpoint)
	c.r.Cosigned = times
	c.stale = strangers(c.e.Checkpoint, c.trust)
	short := errors.Is(err, tlog.ErrQuorum) // then the log's own signature holds
	if short && len(c.stale) > 0 {
		head, err = signedHead(c.e.Checkpoint)
	}
	switch {
	case errors.Is(err, tlog.ErrTrust):
		return fmt.Errorf("verify evidence: %w", err)
	case errors.Is(err, tlog.ErrOrigin):
		c.fail(ClaimLog, fmt.Sprintf("日志 %q 不在信任文件中", c.e.Log), fmt.Sprintf("log %q is not in the trust file", c.e.Log))
		return nil
	case errors.Is(err, tlog.ErrQuorum):
		n, of := len(times), len(c.trust.Witnesses)
		c.fail(ClaimQuorum, fmt.Sprintf("共同签名不足:信任文件的 %d 个签名者中只有 %d 个", of, n),
			fmt.Sprintf("cosignature policy not met: %d of the %d cosigners in the trust file", n, of))
		return nil
	case err != nil:
		c.fail(ClaimLog, "检查点不合格式,或签名不符", "checkpoint is malformed or a signature does not hold")
		return nil //nolint:nilerr // the report says it
	case head.Origin != c.e.Log:
		c.fail(ClaimLog, fmt.Sprintf("文件自称日志 %q,检查点却是 %q", c.e.Log, head.Origin),
			fmt.Sprintf("the file says log %q, the checkpoint is of %q", c.e.Log, head.Origin))
		return nil
	}
	c.head, c.signed = head, true
	c.r.Size = head.Size
	c.r.claim(ClaimLog, Valid, "日志已签名,且在信任文件中", "signed by a log of the trust file")
	if short {
		list, n, of := strings.Join(c.stale, " "), len(times), len(c.trust.Witnesses)
		c.r.claim(ClaimQuorum, NotCovered,
			fmt.Sprintf("信任文件早于现有节点,请取新的信任文件并当面核对指纹:检查点有信任文件不认识的签名者 %s,认识的 %d 个中只有 %d 个签名;在此之前不能排除是伪造", list, of, n),
			fmt.Sprintf("the trust file is older than the present nodes; get a newer one and compare its fingerprints in person: the checkpoint carries cosigners it does not know (%s), and %d of the %d it knows; until then a forgery is not excluded", list, n, of))
		return nil
	}
	c.r.claim(ClaimQuorum, Valid, fmt.Sprintf("%d 个签名者,符合信任文件的要求", len(times)),
		fmt.Sprintf("%d cosigners, as the trust file asks", len(times)))
	return nil
}

// signedHead reads the checkpoint of a note whose signatures were looked at before.
func signedHead(note []byte) (tlog.Checkpoint, error) {
	text, err := tlog.NoteText(note)
	if err != nil {
		return tlog.Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	head, err := tlog.ParseCheckpoint(text)
	if err != nil {
		return tlog.Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	return head, nil
}

// readLeaves parses the leaves; without them nothing else can be judged.
func (c *checker) readLeaves() bool {
	if len(c.e.Leaves) == 0 {
		c.r.claim(ClaimLeaves, NotCovered, "文件中没有任何叶", "there is no leaf in the file")
		return false
	}
	for _, p := range c.e.Leaves {
		l, err := ParseLeaf(p.Bytes)
		_, twice := c.leaves[p.Index]
		if err != nil || l.I != p.Index || twice {
			c.fail(ClaimLeaves, fmt.Sprintf("叶 %d 的内容不合格式,或与编号不符,或重复", p.Index),
				fmt.Sprintf("leaf %d is malformed, has another index inside, or stands twice", p.Index))
			return false
		}
		c.leaves[p.Index] = l
		c.order = append(c.order, l)
		c.r.Events = append(c.r.Events, EventOf(c.e.Log, l, nil))
	}
	c.r.claim(ClaimLeaves, Valid, fmt.Sprintf("%d 个叶", len(c.order)), fmt.Sprintf("%d leaves", len(c.order)))
	return true
}

// inclusion checks that each leaf leads to the root of the checkpoint.
func (c *checker) inclusion() {
	if !c.signed {
		return // the fault of the checkpoint has been named
	}
	var pending []string
	for _, p := range c.e.Leaves {
		if p.Pending {
			if p.Index < c.head.Size {
				c.fail(ClaimInclusion, fmt.Sprintf("叶 %d 缺少证明", p.Index), fmt.Sprintf("leaf %d has no proof", p.Index))
				return
			}
			pending = append(pending, fmt.Sprint(p.Index))
			continue
		}
		err := tlog.CheckRecord(p.Path, int64(c.head.Size), c.head.Root, int64(p.Index), tlog.LeafHash(p.Bytes))
		if p.Index >= c.head.Size || err != nil {
			c.fail(ClaimInclusion, fmt.Sprintf("叶 %d 算出的根与检查点不同:内容或证明被改动", p.Index),
				fmt.Sprintf("leaf %d: calculated root differs from the checkpoint: leaf or proof was altered", p.Index))
			return
		}
	}
	if len(pending) > 0 {
		list := strings.Join(pending, " ")
		c.r.claim(ClaimInclusion, NotCovered, fmt.Sprintf("叶 %s 尚未进入检查点(%d 叶):请稍后重新取证", list, c.head.Size),
			fmt.Sprintf("leaf %s is not yet under the checkpoint of %d leaves: ask for the evidence again later", list, c.head.Size))
		return
	}
	c.r.claim(ClaimInclusion, Valid, "每个叶都在检查点之内", "every leaf is under the checkpoint")
}

// maxAheadMs is how far log time may be ahead of every cosigner's clock before the report says so: nodes hand
// leadership on at 30 s (FORMATS §5).
const maxAheadMs = 60_000

// time checks that log time never decreases, and brackets it by the clocks of the cosigners.
func (c *checker) time() {
	for i := 1; i < len(c.order); i++ {
		if c.order[i].T < c.order[i-1].T {
			c.fail(ClaimTime, fmt.Sprintf("叶 %d 的时间早于叶 %d", c.order[i].I, c.order[i-1].I),
				fmt.Sprintf("leaf %d is earlier than leaf %d", c.order[i].I, c.order[i-1].I))
			return
		}
	}
	first, last := c.order[0].T, c.order[len(c.order)-1].T
	zh := fmt.Sprintf("顺序一致,日志时间 %s 至 %s", FormatTime(first), FormatTime(last))
	en := fmt.Sprintf("in order, log time from %s to %s", FormatTime(first), FormatTime(last))
	if latest := c.r.Cosigned.Latest(); latest > 0 {
		zh += fmt.Sprintf(",最晚的共同签名在 %s", FormatTime(latest*1000))
		en += fmt.Sprintf(", latest cosignature at %s", FormatTime(latest*1000))
		if ahead := last - latest*1000; ahead > maxAheadMs {
			zh += fmt.Sprintf("(日志时钟比所有签名者快 %d 秒,请查明原因)", ahead/1000)
			en += fmt.Sprintf(" (the log's clock was %d s ahead of every cosigner: find out why)", ahead/1000)
		}
	}
	c.r.claim(ClaimTime, Valid, zh, en)
}

// records checks that each item lies in its acceptance leaf at the place its offset gives.
func (c *checker) records() {
	if len(c.e.Records) == 0 {
		c.r.claim(ClaimRecords, NotCovered, "文件中没有该记录的任何版本", "there is no version of the record in the file")
		return
	}
	for _, p := range c.e.Records {
		item, err := ParseItem(p.Item)
		l, ok := c.leaves[p.Leaf]
		switch {
		case err != nil || item.Offset != p.Offset || item.Version == 0:
			c.fail(ClaimRecords, fmt.Sprintf("位移 %d 的项不合格式", p.Offset), fmt.Sprintf("the item of offset %d is malformed", p.Offset))
			return
		case !ok:
			c.fail(ClaimRecords, fmt.Sprintf("位移 %d 的接收叶 %d 不在文件中", p.Offset, p.Leaf),
				fmt.Sprintf("the acceptance leaf %d of offset %d is not in the file", p.Leaf, p.Offset))
			return
		case l.Type != SubmissionAccepted || l.Resource != c.e.Resource:
			c.fail(ClaimRecords, fmt.Sprintf("叶 %d 不是该资源的接收叶", l.I), fmt.Sprintf("leaf %d is no acceptance of this resource", l.I))
			return
		case l.Count > 1<<31 || item.Offset < l.First || uint64(p.Place) != item.Offset-l.First ||
			CheckInner(l.Root, p.Item, p.Place, int(l.Count), p.Path) != nil:
			c.fail(ClaimRecords, fmt.Sprintf("位移 %d 的项不在叶 %d 之内:内容或路径被改动", p.Offset, l.I),
				fmt.Sprintf("the item of offset %d does not lead to the inner root of leaf %d: it was altered", p.Offset, l.I))
			return
		}
		c.chained = append(c.chained, version{item: item, leaf: l, proof: p})
	}
	for _, l := range c.order { // what is of no version in the file has lost its version
		if l.Type == SubmissionAccepted && !slices.ContainsFunc(c.e.Records, func(p RecordProof) bool { return p.Leaf == l.I }) {
			c.r.claim(ClaimRecords, NotCovered, fmt.Sprintf("接收叶 %d 在文件中,其中的版本却不在", l.I),
				fmt.Sprintf("the acceptance leaf %d is in the file, but no version in it is", l.I))
			return
		}
	}
	c.r.claim(ClaimRecords, Valid, fmt.Sprintf("%d 项都在各自的接收叶之内", len(c.chained)),
		fmt.Sprintf("%d items lie in their acceptance leaves", len(c.chained)))
}

// chain checks that the versions follow one another without a gap, in the order of offsets, linked by back pointers,
// from version 1 on. A file that begins later (an item was dropped with its leaf, or left out) shows nothing false,
// but does not cover the record.
func (c *checker) chain() {
	if len(c.chained) == 0 || len(c.chained) != len(c.e.Records) {
		c.chained = nil
		return
	}
	first := c.chained[0].item
	linked := first.Version > 1 || first.Previous == 0
	for i, v := range c.chained[1:] { // ascending by offset
		before, want := c.chained[i], first.Version+uint64(i)+1
		switch {
		case v.item.Version != want:
			c.fail(ClaimChain, fmt.Sprintf("版本链断开:应为第 %d 版,位移 %d 却是第 %d 版", want, v.item.Offset, v.item.Version),
				fmt.Sprintf("chain broken at version %d: offset %d is version %d", want, v.item.Offset, v.item.Version))
			return
		case before.item.Offset == v.item.Offset || before.leaf.I > v.leaf.I:
			c.fail(ClaimChain, fmt.Sprintf("版本链断开:第 %d 版不在第 %d 版之后", want, want-1), fmt.Sprintf("chain broken at version %d: it does not follow version %d", want, want-1))
			return
		case v.item.Previous != 0 && v.item.Previous != before.item.Offset:
			c.fail(ClaimChain, fmt.Sprintf("版本链断开:第 %d 版所指的前一版不是位移 %d", want, before.item.Offset),
				fmt.Sprintf("chain broken at version %d: its back pointer is not offset %d", want, before.item.Offset))
			return
		}
		linked = linked && v.item.Previous != 0
	}
	last := c.last()
	if first.Version > 1 {
		c.r.claim(ClaimChain, NotCovered, fmt.Sprintf("第 %d 至 %d 版连续,但第 1 至 %d 版不在文件中", first.Version, last, first.Version-1),
			fmt.Sprintf("versions %d to %d without a gap, but versions 1 to %d are not in the file", first.Version, last, first.Version-1))
		return
	}
	zh := fmt.Sprintf("第 1 至 %d 版连续无缺;有无第 %d 版,文件证明不了", last, last+1)
	en := fmt.Sprintf("versions 1 to %d without a gap; whether there is a version %d the file cannot show", last, last+1)
	if !linked && !c.sameKey() {
		zh += ";主键封存,各版同属一个主键未予证明"
		en += "; keys are sealed, that all versions are of one key is not shown"
	}
	c.r.claim(ClaimChain, Valid, zh, en)
}

// last is the last version of the chain, 0 without one.
func (c *checker) last() uint64 {
	if len(c.chained) == 0 {
		return 0
	}
	return c.chained[len(c.chained)-1].item.Version
}

// sameKey reports whether every version's key is opened; openings sees to it that they are equal.
func (c *checker) sameKey() bool {
	for _, v := range c.chained {
		if v.proof.Open.Key == nil {
			return false
		}
	}
	return true
}

// openings checks that what is opened is what was committed to, and fills the report with it.
func (c *checker) openings() {
	for _, v := range c.chained {
		o := v.proof.Open
		rec := ReportRecord{
			Version: v.item.Version, Offset: v.item.Offset, Leaf: Address(c.e.Log, v.leaf.I), At: v.leaf.T,
			System: v.item.System, Withdraw: v.item.Withdraw,
		}
		for _, part := range []struct {
			zh, en     string
			opening    *Opening
			tag        record.Tag
			commitment tlog.Hash
			to         *string
		}{
			{"正文", "body", o.Body, record.TagBody, v.item.Body, &rec.Body},
			{"主键", "key", o.Key, record.TagKey, v.item.Key, &rec.Key},
			{"编号", "id", o.ID, record.TagID, v.item.ID, &rec.ID},
		} {
			if part.opening == nil {
				c.r.Sealed++
				continue
			}
			if !part.opening.holds(part.tag, part.commitment) {
				c.fail(ClaimOpenings, fmt.Sprintf("第 %d 版的%s与承诺不符:开示的内容被改动", v.item.Version, part.zh),
					fmt.Sprintf("version %d: the opening of the %s does not match: it was altered", v.item.Version, part.en))
				return
			}
			*part.to = string(part.opening.Value)
			c.r.Opened++
		}
		rec.BodyOpen = o.Body != nil
		if o.Key != nil && c.r.Key != "" && c.r.Key != rec.Key {
			c.fail(ClaimOpenings, fmt.Sprintf("第 %d 版的主键与前面各版不同", v.item.Version),
				fmt.Sprintf("version %d has another key than the versions before", v.item.Version))
			return
		}
		c.r.Key = max(c.r.Key, rec.Key)
		c.r.Records = append(c.r.Records, rec)
	}
	if len(c.chained) > 0 {
		c.r.claim(ClaimOpenings, Valid, fmt.Sprintf("开示 %d 项与承诺相符,封存 %d 项", c.r.Opened, c.r.Sealed),
			fmt.Sprintf("%d opened match their commitments, %d sealed", c.r.Opened, c.r.Sealed))
	}
}
