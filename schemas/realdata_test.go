package schemas

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sharedData opens a file of real data; without it the test is skipped with a line that says
// so, and under CI it fails.
func sharedData(t *testing.T, name string) io.Reader {
	t.Helper()
	dir := os.Getenv("HUTONG_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("shared data: %v", err)
		}
		t.Skipf("shared data is not here (set HUTONG_SHARED_DATA): %v", err)
	}
	t.Cleanup(func() { f.Close() })
	if !strings.HasSuffix(name, ".gz") {
		return f
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// judge validates a body that a test mapped, after a pass through its JSON text.
func judge(t *testing.T, s *Schema, body map[string]any) Verdict {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(decode(t, raw))
}

func TestServiceItemsOfACounty(t *testing.T) {
	rows, err := csv.NewReader(bufio.NewReader(sharedData(t, "approvals/guangan-service-items.utf8.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := embedded(t, "approvals.service_item")
	warnings := 0
	for i, r := range rows[1:] {
		v := judge(t, s, map[string]any{"dept_name": r[0], "catalog_name": r[1], "task_name": r[2], "region": r[3],
			"task_code": r[4], "source_task_code": r[4], "task_type": fmt.Sprintf("%02s", r[5]), "dept_code": r[6]})
		if !v.OK() {
			t.Errorf("row %d: %v", i+2, s.Explain(v.Violations, English))
		}
		warnings += len(v.Warnings)
	}
	if n := len(rows) - 1; n != 1135 || warnings != 12*n {
		t.Errorf("%d rows with %d warnings, want 1135 with 12 each", n, warnings)
	}
}

type bill struct {
	Category, Abstract, Description, Methods, Execution, Committee, Remark, Type, Links, County, ID string
	BillNo                                                                                          string   `json:"bill_no"`
	Year                                                                                            string   `json:"election_year"`
	Sitting                                                                                         string   `json:"resolusion_sitting"`
	ProposedBy                                                                                      []string `json:"proposed_by"`
	PetitionedBy                                                                                    []string `json:"petitioned_by"`
	Motions                                                                                         []struct {
		Motion, Date, Resolution, Resolusion, No, Sitting *string
	}
}

func TestCouncilBills(t *testing.T) {
	s := embedded(t, "motions.motion")
	total := 0
	for _, name := range []string{"tccc", "ntp", "tcc-half"} {
		var bills []bill
		if err := json.NewDecoder(sharedData(t, "proposals/tw-council-bills-"+name+".json.gz")).Decode(&bills); err != nil {
			t.Fatal(err)
		}
		for _, b := range bills {
			total++
			title := []rune(b.Abstract)
			resolution := ""
			for _, m := range b.Motions {
				if m.Resolution != nil {
					resolution += *m.Resolution
				}
			}
			v := judge(t, s, map[string]any{"body": b.County, "motion_no": b.ID, "source_no": b.BillNo, "term": b.Year, "session": b.Sitting,
				"title": string(title[:min(200, len(title))]), "content": b.Abstract + "\n" + b.Description, "method": b.Methods, "execution": b.Execution,
				"committee": b.Committee, "remark": b.Remark, "source_kind": b.Type, "category": b.Category, "link": b.Links,
				"proposers": b.ProposedBy, "co_proposers": append([]string{}, b.PetitionedBy...), "resolution": resolution, "status": "已办理"})
			if !v.OK() {
				t.Fatalf("%s %s: %v", b.County, b.ID, s.Explain(v.Violations, English))
			}
		}
	}
	if total != 5073 {
		t.Errorf("%d bills, want 5073", total)
	}
}

func TestCouncilSteps(t *testing.T) {
	var bills []bill
	if err := json.NewDecoder(sharedData(t, "proposals/tw-council-bills-tcc-half.json.gz")).Decode(&bills); err != nil {
		t.Fatal(err)
	}
	s := embedded(t, "motions.step")
	minguo := regexp.MustCompile(`^民國(\d+)年(\d+)月(\d+)日$`)
	steps, nameless := 0, 0
	for _, b := range bills {
		for i, m := range b.Motions {
			steps++
			body := map[string]any{"motion_key": b.County + "|" + b.ID, "step_no": i + 1}
			put := func(name string, from ...*string) {
				for _, p := range from {
					if p != nil {
						body[name] = *p
					}
				}
			}
			put("name", m.Motion)
			put("doc_no", m.No)
			put("meeting", m.Sitting)
			put("resolution", m.Resolution, m.Resolusion)
			if m.Date != nil {
				body["at"] = *m.Date
				if d := minguo.FindStringSubmatch(*m.Date); d != nil {
					body["at"] = fmt.Sprintf("%04d-%02d-%02d", 1911+number(d[1]), number(d[2]), number(d[3]))
				}
			}
			v := judge(t, s, body)
			if m.Motion == nil {
				nameless++
				if len(v.Violations) != 1 || v.Violations[0].Pointer != "/name" || v.Violations[0].Code != "missing" {
					t.Errorf("a step without a name: %+v", v.Violations)
				}
			} else if !v.OK() {
				t.Errorf("%v: %v", body, s.Explain(v.Violations, English))
			}
		}
	}
	if steps != 2221 || nameless != 60 {
		t.Errorf("%d steps, %d without a name; want 2221 and 60", steps, nameless)
	}
}

func TestPermits(t *testing.T) {
	s := embedded(t, "approvals.case")
	status := map[string]string{"ACTIVE": "办理中", "COMPLETE": "办结准予", "SUSPENDED": "计时暂停", "PHASED PERMITTING": "受理", "CANCELLED": "撤回", "REVOKED": "作废", "": "收件"}
	lines := bufio.NewScanner(sharedData(t, "approvals/chicago-permits-2025.ndjson.gz"))
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		var p struct {
			N, S, T, R, D, A, X, Gc, Cn string
			C                           *json.Number
			Lat, Lon                    json.Number
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		body := map[string]any{"case_no": p.N, "task_name": p.T, "status": status[p.S], "source_status": p.S, "review_type": p.R, "applied_at": p.D,
			"location": p.A, "district": p.Cn, "content": p.X, "contractors": []string{p.Gc}, "latitude": p.Lat, "longitude": p.Lon, "dept_code": "buildings"}
		if p.C != nil {
			body["amount"], body["currency"] = p.C.String(), "USD"
		}
		if v := judge(t, s, body); !v.OK() {
			t.Fatalf("%s: %v", p.N, s.Explain(v.Violations, English))
		}
	}
	if err := lines.Err(); err != nil || n != 31690 {
		t.Errorf("%d permits, %v; want 31690", n, err)
	}
}
