package audit

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

const (
	testLog      = "hutong.example/county/2026-1"
	testResource = "projects.disclosure"
	testStart    = int64(1767225600000) // 2026-01-01
)

// bus is a log in memory with the life of one record among others in it.
type bus struct {
	tb     testing.TB
	leaves [][]byte
	hashes []tlog.Hash
	at     int64
}

func (b *bus) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = b.hashes[x]
	}
	return out, nil
}

// add appends a leaf a second after the one before and returns its index.
func (b *bus) add(l Leaf) uint64 {
	b.tb.Helper()
	n := len(b.leaves)
	b.at += 1000
	l.V, l.I, l.T = FormatVersion, uint64(n), b.at
	bytes := l.Encode()
	hs, err := tlog.StoredHashes(int64(n), bytes, b)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.leaves, b.hashes = append(b.leaves, bytes), append(b.hashes, hs...)
	return l.I
}

// key is a key that depends on its name alone.
func key(tb testing.TB, name string) *tlog.Key {
	tb.Helper()
	seed := tlog.LeafHash([]byte(name))
	k, err := tlog.NewKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func testTrust(tb testing.TB) tlog.Trust {
	tb.Helper()
	var nodes []tlog.Witness
	for _, n := range []string{"n1", "n2", "n3"} {
		nodes = append(nodes, tlog.Witness{Name: n, VKey: key(tb, n).CosignerVKey()})
	}
	trust, err := tlog.NodeTrust(key(tb, testLog).VKey(), nodes)
	if err != nil {
		tb.Fatal(err)
	}
	return trust
}

// checkpoint is a note over the first size leaves, signed by the log and nodes.
func (b *bus) checkpoint(size uint64, nodes ...string) []byte {
	b.tb.Helper()
	root, err := tlog.TreeHash(int64(size), b)
	if err != nil {
		b.tb.Fatal(err)
	}
	return signHead(b.tb, tlog.Checkpoint{Origin: testLog, Size: size, Root: root}, testLog, b.at, nodes...)
}

func signHead(tb testing.TB, c tlog.Checkpoint, log string, at int64, nodes ...string) []byte {
	tb.Helper()
	signers := []tlog.Signer{key(tb, log).Signer()}
	for _, n := range nodes {
		signers = append(signers, key(tb, n).Cosigner(at/1000+1))
	}
	msg, err := tlog.SignNote(c.Encode(), signers...)
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

// facts are those of one record of the resource; the secret depends on the offset.
func facts(offset, version, previous uint64, key, body string) Facts {
	f := Facts{
		Offset: offset, Version: version, Previous: previous, System: "fgw.xm", Counter: offset, ID: fmt.Sprintf("fgw.xm-1-%d", offset),
		Key: key, Body: []byte(body), Secret: hash(fmt.Sprint("secret ", offset)), SchemaVersion: 1,
	}
	f.Withdraw = body == "发布有误"
	return f
}

// story is the life of key P-1: three versions, two subscriptions, a review and its grants, among leaves of others.
type story struct {
	*bus
	versions []Facts            // of P-1
	sections map[uint64][]Facts // by acceptance leaf
	accepted map[uint64]uint64  // acceptance leaf by offset
	batches  map[uint64][][]byte
	evidence Evidence
	grant    []byte // JSON of the approved grant
}

func newStory(tb testing.TB) *story {
	return &story{
		bus: &bus{tb: tb, at: testStart}, sections: map[uint64][]Facts{},
		accepted: map[uint64]uint64{}, batches: map[uint64][][]byte{},
	}
}

// tell writes the story and makes the evidence of P-1 with everything opened.
func tell(tb testing.TB) *story {
	tb.Helper()
	s := newStory(tb)
	s.grant = []byte(`{"grant":"g-1","fields":["case_no"]}`)
	s.add(Leaf{Type: LogOpened, Object: testLog})
	s.add(Leaf{Type: DepartmentPut, Object: "fgw", Revision: 1, Digest: hash("fgw")})
	s.add(Leaf{Type: GrantRequested, Systems: []string{"czj.cx"}, Resource: testResource, Grant: "g-1", GrantRevision: 1})
	s.add(Leaf{Type: GrantApproved, Systems: []string{"fgw.xm"}, Resource: testResource, Grant: "g-1", GrantRevision: 2, Digest: Digest(s.grant)})
	s.add(Leaf{Type: SubscriptionCreated, Systems: []string{"czj.cx"}, Resource: testResource, Subscription: "s-1", Grant: "g-1", First: 1})
	s.accept(facts(1, 1, 0, "P-0", `{"n":1}`), facts(2, 1, 0, "P-1", `{"n":2}`), facts(3, 1, 0, "P-2", `{"n":3}`))
	s.deliver("s-1", 1, 3)
	s.ack("s-1", 1, 3)
	s.accept(facts(4, 2, 2, "P-1", `{"n":4}`), facts(5, 2, 1, "P-0", `{"n":5}`))
	s.deliver("s-1", 4, 5)
	s.deliver("s-2", 4, 5)
	s.ack("s-1", 4, 5)
	s.add(Leaf{Type: PublicationApproved, Systems: []string{"bmj.sc"}, Resource: testResource, Offset: 4, Version: 2, Object: "p-1", Step: "保密审查"})
	s.add(Leaf{Type: PublicationPublished, Resource: testResource, Offset: 4, Version: 2, Object: "p-1"})
	s.accept(facts(6, 3, 5, "P-0", `{"n":6}`))
	s.deliver("s-1", 6, 6)
	s.accept(facts(7, 3, 4, "P-1", "发布有误"))
	s.deliver("s-1", 7, 7)
	s.deliver("s-2", 6, 7)
	s.ack("s-1", 6, 7)
	s.ack("s-2", 4, 7)
	s.add(Leaf{Type: GrantRevoked, Systems: []string{"fgw.xm"}, Resource: testResource, Grant: "g-1", GrantRevision: 3})
	s.evidence = s.build(uint64(len(s.leaves)), true)
	return s
}

func (s *story) accept(fs ...Facts) {
	var items [][]byte
	for _, f := range fs {
		items = append(items, NewItem(f).Encode())
	}
	leaf := s.add(Leaf{Type: SubmissionAccepted, Resource: testResource, Revision: 1, Systems: []string{"fgw.xm"}, First: fs[0].Offset, Count: uint64(len(fs)), Root: InnerRoot(items)})
	s.sections[leaf] = fs
	for _, f := range fs {
		s.accepted[f.Offset] = leaf
		if f.Key == "P-1" {
			s.versions = append(s.versions, f)
		}
	}
}

// deliver hands out a range; odd offsets are filtered, but 7.
func (s *story) deliver(subscription string, from, through uint64) {
	var items [][]byte
	l := Leaf{Type: DeliveryDelivered, Resource: testResource, Systems: []string{"czj.cx"}, First: from, Through: through, Subscription: subscription, Grant: "g-1", GrantRevision: 2}
	for o := from; o <= through; o++ {
		d := NewDeliveryItem(o, subscription, hash(fmt.Sprint("secret ", o)), nil)
		if o%2 == 0 || o == 7 {
			d = NewDeliveryItem(o, subscription, hash(fmt.Sprint("secret ", o)), fmt.Appendf(nil, `{"seen":%d}`, o))
			l.Delivered++
		} else {
			l.Filtered++
		}
		items = append(items, d.Encode())
	}
	l.Root = InnerRoot(items)
	s.batches[s.add(l)] = items
}

func (s *story) ack(subscription string, from, through uint64) {
	s.add(Leaf{Type: DeliveryAcknowledged, Resource: testResource, Systems: []string{"czj.cx"}, First: from, Through: through, Subscription: subscription, Grant: "g-1"})
}

// build makes evidence of P-1 under a checkpoint of size leaves, with or without openings.
func (s *story) build(size uint64, open bool) Evidence {
	s.tb.Helper()
	must := func(err error) {
		s.tb.Helper()
		if err != nil {
			s.tb.Fatal(err)
		}
	}
	b, err := NewBuilder(testLog, testResource, "sjj.sj", s.at, s.checkpoint(size, "n1", "n2"), s.bus)
	must(err)
	for i, leaf := range s.leaves {
		l, err := ParseLeaf(leaf)
		must(err)
		var concerns bool
		switch l.Type {
		case LogOpened, DepartmentPut:
			continue
		case SubmissionAccepted:
			concerns = slices.ContainsFunc(s.sections[l.I], func(f Facts) bool { return f.Key == "P-1" })
		case DeliveryDelivered, DeliveryAcknowledged:
			concerns = slices.ContainsFunc(s.versions, func(f Facts) bool { return l.First <= f.Offset && f.Offset <= l.Through })
		default:
			concerns = true
		}
		if concerns {
			must(b.AddLeaf(s.leaves[i]))
			must(b.AddLeaf(s.leaves[i])) // a second time changes nothing
		}
	}
	for _, f := range s.versions {
		leaf := s.accepted[f.Offset]
		var items [][]byte
		for _, g := range s.sections[leaf] {
			items = append(items, NewItem(g).Encode())
		}
		must(b.AddRecord(leaf, items, int(f.Offset-s.sections[leaf][0].Offset), OpenRecord(f, open, open, open)))
		for _, index := range slices.Sorted(maps.Keys(s.batches)) {
			l, err := ParseLeaf(s.leaves[index])
			must(err)
			if f.Offset < l.First || f.Offset > l.Through {
				continue
			}
			var opening *Opening
			if open {
				opening = OpenProjection(l.Subscription, f.Secret, fmt.Appendf(nil, `{"seen":%d}`, f.Offset))
			}
			must(b.AddDelivery(index, s.batches[index], int(f.Offset-l.First), opening))
		}
	}
	if open {
		must(b.AddObject(3, s.grant))
		b.AddReceipt(s.receipt(s.versions[1], "n3"))
	}
	return b.Evidence()
}

func (s *story) receipt(f Facts, node string) []byte {
	s.tb.Helper()
	leaf := s.accepted[f.Offset]
	text, err := ReceiptText(Receipt{
		Log: testLog, Leaf: leaf, LeafHash: tlog.LeafHash(s.leaves[leaf]), Ordinal: int(f.Offset - s.sections[leaf][0].Offset), Resource: testResource,
		Key: f.Key, ID: f.ID, Offset: f.Offset, Version: f.Version, Commitment: NewItem(f).Body, Epoch: 1, At: testStart,
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	msg, err := tlog.SignNote(text, key(s.tb, node).Signer())
	if err != nil {
		s.tb.Fatal(err)
	}
	return msg
}

func archive(tb testing.TB, e Evidence) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Write(&b, e); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func verify(tb testing.TB, file []byte, trust tlog.Trust) Report {
	tb.Helper()
	r, err := Verify(bytes.NewReader(file), int64(len(file)), trust)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestEvidence(t *testing.T) {
	s := tell(t)
	file := archive(t, s.evidence)
	if again := archive(t, s.evidence); !bytes.Equal(file, again) {
		t.Error("the same evidence gives other bytes")
	}
	e, err := Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.evidence, e); diff != "" {
		t.Errorf("evidence read (-want +got):\n%s", diff)
	}
	r := verify(t, file, testTrust(t))
	golden(t, "report.zh", []byte(r.Text("zh")))
	golden(t, "report.en", []byte(r.Text("en")))
	if r.Verdict != Valid || !r.Closed || r.Key != "P-1" || len(r.Records) != 3 || !r.Records[2].Withdraw || r.Records[1].Body != `{"n":4}` {
		t.Errorf("report: %+v", r)
	}
	var names bytes.Buffer
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		fmt.Fprintln(&names, f.Name)
	}
	golden(t, "names", names.Bytes())
	if !bytes.HasPrefix(file[38:], []byte(mimeType)) {
		t.Error("the type does not stand at byte 38")
	}
}

// unzip and rezip let a test play the forger.
func unzip(tb testing.TB, file []byte) map[string][]byte {
	tb.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(rc); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

func rezip(tb testing.TB, files map[string][]byte, more ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	a := &archiveWriter{zip: zip.NewWriter(&b)}
	if mime, ok := files["mimetype"]; ok {
		a.store("mimetype", mime)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != "mimetype" {
			a.file(name, files[name])
		}
	}
	for _, name := range more {
		if strings.HasSuffix(name, "/") {
			_, a.err = a.zip.Create(name)
			continue
		}
		a.file(name, []byte("x"))
	}
	if err := errors.Join(a.err, a.zip.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func drop(files map[string][]byte, prefixes ...string) {
	maps.DeleteFunc(files, func(name string, _ []byte) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

func replace(files map[string][]byte, name, from, to string) {
	if !strings.Contains(string(files[name]), from) {
		panic(name + " does not contain " + from)
	}
	files[name] = []byte(strings.Replace(string(files[name]), from, to, 1))
}

// Leaves of the story: 5 accepts offsets 1–3, 6 delivers and 7 acknowledges them; 8 accepts 4–5, 9 and 10 deliver,
// 11 acknowledges; 12, 13 decide on publication; 14, 15 concern another record; 16 accepts 7, 17 and 18 deliver, 19
// and 20 acknowledge; 21 revokes the grant.
func TestManipulations(t *testing.T) {
	s := tell(t)
	good := archive(t, s.evidence)
	for _, c := range []struct {
		name    string
		alter   func(files map[string][]byte)
		verdict Verdict
		claim   string // that carries the verdict
		says    string
	}{
		// The table of AUDIT §5.
		{"outcome in a leaf changed", func(f map[string][]byte) {
			replace(f, "events/12.json", `"of":4`, `"of":4,"ver":2,"ob":"p-1","st":"保密审查","o":"no"`)
			f["events/12.json"] = []byte(strings.Replace(string(f["events/12.json"]), `,"ver":2,"ob":"p-1","st":"保密审查"}`, "}", 1))
		}, Invalid, ClaimInclusion, "calculated root differs"},
		{"middle event removed", func(f map[string][]byte) { drop(f, "events/8.", "records/4.") }, Invalid, ClaimChain, "chain broken at version 2"},
		{"middle delivery removed", func(f map[string][]byte) { drop(f, "events/9.", "deliveries/9-") }, Invalid, ClaimDeliveries, "chain broken for subscription s-1: version 2 is acknowledged"},
		{"middle delivery and its acknowledgement removed", func(f map[string][]byte) { drop(f, "events/9.", "deliveries/9-", "events/11.") }, Invalid, ClaimDeliveries, "chain broken for subscription s-1: the range with version 2"},
		{"last event removed", func(f map[string][]byte) { drop(f, "events/20.") }, Valid, "", "exchange not closed: subscription s-2"},
		{"opened value changed by one digit", func(f map[string][]byte) { replace(f, "records/4.body", "4", "5") }, Invalid, ClaimOpenings, "opening of the body does not match"},
		{"witness line removed", func(f map[string][]byte) {
			for name, b := range f {
				if strings.HasSuffix(name, ".tlog-proof") {
					i := bytes.Index(b, []byte("— n2 "))
					f[name] = b[:i]
				}
			}
		}, Invalid, ClaimQuorum, "cosignature policy not met: 1 of the 3"},
		{"all openings removed", func(f map[string][]byte) {
			maps.DeleteFunc(f, func(name string, _ []byte) bool {
				return strings.HasSuffix(name, ".open") || strings.HasSuffix(name, ".body") || strings.HasSuffix(name, ".key") || strings.HasSuffix(name, ".id") || strings.HasSuffix(name, ".projection")
			})
		}, Valid, "", "0 opened, 14 sealed"},
		{"only the subject group left", func(f map[string][]byte) {
			maps.DeleteFunc(f, func(name string, _ []byte) bool {
				return strings.HasSuffix(name, ".body") || strings.HasSuffix(name, ".id") || strings.HasSuffix(name, ".projection") || strings.HasPrefix(name, "deliveries") && strings.HasSuffix(name, ".open")
			})
			for i, f0 := range s.versions {
				f[fmt.Sprintf("records/%d.open", f0.Offset)] = fmt.Appendf(nil, `{"key":"%x"}`, KeySecret(s.versions[i].Secret))
			}
		}, Valid, "", "3 opened, 11 sealed"},

		// Other ways to tell another story with the same file.
		{"first version removed", func(f map[string][]byte) {
			drop(f, "events/5.", "records/2.", "deliveries/6-", "events/6.", "events/7.")
		}, NotCovered, ClaimChain, "versions 1 to 1 are not in the file"},
		{"leaf of a record removed", func(f map[string][]byte) { drop(f, "events/8.") }, Invalid, ClaimRecords, "acceptance leaf 8"},
		{"item altered", func(f map[string][]byte) { replace(f, "records/4.item", `"c":4`, `"c":5`) }, Invalid, ClaimRecords, "does not lead to the inner root"},
		{"item at another place", func(f map[string][]byte) { replace(f, "records/4.json", `"place":0`, `"place":1`) }, Invalid, ClaimRecords, "does not lead to the inner root"},
		{"item of another leaf", func(f map[string][]byte) { replace(f, "records/4.json", `"leaf":8`, `"leaf":5`) }, Invalid, ClaimRecords, "does not lead to the inner root"},
		{"item under another offset", func(f map[string][]byte) {
			for _, end := range []string{".item", ".json", ".open", ".body", ".key", ".id"} {
				f["records/9"+end] = f["records/4"+end]
			}
			drop(f, "records/4.")
		}, Invalid, ClaimRecords, "malformed"},
		{"version of another key put in", func(f map[string][]byte) {
			swap := NewItem(s.sections[8][1])
			f["records/5.item"] = swap.Encode()
			items := [][]byte{NewItem(s.sections[8][0]).Encode(), swap.Encode()}
			f["records/5.json"] = fmt.Appendf(nil, `{"leaf":8,"place":1,"path":["%s"]}`, hexPath(InnerPath(items, 1))[0])
			drop(f, "records/4.")
		}, Invalid, ClaimChain, "chain broken at version 2: its back pointer"},
		{"secret changed", func(f map[string][]byte) { replace(f, "records/4.open", `"key":"`, `"key":"00`) }, Invalid, ClaimContainer, "secret is malformed"},
		{"key changed", func(f map[string][]byte) { replace(f, "records/2.key", "P-1", "P-9") }, Invalid, ClaimOpenings, "opening of the key does not match"},
		{"projection changed", func(f map[string][]byte) { replace(f, "deliveries/9-4.projection", "4", "5") }, Invalid, ClaimOpenings, "what was delivered does not match"},
		{"delivery item altered", func(f map[string][]byte) { replace(f, "deliveries/9-4.item", `"d":"delivered"`, `"d":"filtered"`) }, Invalid, ClaimDeliveries, "was altered"},
		{"delivery item without leaf", func(f map[string][]byte) { drop(f, "events/9.") }, Invalid, ClaimDeliveries, "has no delivery leaf"},
		{"delivery items removed", func(f map[string][]byte) { drop(f, "deliveries/") }, Valid, "", "9 opened, 0 sealed"},
		{"object changed", func(f map[string][]byte) { replace(f, "objects/3.json", "case_no", "id_card") }, Invalid, ClaimObjects, "does not match its digest"},
		{"receipt of a stranger", func(f map[string][]byte) { f["receipts/0.note"] = s.receipt(s.versions[1], "n4") }, Invalid, ClaimReceipts, "not signed by a trusted node"},
		{"receipt of another record", func(f map[string][]byte) {
			other := s.versions[1]
			other.Body = []byte(`{"n":9}`)
			f["receipts/0.note"] = s.receipt(other, "n3")
		}, Invalid, ClaimReceipts, "does not match leaf 8"},
		{"receipt altered", func(f map[string][]byte) { replace(f, "receipts/0.note", "version 2", "version 3") }, Invalid, ClaimReceipts, "not signed by a trusted node"},
		{"grant approval removed", func(f map[string][]byte) { drop(f, "events/3.", "objects/3.") }, Valid, "", "the approval of grant g-1 is not in the file"},
		{"proof of another leaf", func(f map[string][]byte) { f["events/8.tlog-proof"] = f["events/9.tlog-proof"] }, Invalid, ClaimContainer, "of another leaf"},
		{"index of a proof changed", func(f map[string][]byte) { replace(f, "events/8.tlog-proof", "index 8", "index 9") }, Invalid, ClaimContainer, "of another leaf"},
		{"leaf under another index", func(f map[string][]byte) { f["events/8.json"] = f["events/9.json"] }, Invalid, ClaimLeaves, "has another index inside"},
		{"leaf is no leaf", func(f map[string][]byte) { f["events/8.json"] = []byte("{}") }, Invalid, ClaimLeaves, "malformed"},
		{"proof removed", func(f map[string][]byte) { drop(f, "events/8.tlog-proof") }, Invalid, ClaimInclusion, "leaf 8 has no proof"},
		{"all proofs removed", func(f map[string][]byte) {
			maps.DeleteFunc(f, func(name string, _ []byte) bool { return strings.HasSuffix(name, ".tlog-proof") })
		}, NotCovered, ClaimLog, "no checkpoint yet"},
		{"all records removed", func(f map[string][]byte) { drop(f, "records/", "deliveries/", "receipts/", "events/12", "events/13") }, NotCovered, ClaimRecords, "no version of the record"},
		{"nothing left", func(f map[string][]byte) { drop(f, "records/", "deliveries/", "receipts/", "objects/", "events/") }, NotCovered, ClaimLeaves, "no leaf in the file"},
		{"resource renamed", func(f map[string][]byte) { replace(f, "manifest.json", testResource, "approvals.case") }, Invalid, ClaimRecords, "no acceptance of this resource"},
		{"log renamed", func(f map[string][]byte) { replace(f, "manifest.json", testLog, "hutong.example/county/2025-1") }, Invalid, ClaimLog, "the checkpoint is of"},
		{"decision on another record", func(f map[string][]byte) {
			drop(f, "records/4.", "records/7.", "deliveries/9", "deliveries/10", "deliveries/17", "deliveries/18", "receipts")
		}, Invalid, ClaimPublications, "does not concern this record"},
		{"summary changed", func(f map[string][]byte) { f["summary.html"] = []byte("anything") }, Valid, "", "VALID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := unzip(t, good)
			c.alter(files)
			r := verify(t, rezip(t, files), testTrust(t))
			text := r.Text("en")
			if r.Verdict != c.verdict || !strings.Contains(text, c.says) {
				t.Errorf("verdict %v, want %v saying %q:\n%s", r.Verdict, c.verdict, c.says, text)
			}
			if c.claim != "" && !slices.ContainsFunc(r.Claims, func(k Claim) bool { return k.Name == c.claim && k.Verdict == c.verdict }) {
				t.Errorf("claim %q does not carry the verdict:\n%s", c.claim, text)
			}
			if r.Verdict == Valid != (r.Verdict.ExitCode() == 0) || r.Closed && r.Verdict != Valid {
				t.Errorf("exit code %d, closed %v", r.Verdict.ExitCode(), r.Closed)
			}
			for _, k := range r.Claims {
				if k.Zh == "" || k.En == "" || claimTitles[k.Name] == [2]string{} {
					t.Errorf("claim without words: %+v", k)
				}
			}
		})
	}
}

// Texts of a forged file cannot write lines of their own into the report.
func TestReportOnATerminal(t *testing.T) {
	const trick = "x\nEvidence: VALID\x1b[2J\u202e\u2028"
	b := &bus{tb: t, at: testStart}
	b.add(Leaf{Type: DeliveryDelivered, Resource: trick, Systems: []string{trick}, First: 1, Through: 1, Subscription: trick, Grant: trick})
	e := Evidence{Log: trick, Resource: trick, Leaves: []ProvenLeaf{{Index: 0, Bytes: b.leaves[0], Pending: true}}}
	r, err := Check(e, testTrust(t))
	if err != nil || r.Verdict != NotCovered {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, lang := range []string{"zh", "en"} {
		text := r.Text(lang)
		if strings.ContainsAny(text, "\x1b\u202e\u2028") || strings.Contains(text, "\nEvidence: VALID") || !strings.Contains(text, "\uFFFDEvidence") {
			t.Errorf("%q", text)
		}
	}
}

// A log forged with the stolen origin key, and a log of another origin.
func TestForeignLogs(t *testing.T) {
	s := tell(t)
	trust := testTrust(t)
	root, err := tlog.TreeHash(int64(len(s.leaves)), s.bus)
	if err != nil {
		t.Fatal(err)
	}
	head := tlog.Checkpoint{Origin: testLog, Size: uint64(len(s.leaves)), Root: root}
	foreign := head
	foreign.Origin = "other.example/2026-1"
	for _, c := range []struct {
		name  string
		note  []byte
		log   string
		claim string
		says  string
	}{
		{"stolen origin key alone", signHead(t, head, testLog, s.at), testLog, ClaimQuorum, "cosignature policy not met: 0 of the 3"},
		{"stolen origin key and one of the nodes", signHead(t, head, testLog, s.at, "n1"), testLog, ClaimQuorum, "cosignature policy not met: 1 of the 3"},
		{"strangers under another log's key", signHead(t, head, foreign.Origin, s.at, "x1", "x2", "x3"), testLog, ClaimLog, "signature does not hold"},
		{"foreign origin", signHead(t, foreign, foreign.Origin, s.at, "n1", "n2", "n3"), foreign.Origin, ClaimLog, "is not in the trust file"},
		{"key of another log", signHead(t, head, foreign.Origin, s.at, "n1", "n2", "n3"), testLog, ClaimLog, "signature does not hold"},
		{"no note", []byte("x"), testLog, ClaimLog, "malformed"},
	} {
		e := s.evidence
		e.Checkpoint, e.Log = c.note, c.log
		r := verify(t, archive(t, e), trust)
		text := r.Text("en")
		if r.Verdict != Invalid || !strings.Contains(text, c.says) || !slices.ContainsFunc(r.Claims, func(k Claim) bool { return k.Name == c.claim && !k.OK() }) {
			t.Errorf("%s: want %s failing with %q:\n%s", c.name, c.claim, c.says, text)
		}
	}
	// What the log signed is not called forged for cosigners the trust file does not know; a forgery is not excluded.
	strangers := s.evidence
	strangers.Checkpoint = signHead(t, head, testLog, s.at, "x1", "x2", "x3")
	if r := verify(t, archive(t, strangers), trust); r.Verdict != NotCovered || r.Closed || !strings.Contains(r.Text("en"), "until then a forgery is not excluded") {
		t.Errorf("strangers: %s", r.Text("en"))
	}
	// Another root under good signatures: leaves do not lead to it.
	fork := head
	fork.Root = hash("fork")
	e := s.evidence
	e.Checkpoint = signHead(t, fork, testLog, s.at, "n1", "n2")
	if r := verify(t, archive(t, e), trust); r.Verdict != Invalid || !strings.Contains(r.Text("en"), "calculated root differs") {
		t.Errorf("fork: %s", r.Text("en"))
	}
	if _, err := Verify(bytes.NewReader(nil), 0, tlog.Trust{}); err != nil {
		t.Errorf("an empty file needs no trust file to be refused: %v", err)
	}
	file := archive(t, s.evidence)
	if _, err := Verify(bytes.NewReader(file), int64(len(file)), tlog.Trust{}); !errors.Is(err, tlog.ErrTrust) {
		t.Errorf("empty trust file: %v", err)
	}
	e.Checkpoint = nil
	if _, err := Check(e, tlog.Trust{}); !errors.Is(err, tlog.ErrTrust) {
		t.Errorf("empty trust file, no checkpoint: %v", err)
	}
}

// Evidence that is asked for before its youngest leaf is under a checkpoint.
func TestPending(t *testing.T) {
	s := tell(t)
	e := s.build(18, true)
	r := verify(t, archive(t, e), testTrust(t))
	if r.Verdict != NotCovered || r.Verdict.ExitCode() != 4 || r.Closed || !strings.Contains(r.Text("en"), "leaf 18 19 20 21 is not yet under the checkpoint of 18 leaves") {
		t.Errorf("%s", r.Text("en"))
	}
	if !strings.Contains(r.Text("zh"), "尚未进入检查点") {
		t.Errorf("%s", r.Text("zh"))
	}
}

func TestTimeOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		times   []int64
		verdict Verdict
		says    string
	}{
		{"back", []int64{5000, 4999}, Invalid, "leaf 1 is earlier than leaf 0"},
		{"equal", []int64{5000, 5000}, NotCovered, "in order"},
		{"ahead of every cosigner", []int64{5000, 7_200_000}, NotCovered, "ahead of every cosigner"},
	} {
		b := &bus{tb: t}
		for _, at := range c.times {
			b.at = at - 1000
			b.add(Leaf{Type: DepartmentPut, Object: "fgw"})
		}
		b.at = 5000
		e := Evidence{Log: testLog, Resource: testResource, Checkpoint: b.checkpoint(2, "n1", "n2")}
		builder, err := NewBuilder(testLog, testResource, "", 0, e.Checkpoint, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range b.leaves {
			if err := builder.AddLeaf(l); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Check(builder.Evidence(), testTrust(t))
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != c.verdict || !strings.Contains(r.Text("en"), c.says) {
			t.Errorf("%s:\n%s", c.name, r.Text("en"))
		}
	}
}

// Logs that are honest in form but tell of a breach: the verifier says so.
func TestBreaches(t *testing.T) {
	first := facts(1, 1, 0, "P-1", `{"n":1}`)
	second := facts(2, 2, 1, "P-1", `{"n":2}`)
	for _, c := range []struct {
		name    string
		tell    func(s *story)
		verdict Verdict
		says    string
	}{
		{"delivered before accepted", func(s *story) { s.deliver("s-1", 1, 1); s.accept(first) }, Invalid, "before it was accepted"},
		{"acknowledged before delivered", func(s *story) { s.accept(first); s.ack("s-1", 1, 1); s.deliver("s-1", 1, 1) }, Invalid, "its delivery is not in the file"},
		{"delivered after the grant ended", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: GrantApproved, Grant: "g-1", GrantRevision: 2})
			s.add(Leaf{Type: GrantRevoked, Grant: "g-1", GrantRevision: 3})
			s.at += 1
			s.deliver("s-1", 1, 1)
		}, Invalid, "lies outside grant g-1"},
		{"delivered within a second of the revocation", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: GrantApproved, Grant: "g-1", GrantRevision: 2})
			s.add(Leaf{Type: GrantRevoked, Grant: "g-1", GrantRevision: 3})
			s.deliver("s-1", 1, 1)
		}, Valid, "1 deliveries lie within"},
		{"delivered under an older revision", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: GrantApproved, Grant: "g-1", GrantRevision: 3})
			s.at += 1
			s.deliver("s-1", 1, 1)
		}, Invalid, "lies outside grant g-1"},
		{"approved again", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: GrantRevoked, Grant: "g-1", GrantRevision: 1})
			s.add(Leaf{Type: GrantApproved, Grant: "g-1", GrantRevision: 2})
			s.deliver("s-1", 1, 1)
		}, Valid, "1 deliveries lie within"},
		{"published before accepted", func(s *story) {
			s.add(Leaf{Type: PublicationPublished, Resource: testResource, Offset: 1, Version: 1})
			s.accept(first)
		}, Invalid, "does not concern this record"},
		{"published on another resource", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: PublicationPublished, Resource: "approvals.case", Offset: 1, Version: 1})
		}, Invalid, "does not concern this record"},
		{"range upside down", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: DeliveryDelivered, Resource: testResource, First: 3, Through: 1, Subscription: "s-1"})
		}, Invalid, "impossible range"},
		{"more delivered than the range holds", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: DeliveryDelivered, Resource: testResource, First: 1, Through: 1, Delivered: 2, Subscription: "s-1"})
		}, Invalid, "impossible range"},
		{"acknowledgement upside down", func(s *story) {
			s.accept(first)
			s.add(Leaf{Type: DeliveryAcknowledged, Resource: testResource, First: 3, Through: 1, Subscription: "s-1"})
		}, Invalid, "impossible range"},
		{"two versions at one leaf", func(s *story) { s.accept(first, second) }, Valid, "versions 1 to 2 without a gap"},
		{"subscription begun anew", func(s *story) {
			s.accept(first)
			s.deliver("s-1", 1, 1)
			s.add(Leaf{Type: SubscriptionDeleted, Subscription: "s-1"})
			s.accept(second)
			s.add(Leaf{Type: SubscriptionCreated, Subscription: "s-1"})
			s.accept(facts(3, 3, 2, "P-1", `{"n":3}`))
			s.deliver("s-1", 3, 3)
		}, Valid, "exchange not closed: subscription s-1"},
		{"never delivered", func(s *story) { s.accept(first) }, Valid, "the file shows no delivery"},
		{"without back pointers, sealed", func(s *story) {
			second := second
			second.Previous = 0
			s.accept(first, second)
		}, Valid, "that all versions are of one key is not shown"},
		{"back pointer elsewhere", func(s *story) {
			second := second
			second.Previous = 9
			s.accept(first, second)
		}, Invalid, "its back pointer is not offset 1"},
	} {
		s := newStory(t)
		c.tell(s)
		r := verify(t, archive(t, s.bare().Evidence()), testTrust(t))
		if r.Verdict != c.verdict || !strings.Contains(r.Text("en"), c.says) {
			t.Errorf("%s: want %v saying %q:\n%s", c.name, c.verdict, c.says, r.Text("en"))
		}
	}
}

// bare begins evidence of P-1 from every leaf there is, nothing opened, without delivery items.
func (s *story) bare() *Builder {
	s.tb.Helper()
	b, err := NewBuilder(testLog, testResource, "", s.at, s.checkpoint(uint64(len(s.leaves)), "n1", "n3"), s.bus)
	if err != nil {
		s.tb.Fatal(err)
	}
	for _, l := range s.leaves {
		if err := b.AddLeaf(l); err != nil {
			s.tb.Fatal(err)
		}
	}
	for _, f := range s.versions {
		leaf := s.accepted[f.Offset]
		var items [][]byte
		for _, g := range s.sections[leaf] {
			items = append(items, NewItem(g).Encode())
		}
		if err := b.AddRecord(leaf, items, int(f.Offset-s.sections[leaf][0].Offset), Openings{}); err != nil {
			s.tb.Fatal(err)
		}
	}
	return b
}

// A range says only that it passed an offset; its item says how.
func TestFiltered(t *testing.T) {
	s := newStory(t)
	s.accept(facts(1, 1, 0, "P-1", `{"n":1}`))
	s.deliver("s-1", 1, 1)
	b := s.bare()
	if r := verify(t, archive(t, b.Evidence()), testTrust(t)); !strings.Contains(r.Text("en"), "delivered [1], filtered []") {
		t.Errorf("leaf alone:\n%s", r.Text("en"))
	}
	if err := b.AddDelivery(1, s.batches[1], 0, nil); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, archive(t, b.Evidence()), testTrust(t)); r.Verdict != Valid || !strings.Contains(r.Text("en"), "delivered [], filtered [1]") {
		t.Errorf("with the item:\n%s", r.Text("en"))
	}
}

func TestBuilderRefuses(t *testing.T) {
	s := tell(t)
	if _, err := NewBuilder("other.example/2026-1", testResource, "", 0, s.checkpoint(3), s.bus); !errors.Is(err, ErrEvidence) {
		t.Errorf("checkpoint of another log: %v", err)
	}
	if _, err := NewBuilder(testLog, testResource, "", 0, []byte("x"), s.bus); !errors.Is(err, ErrEvidence) {
		t.Errorf("no note: %v", err)
	}
	b, err := NewBuilder(testLog, testResource, "", 0, s.checkpoint(uint64(len(s.leaves))), s.bus)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AddLeaf([]byte("{}")); !errors.Is(err, ErrLeaf) {
		t.Errorf("no leaf: %v", err)
	}
	for _, i := range []int{3, 5, 6} {
		if err := b.AddLeaf(s.leaves[i]); err != nil {
			t.Fatal(err)
		}
	}
	var items [][]byte
	for _, f := range s.sections[5] {
		items = append(items, NewItem(f).Encode())
	}
	for name, err := range map[string]error{
		"record of a leaf not added":   b.AddRecord(8, items, 0, Openings{}),
		"record of a delivery leaf":    b.AddRecord(6, items, 0, Openings{}),
		"place outside":                b.AddRecord(5, items, 3, Openings{}),
		"items of another section":     b.AddRecord(5, items[:2], 0, Openings{}),
		"delivery of an acceptance":    b.AddDelivery(5, items, 0, nil),
		"delivery items made anew":     b.AddDelivery(6, items, 0, nil),
		"object of another digest":     b.AddObject(3, []byte("{}")),
		"object of a leaf not added":   b.AddObject(2, s.grant),
		"delivery of a leaf not added": b.AddDelivery(9, items, 0, nil),
	} {
		if !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContainer(t *testing.T) {
	s := tell(t)
	good := archive(t, s.evidence)
	with := func(alter func(f map[string][]byte), more ...string) []byte {
		files := unzip(t, good)
		if alter != nil {
			alter(files)
		}
		return rezip(t, files, more...)
	}
	for _, c := range []struct {
		name string
		file []byte
		says string
	}{
		{"empty", nil, "not a ZIP"},
		{"text", []byte("hello"), "not a ZIP"},
		{"cut", good[:len(good)-30], "not a ZIP"},
		{"something before", append([]byte("#!/bin/sh\n"), good...), "stands before"},
		{"traversal", with(nil, "../../etc/passwd"), "name is not one"},
		{"traversal below a folder", with(nil, "events/../../x.json"), "name is not one"},
		{"absolute", with(nil, "/events/1.json"), "name is not one"},
		{"backslash", with(nil, `events\1.json`), "name is not one"},
		{"folder", with(nil, "events/"), "name is not one"},
		{"unknown name", with(nil, "trust"), "name is not one"},
		{"unknown ending", with(nil, "events/8.exe"), "name is not one"},
		{"other spelling of a number", with(nil, "events/08.json"), "name is not one"},
		{"upper case", with(nil, "Manifest.json"), "name is not one"},
		{"long name", with(nil, "events/"+strings.Repeat("9", 5000)+".json"), "name is not one"},
		{"duplicate", with(nil, "events/8.json"), "stands twice"},
		{"no name", with(nil, ""), "name is not one"},
		{"no mimetype", with(func(f map[string][]byte) { delete(f, "mimetype") }), "first entry is not mimetype"},
		{"other mimetype", with(func(f map[string][]byte) { f["mimetype"] = []byte("application/epub+zip") }), "type is not that"},
		{"no manifest", with(func(f map[string][]byte) { delete(f, "manifest.json") }), "is missing"},
		{"empty manifest", with(func(f map[string][]byte) { f["manifest.json"] = nil }), "malformed"},
		{"manifest of format 2", with(func(f map[string][]byte) { replace(f, "manifest.json", `"format":1`, `"format":2`) }), "unknown format"},
		{"unknown member", with(func(f map[string][]byte) { replace(f, "manifest.json", `"format":1`, `"format":1,"trust":"me"`) }), "malformed"},
		{"trailing bytes", with(func(f map[string][]byte) { f["manifest.json"] = append(f["manifest.json"], '}') }), "malformed"},
		{"proof without leaf", with(func(f map[string][]byte) { delete(f, "events/8.json") }), "belongs to nothing"},
		{"value without secret", with(func(f map[string][]byte) { delete(f, "records/4.open") }), "belongs to nothing"},
		{"secret without value", with(func(f map[string][]byte) { delete(f, "records/4.body") }), "is missing"},
		{"item without place", with(func(f map[string][]byte) { delete(f, "records/4.json") }), "is missing"},
		{"receipts with a gap", with(func(f map[string][]byte) { f["receipts/2.note"] = f["receipts/0.note"] }), "belongs to nothing"},
		{"negative place", with(func(f map[string][]byte) { f["records/4.json"] = []byte(`{"leaf":8,"place":-1,"path":[]}`) }), "malformed"},
		{"bad path", with(func(f map[string][]byte) { f["records/4.json"] = []byte(`{"leaf":8,"place":0,"path":["zz"]}`) }), "malformed"},
		{"empty hash", with(func(f map[string][]byte) { f["records/4.json"] = []byte(`{"leaf":8,"place":0,"path":[""]}`) }), "malformed"},
		{"long path", with(func(f map[string][]byte) {
			f["records/4.json"] = []byte(`{"leaf":8,"place":0,"path":["` + strings.Repeat(`","`, maxPath) + `"]}`)
		}), "malformed"},
		{"delivery of another leaf", with(func(f map[string][]byte) { replace(f, "deliveries/9-4.json", `"leaf":9`, `"leaf":10`) }), "leaf is not that of the name"},
		{"projection among records", with(func(f map[string][]byte) { f["records/4.open"] = []byte(`{"projection":"00"}`) }), "malformed"},
		{"body among deliveries", with(func(f map[string][]byte) { f["deliveries/9-4.open"] = []byte(`{"body":"00"}`) }), "malformed"},
		{"checkpoints differ", with(func(f map[string][]byte) {
			p, err := tlog.ParseProof(f["events/8.tlog-proof"])
			if err != nil {
				t.Fatal(err)
			}
			p.Checkpoint = s.checkpoint(21, "n1", "n2")
			f["events/8.tlog-proof"] = p.Encode()
		}), "not that of the other proofs"},
	} {
		r := verify(t, c.file, testTrust(t))
		if r.Verdict != Invalid || len(r.Claims) != 1 || r.Claims[0].Name != ClaimContainer || !strings.Contains(r.Claims[0].En, c.says) {
			t.Errorf("%s: want the container refused with %q:\n%s", c.name, c.says, r.Text("en"))
		}
	}
}

// What is larger than allowed is refused by what it says of itself and by what comes out of it.
func TestOversize(t *testing.T) {
	s := tell(t)
	e := s.evidence
	e.Records = slices.Clone(e.Records)
	e.Records[0].Open.Body = &Opening{Value: make([]byte, maxFileBytes+1)}
	if err := Write(io.Discard, e); !errors.Is(err, ErrEvidence) {
		t.Errorf("written: %v", err)
	}
	bomb := func(declare uint64) []byte {
		var b bytes.Buffer
		a := &archiveWriter{zip: zip.NewWriter(&b)}
		a.store("mimetype", []byte(mimeType))
		big := make([]byte, maxFileBytes+1)
		w, err := a.zip.CreateHeader(&zip.FileHeader{Name: "manifest.json", Method: zip.Deflate})
		a.write(w, big, err)
		if err := errors.Join(a.err, a.zip.Close()); err != nil {
			t.Fatal(err)
		}
		if declare == 0 {
			return b.Bytes()
		}
		// The central directory says a smaller size than there is.
		old := []byte{byte(len(big)), byte(len(big) >> 8), byte(len(big) >> 16), byte(len(big) >> 24)}
		file := b.Bytes()
		i := bytes.LastIndex(file, old)
		file[i], file[i+1], file[i+2], file[i+3] = byte(declare), byte(declare>>8), byte(declare>>16), 0
		return file
	}
	for _, declared := range []uint64{0, 100} {
		r := verify(t, bomb(declared), testTrust(t))
		if r.Verdict != Invalid || r.Claims[0].Name != ClaimContainer {
			t.Errorf("declared %d: %s", declared, r.Text("en"))
		}
	}
	if r, err := Verify(bytes.NewReader(nil), maxTotalBytes+1, testTrust(t)); err != nil || r.Verdict != Invalid {
		t.Errorf("too large: %v, %v", r, err)
	}
}

// Whatever bytes are altered or cut off, the answer is a report and not an error.
func TestAlteredBytes(t *testing.T) {
	s := tell(t)
	good := archive(t, s.evidence)
	trust := testTrust(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		file := bytes.Clone(good)
		for range 1 + r.IntN(4) {
			file[r.IntN(len(file))] = byte(r.Uint32())
		}
		if _, err := Verify(bytes.NewReader(file), int64(len(file)), trust); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		file := good[:r.IntN(len(good))]
		if report := verify(t, file, trust); report.Verdict != Invalid {
			t.Fatalf("cut at %d: %v", len(file), report.Verdict)
		}
	}
}

// A disk that fails is not a forged file.
func TestReaderFails(t *testing.T) {
	file := archive(t, tell(t).evidence)
	broken := errors.New("input/output error")
	_, err := Verify(readerAtFunc(func(p []byte, off int64) (int, error) {
		if off < int64(len(file))/2 {
			return 0, broken
		}
		return bytes.NewReader(file).ReadAt(p, off)
	}), int64(len(file)), testTrust(t))
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the disk", err)
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestReceipt(t *testing.T) {
	s := tell(t)
	msg := s.receipt(s.versions[1], "n3")
	golden(t, "receipt.note", msg)
	r, nodes, err := OpenReceipt(msg, testTrust(t))
	if err != nil || !cmp.Equal(nodes, []string{"n3"}) || r.Key != "P-1" || r.Leaf != 8 || r.Version != 2 {
		t.Errorf("OpenReceipt = %+v, %v, %v", r, nodes, err)
	}
	text, err := ReceiptText(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(r *Receipt){
		"newline in the key": func(r *Receipt) { r.Key = "a\nversion 9" }, "empty id": func(r *Receipt) { r.ID = "" }, "not UTF-8": func(r *Receipt) { r.Key = "\xff" }, "control": func(r *Receipt) { r.Resource = "a\u0085b" },
	} {
		bad := r
		alter(&bad)
		if _, err := ReceiptText(bad); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "header": strings.Replace(text, "/1", "/2", 1), "order": strings.Replace(text, "offset 4\nversion 2\n", "version 2\noffset 4\n", 1), "more": text + "more 1\n", "fewer": strings.Replace(text, "epoch 1\n", "", 1),
		"number": strings.Replace(text, "offset 4", "offset 04", 1), "hash": strings.Replace(text, "commitment ", "commitment z", 1), "no end": strings.TrimSuffix(text, "\n"), "negative": strings.Replace(text, "ordinal 0", "ordinal -1", 1),
	} {
		if _, err := ParseReceipt(bad); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := OpenReceipt(s.receipt(s.versions[1], "n4"), testTrust(t)); !errors.Is(err, ErrReceipt) {
		t.Errorf("stranger: %v", err)
	}
	if _, _, err := OpenReceipt(s.checkpoint(3, "n1", "n2"), testTrust(t)); !errors.Is(err, ErrReceipt) {
		t.Errorf("checkpoint as receipt: %v", err)
	}
}

// Tags of records and projections stand apart: what was delivered is no body.
func TestProjectionIsNoBody(t *testing.T) {
	d := NewDeliveryItem(1, "s-1", hash("secret"), []byte("x"))
	if (&Opening{Secret: record.ProjectionSecret(hash("secret"), "s-1"), Value: []byte("x")}).holds(record.TagBody, d.Projection) {
		t.Error("a projection opens as a body")
	}
	if !OpenProjection("s-1", hash("secret"), []byte("x")).holds(record.TagProjection, d.Projection) {
		t.Error("a projection does not open")
	}
	if OpenProjection("s-2", hash("secret"), []byte("x")).holds(record.TagProjection, d.Projection) {
		t.Error("a projection opens for another subscription")
	}
}

func FuzzVerify(f *testing.F) {
	s := tell(f)
	f.Add(archive(f, s.evidence))
	f.Add(archive(f, s.build(18, false)))
	f.Add(archive(f, Evidence{Log: testLog, Resource: testResource}))
	trust := testTrust(f)
	good := map[string]bool{}
	for _, l := range s.leaves {
		good[string(l)] = true
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Verify(bytes.NewReader(file), int64(len(file)), trust)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = r.Text("zh"), r.Text("en")
		if r.Verdict != Valid {
			return
		}
		// Whatever was done to the file: what is valid is what the log holds.
		e, err := Read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range e.Leaves {
			if !good[string(l.Bytes)] {
				t.Fatalf("a leaf the log does not hold is valid: %s", l.Bytes)
			}
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	s := tell(f)
	text, err := tlog.NoteText(s.receipt(s.versions[0], "n1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReceipt(text)
		if err != nil {
			return
		}
		if again, err := ReceiptText(r); err != nil || again != text {
			t.Fatalf("writing does not give the receipt back: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	file := archive(b, tell(b).evidence)
	trust := testTrust(b)
	for b.Loop() {
		if r, err := Verify(bytes.NewReader(file), int64(len(file)), trust); err != nil || r.Verdict != Valid {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(len(file)), "bytes/file")
}
