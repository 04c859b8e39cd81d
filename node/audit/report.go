package audit

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/hutong-bus/hutong/node/tlog"
)

// Verdict is the outcome of a verification. The zero value is Unknown, which passes nowhere.
type Verdict uint8

// Verdicts, in rising order of what they override.
const (
	Unknown    Verdict = iota // nothing was verified
	Valid                     // everything in the file is proven
	NotCovered                // nothing is false, but something is not (yet) under a cosigned checkpoint, or absent
	Invalid                   // something does not hold
)

// String is "unknown", "valid", "not covered" or "invalid".
func (v Verdict) String() string {
	switch v {
	case Unknown:
		return "unknown"
	case Valid:
		return "valid"
	case NotCovered:
		return "not covered"
	case Invalid:
		return "invalid"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// MarshalText writes String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// ExitCode is the exit code of hutongctl audit verify (CONTRACT §3): 0, 4 or 2; 1 for Unknown.
func (v Verdict) ExitCode() int {
	switch v {
	case Valid:
		return 0
	case NotCovered:
		return 4
	case Invalid:
		return 2
	}
	return 1
}

// Claim is one thing that was checked, with a sentence for people in both languages.
type Claim struct {
	Name    string  `json:"name"` // one of the Claim constants
	Verdict Verdict `json:"verdict"`
	Zh      string  `json:"zh"`
	En      string  `json:"en"`
}

// OK reports whether the claim holds.
func (c Claim) OK() bool { return c.Verdict == Valid }

// Names of claims.
const (
	ClaimContainer    = "container"    // the ZIP itself
	ClaimLog          = "log"          // signature of the log, and that it is in the trust file
	ClaimQuorum       = "quorum"       // cosignatures
	ClaimLeaves       = "leaves"       // bytes of leaves
	ClaimInclusion    = "inclusion"    // leaves lead to the root of the checkpoint
	ClaimTime         = "time"         // time order and bracket
	ClaimRecords      = "records"      // items lead to the inner roots of their leaves
	ClaimChain        = "chain"        // versions dense from 1
	ClaimOpenings     = "openings"     // openings match commitments
	ClaimDeliveries   = "deliveries"   // ranges contiguous, nothing acknowledged that was not delivered
	ClaimGrants       = "grants"       // deliveries lie within their grants
	ClaimPublications = "publications" // review decisions concern versions of this record
	ClaimObjects      = "objects"      // catalogue objects match their digests
	ClaimReceipts     = "receipts"     // receipts of trusted nodes match
)

var claimTitles = map[string][2]string{
	ClaimContainer: {"文件结构", "container"}, ClaimLog: {"日志签名", "log signature"}, ClaimQuorum: {"共同签名", "cosignatures"},
	ClaimLeaves: {"叶", "leaves"}, ClaimInclusion: {"包含证明", "inclusion"}, ClaimTime: {"时间", "time"},
	ClaimRecords: {"记录项", "record items"}, ClaimChain: {"版本链", "chain of versions"}, ClaimOpenings: {"开示", "openings"},
	ClaimDeliveries: {"投递", "deliveries"}, ClaimGrants: {"授权", "grants"}, ClaimPublications: {"公开", "publications"},
	ClaimObjects: {"目录对象", "catalogue objects"}, ClaimReceipts: {"回执", "receipts"},
}

// Report is what a verification found. Everything in it but Verdict, Claims and what they speak of comes from the
// file and holds only as far as the verdict does. For and At are what the file says of itself: nothing in the log
// proves them, whatever the verdict; Unverified names them for readers of the JSON.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Claims  []Claim `json:"claims"`

	Log      string                `json:"log"`
	Size     uint64                `json:"size"` // leaves under the checkpoint
	Cosigned tlog.CosignatureTimes `json:"cosigned"`
	Resource string                `json:"resource"`
	Key      string                `json:"key,omitempty"` // "" while sealed
	For      string                `json:"for,omitempty"` // not verified
	At       int64                 `json:"at"`            // Unix milliseconds, not verified

	Unverified []string `json:"unverified"` // members of the report that no proof covers

	Records       []ReportRecord       `json:"records"`
	Subscriptions []ReportSubscription `json:"subscriptions"`
	Events        []Event              `json:"events"` // every proven leaf, in order
	Opened        int                  `json:"opened"` // commitments shown
	Sealed        int                  `json:"sealed"` // commitments without opening

	Closed bool   `json:"closed"` // every subscription in the file has acknowledged the last version in it
	EndZh  string `json:"end_zh"` // where the evidence ends
	EndEn  string `json:"end_en"`
}

// ReportRecord is one proven version.
type ReportRecord struct {
	Version  uint64 `json:"version"`
	Offset   uint64 `json:"offset"`
	Leaf     string `json:"leaf"`
	At       int64  `json:"at"` // log time, Unix milliseconds
	System   string `json:"system"`
	Withdraw bool   `json:"withdraw,omitempty"`
	Key      string `json:"key,omitempty"`
	ID       string `json:"id,omitempty"`
	Body     string `json:"body,omitempty"` // opened body, or reason of a withdrawal
	BodyOpen bool   `json:"body_open"`
}

// ReportSubscription says how far one subscription came with this record's versions.
type ReportSubscription struct {
	Subscription string   `json:"subscription"`
	System       string   `json:"system"`
	Grants       []string `json:"grants"`
	Delivered    []uint64 `json:"delivered"`    // versions in a delivered range, unless proven to be filtered
	Filtered     []uint64 `json:"filtered"`     // versions proven to have been passed over
	Acknowledged []uint64 `json:"acknowledged"` // versions in an acknowledged range
	Projections  []string `json:"projections"`  // opened, in order of delivery
	Closed       bool     `json:"closed"`       // the last version in the file is acknowledged

	passed []uint64 // versions in any range, delivered or filtered
}

// Text is the report for people, in "zh" or "en" (anything else is en).
func (r Report) Text(lang string) string {
	zh := lang == "zh"
	say := func(z, e string) string {
		if zh {
			return z
		}
		return e
	}
	var b strings.Builder
	verdict, known := map[Verdict][2]string{
		Valid: {"有效", "VALID"}, NotCovered: {"未覆盖", "NOT COVERED"}, Invalid: {"无效", "INVALID"},
	}[r.Verdict]
	if !known {
		return say("证据包核验结论:未核验\n", "Evidence: NOT VERIFIED\n")
	}
	fmt.Fprintf(&b, say("证据包核验结论:%s\n", "Evidence: %s\n"), say(verdict[0], verdict[1]))
	key := r.Key
	if key == "" {
		key = say("(已封存)", "(sealed)")
	}
	fmt.Fprintf(&b, say("数据资源 %s,业务主键 %s\n", "Resource %s, key %s\n"), plain(r.Resource), plain(key))
	if r.For != "" || r.At != 0 {
		whom := r.For
		if whom == "" {
			whom = say("(未写明)", "(nobody named)")
		}
		fmt.Fprintf(&b, say("文件自称(未予核验):为 %s 取证于 %s\n", "The file says of itself (not verified): made for %s at %s\n"), plain(whom), FormatTime(r.At))
	}
	if r.Log != "" {
		fmt.Fprintf(&b, say("日志 %s,检查点含 %d 叶\n", "Log %s, checkpoint of %d leaves\n"), plain(r.Log), r.Size)
	}
	for _, c := range r.Cosigned {
		fmt.Fprintf(&b, say("  共同签名 %s %s\n", "  cosigned by %s at %s\n"), c.Name, FormatTime(c.Time*1000))
	}
	b.WriteString(say("核验事项:\n", "Checked:\n"))
	for _, c := range r.Claims {
		mark := map[Verdict][2]string{Valid: {"通过", "ok"}, NotCovered: {"未覆盖", "not covered"}, Invalid: {"不通过", "FAILED"}}[c.Verdict]
		title := claimTitles[c.Name]
		fmt.Fprintf(&b, "  [%s] %s — %s\n", say(mark[0], mark[1]), say(title[0], title[1]), say(c.Zh, c.En))
	}
	if r.Verdict == Invalid {
		b.WriteString(say("文件不可采信。以下各节不再列出。\n", "Do not rely on this file; its content is not listed.\n"))
		return b.String()
	}
	if r.Verdict == NotCovered {
		b.WriteString(say("以下内容未全部证明,仅供查找缺项。\n", "What follows is not proven in full; use it only to see what is missing.\n"))
	}
	r.list(&b, say)
	fmt.Fprintf(&b, say("开示 %d 项,封存 %d 项\n", "%d opened, %d sealed\n"), r.Opened, r.Sealed)
	fmt.Fprintf(&b, say("终点:%s\n", "Ends: %s\n"), say(r.EndZh, r.EndEn))
	return b.String()
}

// plain is a text of the file on one line of a terminal: control and formatting characters, with which a forged file
// could write lines of its own, become U+FFFD.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// list writes versions and subscriptions.
func (r Report) list(b *strings.Builder, say func(z, e string) string) {
	if len(r.Records) > 0 {
		b.WriteString(say("版本:\n", "Versions:\n"))
	}
	for _, v := range r.Records {
		what := say("发布", "upsert")
		if v.Withdraw {
			what = say("撤回", "withdraw")
		}
		body := say("正文封存", "body sealed")
		if v.BodyOpen {
			body = say("正文已开示", "body opened")
		}
		fmt.Fprintf(b, say("  第 %d 版 %s 位移 %d 叶 %s %s 来自 %s,%s\n", "  version %d %s, offset %d, leaf %s, %s, from %s, %s\n"),
			v.Version, what, v.Offset, plain(v.Leaf), FormatTime(v.At), plain(v.System), body)
	}
	if len(r.Subscriptions) > 0 {
		b.WriteString(say("投递:\n", "Deliveries:\n"))
	}
	for _, s := range r.Subscriptions {
		state := say("未确认文件中最后一版", "last version shown not acknowledged")
		if s.Closed {
			state = say("已确认至文件中最后一版", "acknowledged through the last version shown")
		}
		fmt.Fprintf(b, say("  订阅 %s(%s,授权 %s):已投递版本 %v,过滤 %v,已确认 %v,%s\n",
			"  subscription %s (%s, grant %s): delivered %v, filtered %v, acknowledged %v, %s\n"),
			plain(s.Subscription), plain(s.System), plain(strings.Join(s.Grants, " ")), s.Delivered, s.Filtered, s.Acknowledged, state)
	}
}
