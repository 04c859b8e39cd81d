package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// hash is a fixed hash with a name.
func hash(name string) tlog.Hash { return tlog.LeafHash([]byte(name)) }

// goldenLeaves has one leaf of each type, with the fields it is used with.
func goldenLeaves() []Leaf {
	salt := bytes.Repeat([]byte{0xab}, 16)
	return []Leaf{
		{Type: LogOpened, Object: "hutong.example/county/2026-1", Previous: "hutong.example/county/2025-1 8 " + hash("old").String(), Salt: salt},
		{Type: SubmissionAccepted, Resource: "approvals.case", Revision: 3, Systems: []string{"fgw.sp", "jw.sp"}, First: 41, Count: 2, Root: hash("inner")},
		{Type: SubmissionRejected, Resource: "approvals.case", Revision: 3, Systems: []string{"fgw.sp"}, First: 7, Count: 1, Outcome: OutcomeRefused, Reasons: []string{"invalid_record", "key_owned"}, Salt: salt},
		{Type: DeliveryDelivered, Resource: "approvals.case", Systems: []string{"czj.cx"}, First: 40, Through: 42, Delivered: 2, Filtered: 1, Subscription: "s-1", Grant: "g-1", GrantRevision: 2, Root: hash("batch")},
		{Type: DeliveryAcknowledged, Resource: "approvals.case", Systems: []string{"czj.cx"}, First: 40, Through: 42, Subscription: "s-1", Grant: "g-1", GrantRevision: 2, Salt: salt},
		{Type: PublicationStarted, Resource: "projects.disclosure", Systems: []string{"fgw.xm"}, Offset: 5, Version: 1, Object: "p-1"},
		{Type: PublicationApproved, Resource: "projects.disclosure", Systems: []string{"bmj.sc"}, Offset: 5, Version: 1, Object: "p-1", Step: "保密审查", Outcome: OutcomeOK},
		{Type: PublicationReturned, Resource: "projects.disclosure", Systems: []string{"bmj.sc"}, Offset: 5, Version: 1, Object: "p-1", Step: "保密审查", Outcome: OutcomeRefused},
		{Type: PublicationPublished, Resource: "projects.disclosure", Offset: 5, Version: 1, Object: "p-1"},
		{Type: PublicationWithdrawn, Resource: "projects.disclosure", Systems: []string{"zfb.sc"}, Offset: 5, Version: 1, Object: "p-1"},
		{Type: DepartmentPut, Systems: []string{"dzzwb.admin"}, Object: "fgw", Revision: 1, Digest: hash("department"), Salt: salt},
		{Type: GroupPut, Systems: []string{"dzzwb.admin"}, Object: "towns", Revision: 1, Digest: hash("group")},
		{Type: SystemPut, Systems: []string{"dzzwb.admin"}, Object: "fgw.sp", Revision: 1, Digest: hash("system")},
		{Type: SystemFenced, Systems: []string{"dzzwb.admin"}, Object: "fgw.sp", Count: 4},
		{Type: CredentialIssued, Systems: []string{"dzzwb.admin"}, Object: "c-1", Step: "fgw.sp", Salt: salt},
		{Type: CredentialRevoked, Systems: []string{"dzzwb.admin"}, Object: "c-1", Step: "fgw.sp", Salt: salt},
		{Type: ResourcePut, Systems: []string{"fgw.admin"}, Resource: "approvals.case", Revision: 3, Digest: hash("resource")},
		{Type: SchemaRegistered, Systems: []string{"fgw.admin"}, Resource: "approvals.case", Version: 1, Digest: hash("schema")},
		{Type: GrantRequested, Systems: []string{"czj.cx"}, Resource: "approvals.case", Grant: "g-1", GrantRevision: 1, Digest: hash("grant 1")},
		{Type: GrantApproved, Systems: []string{"fgw.sp"}, Resource: "approvals.case", Grant: "g-1", GrantRevision: 2, Digest: hash("grant 2"), Outcome: OutcomeOK},
		{Type: GrantRefused, Systems: []string{"fgw.sp"}, Resource: "approvals.case", Grant: "g-2", GrantRevision: 2, Outcome: OutcomeRefused},
		{Type: GrantRevoked, Systems: []string{"fgw.sp"}, Resource: "approvals.case", Grant: "g-1", GrantRevision: 3, Digest: hash("grant 3")},
		{Type: GrantExpired, Resource: "approvals.case", Grant: "g-1", GrantRevision: 3},
		{Type: SubscriptionCreated, Systems: []string{"czj.cx"}, Resource: "approvals.case", Subscription: "s-1", Grant: "g-1", First: 40},
		{Type: SubscriptionPaused, Systems: []string{"czj.cx"}, Resource: "approvals.case", Subscription: "s-1", Grant: "g-1"},
		{Type: SubscriptionResumed, Systems: []string{"czj.cx"}, Resource: "approvals.case", Subscription: "s-1", Grant: "g-1"},
		{Type: SubscriptionDeleted, Systems: []string{"czj.cx"}, Resource: "approvals.case", Subscription: "s-1", Grant: "g-1"},
		{Type: QuarantineDiscarded, Systems: []string{"fgw.sp"}, First: 7, Count: 1},
		{Type: MemberAdded, Systems: []string{"dzzwb.admin"}, Object: "n2", VKey: "n2+44e369f2+BEap4lajBFP5Lc3YmsRgNmoOzQyzSimlLtSl6IVghMto"},
		{Type: MemberRemoved, Systems: []string{"dzzwb.admin"}, Object: "n2"},
		{Type: ClusterClock, Object: "n1", Count: 301000, Outcome: "forward"},
		{Type: PolicyRefused, Object: "n1", Count: 12, Reasons: []string{"not_granted", "unauthenticated"}, Outcome: OutcomeRefused},
		{Type: "later.type", Object: "\"quoted\\\" \t\x7f <>& \u2028 \xff"},
	}
}

func TestLeafGolden(t *testing.T) {
	var text bytes.Buffer
	for i, l := range goldenLeaves() {
		l.V, l.I, l.T = FormatVersion, uint64(i), 1767225600000+int64(i)
		b := l.Encode()
		h := tlog.LeafHash(b)
		fmt.Fprintf(&text, "%s\n%s\n", b, hex.EncodeToString(h[:]))
		again, err := ParseLeaf(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if l.Type == "later.type" {
			l.Object = strings.ToValidUTF8(l.Object, "\uFFFD")
		}
		if diff := cmp.Diff(l, again); diff != "" {
			t.Errorf("leaf (-want +got):\n%s", diff)
		}
	}
	golden(t, "leaves", text.Bytes())
}

// Each field changes the bytes and comes back: none is forgotten in Encode or ParseLeaf.
func TestLeafFields(t *testing.T) {
	zero := Leaf{V: FormatVersion, Type: "x"}
	typ := reflect.TypeFor[Leaf]()
	seen := map[string]string{string(zero.Encode()): "zero"}
	for i := range typ.NumField() {
		l := zero
		f := reflect.ValueOf(&l).Elem().Field(i)
		switch v := f.Addr().Interface().(type) {
		case *int:
			continue // V has one value
		case *uint64:
			*v = 1<<64 - 1
		case *int64:
			*v = -1
		case *string:
			*v = "值 \"\\\n"
		case *[]string:
			*v = []string{"a", ""}
		case *tlog.Hash:
			*v = hash("x")
		case *[]byte:
			*v = []byte{0, 1}
		default:
			t.Fatalf("field %s has a type that is not tried here", typ.Field(i).Name)
		}
		b := l.Encode()
		if other, twice := seen[string(b)]; twice {
			t.Errorf("%s gives the same bytes as %s", typ.Field(i).Name, other)
		}
		seen[string(b)] = typ.Field(i).Name
		again, err := ParseLeaf(b)
		if err != nil {
			t.Fatalf("%s: %v", typ.Field(i).Name, err)
		}
		if diff := cmp.Diff(l, again); diff != "" {
			t.Errorf("%s (-want +got):\n%s", typ.Field(i).Name, diff)
		}
	}
}

func TestParseLeafRefused(t *testing.T) {
	good := `{"v":1,"i":5,"t":7,"ty":"x","n":1}`
	if _, err := ParseLeaf([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":         "",
		"white space":   `{"v":1, "i":5,"t":7,"ty":"x","n":1}`,
		"trailing":      good + "\n",
		"two":           good + good,
		"order":         `{"i":5,"v":1,"t":7,"ty":"x","n":1}`,
		"unknown":       `{"v":1,"i":5,"t":7,"ty":"x","zz":1}`,
		"twice":         `{"v":1,"i":5,"t":7,"ty":"x","n":1,"n":1}`,
		"zero written":  `{"v":1,"i":5,"t":7,"ty":"x","n":0}`,
		"empty written": `{"v":1,"i":5,"t":7,"ty":"x","sy":[]}`,
		"float":         `{"v":1,"i":5,"t":7,"ty":"x","n":1.0}`,
		"escape":        `{"v":1,"i":5,"t":7,"ty":"\u0078","n":1}`,
		"upper case":    `{"V":1,"i":5,"t":7,"ty":"x","n":1}`,
		"format 2":      `{"v":2,"i":5,"t":7,"ty":"x","n":1}`,
		"hex case":      `{"v":1,"i":5,"t":7,"ty":"x","d":"` + strings.Repeat("AB", 32) + `"}`,
		"hex length":    `{"v":1,"i":5,"t":7,"ty":"x","rt":"abcd"}`,
		"odd salt":      `{"v":1,"i":5,"t":7,"ty":"x","z":"abc"}`,
		"null":          `null`,
		"array":         `[]`,
		"too long":      `{"v":1,"i":5,"t":7,"ty":"` + strings.Repeat("x", MaxLeafBytes) + `"}`,
	} {
		if l, err := ParseLeaf([]byte(text)); !errors.Is(err, ErrLeaf) {
			t.Errorf("%s: %+v, %v, want ErrLeaf", name, l, err)
		}
	}
}

func TestAddress(t *testing.T) {
	if got := Address("hutong.example/county/2026-1", 12); got != "2026-1:12" || Address("2026-1", 12) != got {
		t.Errorf("Address = %q", got)
	}
	if log, i, err := ParseAddress("2026-1:12"); err != nil || log != "2026-1" || i != 12 {
		t.Errorf("ParseAddress = %q, %d, %v", log, i, err)
	}
	for _, s := range []string{"", "2026-1", "2026-1:", "2026-1:012", "2026-1:-1", "x/2026-1:1", "2026:1", "2026-1:1:1"} {
		if _, _, err := ParseAddress(s); !errors.Is(err, ErrLeaf) {
			t.Errorf("ParseAddress(%q): %v", s, err)
		}
	}
}

func TestEventOf(t *testing.T) {
	leaf := Leaf{V: 1, I: 12, T: 1767225600123, Type: SubmissionAccepted, Resource: "r", Systems: []string{"fgw.sp", "jw.sp"}, First: 41, Count: 2}
	item := Item{Offset: 42, Version: 3, System: "jw.sp"}
	for _, c := range []struct {
		name string
		leaf Leaf
		item *Item
		want Event
	}{
		{"section", leaf, nil, Event{Leaf: "2026-1:12", At: "2026-01-01T00:00:00.123Z", Type: SubmissionAccepted, Resource: "r", Outcome: "ok"}},
		{"record", leaf, &item, Event{Leaf: "2026-1:12", At: "2026-01-01T00:00:00.123Z", Type: SubmissionAccepted, Resource: "r", Offset: 42, Version: 3, Department: "jw", System: "jw.sp", Outcome: "ok"}},
		{
			"refusal", Leaf{Type: SubmissionRejected, Systems: []string{"fgw.sp"}, Outcome: OutcomeRefused, Reasons: []string{"key_owned"}}, nil,
			Event{Leaf: "2026-1:0", At: "1970-01-01T00:00:00.000Z", Type: SubmissionRejected, Department: "fgw", System: "fgw.sp", Outcome: "refused", ReasonCodes: []string{"key_owned"}},
		},
		{
			"delivery of a record", Leaf{Type: DeliveryDelivered, Systems: []string{"czj.cx"}, Grant: "g"}, &item,
			Event{Leaf: "2026-1:0", At: "1970-01-01T00:00:00.000Z", Type: DeliveryDelivered, Offset: 42, Version: 3, Department: "czj", System: "czj.cx", Outcome: "ok", Grant: "g"},
		},
	} {
		if diff := cmp.Diff(c.want, EventOf("hutong.example/2026-1", c.leaf, c.item)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func goldenFacts() Facts {
	return Facts{
		Offset: 42, Version: 2, Previous: 40, System: "fgw.sp", Counter: 17, ID: "fgw.sp-1-17", Key: "2026|001",
		Body: []byte(`{"case_no":"001"}`), Secret: hash("secret"), SchemaVersion: 1,
	}
}

func TestItemGolden(t *testing.T) {
	var text bytes.Buffer
	withdrawal := goldenFacts()
	withdrawal.Withdraw, withdrawal.Body, withdrawal.Previous = true, []byte("发布有误"), 0
	for _, f := range []Facts{goldenFacts(), withdrawal} {
		i := NewItem(f)
		fmt.Fprintf(&text, "%s\n", i.Encode())
		again, err := ParseItem(i.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(i, again); diff != "" {
			t.Errorf("item (-want +got):\n%s", diff)
		}
	}
	for _, projection := range [][]byte{[]byte(`{"case_no":"001"}`), {}, nil} {
		d := NewDeliveryItem(42, "s-1", hash("secret"), projection)
		fmt.Fprintf(&text, "%s\n", d.Encode())
		again, err := ParseDeliveryItem(d.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Errorf("delivery item (-want +got):\n%s", diff)
		}
	}
	golden(t, "items", text.Bytes())
}

func TestParseItemRefused(t *testing.T) {
	good := string(NewItem(goldenFacts()).Encode())
	delivery := string(NewDeliveryItem(42, "s-1", hash("secret"), []byte("x")).Encode())
	for name, text := range map[string]string{
		"empty": "", "space": good + " ", "withdraw 2": strings.Replace(good, `"s":`, `"w":2,"s":`, 1), "unknown": strings.Replace(good, `"s":`, `"x":2,"s":`, 1),
		"hex": strings.Replace(good, `"k":"`, `"k":"g`, 1), "order": strings.Replace(good, `{"o":42,"v":2`, `{"v":2,"o":42`, 1), "long": good + strings.Repeat(" ", MaxLeafBytes), "delivery": delivery,
	} {
		if _, err := ParseItem([]byte(text)); !errors.Is(err, ErrItem) {
			t.Errorf("item %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "space": delivery + " ", "verdict": strings.Replace(delivery, "delivered", "lost", 1), "hex": strings.Replace(delivery, `"p":"`, `"p":"g`, 1), "item": good, "long": strings.Repeat(" ", MaxLeafBytes+1),
	} {
		if _, err := ParseDeliveryItem([]byte(text)); !errors.Is(err, ErrItem) {
			t.Errorf("delivery item %s: %v", name, err)
		}
	}
}

// Who is shown the key may not be able to guess the body: no secret but the record's own leads to the body's
// commitment, and none leads back to it.
func TestSecretsStandApart(t *testing.T) {
	f := goldenFacts()
	item := NewItem(f)
	o := OpenRecord(f, true, true, true)
	if !o.Body.holds(record.TagBody, item.Body) || !o.Key.holds(record.TagKey, item.Key) || !o.ID.holds(record.TagID, item.ID) {
		t.Fatal("openings do not open")
	}
	secrets := map[string][32]byte{"body": f.Secret, "key": o.Key.Secret, "id": o.ID.Secret, "projection": record.ProjectionSecret(f.Secret, "s-1")}
	for name, secret := range secrets {
		for other, s := range secrets {
			if name != other && s == secret {
				t.Errorf("%s and %s share a secret", name, other)
			}
		}
		if name != "body" && (&Opening{Secret: secret, Value: f.Body}).holds(record.TagBody, item.Body) {
			t.Errorf("the secret of the %s opens the body", name)
		}
	}
	if none := OpenRecord(f, false, false, false); none != (Openings{}) {
		t.Error("something was opened that may not be")
	}
	// A changed value, or the same value under another tag, does not open.
	o.Key.Value = []byte("2026|002")
	if o.Key.holds(record.TagKey, item.Key) || o.Body.holds(record.TagKey, item.Body) {
		t.Error("an opening holds that must not")
	}
}

// Roots of Certificate Transparency's reference leaves, and every path of trees up to 70 items.
func TestInner(t *testing.T) {
	ct := [][]byte{{}, {0x00}, {0x10}, {0x20, 0x21}, {0x30, 0x31}, {0x40, 0x41, 0x42, 0x43}, []byte("PQRSTUVW"), []byte("`abcdefghijklmno")}
	if got := InnerRoot(ct); hex.EncodeToString(got[:]) != "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" {
		t.Errorf("root of the reference leaves is %x", got)
	}
	if got := InnerRoot(nil); hex.EncodeToString(got[:]) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("root of nothing is %x", got)
	}
	var items [][]byte
	for n := 1; n <= 70; n++ {
		items = append(items, fmt.Appendf(nil, "item %d", n))
		root := InnerRoot(items)
		for i := range n {
			path := InnerPath(items, i)
			if err := CheckInner(root, items[i], i, n, path); err != nil {
				t.Fatalf("item %d of %d: %v", i, n, err)
			}
			if err := CheckInner(root, []byte("other"), i, n, path); !errors.Is(err, ErrInner) {
				t.Fatalf("item %d of %d altered: %v", i, n, err)
			}
			if n > 1 {
				if err := CheckInner(root, items[i], (i+1)%n, n, path); !errors.Is(err, ErrInner) {
					t.Fatalf("item %d of %d at another place: %v", i, n, err)
				}
			}
		}
	}
	if InnerPath(items, -1) != nil || InnerPath(items, 70) != nil {
		t.Error("a path of an item that is not there")
	}
	if err := CheckInner(hash("x"), nil, 0, 0, nil); !errors.Is(err, ErrInner) {
		t.Errorf("item of none: %v", err)
	}
}

func FuzzParseLeaf(f *testing.F) {
	for _, l := range goldenLeaves() {
		l.V = FormatVersion
		f.Add(l.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLeaf(b); err == nil && !bytes.Equal(l.Encode(), b) {
			t.Fatal("encoding does not give the leaf back")
		} else if err != nil && !errors.Is(err, ErrLeaf) {
			t.Fatalf("error without a name: %v", err)
		}
		if i, err := ParseItem(b); err == nil && !bytes.Equal(i.Encode(), b) {
			t.Fatal("encoding does not give the item back")
		}
		if d, err := ParseDeliveryItem(b); err == nil && !bytes.Equal(d.Encode(), b) {
			t.Fatal("encoding does not give the delivery item back")
		}
	})
}

func BenchmarkLeafEncode(b *testing.B) {
	l := goldenLeaves()[1]
	for b.Loop() {
		l.Encode()
	}
}

func BenchmarkInnerRoot500(b *testing.B) {
	items := make([][]byte, 500)
	for i := range items {
		items[i] = NewItem(goldenFacts()).Encode()
	}
	for b.Loop() {
		InnerRoot(items)
	}
}
