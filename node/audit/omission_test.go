package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/tlog"
)

// What was left out without a trace passes, so the report must not say that it is not there.
func TestOmissions(t *testing.T) {
	s := tell(t)
	good := archive(t, s.evidence)
	for _, c := range []struct {
		name  string
		alter func(f map[string][]byte)
	}{
		{"nothing", func(map[string][]byte) {}},
		{"the last version and all about it", func(f map[string][]byte) {
			drop(f, "records/7.", "events/16.", "events/17.", "events/18.", "events/19.", "events/20.", "deliveries/17-", "deliveries/18-")
		}},
		{"revocation", func(f map[string][]byte) { drop(f, "events/21.") }},
		{"a whole subscription", func(f map[string][]byte) {
			drop(f, "events/10.", "events/18.", "events/20.", "deliveries/10-", "deliveries/18-")
		}},
	} {
		files := unzip(t, good)
		c.alter(files)
		r := verify(t, rezip(t, files), testTrust(t))
		if r.Verdict != Valid {
			t.Errorf("%s: %s", c.name, r.Text("en"))
		}
		for text, says := range map[string][]string{
			r.EndEn: {"only what the file shows is proven", "within these 22 that the file does not show", "revocations, other subscriptions", "are not excluded by it", "dense versions", "fresh evidence file", "full export of the log"},
			r.EndZh: {"只证明文件所示的内容", "这 22 叶之内未在文件中示出的叶", "授权的撤销、别的订阅", "不能由它排除", "连续版本号", "新的证据包", "日志的完整导出"},
		} {
			for _, want := range says {
				if !strings.Contains(text, want) {
					t.Errorf("%s: the end does not say %q: %s", c.name, want, text)
				}
			}
		}
		for _, never := range []string{"all 2 subscriptions in the file acknowledged version", "此后发生的事(包括", "acknowledged through the last version\n"} {
			if strings.Contains(r.Text("en")+r.Text("zh"), never) {
				t.Errorf("%s: says %q", c.name, never)
			}
		}
		if !strings.Contains(r.Text("en"), "whether a grant was revoked beside what is shown the file cannot show") {
			t.Errorf("%s: %s", c.name, r.Text("en"))
		}
	}
}

// What stays behind of something left out is seen.
func TestTracesOfOmissions(t *testing.T) {
	s := tell(t)
	good := archive(t, s.evidence)
	for _, c := range []struct {
		name    string
		alter   func(f map[string][]byte)
		verdict Verdict
		claim   string
		says    string
	}{
		{"acceptance without its version", func(f map[string][]byte) { drop(f, "records/7.", "deliveries/17-", "deliveries/18-") },
			NotCovered, ClaimRecords, "acceptance leaf 16 is in the file, but no version in it"},
		{"subscription begun, all its deliveries left out", func(f map[string][]byte) {
			drop(f, "events/6.", "events/7.", "events/9.", "events/11.", "events/15.", "events/17.", "events/19.", "deliveries/6-", "deliveries/9-", "deliveries/15-", "deliveries/17-")
		}, Valid, ClaimDeliveries, "exchange not closed: subscription s-1 has not acknowledged"},
		{"decision on a version left out", func(f map[string][]byte) {
			drop(f, "records/4.", "records/7.", "events/8.", "events/16.", "events/9.", "events/1", "deliveries/9-", "deliveries/1", "receipts/")
			f["events/13.json"], f["events/13.tlog-proof"] = unzip(t, good)["events/13.json"], unzip(t, good)["events/13.tlog-proof"]
		}, Invalid, ClaimPublications, "does not concern this record"},
	} {
		files := unzip(t, good)
		c.alter(files)
		r := verify(t, rezip(t, files), testTrust(t))
		if r.Verdict != c.verdict || !strings.Contains(r.Text("en"), c.says) ||
			!slices.ContainsFunc(r.Claims, func(k Claim) bool { return k.Name == c.claim && k.Verdict == c.verdict }) {
			t.Errorf("%s: want %v saying %q:\n%s", c.name, c.verdict, c.says, r.Text("en"))
		}
	}
	later := newStory(t)
	later.accept(facts(1, 1, 0, "P-1", `{"n":1}`))
	later.add(Leaf{Type: GrantApproved, Grant: "g-1", GrantRevision: 1})
	later.deliver("s-1", 1, 1) // under revision 2
	if r := verify(t, archive(t, later.bare().Evidence()), testTrust(t)); r.Verdict != NotCovered || !strings.Contains(r.Text("en"), "newer revision of a grant, g-1(2)") {
		t.Errorf("delivered under a revision left out:\n%s", r.Text("en"))
	}
	ended := newStory(t)
	ended.add(Leaf{Type: SubscriptionCreated, Resource: testResource, Subscription: "s-9", First: 1})
	ended.add(Leaf{Type: SubscriptionDeleted, Resource: testResource, Subscription: "s-9"})
	ended.add(Leaf{Type: SubscriptionCreated, Resource: testResource, Subscription: "s-8", First: 2})
	ended.accept(facts(1, 1, 0, "P-1", `{"n":1}`))
	if r := verify(t, archive(t, ended.bare().Evidence()), testTrust(t)); r.Verdict != Valid || !strings.Contains(r.Text("en"), "the file shows no delivery") {
		t.Errorf("subscriptions that await nothing:\n%s", r.Text("en"))
	}
}

// rotated is the trust of before: of the nodes of today only some stand in it.
func rotated(t *testing.T, names ...string) tlog.Trust {
	t.Helper()
	var nodes []tlog.Witness
	for _, n := range names {
		nodes = append(nodes, tlog.Witness{Name: n, VKey: key(t, n).CosignerVKey()})
	}
	trust, err := tlog.NodeTrust(key(t, testLog).VKey(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// Honest evidence against a trust file that is older than the nodes is not forged, and what is forged in it is seen.
func TestOlderTrust(t *testing.T) {
	s := tell(t) // cosigned by n1 and n2, its receipt by n3
	e := s.evidence
	e.Receipts = [][]byte{s.receipt(s.versions[1], "n2")}
	file := archive(t, e)
	for _, c := range []struct {
		name    string
		trust   tlog.Trust
		alter   func(f map[string][]byte)
		verdict Verdict
		says    string
	}{
		{"no node known", rotated(t, "o1", "o2", "o3"), nil, NotCovered, "does not know (n1 n2), and 0 of the 3"},
		{"one of three known", rotated(t, "n1", "o2", "o3"), nil, NotCovered, "does not know (n2), and 1 of the 3"},
		{"one of three known, all sign", rotated(t, "n1", "n2", "n3"), nil, Valid, "VALID"},
		{"known ones alone do not do", rotated(t, "n1", "n2", "o3", "o4"), nil, Invalid, "cosignature policy not met: 2 of the 4"},
		{"leaf altered", rotated(t, "o1"), func(f map[string][]byte) { replace(f, "events/21.json", "fgw.xm", "fgw.yy") }, Invalid, "calculated root differs"},
		{"log renamed", rotated(t, "o1"), func(f map[string][]byte) { replace(f, "manifest.json", testLog, "hutong.example/county/2025-1") }, Invalid, "the checkpoint is of"},
		{"opening altered", rotated(t, "o1"), func(f map[string][]byte) { replace(f, "records/4.body", "4", "5") }, Invalid, "does not match"},
		{"receipt altered", rotated(t, "o1"), func(f map[string][]byte) { replace(f, "receipts/0.note", "version 2", "version 3") }, Invalid, "receipt 0 does not match"},
		{"receipt of one that is nowhere", rotated(t, "o1"), func(f map[string][]byte) { f["receipts/0.note"] = s.receipt(s.versions[1], "x9") }, Invalid, "not signed by a trusted node"},
		{"log's own line removed", rotated(t, "o1"), func(f map[string][]byte) { cutLine(f, testLog) }, Invalid, "signature does not hold"},
		{"unknown lines removed", rotated(t, "o1"), func(f map[string][]byte) { cutLine(f, "n1"); cutLine(f, "n2") }, Invalid, "cosignature policy not met"},
		{"plain line of a stranger", rotated(t, "o1"), func(f map[string][]byte) {
			cutLine(f, "n1")
			cutLine(f, "n2")
			text, err := tlog.NoteText(e.Checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			note, err := tlog.SignNote(text, key(t, "x1").Signer())
			if err != nil {
				t.Fatal(err)
			}
			line := note[bytes.Index(note, []byte("— x1 ")):]
			for name, b := range f {
				if strings.HasSuffix(name, ".tlog-proof") {
					f[name] = append(b, line...)
				}
			}
		}, Invalid, "cosignature policy not met"},
	} {
		files := unzip(t, file)
		if c.alter != nil {
			c.alter(files)
		}
		r := verify(t, rezip(t, files), c.trust)
		if r.Verdict != c.verdict || !strings.Contains(r.Text("en"), c.says) {
			t.Errorf("%s: want %v saying %q:\n%s", c.name, c.verdict, c.says, r.Text("en"))
		}
		if c.verdict != NotCovered {
			continue
		}
		if r.Verdict.ExitCode() != 4 || r.Closed || !strings.Contains(r.Text("en"), "the trust file is older than the present nodes; get a newer one") ||
			!strings.Contains(r.Text("zh"), "信任文件早于现有节点,请取新的信任文件") || !strings.Contains(r.Text("en"), "receipt 0 is signed by a node the trust file does not know") {
			t.Errorf("%s: exit %d, closed %t\n%s", c.name, r.Verdict.ExitCode(), r.Closed, r.Text("zh"))
		}
	}
}

// cutLine takes the signature line of one signer out of every proof.
func cutLine(files map[string][]byte, signer string) {
	for name, b := range files {
		if strings.HasSuffix(name, ".tlog-proof") {
			i := bytes.Index(b, []byte("— "+signer+" "))
			end := i + bytes.IndexByte(b[i:], '\n') + 1
			files[name] = slices.Concat(b[:i], b[end:])
		}
	}
}

// A verdict that nobody set passes nowhere.
func TestUnsetVerdict(t *testing.T) {
	var r Report
	if r.Verdict == Valid || r.Verdict.ExitCode() == 0 || (Claim{}).OK() || strings.Contains(r.Text("en"), "VALID") || !strings.Contains(r.Text("zh"), "未核验") {
		t.Errorf("zero report: %v, exit %d, %s", r.Verdict, r.Verdict.ExitCode(), r.Text("en"))
	}
	r.claim(ClaimLog, Valid, "x", "x")
	r.claim(ClaimQuorum, Unknown, "x", "x")
	if r.Verdict != Invalid || r.Claims[1].Verdict != Invalid {
		t.Errorf("claim without verdict: %+v", r)
	}
	for v, text := range map[Verdict]string{Unknown: "unknown", Valid: "valid", NotCovered: "not covered", Invalid: "invalid"} {
		if v.String() != text || fmt.Sprint(v.ExitCode() == 0) != fmt.Sprint(v == Valid) {
			t.Errorf("%d: %s, exit %d", v, v, v.ExitCode())
		}
	}
}

// For whom and when the file was made is its own word, and marked so.
func TestManifestIsMarked(t *testing.T) {
	files := unzip(t, archive(t, tell(t).evidence))
	replace(files, "manifest.json", "sjj.sj", "nobody.\\u202e")
	r := verify(t, rezip(t, files), testTrust(t))
	text := r.Text("en")
	if r.Verdict != Valid || !strings.Contains(text, "The file says of itself (not verified): made for nobody.\uFFFD at ") || !strings.Contains(r.Text("zh"), "文件自称(未予核验)") {
		t.Errorf("%s", text)
	}
	b, err := json.Marshal(r)
	if err != nil || !bytes.Contains(b, []byte(`"unverified":["for","at"]`)) {
		t.Errorf("%s, %v", b, err)
	}
}
