package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// verdict is what plain reading of the rules says of one path, without trees.
type verdict struct {
	keep  bool
	masks []string
}

// judge reads all words on the way to a path, one after the other. It is written
// to be obviously right and shares nothing with compileRules but the words.
func judge(path []string, forPortal, decided bool, r schemas.Resource, s fields, g Grant) verdict {
	prefix := func(p []string) bool {
		return len(p) <= len(path) && strings.Join(p, "\x00") == strings.Join(path[:len(p)], "\x00")
	}
	withheld := r.Sharing == schemas.SharingWithheld
	named, never, needsDecision, portalMasked := false, false, false, false
	var everyone, portalOnly []string
	word := func(w schemas.FieldRule) {
		withheld = withheld || w.Sharing == schemas.SharingWithheld
		named = named || w.Portal == "publish" || w.Portal == "mask" || w.Portal == "decided"
		never = never || w.Portal == "never"
		needsDecision = needsDecision || w.Portal == "decided"
		portalMasked = portalMasked || w.Portal == "mask"
		if w.Mask != "" && w.Portal == "mask" {
			portalOnly = append(portalOnly, w.Mask)
		} else if w.Mask != "" {
			everyone = append(everyone, w.Mask)
		}
	}
	for depth := 1; depth <= len(path); depth++ {
		for _, a := range s {
			if len(a.Pointer) == depth && prefix(a.Pointer) {
				word(schemas.FieldRule{Sharing: a.Sharing, Portal: a.Portal, Mask: a.Mask})
			}
		}
		if w, ok := r.Fields[path[0]]; ok && depth == 1 {
			word(w)
		}
	}
	if forPortal {
		return verdict{named && !never && (decided || !needsDecision) && !withheld, distinct(append(everyone, portalOnly...))}
	}
	granted := g.Fields.All
	for _, name := range g.Fields.Names {
		p, err := parsePath(name)
		if err != nil {
			continue
		}
		declared := false
		for _, a := range s { // the path itself, or one below it
			declared = declared || len(a.Pointer) >= len(p) && strings.Join(a.Pointer[:len(p)], "\x00") == strings.Join(p, "\x00")
		}
		granted = granted || declared && prefix(p)
	}
	return verdict{granted && !withheld, distinct(everyone)}
}

func distinct(s []string) []string {
	var out []string
	for _, v := range s {
		if !strings.Contains(" "+strings.Join(out, " ")+" ", " "+v+" ") {
			out = append(out, v)
		}
	}
	return out
}

// expected is the projection built value by value from the verdicts: the scalars
// in order, each with its path and bytes.
func expected(judge func([]string) verdict, path []string, raw []byte) (out []string, any bool) {
	v := judge(path)
	head := strings.Join(path, "/")
	below := func(name string, raw []byte) {
		o, kept := expected(judge, append(append([]string{}, path...), name), raw)
		if any = any || kept; kept {
			out = append(out, o...)
		}
	}
	switch raw[0] {
	case '{':
		out = append(out, head+" {")
		_ = record.Members(raw, func(name string, raw []byte) error { below(name, raw); return nil })
		return append(out, head+" }"), any || v.keep
	case '[':
		out = append(out, head+" [")
		_ = record.Elements(raw, func(raw []byte) error { below("*", raw); return nil })
		return append(out, head+" ]"), any || v.keep
	}
	if v.keep && len(v.masks) > 0 {
		raw = maskScalar(raw, v.masks)
	}
	return []string{head + " " + string(raw)}, v.keep
}

func maskScalar(raw []byte, names []string) []byte {
	if raw[0] != '"' {
		return []byte("null")
	}
	s, _ := record.Unquote(raw)
	for _, n := range names {
		s, _ = Mask(n, s)
	}
	return record.AppendString(nil, s)
}

// flat lists what a projection really holds in the form of expected.
func flat(path []string, raw []byte) []string {
	out, _ := expected(func([]string) verdict { return verdict{keep: true} }, path, raw)
	return out
}

// checkProjection compares out with the plain reading of the rules, byte for byte
// of every scalar.
func checkProjection(t *testing.T, forPortal, decided bool, r schemas.Resource, s fields, g Grant, compact, out []byte) {
	t.Helper()
	want, any := expected(func(p []string) verdict { return judge(p, forPortal, decided, r, s, g) }, nil, compact)
	if !any {
		want = []string{" {", " }"}
	}
	if diff := cmp.Diff(want, flat(nil, out)); diff != "" {
		t.Fatalf("portal %v decided %v\nresource %+v\nschema %+v\ngrant %+v\nrecord %s\nprojection %s\n(-want +got):\n%s",
			forPortal, decided, r, s, g.Fields, compact, out, diff)
	}
}

// world makes random schemas, resources, grants and records.
type world struct{ *rand.Rand }

var memberNames = []string{"a", "b", "姓名", "x/y", "~", "*", "e f", `q"`, "n"}

func (w world) pick(words ...string) string { return words[w.IntN(len(words))] }

func (w world) annotations(at []string, depth int) fields {
	var f fields
	for range 1 + w.IntN(4) {
		name := w.pick(memberNames...)
		if depth > 0 && w.IntN(3) == 0 {
			name = "*"
		}
		p := append(append([]string{}, at...), name)
		a := schemas.Annotation{Pointer: p,
			Sharing: w.pick("", "", "unconditional", "conditional", "withheld"),
			Portal:  w.pick("", "", "publish", "publish", "mask", "decided", "never")}
		if a.Portal == "mask" || w.IntN(6) == 0 {
			a.Mask = w.pick(Masks()...)
		}
		f = append(f, a)
		if depth < 3 && w.IntN(2) == 0 {
			f = append(f, w.annotations(p, depth+1)...)
		}
	}
	return f
}

func (w world) resource() schemas.Resource {
	r := caseResource()
	r.Sharing = w.pick("unconditional", "conditional")
	r.Disclosure.Route = w.pick(schemas.RouteSelf, schemas.RouteReviewed)
	r.Fields = map[string]schemas.FieldRule{}
	for range w.IntN(3) {
		f := schemas.FieldRule{Sharing: w.pick("", "conditional", "withheld"), Portal: w.pick("", "publish", "mask", "decided", "never")}
		if f.Portal == "mask" || w.IntN(4) == 0 {
			f.Mask = w.pick(Masks()...)
		}
		r.Fields[w.pick(memberNames...)] = f
	}
	return r
}

func (w world) grant(s fields) Grant {
	g := approved()
	g.Fields = Fields{All: w.IntN(3) == 0}
	for range w.IntN(4) {
		if g.Fields.All {
			break
		}
		p := s[w.IntN(len(s))].Pointer
		if w.IntN(4) == 0 {
			p = append(append([]string{}, p[:len(p)-1]...), w.pick(memberNames...))
		}
		g.Fields.Names = append(g.Fields.Names, joinPath(p))
	}
	return g
}

func (w world) value(b *strings.Builder, depth int) {
	switch n := w.IntN(8); {
	case n < 2 && depth < 4 || depth == 0:
		b.WriteByte('{')
		for i, j := range w.Perm(len(memberNames))[:w.IntN(len(memberNames))] {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(w.quote(memberNames[j]) + ":")
			w.value(b, depth+1)
		}
		b.WriteByte('}')
	case n < 4 && depth < 4:
		b.WriteByte('[')
		for i := range w.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			w.value(b, depth+1)
		}
		b.WriteByte(']')
	case n == 4:
		b.WriteString(w.pick("1", "1.50", "-0", "1e2", "0.10E+1", "true", "false", "null"))
	default:
		b.WriteString(w.quote(w.pick("", "王五", "欧阳小明", "110101199003070011", "a\"b\\c", "广安区悦来镇人民路5号", "\u2028", "z@x.cn")))
	}
}

// quote writes a string with escapes where none are needed, now and then.
func (w world) quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r == '"' || r == '\\' || w.IntN(5) == 0 {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// TestProjectProperty: whatever the schema, resource, grant and record, the
// projection is valid JSON, holds exactly what plain reading of the rules lets
// pass, and every unmasked value has the bytes it came with.
func TestProjectProperty(t *testing.T) {
	for seed := range uint64(1500) {
		w := world{rand.New(rand.NewPCG(seed, 7))}
		s, r := w.annotations(nil, 0), w.resource()
		g, decided := w.grant(s), w.IntN(2) == 0
		var b strings.Builder
		w.value(&b, 0)
		compact, _, err := record.Decode([]byte(b.String()), record.DefaultLimits())
		if err != nil {
			t.Fatalf("seed %d: generator wrote %s: %v", seed, b.String(), err)
		}
		granted, err := GrantView(r, s, nil, g)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		portal, err := PortalView(r, s, nil, decided)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, v := range []*View{granted, portal} {
			out, err := Project(v, compact)
			if err != nil || !json.Valid(out) {
				t.Fatalf("seed %d: %s became %s, %v", seed, compact, out, err)
			}
			checkProjection(t, v == portal, decided, r, s, g, compact, out)
		}
	}
}
