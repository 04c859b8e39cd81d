package state

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas/record"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

// printable is text as it is, and hex for the rest.
func printable(b string) string {
	if b != "" && utf8.ValidString(b) && !strings.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return b
	}
	return "0x" + hex.EncodeToString([]byte(b))
}

// TestGoldenLayout freezes how the state lies on disk (format 1): one small life
// of everything, key by key.
func TestGoldenLayout(t *testing.T) {
	r := newRig(t)
	step := func(res Result) { r.now += 1000 }
	step(r.records(r.header("approvals.case", "fagai.pub"), up("a", "k1"), up("b", ""), up("c", "k2"), withdraw("d", "k2")))
	h := r.header("approvals.case", "fagai.pub")
	h.Producers = []record.Producer{{ID: "fagai.pub.2", Epoch: 3}}
	step(r.records(h, seq(1, "k1"), seq(2, "k3")))
	h = r.header("approvals.case", "fagai.pub")
	h.Producers = []record.Producer{{ID: "fagai.pub.2", Epoch: 3}}
	step(r.refusals(h, refusal(3, "", `{"bad":1}`), refusal(0, "e", `{}`)))
	step(r.records(r.header("projects.project", "fagai.pub"), sourced("a", "p", 7)))
	step(r.records(r.header("org.unit", "jianwei.pub"), up("a", "u"), withdraw("b", "u")))
	step(r.must(&GrantRequest{Head: by("town1.sub"), Object: grant("group:towns")}))
	step(r.must(&GrantDecide{Head: by("fagai.rev"), Grant: "g1", Action: "approve"}))
	step(r.must(&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1", Start: policy.Start{Earliest: true}}}))
	step(r.cursors(
		record.CursorMove{Subscription: "s1", Action: record.ActionHanded, From: 1, Through: 3, Delivered: 2, Filtered: 1, GrantRevision: 2, System: "town1.sub"},
		record.CursorMove{Subscription: "s1", Action: record.ActionAck, Through: 2, System: "town1.sub"},
	))
	step(r.must(&SystemFence{Head: admin(), System: "fagai.pub", Epoch: 3}))
	step(r.must(&PublicationDecide{Head: by("fagai.rev"), Publication: "p1", Action: "approve", Seen: "c0ffee"}))
	if _, err := r.mark(r.markNow()); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	all := dump(t, r.m)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%02x %s = %s\n", k[0], printable(k[1:]), printable(all[k]))
	}
	_, _, running := r.m.Applied()
	fmt.Fprintf(&b, "running %x\n", running)
	golden(t, "layout.txt", b.String())
}

func TestGoldenEntry(t *testing.T) {
	for i, tt := range []struct {
		time     int64
		sections [][]byte
		want     string
	}{
		{0, nil, "01000000000000000000"},
		{testStart, [][]byte{}, "010000019b76daa80000"},
		{testStart, [][]byte{[]byte("ab"), {}, bytes.Repeat([]byte("x"), 130)}, "010000019b76daa800030261620082" + "01" + strings.Repeat("78", 130)},
	} {
		b := EncodeEntry(tt.time, tt.sections)
		if got := hex.EncodeToString(b); got != tt.want {
			t.Errorf("%d: got %s, want %s", i, got, tt.want)
		}
		e, err := DecodeEntry(7, b)
		if err != nil || e.Index != 7 || e.Time != tt.time || len(e.Sections) != len(tt.sections) {
			t.Errorf("%d: %+v %v", i, e, err)
		}
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	good := EncodeEntry(1, [][]byte{[]byte("abc")})
	for name, b := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "longer": append(slices.Clone(good), 0), "short": good[:9],
		"count":      append(slices.Clone(good[:9]), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"long count": append(slices.Clone(good[:9]), 0x80, 0x00),
	} {
		if _, err := DecodeEntry(1, b); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", name, err)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(EncodeEntry(1, nil))
	f.Add(EncodeEntry(testStart, [][]byte{[]byte("ab"), {}, bytes.Repeat([]byte("x"), 130)}))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(1, b)
		if err != nil {
			if !errors.Is(err, ErrEntry) && !errors.Is(err, ErrUpgrade) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if again := EncodeEntry(e.Time, e.Sections); !bytes.Equal(again, b) {
			t.Fatalf("%x comes back as %x", b, again)
		}
	})
}

// FuzzCommand feeds a command to the decoder and, where it decodes, to a
// machine: it must be answered, and not stop the node unless a newer program
// wrote it.
func FuzzCommand(f *testing.F) {
	for _, c := range []Command{
		county(), &DepartmentPut{Head: admin(), Object: policy.Department{Code: "x", Name: "y"}}, &GroupPut{Head: admin(), Object: policy.Group{Code: "g"}},
		&SystemFence{Head: admin(), System: "fagai.pub"}, &GrantRequest{Head: by("town1.sub"), Object: grant("town1")},
		&CredentialRevoke{Head: admin(), Credential: "k1"}, &SchemaRegister{Head: admin(), Resource: "org.unit", Schema: "{}"},
		&SubscriptionCreate{Head: by("town1.sub"), Object: policy.Subscription{Grant: "g1"}}, &PublicationDecide{Head: by("fagai.rev"), Publication: "p1", Action: "approve"},
		&QuarantineDiscard{Head: admin(), System: "fagai.pub", Number: 1}, &MemberNote{Action: MemberAdded, Member: Member{ID: "n2"}},
	} {
		c.head().Request = "r"
		b, err := EncodeCommand(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"type":"group.put","v":1,"request":"r","by":{"system":"","department":""},"object":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			if !errors.Is(err, ErrCommand) && !errors.Is(err, ErrUpgrade) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		again, err := EncodeCommand(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := DecodeCommand(again)
		if err != nil {
			t.Fatalf("%s comes back as %s: %v", b, again, err)
		}
		if _, ok := d.(*Bootstrap); ok {
			return // a faulty bootstrap stops the node that is being made, by name
		}
		r := newRig(t)
		s, err := record.EncodeCommand(r.header(""), again)
		if err != nil {
			return
		}
		res := r.apply(s)[0]
		if res.Code != Applied && res.Err == nil {
			t.Fatalf("%s is %s without a reason", again, res.Code)
		}
	})
}
