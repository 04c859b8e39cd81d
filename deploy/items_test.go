package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
)

// Sizes of the run.
const (
	itemsInFile = 1135
	byteMark    = "\uFEFF"
)

const itemsEntry = `{resource: approvals.service_item, title: {zh: 政务服务事项}, owner: zwb, key: [task_code], sharing: unconditional, disclosure: {route: none}}`

// Columns of the items' file.
const (
	itemDept = iota
	itemMain
	itemName
	itemRegion
	itemCode
	itemType
	itemUnit
)

// fault is one planted fault: what stands in a cell instead, and what the
// refusal must say of it.
type fault struct {
	row, column int
	with        func(was string) string
	rule        string // stable word
	title       string // the field's Chinese name
	says        string // the rule in words
}

func becomes(value string) func(string) string { return func(string) string { return value } }

// otherDigit makes a unified code whose check digit is wrong.
func otherDigit(was string) string {
	if digit := "A"; !strings.HasSuffix(was, digit) {
		return was[:len(was)-1] + digit
	}
	return was[:len(was)-1] + "B"
}

// plantedFaults are the twelve. Row 167 holds an 18-character unified code,
// whose last character is the check digit.
func plantedFaults(original [][]string) []fault {
	return []fault{
		{167, itemUnit, otherDigit, "format", "实施主体编码", "统一社会信用代码"},
		{12, itemType, becomes("99"), "code", "事项类型", "代码表"},
		{25, itemRegion, becomes("991602000000"), "format", "行政区划", "区划代码"},
		{38, itemName, becomes(""), "required", "事项名称", "必填"},
		{44, itemCode, becomes(original[42][itemCode]), "duplicate_key", "实施编码", "第43行"},
		{57, itemCode, func(was string) string { return was + strings.Repeat("-0", 20) }, "maxLength", "实施编码", "64"},
		{66, itemName, func(was string) string { return was + "\uFFFD" }, "utf8", "事项名称", "乱码"},
		{79, itemRegion, becomes(""), "required", "行政区划", "必填"},
		{300, itemCode, becomes(""), "required", "实施编码", "必填"},
		{512, itemName, becomes(strings.Repeat("长", 301)), "maxLength", "事项名称", "300"},
		{813, itemUnit, becomes("部门一"), "format", "实施主体编码", "单位代码"},
		{1136, itemCode, becomes("511 A"), "pattern", "实施编码", "格式不对"},
	}
}

// TestItems is the service items' whole way: UTF-8, the same in GB18030, the
// same with twelve faults, and the error file corrected; what is counted is
// what a subscriber received.
func TestItems(t *testing.T) {
	utf8File, gbFile := readShared(t, "approvals/guangan-service-items.utf8.csv"), readShared(t, "approvals/guangan-service-items.gb18030.csv")
	original := table(t, utf8File)
	c := startCluster(t, 1)
	publisher := c.join(t, "zwb", "items", "publisher, reviewer")
	subscriber := c.join(t, "czj", "budget", "subscriber")
	c.resource(t, itemsEntry, "approvals.service_item")
	subscribeAll(t, c, "approvals.service_item", "zwb.items", "czj.budget", "items")
	d := newDrops(t, c, "zwb.items", "items approvals.service_item guangan-service-items")
	adapter := start(t, filepath.Join(c.dir, "items.log"), "hutong-adapter", "run", "-config", d.config)
	got := &received{seen: map[string][]string{}}

	d.put(t, "items", "items.utf8.csv", utf8File)
	wantCounts(t, d.answered(t, "items", "items.utf8.csv"), counts{Read: itemsInFile, Accepted: itemsInFile})
	got.all(t, subscriber, "items")
	itemsArrived(t, got, original)
	warnings := itemWarnings(t, publisher, got)

	d.put(t, "items", "items.gb18030.csv", gbFile)
	gb := d.answered(t, "items", "items.gb18030.csv")
	wantCounts(t, gb, counts{Read: itemsInFile, Unchanged: itemsInFile})
	if gb.Charset != "gb18030" {
		t.Errorf("charset %q", gb.Charset)
	}
	faults := plantedFaults(original)
	annotated := dropFaulty(t, d, utf8File, faults)
	d.put(t, "items", "items.faulty.错误.csv", correctItems(t, annotated, original))
	// Twelve corrected rows and the one that the double had collided with.
	wantCounts(t, d.answered(t, "items", "items.faulty.错误.csv"), counts{Read: len(faults) + 1, Unchanged: len(faults) + 1})
	if _, err := os.Stat(filepath.Join(d.dir, "drop", "items", "feedback", "items.faulty.错误.csv")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error file is still there: %v", err)
	}

	got.all(t, subscriber, "items")
	adapter.stop(t)
	s := d.settled(t)[0]
	if n := s.Counts; n.Read != 3*itemsInFile+13 || n.Refused != 12 || n.Unchanged != 2*itemsInFile-12+13 || n.Filtered != 0 ||
		n.Queued != got.total || n.Accepted != got.total || n.Rejected != quarantined(t, publisher) || n.Warnings != warnings || s.OpenRefusals != 0 {
		t.Errorf("status %+v, %d open refusals; the bus holds %d records with %d warnings", n, s.OpenRefusals, got.total, warnings)
	}
	t.Logf("adapter %+v; bus: %d records of %d keys, %d quality warnings", s.Counts, got.total, len(got.seen), warnings)
}

// itemsArrived checks that the bus holds exactly the file's rows.
func itemsArrived(t *testing.T, got *received, original [][]string) {
	t.Helper()
	want := map[string]map[string]string{}
	for _, r := range original[1:] {
		want[r[itemCode]] = map[string]string{"task_code": r[itemCode], "task_name": r[itemName], "task_type": fmt.Sprintf("%02s", r[itemType]),
			"dept_code": strings.ToUpper(r[itemUnit]), "dept_name": r[itemDept], "region": r[itemRegion]}
		if r[itemMain] != "未分类" {
			want[r[itemCode]]["catalog_name"] = r[itemMain]
		}
	}
	have := map[string]map[string]string{}
	for key, versions := range got.seen {
		var data map[string]string
		if err := json.Unmarshal([]byte(versions[0]), &data); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		have[key] = data
	}
	if diff := cmp.Diff(want, have); diff != "" || got.total != itemsInFile {
		t.Fatalf("%d records on the bus (-file +bus):\n%s", got.total, diff)
	}
}

// itemWarnings counts the quality warnings that the bus has of what it holds:
// twelve expected members are in no row of this file.
func itemWarnings(t *testing.T, publisher *api.Client, got *received) int {
	t.Helper()
	missing := []string{"by_law", "catalog_code", "consult", "flow", "legal_days", "legal_unit", "power_source", "promised_days", "supervise", "task_state", "task_version", "use_level"}
	n := 0
	for key, versions := range got.seen {
		v, err := publisher.Validate(t.Context(), "approvals.service_item", fmt.Appendf(nil, `{"op":"upsert","data":%s}`, versions[0]))
		if err != nil || !v.Valid {
			t.Fatalf("%s: %+v, %v", key, v, err)
		}
		if diff := cmp.Diff(missing, v.Warnings); diff != "" {
			t.Fatalf("warnings of %s:\n%s", key, diff)
		}
		n += len(v.Warnings)
	}
	return n
}

// dropFaulty drops the file with its faults and checks every refusal; it
// returns the annotated error file.
func dropFaulty(t *testing.T, d *drops, utf8File string, faults []fault) string {
	t.Helper()
	rows := table(t, utf8File)
	for _, f := range faults {
		cell := &rows[f.row-1][f.column]
		was := *cell
		if *cell = f.with(was); *cell == was || f.row == 167 && len(was) != 18 {
			t.Fatalf("row %d: no fault is planted: %q", f.row, was)
		}
	}
	d.put(t, "items", "items.faulty.csv", untable(t, rows))
	a := d.answered(t, "items", "items.faulty.csv")
	wantCounts(t, a, counts{Read: itemsInFile, Refused: len(faults), Unchanged: itemsInFile - len(faults)})
	if a.Errors != "items.faulty.错误.csv" {
		t.Fatalf("error file %q", a.Errors)
	}
	raw, err := os.ReadFile(filepath.Join(d.dir, "drop", "items", "feedback", a.Errors))
	if err != nil {
		t.Fatal(err)
	}
	refusalsRead(t, table(t, string(raw)), rows, faults)
	refusalsListed(t, d, faults)
	return string(raw)
}

// refusalsRead checks the annotated file: the refused rows untouched, each with
// place, field, rule and remedy.
func refusalsRead(t *testing.T, annotated, dropped [][]string, faults []fault) {
	t.Helper()
	if diff := cmp.Diff(append(slices.Clone(dropped[0]), "_行号", "_结果", "_字段", "_原因", "_建议"), annotated[0]); diff != "" {
		t.Fatalf("header:\n%s", diff)
	}
	byRow := map[int]fault{}
	for _, f := range faults {
		byRow[f.row] = f
	}
	for _, r := range annotated[1:] {
		row, err := strconv.Atoi(r[7])
		if err != nil {
			t.Fatal(err)
		}
		result, field, reason, remedy := r[8], r[9], r[10], r[11]
		if diff := cmp.Diff(dropped[row-1], r[:7]); diff != "" {
			t.Errorf("row %d is not as it was dropped:\n%s", row, diff)
		}
		t.Logf("row %d | %s | %s | %s", row, field, reason, remedy)
		if strings.HasPrefix(result, "对照#") && row == 43 {
			continue // it stands beside the double
		}
		f, ok := byRow[row]
		place := fmt.Sprintf("第%d行 %c列“%s”:", row, 'A'+f.column, f.title)
		if !ok || !strings.HasPrefix(result, "拒收#") || field != f.title || !strings.HasPrefix(reason, place) || !strings.Contains(reason[len(place):], f.says) || remedy == "" {
			t.Errorf("row %d: %s | %s | %s | %s; want %s … %s", row, result, field, reason, remedy, place, f.says)
		}
		delete(byRow, row)
	}
	if len(byRow) > 0 || len(annotated) != len(faults)+2 {
		t.Errorf("%d rows in the error file; not in it: %v", len(annotated)-1, byRow)
	}
}

// refusalsListed checks the rules by which the program itself lists its newest
// refusals while it runs.
func refusalsListed(t *testing.T, d *drops, faults []fault) {
	t.Helper()
	wait(t, "the refusals in the status", func(context.Context) error {
		streams, _ := d.status(t)
		s := streams[0]
		if s.OpenRefusals != len(faults) {
			return fmt.Errorf("%d open refusals", s.OpenRefusals)
		}
		for _, r := range s.Refusals {
			for _, p := range r.Problems {
				known := slices.ContainsFunc(faults, func(f fault) bool {
					return p.Rule == f.rule && p.Title == f.title && strings.HasPrefix(p.Zh, fmt.Sprintf("第%d行", f.row)) && strings.Contains(p.En, "Remedy: ")
				})
				if !known {
					t.Fatalf("a refusal that was not planted: %+v", p)
				}
			}
		}
		return nil
	})
}

// correctItems puts back what stood in the original, as a clerk would, and
// leaves the added columns as they came.
func correctItems(t *testing.T, annotated string, original [][]string) string {
	t.Helper()
	rows := table(t, annotated)
	for _, r := range rows[1:] {
		row, err := strconv.Atoi(r[7])
		if err != nil {
			t.Fatal(err)
		}
		copy(r, original[row-1])
	}
	return untable(t, rows)
}
