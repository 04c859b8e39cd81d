package filedrop

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
)

// shared returns the folder of real data. Without it the test is skipped and says so; under CI that is a failure.
func shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("HUTONG_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("shared data is needed under CI: %v", err)
		}
		t.Skipf("shared data is not there, set HUTONG_SHARED_DATA: %v", err)
	}
	return dir
}

func sharedFile(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(shared(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func example(t testing.TB, name string) *mapping.Judge {
	t.Helper()
	m, err := mapping.Load(filepath.Join("..", "..", "deploy", "examples", "mappings", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return judgeOf(t, m)
}

// plant makes a file with one fault in each of twelve rows of the service items. It returns the rows as a spreadsheet
// counts them, and the file as it should have been.
func plant(t *testing.T, content string) (faulty string, at map[int]string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(content, bomMark))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	at = map[int]string{}
	set := func(row int, column, value, rule string) { // row as in a spreadsheet
		at[row] = rule
		rows[row-1][col[column]] = value
	}
	withUSCC := 0
	for i, r := range rows[1:] {
		if len(r[col["实施主体编码"]]) == 18 && i > 120 {
			withUSCC = i + 2
			break
		}
	}
	set(withUSCC, "实施主体编码", strings.Replace(rows[withUSCC-1][col["实施主体编码"]], "1", "2", 1), "format")
	set(10, "事项类型", "99", "code")
	set(20, "区划代码", "991602000000", "format")
	set(30, "事项名称", "", "required")
	set(41, "实施编码", rows[39][col["实施编码"]], "duplicate_key") // that of row 40, whose content is another
	set(50, "实施编码", rows[49][col["实施编码"]]+strings.Repeat("-0", 20), "maxLength")
	set(60, "事项名称", "求职创业\uFFFD补贴", "utf8")
	set(70, "区划代码", "", "required")
	set(80, "实施编码", "", "required")
	set(90, "事项名称", strings.Repeat("长", 301), "maxLength")
	set(100, "实施主体编码", "部门一", "format")
	set(110, "实施编码", "511 A", "pattern")
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return b.String(), at
}

// TestServiceItems is the service items' whole way through a drop folder: UTF-8, then the same in GB18030, then with
// twelve faults, then the corrected error file.
func TestServiceItems(t *testing.T) {
	original := sharedFile(t, "approvals/guangan-service-items.utf8.csv")
	h := newHouse(t, Config{}, example(t, "guangan-service-items"))
	h.put("items.utf8.csv", original)
	h.run()
	if want := (adapters.Counts{Read: 1135, Accepted: 1135}); h.total != want {
		t.Fatalf("UTF-8: %+v, want %+v; %+v %+v", h.total, want, h.bad, h.notes)
	}
	if h.warned == 0 {
		t.Error("no quality warnings were counted")
	}
	if len(h.sent) != 1135 {
		t.Errorf("%d keys, want 1135", len(h.sent))
	}
	first := `{"dept_code":"11511301008778183N","dept_name":"区经信局","region":"511602000000","task_code":"511Z07001006-511602000000-000-11511301008778183N-1-00","task_name":"企业投资项目备案（技术改造）（市级/县级）","task_type":"10"}`
	if got := h.sent["511Z07001006-511602000000-000-11511301008778183N-1-00"]; got != first {
		t.Errorf("first item:\ngot  %s\nwant %s", got, first)
	}
	h.put("items.gb18030.csv", sharedFile(t, "approvals/guangan-service-items.gb18030.csv"))
	h.run()
	if want := (adapters.Counts{Read: 1135, Unchanged: 1135}); h.total != want {
		t.Fatalf("GB18030: %+v, want %+v", h.total, want)
	}
	if r := h.receipt("items.gb18030.csv"); r.Charset != "gb18030" || r.Counts.Unchanged != 1135 {
		t.Errorf("receipt %+v", r)
	}

	faulty, at := plant(t, original)
	h.put("items.faulty.csv", faulty)
	h.run()
	if want := (adapters.Counts{Read: 1135, Refused: 12, Unchanged: 1123}); h.total != want {
		t.Errorf("faulty: %+v, want %+v", h.total, want)
	}
	got := map[int]string{}
	for _, v := range h.bad {
		got[v.Origin.Row] = v.Problems[0].Rule
		for _, p := range v.Problems {
			reason, remedy := p.Reason()
			if !strings.HasPrefix(p.Zh, fmt.Sprintf("第%d行", v.Origin.Row)) || reason == "" || remedy == "" || !strings.Contains(p.En, "Remedy: ") {
				t.Errorf("sentence without place, reason or remedy: %s | %s", p.Zh, p.En)
			}
		}
	}
	if diff := cmp.Diff(at, got); diff != "" {
		t.Errorf("refused rows and rules (-planted +found):\n%s", diff)
	}

	corrected := correct(t, h.read("feedback", "items.faulty.错误.csv"), original)
	h.put("items.faulty.错误.csv", corrected)
	h.run()
	// eleven rows are again what the bus has; so is the double, after its key was mended; one row stood beside it
	if want := (adapters.Counts{Read: 13, Unchanged: 13}); h.total != want {
		t.Errorf("corrected: %+v, want %+v; %+v", h.total, want, h.bad)
	}
	if names := h.names("feedback"); slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "错误.csv") && !strings.HasSuffix(n, ".json") }) {
		t.Errorf("an error file is left: %v", names)
	}
}

// correct puts back what stood in the original, by the row number that the error file names.
func correct(t *testing.T, annotated, original string) string {
	t.Helper()
	read := func(s string) [][]string {
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(s, bomMark))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	source, rows := read(original), read(annotated)
	for _, r := range rows[1:] {
		n, err := strconv.Atoi(r[7])
		if err != nil {
			t.Fatal(err)
		}
		copy(r, source[n-1])
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return bomMark + b.String()
}

type bill struct {
	County, ID, Abstract, Description string
	Motions                           []struct {
		Motion, Date *string
	}
}

func bills(t testing.TB, name string) []bill {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(sharedFile(t, "proposals/tw-council-bills-"+name+".json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	var out []bill
	if err := json.NewDecoder(z).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCouncilBills: all bills of three councils, long titles cut while the content keeps everything.
func TestCouncilBills(t *testing.T) {
	h := newHouse(t, Config{}, example(t, "council-bills"))
	total, cut := adapters.Counts{}, 0
	for _, name := range []string{"tccc", "ntp", "tcc-half"} {
		h.put("bills-"+name+".json.gz", sharedFile(t, "proposals/tw-council-bills-"+name+".json.gz"))
		h.run()
		total.Read += h.total.Read
		total.Accepted += h.total.Accepted
		if len(h.drift) > 0 {
			t.Errorf("%s: members neither used nor ignored: %+v", name, h.drift)
		}
		for _, b := range bills(t, name) {
			body, ok := h.sent[b.County+"|"+b.ID]
			if !ok {
				t.Fatalf("no record of %s %s", b.County, b.ID)
			}
			var got struct{ Title, Content string }
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got.Content, b.Abstract) || !strings.Contains(got.Content, b.Description) {
				t.Errorf("%s %s: the content lost text", b.County, b.ID)
			}
			if n := utf8.RuneCountInString(got.Title); n > 200 || n == 0 {
				t.Errorf("%s %s: title of %d characters", b.County, b.ID, n)
			}
			if strings.HasSuffix(got.Title, "…") {
				cut++
				if utf8.RuneCountInString(strings.TrimSpace(b.Abstract)) <= 200 {
					t.Errorf("%s %s: a short title was cut", b.County, b.ID)
				}
			}
		}
	}
	if want := (adapters.Counts{Read: 5073, Accepted: 5073}); total != want || len(h.sent) != 5073 {
		t.Errorf("%+v, %d keys; want %+v", total, len(h.sent), want)
	}
	if cut == 0 {
		t.Error("no title was long")
	}
}

// TestCouncilBillSteps: one record per step; the dates of the Republic's calendar come out right, by a computation of
// the test's own; the steps without a name are refused one by one and nothing else is.
func TestCouncilBillSteps(t *testing.T) {
	h := newHouse(t, Config{}, example(t, "council-bill-steps"))
	h.put("bills.json.gz", sharedFile(t, "proposals/tw-council-bills-tcc-half.json.gz"))
	h.run()
	if want := (adapters.Counts{Read: 2221, Refused: 60, Accepted: 2161}); h.total != want {
		t.Errorf("%+v, want %+v; notes %+v", h.total, want, h.notes)
	}
	if len(h.drift) > 0 {
		t.Errorf("members neither used nor ignored: %+v", h.drift)
	}
	type place struct{ row, index int }
	nameless, roc := map[place]bool{}, 0
	form := regexp.MustCompile(`^民國(\d+)年(\d+)月(\d+)日$`)
	for i, b := range bills(t, "tcc-half") {
		for k, m := range b.Motions {
			if m.Motion == nil {
				nameless[place{i + 1, k + 1}] = true
				continue
			}
			var got struct {
				Name, At string
				StepNo   int `json:"step_no"`
			}
			key := fmt.Sprintf("%s%%7C%s|%d", b.County, b.ID, k+1)
			if err := json.Unmarshal([]byte(h.sent[key]), &got); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			want := *m.Date
			if p := form.FindStringSubmatch(want); p != nil {
				roc++
				n := make([]int, 3)
				for j := range n {
					n[j], _ = strconv.Atoi(p[j+1])
				}
				want = fmt.Sprintf("%04d-%02d-%02d", n[0]+1911, n[1], n[2])
			}
			if got.Name != *m.Motion || got.At != want || got.StepNo != k+1 {
				t.Errorf("%s: got %+v, want %s %s", key, got, *m.Motion, want)
			}
		}
	}
	if roc != 235 {
		t.Errorf("%d dates of the Republic's calendar, want 235", roc)
	}
	refused := map[place]bool{}
	for _, v := range h.bad {
		refused[place{v.Origin.Row, v.Index}] = true
		if len(v.Problems) != 1 || v.Problems[0].Rule != "required" || v.Problems[0].Pointer != "/name" {
			t.Errorf("row %d, step %d: %+v", v.Origin.Row, v.Index, v.Problems)
		}
	}
	if diff := cmp.Diff(nameless, refused, cmp.AllowUnexported(place{})); diff != "" {
		t.Errorf("steps without a name (-data +refused):\n%s", diff)
	}
	var back []map[string]any
	if err := json.Unmarshal([]byte(h.read("feedback", "bills.错误.json")), &back); err != nil || len(back) == 0 || len(back) > 60 {
		t.Errorf("error file: %d elements, %v", len(back), err)
	}
	if reason, _ := back[0]["_原因"].(string); !strings.Contains(reason, "项 第") {
		t.Errorf("reason %q does not name the step", reason)
	}
}

// TestPermitsAsFile maps the building permits, whose table another source polls; all fit, also those without a status.
func TestPermitsAsFile(t *testing.T) {
	h := newHouse(t, Config{}, example(t, "chicago-permits"))
	h.put("permits.ndjson.gz", sharedFile(t, "approvals/chicago-permits-2025.ndjson.gz"))
	h.run()
	if want := (adapters.Counts{Read: 31690, Accepted: 31690}); h.total != want {
		t.Errorf("%+v, want %+v; notes %+v", h.total, want, h.notes)
		if len(h.bad) > 0 {
			t.Errorf("first: %+v", h.bad[0])
		}
	}
	fresh := 0
	for _, body := range h.sent {
		if strings.Contains(body, `"status":"收件"`) {
			fresh++
		}
	}
	if fresh != 4633 {
		t.Errorf("%d permits got a status by the mapping, want 4633", fresh)
	}
}

func BenchmarkRead(b *testing.B) {
	row := "区经信局,未分类,企业投资项目备案（技术改造）（市级/县级）,511602000000,511Z07001006-511602000000-000-11511301008778183N-%06d,10,11511301008778183N\r\n"
	var text strings.Builder
	text.WriteString("部门,主项,事项名称,区划代码,实施编码,事项类型,实施主体编码\r\n")
	var objects strings.Builder
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&text, row, i)
		fmt.Fprintf(&objects, `{"部门":"区经信局","事项名称":"企业投资项目备案（技术改造）（市级/县级）","区划代码":"511602000000","实施编码":"511Z07001006-%06d","事项类型":10}`+"\n", i)
	}
	for _, tc := range []struct{ name, content string }{
		{"csv_utf8", text.String()}, {"csv_gb18030", gb(b, text.String())}, {"csv_gb18030_gz", zipped(b, gb(b, text.String()))}, {"ndjson", objects.String()},
		{"json", "[" + strings.ReplaceAll(strings.TrimSpace(objects.String()), "\n", ",") + "]"},
	} {
		b.Run(tc.name, func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "data")
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				b.Fatal(err)
			}
			c := Config{Dir: "x", Kind: "filedrop"}
			c.defaults()
			l, err := detect(file, &c)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				r, closer, err := openRows(file, l, &c)
				if err != nil {
					b.Fatal(err)
				}
				u := &unit{meta: meta{Layout: l}}
				columns := newColumnSet(nil)
				if grid, ok := r.(*csvRows); ok {
					columns = newColumnSet(grid.columns)
				}
				for {
					raw, err := r.next()
					if err != nil {
						break
					}
					if _, err := u.row(raw, columns, true); err != nil {
						b.Fatal(err)
					}
					rows++
				}
				if err := closer.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if rows%n != 0 {
				b.Fatalf("%d rows", rows)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
