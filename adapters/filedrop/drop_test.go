package filedrop

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/adaptertest"
)

const bomMark = "\xEF\xBB\xBF"

// list makes n rows; the last has a cell that goes over a line's end.
func listCSV(n int) string {
	b := "编码,名称,备注\r\n"
	for i := 1; i < n; i++ {
		b += fmt.Sprintf("K%03d,事项%d,\r\n", i, i)
	}
	return b + fmt.Sprintf("K%03d,\"事项\"\"%d\"\"\",\"两\r\n行\"\r\n", n, n)
}

func listJSON(n int) string {
	var rows []string
	for i := 1; i <= n; i++ {
		rows = append(rows, fmt.Sprintf(` {"编码": "K%03d", "名称": "事项%d", "备注": [%d, null]}`, i, i, i))
	}
	return "[" + strings.Join(rows, ",\n") + "]\n"
}

func listNDJSON(n int) string {
	b := ""
	for i := 1; i <= n; i++ {
		b += fmt.Sprintf(`{"编码":"K%03d","名称":"事项%d"}`+"\n", i, i)
	}
	return b
}

// TestAcceptance runs the suite every source passes over each format, charset and compression, two files at a time.
func TestAcceptance(t *testing.T) {
	bad := []json.RawMessage{
		json.RawMessage(`{"kind":"filedrop"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","colour":"red"}`),
		json.RawMessage(`{"kind":"other","dir":"x"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","accept":"guess"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","charset":"big5"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","delimiter":";;"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","pattern":"[a"}`),
		json.RawMessage(`{"kind":"filedrop","dir":"x","poll":"1ms","stable_polls":-1,"max_rows":-1}`),
	}
	for _, tc := range []struct {
		name, accept string
		files        map[string]string
	}{
		{"csv utf-8", acceptRename, map[string]string{"a.csv": listCSV(7), "b.csv": "编码,名称,备注\nX,又一项,\n\n,,\nY,又二项,z"}},
		{"csv gb18030 with mark file", acceptDone, map[string]string{"a.csv": gb(t, listCSV(9)), "a.csv.done": ""}},
		{"json stable", acceptStable, map[string]string{"a.json": listJSON(8)}},
		{"ndjson gz", acceptRename, map[string]string{"a.ndjson.gz": zipped(t, listNDJSON(7)), "b.ndjson": "\n" + listNDJSON(1) + "  "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Subject{BadConfigs: bad, World: func(t *testing.T) adaptertest.World {
				t.Helper()
				dir := t.TempDir()
				now := time.Date(2012, 8, 1, 9, 0, 0, 0, time.UTC)
				for i, name := range keys(tc.files) {
					if err := os.MkdirAll(filepath.Join(dir, "in"), 0o750); err != nil {
						t.Fatal(err)
					}
					file := filepath.Join(dir, "in", name)
					if err := os.WriteFile(file, []byte(tc.files[name]), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Chtimes(file, now, now.Add(time.Duration(i)*time.Second)); err != nil {
						t.Fatal(err)
					}
				}
				return adaptertest.World{Kind: Kind(), Rows: map[string]int{"csv gb18030 with mark file": 9, "csv utf-8": 9}[tc.name] + map[string]int{"json stable": 8, "ndjson gz": 8}[tc.name],
					Config: json.RawMessage(fmt.Sprintf(`{"kind":"filedrop","dir":%q,"accept":%q,"poll":"1s","stable_polls":2}`, dir, tc.accept)),
					Env:    adapters.Env{Judge: items(t), Now: func() time.Time { return now }, Stream: adapters.Stream{Name: "s", Resource: "approvals.service_item"}},
					Tick:   func() { now = now.Add(time.Second) }}
			}})
		})
	}
}

// TestAnnotatedFileComesBack drops a file with faults, corrects the error file and drops that: what was wrong is
// accepted, what was right is unchanged, the columns that were added are ignored. In every charset and format.
func TestAnnotatedFileComesBack(t *testing.T) {
	head := "编码,名称,备注\r\n"
	rows := "K1,一,甲\r\nK2,,乙\r\nK3,三,\r\nK1,壹,丙\r\nK4,四\r\nK5,五,\r\n"
	asJSON := []string{`{"编码":"K1","名称":"一","备注":{"x":[1]}}`, `{"编码":"K2","备注":"乙"}`, `{"编码":"K3","名称":"三"}`, `{"编码":"K1","名称":"壹"}`, `{"编码":"K4","名称":"四","名称":"四"}`, `{"编码":"K5","名称":"五"}`}
	for _, tc := range []struct {
		name, file, content, errors, mark string
		encode                            func(string) string
	}{
		{"csv utf-8", "清单.csv", head + rows, "清单.错误.csv", bomMark, func(s string) string { return s }},
		{"csv utf-8 with mark", "清单.csv", bomMark + head + rows, "清单.错误.csv", bomMark, func(s string) string { return s }},
		{"csv gb18030", "清单.csv", gb(t, head+rows), "清单.错误.csv", "", func(s string) string { return gb(t, s) }},
		{"csv gb18030 gz", "清单.csv.gz", zipped(t, gb(t, head+rows)), "清单.错误.csv", "", func(s string) string { return gb(t, s) }},
		{"json", "清单.json", "[" + strings.Join(asJSON, ",") + "]", "清单.错误.json", "", func(s string) string { return s }},
		{"ndjson", "清单.ndjson", strings.Join(asJSON, "\n"), "清单.错误.ndjson", "", func(s string) string { return s }},
		{"ndjson gb18030, odd name", "清单.dat", gb(t, strings.Join(asJSON, "\n")), "清单.dat.错误.ndjson", "", func(s string) string { return gb(t, s) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, Config{}, items(t))
			h.put(tc.file, tc.content)
			h.run()
			if want := (adapters.Counts{Read: 6, Refused: 3, Accepted: 3}); h.total != want {
				t.Fatalf("first: %+v, want %+v; %+v", h.total, want, h.bad)
			}
			r := h.receipt(tc.file)
			if r.Outcome != "finished" || r.Errors != tc.errors || r.Counts.Refused != 3 || r.Rows != 6 {
				t.Errorf("receipt: %+v", r)
			}
			raw := h.read("feedback", tc.errors)
			if !strings.HasPrefix(raw, tc.mark) || tc.mark == "" && strings.HasPrefix(raw, bomMark) {
				t.Errorf("error file begins with % x", raw[:6])
			}
			// encoding is ASCII-compatible, so a correction can be made in the file's own bytes
			fix := strings.NewReplacer(tc.encode("K2,,"), tc.encode("K2,二,"), tc.encode("K1,壹"), tc.encode("K6,壹"),
				tc.encode(`"K4,四",,`), tc.encode(`K4,四,`),
				tc.encode(`{"编码":"K2",`), tc.encode(`{"编码":"K2","名称":"二",`), tc.encode(`"K1","名称":"壹"`), tc.encode(`"K6","名称":"壹"`),
				tc.encode(`"_原文":"{\"编码\":\"K4\",\"名称\":\"四\",\"名称\":\"四\"}"`), tc.encode(`"编码":"K4","名称":"四"`))
			corrected := fix.Replace(raw)
			h.put(tc.errors, corrected)
			h.run()
			if want := (adapters.Counts{Read: 4, Unchanged: 1, Accepted: 3}); h.total != want {
				t.Errorf("corrected: %+v, want %+v; bad %+v notes %+v\n%s", h.total, want, h.bad, h.notes, corrected)
			}
			if diff := cmp.Diff([]string{"K1", "K2", "K3", "K4", "K5", "K6"}, keys(h.sent)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if names := h.names("feedback"); slices.Contains(names, tc.errors) {
				t.Errorf("the error file is still there: %v", names)
			}
		})
	}
}

// TestErrorFile freezes what a clerk gets to see.
func TestErrorFile(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", "编码,名称,备注\r\nK1,一,甲\r\n\r\nK2,,\"乙\r\n乙\"\r\nK1,壹,\r\nK9,九\"九,\r\n")
	h.run()
	unit := h.receipt("a.csv").Unit
	got := strings.ReplaceAll(h.read("feedback", "a.错误.csv"), unit, "UNIT")
	want := bomMark + "编码,名称,备注,_行号,_结果,_字段,_原因,_建议\r\n" +
		"K1,一,甲,2,对照#UNIT,,此行未退回,供与第5行对照,\r\n" +
		"K2,,\"乙\r\n乙\",4,拒收#UNIT,事项名称,第4行 B列“事项名称”:必填,补填这一项\r\n" +
		"K1,壹,,5,拒收#UNIT,实施编码,第5行 A列“实施编码”:业务主键应在文件内唯一,与第2行相同而内容不同,核对两者,改正主键或删去其一\r\n" +
		"\"K9,九\"\"九,\",,,6,拒收#UNIT,,第6行:引号应成对,补上引号,单元格内的引号写两遍\r\n"
	want = strings.NewReplacer("此行未退回,供与第5行对照", `"此行未退回,供与第5行对照"`, "第5行 A列“实施编码”:业务主键应在文件内唯一,与第2行相同而内容不同", `"第5行 A列“实施编码”:业务主键应在文件内唯一,与第2行相同而内容不同"`,
		"核对两者,改正主键或删去其一", `"核对两者,改正主键或删去其一"`, "补上引号,单元格内的引号写两遍", `"补上引号,单元格内的引号写两遍"`).Replace(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("error file (-want +got):\n%s", diff)
	}
	// dropped again as it is, everything is refused again, the duplicate too
	h.put("a.错误.csv", h.read("feedback", "a.错误.csv"))
	h.run()
	if want := (adapters.Counts{Read: 4, Refused: 3, Unchanged: 1}); h.total != want {
		t.Errorf("dropped again: %+v, want %+v; %+v", h.total, want, h.bad)
	}
}

// TestCorrects: the batch that ends a corrected error file names the unit it corrects.
func TestCorrects(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", "编码,名称\nK1,一\nK2,\n")
	h.run()
	unit := h.receipt("a.csv").Unit
	h.put("b.csv", strings.Replace(h.read("feedback", "a.错误.csv"), "K2,", "K2,二", 1))
	b, ok := h.next(adapters.Limits{})
	if diff := cmp.Diff([]string{unit}, b.Corrects); !ok || !b.UnitEnd || diff != "" {
		t.Errorf("corrects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"编码", "名称"}, b.Columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

// TestWholeFileRefused: none of the rows goes out, the file lies in bad, the receipt says why.
func TestWholeFileRefused(t *testing.T) {
	good := "编码,名称\nK1,一\n"
	many := "编码,名称\n"
	for i := range 100 {
		name := "x"
		if i < 11 {
			name = ""
		}
		many += fmt.Sprintf("K%d,%s\n", i, name)
	}
	for _, tc := range []struct {
		name, file, content, rule string
		config                    Config
		extra                     map[string]string
	}{
		{name: "empty", content: "", rule: "empty"},
		{name: "header only", content: "编码,名称\n", rule: "empty"},
		{name: "empty array", content: "[ ]", rule: "empty"},
		{name: "column missing", content: "编码,别名\nK1,一\n", rule: "header"},
		{name: "column unknown", content: "编码,名称,电话\nK1,一,1\n", rule: "header"},
		{name: "column without name", content: "编码,名称,\nK1,一,1\n", rule: "header"},
		{name: "column twice", content: "编码,名称,名称\nK1,一,1\n", rule: "header"},
		{name: "other layout", content: "姓名;电话\n张三;1\n", rule: "header"},
		{name: "two charsets", content: "编,码,名称\n" + gb(t, "K1,房\n"), rule: "charset"},
		{name: "two charsets that read as one", content: "编码,名称\n" + gb(t, "K1,房\n"), rule: "header"},
		{name: "charset not the configured", content: gb(t, good), config: Config{Charset: "utf-8"}, rule: "charset"},
		{name: "utf-16", content: "\xFF\xFEa\x00", rule: "charset"},
		{name: "workbook", file: "a.csv", content: "PK\x03\x04\x14\x00", rule: "format"},
		{name: "open quote", content: good + "K2,\"二\nK3,三\n", rule: "quote"},
		{name: "array cut short", file: "a.json", content: `[{"编码":"K1","名称":"一"},{"编`, rule: "json"},
		{name: "array and more", file: "a.json", content: `[{"编码":"K1","名称":"一"}] x`, rule: "json"},
		{name: "gzip cut short", content: zipped(t, good)[:30], rule: "gzip"},
		{name: "too many rows", content: listCSV(5), config: Config{MaxRows: 4}, rule: "too_large"},
		{name: "too large", content: listCSV(5), config: Config{MaxBytes: 20}, rule: "too_large"},
		{name: "too large unpacked", content: zipped(t, listCSV(900)), config: Config{MaxBytes: 10_000}, rule: "too_large"},
		{name: "control file: rows", content: good, extra: map[string]string{"a.csv.ctl": `{"rows":2}`}, rule: "control"},
		{name: "control file: digest", content: good, extra: map[string]string{"a.csv.done": `{"sha256":"00"}`}, rule: "control"},
		{name: "too many refused", content: many, rule: "threshold"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, tc.config, items(t))
			if tc.file == "" {
				tc.file = "a.csv"
			}
			for name, content := range tc.extra {
				h.put(name, content)
			}
			h.put(tc.file, tc.content)
			h.run()
			if h.total != (adapters.Counts{}) || len(h.sent) > 0 {
				t.Errorf("rows went out: %+v", h.total)
			}
			if r := h.receipt(tc.file); r.Outcome != "refused" || r.Rule != tc.rule || r.Zh == "" || r.En == "" {
				t.Errorf("receipt %+v, want rule %s", r, tc.rule)
			}
			if bad := h.names("bad"); !slices.Contains(bad, tc.file) || len(h.names("work")) > 0 || len(h.names("in")) > 0 {
				t.Errorf("bad holds %v, work %v, in %v", bad, h.names("work"), h.names("in"))
			}
			if diff := cmp.Diff([]string{"file_refused"}, h.codes()); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
			h.put("good.csv", good) // the folder lives on
			h.config.MaxBytes, h.config.Charset = 0, ""
			h.start()
			h.run()
			if h.total.Accepted != 1 {
				t.Errorf("a good file after it: %+v", h.total)
			}
		})
	}
}

// TestThreshold: 10 of 100 are refused one by one, 11 refuse the file and come back with their reasons; error_threshold
// moves the limit.
func TestThreshold(t *testing.T) {
	content := func(bad int) string {
		b := "编码,名称\n"
		for i := range 100 {
			b += fmt.Sprintf("K%d,%s\n", i, strings.Repeat("x", min(1, max(0, i+1-bad))))
		}
		return b
	}
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", content(10))
	h.run()
	if want := (adapters.Counts{Read: 100, Refused: 10, Accepted: 90}); h.total != want {
		t.Errorf("10 of 100: %+v", h.total)
	}
	h.put("b.csv", content(11))
	h.run()
	if h.total.Read != 0 {
		t.Errorf("11 of 100: %+v", h.total)
	}
	if got := strings.Count(h.read("feedback", "b.错误.csv"), "拒收#"); got != 11 {
		t.Errorf("%d rows in the error file, want 11", got)
	}
	h.stream.ErrorThreshold = 0.5
	h.start()
	h.put("c.csv", content(12))
	h.run()
	if h.total.Refused != 12 {
		t.Errorf("12 of 100 under a threshold of 0.5: %+v", h.total)
	}
}

func TestSameContentAgain(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", listCSV(5))
	h.run()
	h.put("b.csv", listCSV(5))
	h.run()
	if h.total.Read != 0 || !slices.Contains(h.codes(), "file_duplicate") {
		t.Errorf("read %d, notices %v", h.total.Read, h.codes())
	}
	if r := h.receipt("b.csv"); r.Outcome != "received_before" || r.Rows != 5 || !strings.Contains(r.Zh, "“a.csv”") {
		t.Errorf("receipt %+v", r)
	}
	h.put("a.csv", listCSV(6)) // same name, new content
	h.run()
	if want := (adapters.Counts{Read: 6, Unchanged: 4, Accepted: 2}); h.total != want {
		t.Errorf("new content: %+v, want %+v", h.total, want)
	}
	if done := h.names("done"); len(done) != 3 {
		t.Errorf("done holds %v", done)
	}
}

// TestSameContentWhileUnanswered: the ledger alone would know it, the unit is known too.
func TestSameContentWhileUnanswered(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", listCSV(5))
	b, _ := h.next(adapters.Limits{})
	h.keep(b)
	h.ledger = ledger{}
	h.drop.env.Ledger = h.ledger
	h.put("b.csv", listCSV(5))
	h.run()
	if h.total.Read != 0 || h.receipt("b.csv").Outcome != "received_before" {
		t.Errorf("read %d", h.total.Read)
	}
}

// TestAcceptPolicies: who is ready when.
func TestAcceptPolicies(t *testing.T) {
	waiting := func(h *house) []string { return h.names("in") }
	t.Run("busy names", func(t *testing.T) {
		h := newHouse(t, Config{Pattern: "*.csv"}, items(t))
		for _, name := range []string{"a.csv.tmp", "b.csv.part", ".c.csv", "~$d.csv", ".~lock.e.csv#", "f.CSV.TMP", "g.txt"} {
			h.put(name, listCSV(2))
		}
		if err := os.Symlink("/etc/hostname", filepath.Join(h.dir, "in", "link.csv")); err != nil {
			t.Fatal(err)
		}
		h.run()
		if h.total.Read != 0 || len(waiting(h)) != 8 {
			t.Errorf("read %d, waiting %v", h.total.Read, waiting(h))
		}
	})
	t.Run("done", func(t *testing.T) {
		h := newHouse(t, Config{Accept: acceptDone}, items(t))
		h.put("a.csv", listCSV(2))
		h.run()
		if h.total.Read != 0 {
			t.Error("read without its mark")
		}
		h.put("a.csv.done", fmt.Sprintf(`{"bytes":%d}`, len(listCSV(2))+1))
		h.run()
		if h.total.Read != 0 {
			t.Error("read before its bytes are there")
		}
		h.put("a.csv.done", fmt.Sprintf(`{"bytes":%d,"rows":2}`, len(listCSV(2))))
		h.run()
		if h.total.Read != 2 || len(waiting(h)) != 0 {
			t.Errorf("read %d, waiting %v", h.total.Read, waiting(h))
		}
	})
	t.Run("stable", func(t *testing.T) {
		h := newHouse(t, Config{Accept: acceptStable, Poll: adapters.Duration(time.Minute), StablePolls: 3, FinalNewline: true}, items(t))
		idle := func(times int, pending bool) {
			t.Helper()
			for range times {
				h.now = h.now.Add(time.Minute)
				if b, err := h.drop.Next(t.Context(), adapters.Limits{}); !errors.Is(err, adapters.ErrIdle) {
					t.Fatalf("got %d rows, %v; want ErrIdle", len(b.Rows), err)
				}
				if h.drop.Pending() != pending {
					t.Errorf("pending %v, want %v", !pending, pending)
				}
			}
		}
		idle(1, false) // nothing is there
		h.put("a.csv", "编码,名称\nK1,一\nK2,")
		idle(3, true)
		h.put("a.csv", "编码,名称\nK1,一\nK2,二") // grew
		idle(3, true)
		idle(5, false) // stands still, but its last line has no end
		h.put("a.csv", "编码,名称\nK1,一\nK2,二\n")
		idle(3, true)
		h.now = h.now.Add(time.Minute)
		if b, err := h.drop.Next(t.Context(), adapters.Limits{}); err != nil || len(b.Rows) != 2 || h.drop.Pending() {
			t.Errorf("got %d rows, %v, pending %v", len(b.Rows), err, h.drop.Pending())
		}
	})
	t.Run("stable but not closed", func(t *testing.T) {
		for name, content := range map[string]string{"a.json": `[{"编码":"K1","名称":"一"},`, "b.ndjson": `{"编码":"K1","名称":"一"}` + "\n{", "c.csv.gz": zipped(t, listCSV(3))[:40]} {
			h := newHouse(t, Config{Accept: acceptStable}, items(t))
			h.put(name, content)
			h.run()
			if len(h.notes) != 0 || len(waiting(h)) != 1 {
				t.Errorf("%s: notices %v, waiting %v", name, h.codes(), waiting(h))
			}
		}
	})
}

func TestIdleSaysWhen(t *testing.T) {
	h := newHouse(t, Config{Poll: adapters.Duration(10 * time.Second)}, items(t))
	_, err := h.drop.Next(t.Context(), adapters.Limits{})
	var idle *adapters.IdleError
	if !errors.As(err, &idle) || idle.Wait != 10*time.Second {
		t.Fatalf("got %v", err)
	}
	h.now = h.now.Add(4 * time.Second)
	h.put("a.csv", listCSV(2))
	if _, err = h.drop.Next(t.Context(), adapters.Limits{}); !errors.As(err, &idle) || idle.Wait != 6*time.Second {
		t.Errorf("got %v", err)
	}
}

// TestDriftInJSON: a new member is told once and does not stop the stream, unless the configuration says so.
func TestDriftInJSON(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.json", `[{"编码":"K1","名称":"一","电话":1}]`)
	h.put("b.json", `[{"编码":"K2","名称":"二","电话":1}]`)
	h.run()
	if h.total.Accepted != 2 || len(h.drift) != 1 || h.drift[0].Column != "电话" {
		t.Errorf("accepted %d, drift %+v", h.total.Accepted, h.drift)
	}
	h = newHouse(t, Config{ExtraColumns: "refuse"}, items(t))
	h.put("a.json", `[{"编码":"K1","名称":"一","电话":1}]`)
	h.run()
	if h.total.Read != 0 || h.receipt("a.json").Rule != "header" {
		t.Errorf("read %d", h.total.Read)
	}
	h = newHouse(t, Config{ExtraColumns: "warn"}, items(t))
	h.put("a.csv", "编码,名称,电话\nK1,一,1\n")
	h.run()
	if h.total.Accepted != 1 || len(h.drift) != 1 {
		t.Errorf("csv: accepted %d, drift %+v", h.total.Accepted, h.drift)
	}
}

// TestRejectionsOfTheBus come after the file was handed over, and again; the error file then holds them too.
func TestRejectionsOfTheBus(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	h.put("a.csv", "编码,名称\nK1,一\nK2,\nK3,三\n")
	b, _ := h.next(adapters.Limits{})
	home := h.keep(b)
	if err := h.drop.Commit(t.Context(), b.Cursor); err != nil {
		t.Fatal(err)
	}
	if r := h.receipt("a.csv"); r.Outcome != "received" {
		t.Errorf("receipt %+v", r)
	}
	if err := h.drop.Report(t.Context(), home[:1]); err != nil {
		t.Fatal(err)
	}
	if r := h.receipt("a.csv"); r.Outcome != "received" || r.Errors == "" || r.Counts.Refused != 1 {
		t.Errorf("receipt %+v", r)
	}
	rejected := adapters.Verdict{Origin: adapters.Origin{Unit: b.Unit, Row: 4}, Outcome: adapters.Rejected,
		Problems: []adapters.Problem{{Title: "主键", Zh: "第4行:主键属于别的部门。改法:联系数据主管部门"}}}
	for range 2 {
		if err := h.drop.Report(t.Context(), []adapters.Verdict{rejected}); err != nil {
			t.Fatal(err)
		}
		h.start() // and after a crash
	}
	finished := home[1]
	for range 2 {
		if err := h.drop.Report(t.Context(), []adapters.Verdict{rejected, finished}); err != nil {
			t.Fatal(err)
		}
	}
	file := h.read("feedback", "a.错误.csv")
	for _, want := range []string{"K3,三,4,退回#" + b.Unit + ",主键,第4行:主键属于别的部门,联系数据主管部门", "K2,,3,拒收#"} {
		if strings.Count(file, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, file)
		}
	}
	if r := h.receipt("a.csv"); r.Outcome != "finished" {
		t.Errorf("receipt %+v", r)
	}
	if entries, _ := os.ReadDir(filepath.Join(h.dir, "work", ".units")); len(entries) != 1 { // the lock
		t.Errorf("units left: %v", entries)
	}
}

// TestCrashPoints puts the folder into every state a crash can leave and goes on.
func TestCrashPoints(t *testing.T) {
	content := "编码,名称\n"
	for i := range 10 {
		content += fmt.Sprintf("K%d,x\n", i)
	}
	content += "K0,other\n" // refused: the key stands in row 2
	want := adapters.Counts{Read: 11, Refused: 1, Accepted: 10}
	limits := adapters.Limits{Rows: 4}
	finish := func(t *testing.T, h *house) {
		t.Helper()
		for {
			b, ok := h.next(limits)
			if !ok {
				break
			}
			v := h.keep(b)
			if err := h.drop.Report(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		if h.total != want || len(h.sent) != 10 {
			t.Errorf("got %+v, want %+v", h.total, want)
		}
		if r := h.receipt("a.csv"); r.Outcome != "finished" || r.Errors == "" || len(h.names("work")) != 0 || len(h.names("done")) != 1 {
			t.Errorf("receipt %+v, work %v, done %v", r, h.names("work"), h.names("done"))
		}
	}
	t.Run("claimed, not staged", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("../work/a.csv", content)
		h.start()
		finish(t, h)
	})
	t.Run("stage cut short", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("../work/a.csv", content)
		if err := os.MkdirAll(filepath.Join(h.dir, "work", ".units", "stage-1"), 0o750); err != nil {
			t.Fatal(err)
		}
		h.put("../work/.units/stage-1/data", content[:20])
		h.start()
		finish(t, h)
	})
	for batches := range 3 {
		t.Run(fmt.Sprintf("after %d durable batches", batches), func(t *testing.T) {
			h := newHouse(t, Config{}, items(t))
			h.put("a.csv", content)
			for range batches {
				b, _ := h.next(limits)
				h.keep(b)
			}
			h.next(limits) // given, never durable
			h.start()
			finish(t, h)
		})
	}
	t.Run("sealed copy gone", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("a.csv", content)
		b, _ := h.next(limits)
		h.keep(b)
		if err := os.RemoveAll(filepath.Join(h.dir, "work", ".units", b.Unit)); err != nil {
			t.Fatal(err)
		}
		h.start()
		finish(t, h)
	})
	t.Run("sealed copy and original gone", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("a.csv", content)
		b, _ := h.next(limits)
		h.keep(b)
		if err := errors.Join(os.RemoveAll(filepath.Join(h.dir, "work", ".units", b.Unit)), os.Remove(filepath.Join(h.dir, "work", "a.csv"))); err != nil {
			t.Fatal(err)
		}
		if err := h.open(); !errors.Is(err, adapters.ErrCursor) {
			t.Errorf("Open: got %v, want ErrCursor: rows would be lost in silence", err)
		}
	})
	t.Run("durable to the end, nothing after", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("a.csv", content)
		var home []adapters.Verdict
		for range 3 {
			b, _ := h.next(limits)
			home = append(home, h.keep(b)...)
		}
		h.start()
		if r := h.receipt("a.csv"); r.Outcome != "received" || len(h.names("done")) != 1 {
			t.Errorf("receipt %+v, done %v", r, h.names("done"))
		}
		if err := h.drop.Report(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		finish(t, h)
	})
	t.Run("verdict cut short", func(t *testing.T) {
		h := newHouse(t, Config{}, items(t))
		h.put("a.csv", content)
		var home []adapters.Verdict
		var unit string
		for range 3 {
			b, _ := h.next(limits)
			unit = b.Unit
			home = append(home, h.keep(b)...)
		}
		if err := h.drop.Report(t.Context(), home[:1]); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(h.dir, "work", ".units", unit, "verdicts.ndjson"), os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"origin":{"unit":"`); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		h.start()
		if err := h.drop.Report(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		finish(t, h)
	})
}

// TestFeedbackFolderGone: what cannot be told now is told later; verdicts are not lost.
func TestFeedbackFolderGone(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	if err := os.RemoveAll(filepath.Join(h.dir, "feedback")); err != nil {
		t.Fatal(err)
	}
	h.put("a.csv", "编码,名称\nK1,\n")
	b, _ := h.next(adapters.Limits{})
	home := h.keep(b)
	if err := h.drop.Commit(t.Context(), b.Cursor); err == nil {
		t.Error("Commit hid that feedback could not be written")
	}
	if err := h.drop.Report(t.Context(), home); err != nil {
		t.Errorf("Report: %v; the verdicts are durable", err)
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "feedback"), 0o750); err != nil {
		t.Fatal(err)
	}
	h.run()
	if r := h.receipt("a.csv"); r.Outcome != "finished" || r.Errors == "" {
		t.Errorf("receipt %+v", r)
	}
}

func TestOneAdapterPerFolder(t *testing.T) {
	h := newHouse(t, Config{}, items(t))
	second, err := New(h.config, adapters.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Open(t.Context(), h.stream, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

// TestFileChangedWhileLookedAt is given back and read again later.
func TestFileChangedWhileLookedAt(t *testing.T) {
	h := newHouse(t, Config{}, nil)
	grown := false
	inner := items(t)
	h.judge = judgeFunc{inner, func() {
		if !grown {
			grown = true
			h.put("../work/a.csv", "编码,名称\nK1,一\nK2,二\n")
		}
	}}
	h.start()
	h.put("a.csv", "编码,名称\nK1,一\n")
	h.run()
	if h.total.Accepted != 2 || !slices.Contains(h.codes(), "file_changed") {
		t.Errorf("accepted %d, notices %v", h.total.Accepted, h.codes())
	}
}

// judgeFunc does something while a row is judged.
type judgeFunc struct {
	adapters.Judge
	do func()
}

func (j judgeFunc) Row(columns []string, row adapters.Row) ([]adapters.Judged, error) {
	j.do()
	return j.Judge.Row(columns, row)
}

func TestDescribeAndPreview(t *testing.T) {
	h := newHouse(t, Config{Accept: acceptDone}, items(t))
	if d, err := h.drop.Describe(t.Context()); err != nil || len(d.Notes) != 1 || len(d.Columns) != 0 {
		t.Errorf("empty folder: %+v, %v", d, err)
	}
	h.put("a.json", `[{"a":1},{"a":2,"b":"x","c":[1]}]`)
	d, err := h.drop.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []adapters.Column{{Name: "a", Kind: adapters.KindInt}, {Name: "b", Kind: adapters.KindText, Nullable: true}, {Name: "c", Kind: adapters.KindJSON, Nullable: true}}
	if diff := cmp.Diff(want, d.Columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	b, err := h.drop.Preview(t.Context(), 1)
	if err != nil || len(b.Rows) != 1 || len(h.names("in")) != 1 {
		t.Errorf("preview: %d rows, %v, in %v", len(b.Rows), err, h.names("in"))
	}
}
