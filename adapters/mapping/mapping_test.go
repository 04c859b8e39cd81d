package mapping

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func mustParse(t *testing.T, text string) *Mapping {
	t.Helper()
	m, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func embedded(t testing.TB, resource string) *schemas.Schema {
	t.Helper()
	raw, ok := schemas.EmbeddedSchema(resource, 1)
	if !ok {
		t.Fatalf("no schema of %s", resource)
	}
	s, err := schemas.Compile(resource, 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFaults loads files that must not load and keeps what they say.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad mappings: %v", err)
	}
	var out strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(raw)
		if !errors.Is(err, adapters.ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", file, err)
			continue
		}
		out.WriteString("== " + filepath.Base(file) + "\n" + err.Error() + "\n")
	}
	golden(t, "faults.golden", out.String())
}

func TestCheckAgainstSchema(t *testing.T) {
	m := mustParse(t, `
resource: motions.step
key: [motion_key]
fields:
  motion_key: {from: a}
  colour: {from: b}
`)
	err := m.Check(embedded(t, "motions.step"))
	var faults *adapters.FaultsError
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want *adapters.FaultsError", err)
	}
	var got []string
	for _, f := range faults.Faults {
		got = append(got, f.Error())
	}
	want := []string{
		"fields.colour: the schema of motions.step has no such member",
		"fields.step_no: is required by the schema of motions.step and not set",
		"fields.name: is required by the schema of motions.step and not set",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if _, err := NewJudge(m, embedded(t, "motions.step")); err == nil {
		t.Error("NewJudge took a mapping that leaves required members out")
	}
}

func TestColumns(t *testing.T) {
	flat := `
resource: a.b
key: [x]
fields: {x: {from: 甲}, y: {from: person.name}, z: {from: [乙, 甲]}}
ignore: [丙]
`
	nested := `
resource: a.b
each: items.list
key: [x]
fields: {x: {from: [^id, "^index"], steps: [key]}, y: {from: name}}
ignore: [^丙]
`
	for _, tc := range []struct {
		name, mapping    string
		columns          []string
		missing, unknown []string
	}{
		{"all", flat, []string{"甲", "乙", "丙", "person"}, nil, nil},
		{"dotted column", flat, []string{"甲", "乙", "person.name"}, nil, nil},
		{"missing", flat, []string{"甲"}, []string{"person", "乙"}, nil},
		{"unknown", flat, []string{"甲", "乙", "person", "丁"}, nil, []string{"丁"}},
		{"each", nested, []string{"items", "id", "丙"}, nil, nil},
		{"each misses", nested, []string{"丙"}, []string{"items", "id"}, nil},
		{"each unknown", nested, []string{"items", "id", "name"}, nil, []string{"name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			missing, unknown := mustParse(t, tc.mapping).Columns(tc.columns)
			if diff := cmp.Diff(tc.missing, missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.unknown, unknown); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}

// open is a schema that takes everything.
type open struct{}

func (open) Raw() []byte {
	return []byte(`{"properties":{"out":{"title":"结果","x-title-en":"Result"},"id":{},"n":{}}}`)
}
func (open) Validate(any) schemas.Verdict { return schemas.Verdict{} }
func (open) Sentence(schemas.Violation, string, *schemas.Place, string) string {
	return "no violation can occur"
}

func TestSteps(t *testing.T) {
	text := adapters.Text
	for _, tc := range []struct {
		name, steps string
		in          adapters.Value
		want        string
	}{
		{"text stays", "", text("a\"b\\\n\u2028"), `,"out":"a\"b\\\n` + "\u2028" + `"`},
		{"absent", "trim", adapters.Value{}, ""},
		{"null is absent", "trim", adapters.Null(), ""},
		{"int", "", adapters.Int(-7), `,"out":-7`},
		{"decimal keeps its form", "", adapters.Decimal("1.50"), `,"out":1.50`},
		{"bool", "", adapters.Bool(true), `,"out":true`},
		{"date", "", adapters.Date("2012-08-01"), `,"out":"2012-08-01"`},
		{"local gets the zone", "", adapters.Local("2012-08-01T08:00:00"), `,"out":"2012-08-01T08:00:00+08:00"`},
		{"instant", "", adapters.Instant(1343779200123), `,"out":"2012-08-01T08:00:00.123+08:00"`},
		{"bytes", "", adapters.Bytes([]byte{0, 255}), `,"out":"AP8="`},
		{"json", "", adapters.JSON([]byte(`{"b":[1,null,"x"],"a":1e2}`)), `,"out":{"a":1e2,"b":[1,null,"x"]}`},
		{"number to text", "text", adapters.Int(5), `,"out":"5"`},

		{"trim all spaces", "trim", text("\u3000 a b\u00a0\u200b\t"), `,"out":"a b"`},
		{"fold", "fold", text("ＡＢ１２－（三）\u3000\u00a0x\u200b\ufeff"), `,"out":"AB12-(三)  x"`},
		{"fold composes", "fold", text("e\u0301"), `,"out":"é"`},
		{"clean keeps width", "clean", text("（三）\u00a0\u200bx，"), `,"out":"（三） x，"`},
		{"upper", "upper", text("ab1c"), `,"out":"AB1C"`},
		{"lower", "lower", text("AB1C"), `,"out":"ab1c"`},
		{"empty stays", "trim", text("  "), `,"out":""`},
		{"drop if empty", "trim, drop_if_empty", text("  "), ""},
		{"sentinel", `{sentinels: ["无", "/", 9999-12-31]}`, text(" 无 "), ""},
		{"not a sentinel", `{sentinels: ["无"]}`, text("无锡"), `,"out":"无锡"`},

		{"cut counts characters", "{cut: 3}", text("一二三四"), `,"out":"一二三"`},
		{"cut leaves short text", "{cut: 3}", text("一二三"), `,"out":"一二三"`},
		{"cut with mark", "{cut: {characters: 3, mark: …}}", text("一二三四"), `,"out":"一二…"`},
		{"cut keeps combined characters whole", "{cut: 2}", text("ab\u0323c"), `,"out":"a"`},

		{"code", "{code: t}", text("1"), `,"out":"01"`},
		{"code of a number", "{code: t}", adapters.Int(1), `,"out":"01"`},
		{"code unknown", "{code: t}", text("99"), "第12行 A列“结果”:应为代码表“t”中的值,实为“99”。改法:改为1、许可之一"},
		{"code passes", "{code: p}", text("99"), `,"out":"99"`},
		{"code drops", "{code: d}", text("99"), ""},
		{"code other", "{code: o}", text("99"), `,"out":"z"`},

		{"split", `{split: ["、", ","]}`, text("甲、 乙,,丙 "), `,"out":["甲","乙","丙"]`},
		{"split nothing", `{split: "、"}`, text(" "), `,"out":[]`},
		{"split, empty dropped", `{split: "、"}, drop_if_empty`, text(" "), ""},
		{"join", `{split: ","}, {join: "、"}`, text("甲,乙"), `,"out":"甲、乙"`},
		{"first", `{split: ","}, first`, text(",乙,丙"), `,"out":"乙"`},
		{"steps reach elements", `{split: ","}, upper, {code: p}`, text("a,b"), `,"out":["A","B"]`},
		{"json list as list", `{join: "-"}`, adapters.JSON([]byte(`["a","",null,2]`)), `,"out":"a-2"`},
		{"key of parts", "key", adapters.JSON([]byte(`["甲|乙","50%",7]`)), `,"out":"甲%7C乙|50%25|7"`},
		{"key with a part missing", "key", adapters.JSON([]byte(`["甲",""]`)), ""},

		{"bool yes", "bool", text("是"), `,"out":true`},
		{"bool no", "{bool: {true: [已立案], false: [未立案]}}", text("未立案"), `,"out":false`},
		{"bool neither", "bool", text("也许"), "第12行 A列“结果”:应为“是”或“否”,实为“也许”。改法:改为其中之一"},
		{"lost character", "", text("张\uFFFD"), "第12行 A列“结果”:不应含有乱码字符(U+FFFD),实为“张\uFFFD”。改法:按原件重新录入该字"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := mapOneLoose(t, tc.steps, tc.in); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// mapOneLoose is mapOne with only those tables that the steps name, since an unused table does not load.
func mapOneLoose(t *testing.T, steps string, v adapters.Value) string {
	t.Helper()
	tables := map[string]string{"t": `{values: {"1": "01", 许可: "01"}}`, "p": "{values: {a: b}, unknown: pass}", "d": "{values: {a: b}, unknown: drop}", "o": "{values: {a: b}, other: z}"}
	text := "resource: a.b\nkey: [id]\nfields:\n  id: {const: k}\n  out: {from: 列, steps: [" + steps + "]}\n"
	for name, table := range tables {
		if strings.Contains(steps, "{code: "+name+"}") {
			text += "codes: {" + name + ": " + table + "}\n"
		}
	}
	return mapWith(t, text, v)
}

func mapWith(t *testing.T, text string, v adapters.Value) string {
	t.Helper()
	j, err := NewJudge(mustParse(t, text), open{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Row([]string{"列"}, adapters.Row{Fields: []adapters.Value{v}, Origin: adapters.Origin{Row: 12, Grid: true}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0].Problems) > 0 {
		return got[0].Problems[0].Zh
	}
	_, back, err := record.Decode(got[0].Body, record.DefaultLimits())
	if err != nil {
		t.Fatalf("body %s: %v", got[0].Body, err)
	}
	if diff := cmp.Diff(back, got[0].Value); diff != "" {
		t.Errorf("value is not what the body says (-body +value):\n%s", diff)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(got[0].Body), `{"id":"k"`), "}")
}

func TestDates(t *testing.T) {
	const refused = "refused"
	for _, tc := range []struct{ layouts, in, want string }{
		{`["2006-01-02"]`, "2012-08-01", "2012-08-01"},
		{`["2006年1月2日"]`, "2012年8月1日", "2012-08-01"},
		{`["2006年1月2日"]`, "2012年08月01日", "2012-08-01"},
		{`["2006-01-02", "2006年1月2日", "2006/1/2"]`, "2012/8/1", "2012-08-01"},
		{`["20060102"]`, "20120801", "2012-08-01"},
		{`["民國95年1月2日"]`, "民國89年6月21日", "2000-06-21"},
		{`["民國95年1月2日"]`, "民国101年12月31日", "2012-12-31"},
		{`["民國95年1月2日"]`, "民國元年1月1日", "1912-01-01"},
		{`["民國95年1月2日"]`, "民國100年2月29日", refused}, // 2011 was no leap year
		{`["民國95年1月2日"]`, "民國101年2月29日", "2012-02-29"},
		{`["民國95年1月2日"]`, "民國0年1月1日", refused},
		{`["民國95年1月2日"]`, "民國年1月1日", refused},
		{`["民國95年1月2日"]`, "民國1000年1月1日", refused},
		{`["95/01/02"]`, "101/08/01", "2012-08-01"},
		{`["2006-01-02"]`, "2012-02-30", refused},
		{`["2006-01-02"]`, "0000-00-00", refused},
		{`["2006-01-02"]`, "0999-01-01", refused},
		{`["2006-01-02"]`, "2012-8-1", refused},
		{`["2006-01-02"]`, "2012-08-01 ", refused},
		{`["2006-01-02 15:04:05"]`, "2012-08-01 08:30:00", "2012-08-01T08:30:00+08:00"},
		{`["2006-01-02T15:04:05Z07:00"]`, "2012-07-31T20:30:00Z", "2012-08-01T04:30:00+08:00"},
		{`{layouts: ["2006-01-02T15:04:05Z07:00"], to: date}`, "2012-07-31T20:30:00Z", "2012-08-01"},
	} {
		got := mapOneLoose(t, "{date: "+tc.layouts+"}", adapters.Text(tc.in))
		if want := `,"out":"` + tc.want + `"`; tc.want != refused && got != want {
			t.Errorf("%s of %q: got %s, want %s", tc.layouts, tc.in, got, want)
		}
		if tc.want == refused && !strings.Contains(got, "应为日历上有的日期") {
			t.Errorf("%s of %q: got %s, want a refusal", tc.layouts, tc.in, got)
		}
	}
	want := "第12行 A列“结果”:应为日历上有的日期,写法如民國113年1月2日,实为“2月30日”。改法:按民國113年1月2日的写法填实有的日期"
	if got := mapOneLoose(t, "{date: [民國95年1月2日]}", adapters.Text("2月30日")); got != want {
		t.Errorf("sentence:\ngot  %s\nwant %s", got, want)
	}
}

func TestNumbers(t *testing.T) {
	const refused = "refused"
	for _, tc := range []struct {
		spec string
		in   adapters.Value
		want string
	}{
		{"num", adapters.Text(" 12.50 "), "12.50"},
		{"num", adapters.Text("+007"), "7"},
		{"num", adapters.Text("-0.5"), "-0.5"},
		{"num", adapters.Text("1,234"), refused},
		{"num", adapters.Text(".5"), refused},
		{"num", adapters.Text("5."), refused},
		{"num", adapters.Text("5.00234E+17"), refused},
		{"num", adapters.Decimal("1e5"), refused},
		{"num", adapters.Text("三十"), refused},
		{"num", adapters.Text(""), refused},
		{"num", adapters.Bool(true), refused},
		{"num", adapters.Text(strings.Repeat("9", 61)), refused},
		{"{num: {thousands: true}}", adapters.Text("1,234,567.8"), "1234567.8"},
		{"{num: {thousands: true}}", adapters.Text("12,34"), refused},
		{"{num: {thousands: true}}", adapters.Text("1234,567"), refused},
		{"{num: {factor: 10000}}", adapters.Text("1.5"), "15000"},
		{"{num: {factor: 10000}}", adapters.Text("0.00001"), "0.1"},
		{"{num: {factor: 0.001}}", adapters.Int(-1500), "-1.5"},
		{"{num: {units: {元: 1, 万元: 10000}}}", adapters.Text("3.2 万元"), "32000"},
		{"{num: {units: {元: 1, 万元: 10000}}}", adapters.Text("3.20元"), "3.2"},
		{"{num: {units: {元: 1, 万元: 10000}}}", adapters.Text("3吨"), refused},
		{"{num: {integer: true}}", adapters.Text("3.00"), "3"},
		{"{num: {integer: true}}", adapters.Text("3.01"), refused},
		{"{num: {factor: 1000}}, text", adapters.Text("12345678901234567890.123"), `"12345678901234567890123"`},
	} {
		got := mapOneLoose(t, tc.spec, tc.in)
		if tc.want == refused {
			if !strings.Contains(got, "应为") {
				t.Errorf("%s of %q: got %s, want a refusal", tc.spec, tc.in, got)
			}
			continue
		}
		if want := `,"out":` + tc.want; got != want {
			t.Errorf("%s of %q: got %s, want %s", tc.spec, tc.in, got, want)
		}
	}
}

func TestDefaultAndConst(t *testing.T) {
	text := `
resource: a.b
key: [id]
fields:
  id: {from: 列, default: 收件, steps: [drop_if_empty]}
  out: {const: {b: [1.25, true], a: 是}}
`
	if got := mapWith(t, text, adapters.Text("")); got != `{"id":"收件","out":{"a":"是","b":[1.25,true]}` {
		t.Errorf("got %s", got)
	}
}

// TestEach makes one record per element, with fields of the row around it.
func TestEach(t *testing.T) {
	m := mustParse(t, `
resource: a.b
each: data.items
key: [id, "n"]
fields:
  id: {from: ^no}
  "n": {from: ^index}
  out: {from: who.name}
`)
	j, err := NewJudge(m, open{})
	if err != nil {
		t.Fatal(err)
	}
	columns := []string{"data", "no"}
	row := func(data string) adapters.Row {
		return adapters.Row{Fields: []adapters.Value{adapters.JSON([]byte(data)), adapters.Text("甲|1")}}
	}
	got, err := j.Row(columns, row(`{"items":[{"who":{"name":"a"},"extra":1},{},{"who":{"name":"c"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Index     int
		Key, Body string
	}
	var brieves []brief
	for _, g := range got {
		brieves = append(brieves, brief{g.Index, g.Key, string(g.Body)})
	}
	want := []brief{
		{1, "甲%7C1|1", `{"id":"甲|1","n":1,"out":"a"}`},
		{2, "甲%7C1|2", `{"id":"甲|1","n":2}`},
		{3, "甲%7C1|3", `{"id":"甲|1","n":3,"out":"c"}`},
	}
	if diff := cmp.Diff(want, brieves); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"extra"}, j.Unknown()); diff != "" {
		t.Errorf("unknown members (-want +got):\n%s", diff)
	}
	for _, none := range []string{`{"items":[]}`, `{}`, `{"items":"x"}`} {
		if got, err := j.Row(columns, row(none)); err != nil || len(got) != 0 {
			t.Errorf("%s: got %d records, %v; want none", none, len(got), err)
		}
	}
}

// TestScalarElements reads an array of texts.
func TestScalarElements(t *testing.T) {
	j, err := NewJudge(mustParse(t, "resource: a.b\neach: 列\nkey: [id]\nfields: {id: {from: .}, \"n\": {from: ^index}}"), open{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Row([]string{"列"}, adapters.Row{Fields: []adapters.Value{adapters.JSON([]byte(`["x","y"]`))}})
	if err != nil || len(got) != 2 || got[1].Key != "y" || string(got[1].Body) != `{"id":"y","n":2}` {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestSourceErrors keeps what the source found, for the row or for one element.
func TestSourceErrors(t *testing.T) {
	m := mustParse(t, "resource: a.b\neach: 列\nkey: [id]\nfields: {id: {from: .}}")
	j, err := NewJudge(m, open{})
	if err != nil {
		t.Fatal(err)
	}
	problem := adapters.Problem{Rule: "duplicate_key", Zh: "x"}
	row := adapters.Row{Fields: []adapters.Value{adapters.JSON([]byte(`["x","y"]`))}, Errs: []adapters.RowError{{Index: 2, Problem: problem}}}
	got, err := j.Row([]string{"列"}, row)
	if err != nil || len(got[0].Problems) != 0 || len(got[1].Problems) != 1 || got[1].Key != "y" {
		t.Errorf("element fault: got %+v, %v", got, err)
	}
	row.Errs[0].Index = 0
	if got, _ = j.Row([]string{"列"}, row); len(got[0].Problems) != 1 || len(got[1].Problems) != 1 {
		t.Errorf("row fault: got %+v", got)
	}
	if got, err = j.Row([]string{"列"}, adapters.Row{Errs: row.Errs}); err != nil || len(got) != 1 || len(got[0].Problems) != 1 {
		t.Errorf("unreadable row: got %+v, %v", got, err)
	}
	if _, err = j.Row([]string{"列"}, adapters.Row{}); err == nil {
		t.Error("fields that do not fit the columns were taken")
	}
}

// TestKeyProblem names the place of a key of two parts, one of them a constant.
func TestKeyProblem(t *testing.T) {
	for _, tc := range []struct {
		name, fields string
		grid         bool
		want         adapters.Problem
	}{
		{"grid", "fields: {id: {from: 甲}, out: {from: 乙}}", true, adapters.Problem{Column: "甲、乙", Title: "id、结果", Rule: "x", Zh: "第7行 B、C列“id、结果”:应。改法:改", En: "Row 7, column B, C, “id, Result”: must. Remedy: fix"}},
		{"constant", "fields: {id: {const: k}, out: {from: 乙}}", true, adapters.Problem{Column: "乙", Title: "id、结果", Rule: "x", Zh: "第7行 C列“id、结果”:应。改法:改", En: "Row 7, column C, “id, Result”: must. Remedy: fix"}},
		{"objects", "fields: {id: {from: 甲}, out: {from: 乙}}", false, adapters.Problem{Column: "甲、乙", Title: "id、结果", Rule: "x", Zh: "第7行“id、结果”:应。改法:改", En: "Row 7, “id, Result”: must. Remedy: fix"}},
	} {
		j, err := NewJudge(mustParse(t, "resource: a.b\nkey: [id, out]\n"+tc.fields), open{})
		if err != nil {
			t.Fatal(err)
		}
		got := j.KeyProblem([]string{"丙", "甲", "乙"}, adapters.Origin{Row: 7, Grid: tc.grid}, "x", "应", "改", "must", "fix")
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestWithdraw(t *testing.T) {
	j, err := NewJudge(mustParse(t, "resource: a.b\nkey: [id]\nfields: {id: {from: 列}}"), open{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Row([]string{"列"}, adapters.Row{Op: record.Withdraw, Fields: []adapters.Value{adapters.Text("7")}})
	if err != nil {
		t.Fatal(err)
	}
	want := []adapters.Judged{{Op: record.Withdraw, Key: "7", Reason: "deleted in the source"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, _ = j.Row([]string{"列"}, adapters.Row{Op: record.Withdraw, Fields: []adapters.Value{{}}})
	if len(got[0].Problems) == 0 {
		t.Error("a withdrawal without key was taken")
	}
}

// TestViolationSentences holds a whole row's refusals against the golden file, with place, title, rule and remedy.
func TestViolationSentences(t *testing.T) {
	m, err := Load("../../deploy/examples/mappings/guangan-service-items.yaml")
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewJudge(m, embedded(t, "approvals.service_item"))
	if err != nil {
		t.Fatal(err)
	}
	columns := []string{"部门", "主项", "事项名称", "区划代码", "实施编码", "事项类型", "实施主体编码"}
	var out strings.Builder
	for i, cells := range [][]string{
		{"区经信局", "未分类", "备案", "511602000000", "511Z07001006", "10", "11511301008778183N"},
		{"区经信局", "未分类", "", "511602000000", "511Z07001007", "10", "11511301008778183N"},
		{"区经信局", "未分类", "备案", "991602000000", "511Z07001008", "99", "11511301008778183X"},
		{"区经信局", "未分类", "备案", "511602000000", strings.Repeat("5", 70), "10", "11511301008778183N"},
		{"区经信局", "未分类", "备\uFFFD案", "511602000000", "511Z07001009", "10", "11511301008778183N"},
		{"", "", "", "", "", "", ""},
	} {
		row := adapters.Row{Origin: adapters.Origin{File: "items.csv", Row: i + 2, Grid: true}}
		for _, c := range cells {
			v := adapters.Value{}
			if c != "" {
				v = adapters.Text(c)
			}
			row.Fields = append(row.Fields, v)
		}
		got, err := j.Row(columns, row)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got[0].Problems {
			reason, remedy := p.Reason()
			if reason == "" || remedy == "" {
				t.Errorf("no reason or no remedy: %s", p.Zh)
			}
			if p.Rule != "code" && p.Rule != record.RuleUTF8 { // the words after the place are those of package schemas
				p.Zh, _, _ = strings.Cut(p.Zh, ":")
				p.En, _, _ = strings.Cut(p.En, ":")
			}
			out.WriteString(strings.Join([]string{p.Column, p.Pointer, p.Rule, p.Zh, p.En}, "\n  ") + "\n")
		}
		if len(got[0].Problems) == 0 {
			out.WriteString(string(got[0].Body) + " warnings " + strings.Join(got[0].Warnings, " ") + "\n")
		}
	}
	golden(t, "sentences.golden", out.String())
}

func TestTooLarge(t *testing.T) {
	j, err := NewJudge(mustParse(t, "resource: a.b\nkey: [id]\nfields: {id: {const: k}, out: {from: 列}}"), open{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Row([]string{"列"}, adapters.Row{Fields: []adapters.Value{adapters.Text(strings.Repeat("x", 256<<10))}})
	if err != nil || len(got[0].Problems) != 1 || got[0].Problems[0].Rule != record.RuleTooLarge {
		t.Errorf("got %+v, %v", got[0].Problems, err)
	}
}

// TestExamplesLoad holds every shipped mapping against the embedded schema of its resource.
func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../deploy/examples/mappings/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		m, err := Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := m.Check(embedded(t, m.Resource())); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../deploy/examples/mappings/*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, "2012年8月1日")
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, cell string) {
		m, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, adapters.ErrConfig) {
				t.Fatalf("%v is not ErrConfig", err)
			}
			return
		}
		// what loads maps any row without a panic, and always the same way
		columns := []string{"n", "s", "motions", "county", "id"}
		row := adapters.Row{Fields: []adapters.Value{adapters.Text(cell), adapters.Null(), adapters.JSON([]byte(`[{"motion":"x","date":"民國89年6月21日"},3,null]`)), adapters.Int(3), adapters.Decimal("1.5")}}
		j := &Judge{m: m, s: open{}, lim: record.DefaultLimits(), titles: map[string]titles{}, unknown: map[string]bool{}}
		a, err := j.Row(columns, row)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := j.Row(columns, row)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("not the same twice (-first +second):\n%s", diff)
		}
		for _, r := range a {
			if len(r.Problems) == 0 && !json.Valid(r.Body) {
				t.Fatalf("body %q is not JSON", r.Body)
			}
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	m, err := Load("../../deploy/examples/mappings/guangan-service-items.yaml")
	if err != nil {
		b.Fatal(err)
	}
	columns := []string{"部门", "主项", "事项名称", "区划代码", "实施编码", "事项类型", "实施主体编码"}
	row := adapters.Row{Origin: adapters.Origin{Row: 2, Grid: true}}
	for _, c := range []string{"区经信局", "未分类", "企业投资项目备案（技术改造）（市级/县级）", "511602000000", "511Z07001006-511602000000-000-11511301008778183N-1-00", "10", "11511301008778183N"} {
		row.Fields = append(row.Fields, adapters.Text(c))
	}
	for name, s := range map[string]Schema{"map": anything{embedded(b, "approvals.service_item")}, "map_and_validate": embedded(b, "approvals.service_item")} {
		b.Run(name, func(b *testing.B) {
			j, err := NewJudge(m, s)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.Row(columns, row); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// anything validates nothing.
type anything struct{ *schemas.Schema }

func (anything) Validate(any) schemas.Verdict { return schemas.Verdict{} }
