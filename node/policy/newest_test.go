package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// TestNewestForbids: what a newer schema version withholds, masks or keeps off the
// portal does not leave in a record that names an older one, nor the other way
// round.
func TestNewestForbids(t *testing.T) {
	older := fields{field("a", "unconditional publish"), field("o", "unconditional publish"), field("o/p", ""), field("gone", "unconditional publish")}
	const in = `{"a":"13812345678","o":{"p":"13912345678","q":"x"},"gone":"y"}`
	for _, tt := range []struct {
		name          string
		newest        fields
		grant, portal string
	}{
		{"the same", older, in, in},
		{"withheld", fields{field("a", "withheld publish"), field("o", "unconditional publish"), field("o/p", "withheld"), field("gone", "- publish")},
			`{"o":{"q":"x"},"gone":"y"}`, `{"o":{"q":"x"},"gone":"y"}`},
		{"masked", fields{field("a", "- publish phone"), field("o", "- publish phone"), field("gone", "- publish")},
			`{"a":"138****5678","o":{"p":"139****5678","q":"****"},"gone":"y"}`, `{"a":"138****5678","o":{"p":"139****5678","q":"****"},"gone":"y"}`},
		{"masked for the portal", fields{field("a", "- mask phone"), field("o", "- publish"), field("gone", "- publish")},
			in, `{"a":"138****5678","o":{"p":"13912345678","q":"x"},"gone":"y"}`},
		{"off the portal", fields{field("a", "- never"), field("o", "- publish"), field("o/p", "- never"), field("gone", "")}, in, `{"o":{"q":"x"}}`},
		{"only when decided", fields{field("a", "- decided"), field("o", "- publish"), field("gone", "- publish")}, in, `{"o":{"p":"13912345678","q":"x"},"gone":"y"}`},
		{"gone", fields{field("a", "- publish"), field("o", "- publish")}, in, `{"a":"13812345678","o":{"p":"13912345678","q":"x"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pair := range [][2]fields{{older, tt.newest}, {tt.newest, older}} {
				granted, err := GrantView(caseResource(), pair[0], pair[1], approved())
				if err != nil {
					t.Fatal(err)
				}
				portal, err := PortalView(caseResource(), pair[0], pair[1], false)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []struct {
					v    *View
					want string
				}{{granted, tt.grant}, {portal, tt.portal}} {
					if out, err := Project(c.v, []byte(in)); err != nil || string(out) != c.want {
						t.Errorf("%s, %v, want %s", out, err, c.want)
					}
				}
			}
		})
	}
	// A grant by name reaches what the record's own version declares, not more.
	g := approved()
	g.Fields = OnlyFields("late", "a")
	v, err := GrantView(caseResource(), fields{field("a", "")}, fields{field("a", ""), field("late", "")}, g)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := Project(v, []byte(`{"a":1,"late":2}`)); err != nil || string(out) != `{"a":1}` {
		t.Errorf("field of the newest version only: %s, %v", out, err)
	}
	// A newest version that cannot be read hands out nothing.
	if _, err := GrantView(caseResource(), older, fields{field("a", "open")}, approved()); !errors.Is(err, ErrRule) {
		t.Errorf("grant view: %v", err)
	}
	if _, err := PortalView(caseResource(), older, fields{field("a", "- show")}, true); !errors.Is(err, ErrRule) {
		t.Errorf("portal view: %v", err)
	}
}

// TestNewestProperty: whatever two schema versions say, a projection under both
// holds what plain reading of each lets pass, under the masks of each.
func TestNewestProperty(t *testing.T) {
	for seed := range uint64(1000) {
		w := world{rand.New(rand.NewPCG(seed, 11))}
		own, newest, r := w.annotations(nil, 0), w.annotations(nil, 0), w.resource()
		oneMask(w.pick(Masks()...), own, newest, r) // in which order several are applied is not said
		g, decided := w.grant(own), w.IntN(2) == 0
		var b strings.Builder
		w.value(&b, 0)
		compact, _, err := record.Decode([]byte(b.String()), record.DefaultLimits())
		if err != nil {
			t.Fatalf("seed %d: generator wrote %s: %v", seed, b.String(), err)
		}
		granted, err := GrantView(r, own, newest, g)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		portal, err := PortalView(r, own, newest, decided)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, v := range []*View{granted, portal} {
			out, err := Project(v, compact)
			if err != nil || !json.Valid(out) {
				t.Fatalf("seed %d: %s became %s, %v", seed, compact, out, err)
			}
			both := func(path []string) verdict {
				all := g // of newest only what it forbids counts: which fields are granted is for own
				all.Fields = AllFields()
				a, b := judge(path, v == portal, decided, r, own, g), judge(path, v == portal, decided, r, newest, all)
				return verdict{keep: a.keep && b.keep, masks: distinct(append(a.masks, b.masks...))}
			}
			want, any := expected(both, nil, compact)
			if !any {
				want = []string{" {", " }"}
			}
			if got := flat(nil, out); !slices.Equal(got, want) {
				t.Fatalf("seed %d portal %v\nown %+v\nnewest %+v\nresource %+v\ngrant %+v\nrecord %s\nprojection %s\nwant %q",
					seed, v == portal, own, newest, r, g.Fields, compact, out, want)
			}
		}
	}
}

// oneMask puts the same mask wherever there is one.
func oneMask(mask string, own, newest fields, r schemas.Resource) {
	for _, s := range []fields{own, newest} {
		for i := range s {
			if s[i].Mask != "" {
				s[i].Mask = mask
			}
		}
	}
	for name, f := range r.Fields {
		if f.Mask != "" {
			f.Mask = mask
			r.Fields[name] = f
		}
	}
}

// TestReason: free text goes only to whom nothing is kept back for lack of a grant.
func TestReason(t *testing.T) {
	const text = "张三 13812345678 重复报送"
	r, plain := caseResource(), fields{field("a", "unconditional publish"), field("b", "")}
	under := func(s, newest fields, f Fields) *View {
		g := approved()
		g.Fields = f
		v, err := GrantView(r, s, newest, g)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	portal, err := PortalView(r, plain, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := OwnerView(caller("spj", "s", RolePublisher), "spj")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		v     *View
		shown bool
	}{
		{"publisher", owner, true},
		{"all fields", under(plain, plain, AllFields()), true},
		{"all fields, one withheld", under(caseSchema, caseSchema, AllFields()), true},
		{"one field", under(plain, plain, OnlyFields("a")), false},
		{"every field by name", under(plain, plain, OnlyFields("a", "b")), false},
		{"none", under(plain, plain, OnlyFields("c")), false},
		{"portal", portal, false},
		{"zero view", &View{}, false},
		{"no view", nil, false},
	} {
		want := ReasonHidden
		if tt.shown {
			want = text
		}
		if got := Reason(tt.v, text); got != want {
			t.Errorf("%s is told %q", tt.name, got)
		}
		if got := Reason(tt.v, ""); got != "" {
			t.Errorf("%s is told %q where there is no reason", tt.name, got)
		}
	}
}

// TestOldVersionGivesNothingAway is the attack itself: phone is withheld only since
// version 2, and the record names version 1.
func TestOldVersionGivesNothingAway(t *testing.T) {
	one := append(fields{}, caseSchema...)
	for i := range one {
		one[i].Sharing, one[i].Portal = schemas.SharingUnconditional, schemas.PortalPublish
	}
	granted, err := GrantView(caseResource(), one, caseSchema, approved())
	if err != nil {
		t.Fatal(err)
	}
	portal, err := PortalView(caseResource(), one, caseSchema, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*View{granted, portal} {
		out, err := Project(v, []byte(caseRecord))
		if err != nil || v.Whole() || bytes.Contains(out, []byte("13812345678")) || bytes.Contains(out, []byte("13912345678")) {
			t.Errorf("%s, %v", out, err)
		}
	}
}
