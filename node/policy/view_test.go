package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

const caseRecord = `{"case_no":"SP-2019-000123","task_name":"\u6838\u53d1","status":"办结准予","result_no":"许准1号",` +
	`"applicant_name":"欧阳小明","applicant_id":"110101199003070011","phone":"13812345678",` +
	`"agent":{"name":"王五","phone":"13912345678","age":1e2},` +
	`"materials":[{"name":"申请表","holder":"李四","pages":1.50},{"holder":"李四"},[],"x"],"extra":null}`

// TestProjectGolden prints what each recipient gets of one record.
func TestProjectGolden(t *testing.T) {
	tightened := caseResource()
	tightened.Fields = map[string]schemas.FieldRule{
		"status":    {Sharing: schemas.SharingWithheld},
		"task_name": {Portal: schemas.PortalNever, Mask: schemas.MaskTail},
		"materials": {Portal: schemas.PortalDecided},
	}
	grant := func(r schemas.Resource, f Fields) *View {
		g := approved()
		g.Fields = f
		v, err := GrantView(r, caseSchema, nil, g)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	portal := func(r schemas.Resource, decided bool) *View {
		v, err := PortalView(r, caseSchema, nil, decided)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	owner, err := OwnerView(caller("spj", "s", RolePublisher), "spj")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, tt := range []struct {
		name string
		v    *View
	}{
		{"publisher", owner},
		{"grant all", grant(caseResource(), AllFields())},
		{"grant status, materials", grant(caseResource(), OnlyFields("status", "materials"))},
		{"grant withheld fields by name", grant(caseResource(), OnlyFields("phone", "agent/phone", "task_name"))},
		{"grant agent/name, materials/*/name", grant(caseResource(), OnlyFields("agent/name", "materials/*/name"))},
		{"grant unknown", grant(caseResource(), OnlyFields("extra"))},
		{"grant all, tightened resource", grant(tightened, AllFields())},
		{"portal undecided", portal(caseResource(), false)},
		{"portal decided", portal(caseResource(), true)},
		{"portal undecided, tightened resource", portal(tightened, false)},
		{"portal decided, tightened resource", portal(tightened, true)},
	} {
		out, err := Project(tt.v, []byte(caseRecord))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		fmt.Fprintf(&b, "# %s\n%s\n", tt.name, out)
	}
	golden(t, "project.txt", b.String())
}

// TestWithheldNeverLeaves looks for withheld values in everything a grant or the
// portal could be given.
func TestWithheldNeverLeaves(t *testing.T) {
	secrets := []string{"13812345678", "13912345678"}
	every := []Fields{AllFields(), OnlyFields("phone"), OnlyFields("agent"), OnlyFields("agent/phone"), OnlyFields("agent", "agent/phone", "phone")}
	var views []*View
	for _, f := range every {
		g := approved()
		g.Fields = f
		v, err := GrantView(caseResource(), caseSchema, nil, g)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	open := append(fields{}, caseSchema...)
	for i := range open { // even where the schema says that the portal may have it
		open[i].Portal = schemas.PortalPublish
	}
	v, err := PortalView(caseResource(), open, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(views, v) {
		if v.Whole() {
			t.Error("a view beside the publisher's own is whole though a field is withheld")
		}
		out, err := Project(v, []byte(caseRecord))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(out, []byte(s)) {
				t.Errorf("withheld value left: %s", out)
			}
		}
	}
	withheld := caseResource()
	withheld.Sharing = schemas.SharingWithheld
	if _, err := GrantView(withheld, caseSchema, nil, approved()); !errors.Is(err, ErrWithheld) {
		t.Errorf("grant view of a withheld resource: %v", err)
	}
	if _, err := PortalView(withheld, caseSchema, nil, true); !errors.Is(err, ErrWithheld) {
		t.Errorf("portal view of a withheld resource: %v", err)
	}
}

func TestFullGrantIsIdentical(t *testing.T) {
	plain := fields{field("a", "unconditional publish"), field("b", "conditional"), field("b/c", "")}
	r := caseResource()
	v, err := GrantView(r, plain, nil, approved())
	if err != nil {
		t.Fatal(err)
	}
	in := []byte(`{"b":{"c":1.0},"\u0061":"x","other":[1,2e3]}`)
	out, err := Project(v, in)
	if err != nil || !v.Whole() || &out[0] != &in[0] || len(out) != len(in) {
		t.Errorf("full grant gave %s, %v", out, err)
	}
}

func TestViewRefusals(t *testing.T) {
	rule := func(words string) fields { return fields{field("a", words)} }
	override := func(w schemas.FieldRule) schemas.Resource {
		r := caseResource()
		r.Fields = map[string]schemas.FieldRule{"a": w}
		return r
	}
	noClass, keyed := caseResource(), caseResource()
	noClass.Sharing, keyed.Key = "", []string{"a"}
	for _, tt := range []struct {
		name string
		r    schemas.Resource
		s    fields
	}{
		{"sharing of schema", caseResource(), rule("open")},
		{"portal of schema", caseResource(), rule("- show")},
		{"mask of schema", caseResource(), rule("- mask blur")},
		{"mask without name", caseResource(), rule("- mask")},
		{"sharing of resource", noClass, rule("")},
		{"field sharing of resource", override(schemas.FieldRule{Sharing: "x"}), rule("")},
		{"field portal of resource", override(schemas.FieldRule{Portal: "x"}), rule("")},
		{"field mask of resource", override(schemas.FieldRule{Mask: "x"}), rule("")},
		{"withheld key", keyed, rule("withheld")},
		{"masked key", keyed, rule("- never id")},
		{"mask without name by resource", override(schemas.FieldRule{Portal: "mask"}), rule("- publish")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := GrantView(tt.r, tt.s, nil, approved()); !errors.Is(err, ErrRule) {
				t.Errorf("grant view: %v", err)
			}
			if _, err := PortalView(tt.r, tt.s, nil, true); !errors.Is(err, ErrRule) {
				t.Errorf("portal view: %v", err)
			}
			if err := CheckGrant(approved(), tt.r, tt.s); !errors.Is(err, ErrRule) {
				t.Errorf("check: %v", err)
			}
		})
	}
	filtered, foreign := approved(), approved()
	filtered.Filter, foreign.Resource = "true", "a.b"
	if _, err := GrantView(caseResource(), caseSchema, nil, filtered); !errors.Is(err, ErrNotGranted) {
		t.Errorf("grant with filter: %v", err)
	}
	if _, err := GrantView(caseResource(), caseSchema, nil, foreign); !errors.Is(err, ErrInvalid) {
		t.Errorf("grant of another resource: %v", err)
	}
	closed := caseResource()
	for _, route := range []string{schemas.RouteNone, "", "open"} {
		closed.Disclosure.Route = route
		if _, err := PortalView(closed, caseSchema, nil, true); !errors.Is(err, ErrNotGranted) {
			t.Errorf("portal view on route %q: %v", route, err)
		}
	}
	for _, c := range []Caller{{}, caller("fgw", "s", RolePublisher), caller("spj", "s", RoleSubscriber, RoleAdministrator, RoleAuditor)} {
		if v, err := OwnerView(c, "spj"); err == nil || v != nil {
			t.Errorf("%s read a foreign record whole", c.System.FullName())
		}
	}
}

func TestProjectRefusesWhatIsNoRecord(t *testing.T) {
	v, err := PortalView(caseResource(), caseSchema, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{``, `{`, `{"a"}`, `{"status":}`, `{"status":"x"`, `{"status" :"x"}`, `{"materials":[1,}`, `{"case_no":"x}`} {
		if out, err := Project(v, []byte(in)); !errors.Is(err, ErrRecord) || out != nil {
			t.Errorf("%q gave %q, %v", in, out, err)
		}
	}
	for in, want := range map[string]string{`{}`: `{}`, `[1]`: `{}`, `"x"`: `{}`, `{"phone":"1"}`: `{}`} {
		if out, err := Project(v, []byte(in)); err != nil || string(out) != want {
			t.Errorf("%q gave %q, %v", in, out, err)
		}
	}
	if out, err := Project(&View{}, []byte(caseRecord)); err != nil || string(out) != "{}" {
		t.Errorf("zero view gave %s, %v", out, err)
	}
	if out, err := Project(nil, []byte(caseRecord)); err != nil || string(out) != "{}" {
		t.Errorf("nil view gave %s, %v", out, err)
	}
}

func TestMasks(t *testing.T) {
	var b strings.Builder
	for _, name := range Masks() {
		for _, in := range []string{"", "王", "王五", "王小五", "欧阳修", "欧阳", "John Smith", "110101199003070011", "440524800101001",
			"1234567", "13812345678", "+8613812345678", "0826-2345678", "重庆市开州区镇东街道安康社区12号", "广安市广安区悦来镇人民路5号",
			"新乡市红旗区洪门镇诚城社区", "镇江市京口区中山东路2号", "解放街5号望乡小区3栋", "3栋2单元", "北京", "zhang.san@example.cn", "a",
			"6222021234567890123", "12345", "SP-2019-000123", "ab"} {
			out, err := Mask(name, in)
			if err != nil {
				t.Fatal(err)
			}
			if in != "" && out == in {
				t.Errorf("mask %s left %q as it was", name, in)
			}
			fmt.Fprintf(&b, "%s\t%s\t%s\n", name, in, out)
		}
	}
	golden(t, "masks.txt", b.String())
	if out, err := Mask("blur", "x"); !errors.Is(err, ErrRule) || out != "" {
		t.Errorf("unknown mask gave %q, %v", out, err)
	}
}

// TestMaskedContainers: what no mask can shorten does not pass under one.
func TestMaskedContainers(t *testing.T) {
	v, err := PortalView(caseResource(), fields{field("p", "- mask name")}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	in := `{"p":{"names":["王五",["赵\u516d"],7,true,null],"\u006e":{"x":"孙七"},"e":{},"f":[]}}`
	want := `{"p":{"names":["王*",["赵*"],null,null,null],"\u006e":{"x":"孙*"},"e":{},"f":[]}}`
	out, err := Project(v, []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("masked (-want +got):\n%s", diff)
	}
}

// FuzzProject projects whatever the strict reader takes, and whatever it does not,
// under views of every shape.
func FuzzProject(f *testing.F) {
	f.Add([]byte(caseRecord), "all", true)
	f.Add([]byte(`{"agent":[{"name":"王五","phone":"1"}],"materials":{"*":{"holder":1}}}`), "agent/name materials/*/name", false)
	f.Fuzz(func(t *testing.T, raw []byte, names string, decided bool) {
		g := approved()
		if g.Fields = AllFields(); names != "all" {
			g.Fields = OnlyFields(strings.Fields(names)...)
		}
		granted, err := GrantView(caseResource(), caseSchema, nil, g)
		if err != nil {
			t.Fatal(err)
		}
		portal, err := PortalView(caseResource(), caseSchema, nil, decided)
		if err != nil {
			t.Fatal(err)
		}
		compact, _, decodeErr := record.Decode(raw, record.DefaultLimits())
		for _, v := range []*View{granted, portal} {
			if decodeErr != nil {
				_, _ = Project(v, raw) // must not panic
				continue
			}
			out, err := Project(v, compact)
			if err != nil {
				t.Fatalf("refused %q: %v", compact, err)
			}
			if !json.Valid(out) {
				t.Fatalf("%q became %q", compact, out)
			}
			checkProjection(t, v == portal, decided, caseResource(), caseSchema, g, compact, out)
		}
	})
}

func BenchmarkProject(b *testing.B) {
	for name, f := range map[string]Fields{"whole": AllFields(), "list": OnlyFields("status", "materials/*/name")} {
		s := caseSchema
		if name == "whole" {
			s = fields{}
		}
		g := approved()
		g.Fields = f
		v, err := GrantView(caseResource(), s, nil, g)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(caseRecord)))
			for b.Loop() {
				if _, err := Project(v, []byte(caseRecord)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestCatalogue compiles the views of every shared schema and projects its valid
// examples: what a schema withholds or keeps off the portal is nowhere, and every
// projection is what plain reading of its annotations says.
func TestCatalogue(t *testing.T) {
	for _, name := range schemas.Embedded() {
		raw, ok := schemas.EmbeddedSchema(name, 1)
		if !ok {
			t.Fatalf("%s has no version 1", name)
		}
		s, err := schemas.Compile(name, 1, raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := caseResource()
		r.Resource = name
		g := approved()
		g.Resource = name
		if err := CheckGrant(g, r, s); err != nil {
			t.Errorf("%s: whole grant with purpose and basis: %v", name, err)
		}
		granted, err := GrantView(r, s, nil, g)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		portal, err := PortalView(r, s, nil, true)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		valid, _ := schemas.EmbeddedExamples(name)
		if len(valid) == 0 {
			t.Errorf("%s has no valid examples", name)
		}
		for file, example := range valid {
			compact, _, err := record.Decode(example, record.DefaultLimits())
			if err != nil {
				t.Fatalf("%s %s: %v", name, file, err)
			}
			for _, v := range []*View{granted, portal} {
				out, err := Project(v, compact)
				if err != nil {
					t.Fatalf("%s %s: %v", name, file, err)
				}
				checkProjection(t, v == portal, true, r, fields(s.Annotations()), g, compact, out)
			}
		}
	}
}
