package deploy

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
)

// drops is an adapter's folder with one drop folder for each of its streams.
type drops struct {
	dir    string
	config string // the configuration file
}

// newDrops writes an adapter's configuration; streams are "name resource mapping [more of the source]".
func newDrops(t *testing.T, c *cluster, system string, streams ...string) *drops {
	t.Helper()
	d := &drops{dir: filepath.Join(c.dir, "adapter-"+system)}
	department, code, _ := strings.Cut(system, ".")
	text := fmt.Sprintf("department: %s\nsystem: %s\nbus: [%s]\ncredential_file: %s\noutbox: {dir: outbox}\nstreams:\n",
		department, code, strings.Join(c.apis, ", "), filepath.Join(c.dir, system+".key"))
	for _, s := range streams {
		part := append(strings.SplitN(s, " ", 4), "accept: rename")
		mapping, err := filepath.Abs(filepath.Join("examples", "mappings", part[2]+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  - {name: %s, resource: %s, mapping: %s, source: {kind: filedrop, dir: drop/%s, poll: 50ms, %s}}\n", part[0], part[1], mapping, part[0], part[3])
		if err := os.MkdirAll(filepath.Join(d.dir, "drop", part[0], "in"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.config = filepath.Join(d.dir, "adapter.yaml")
	writeFile(t, d.config, text)
	return d
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// put drops a file as a department does: under another name, then renamed.
func (d *drops) put(t *testing.T, stream, name, content string) {
	t.Helper()
	file := filepath.Join(d.dir, "drop", stream, "in", name)
	writeFile(t, file+".tmp", content)
	if err := os.Rename(file+".tmp", file); err != nil {
		t.Fatal(err)
	}
}

// counts is the counting equation as the program prints it.
type counts struct {
	Read, Filtered, Refused, Unchanged, Queued int
	Accepted, Duplicate, Stale, Rejected       int
	Warnings                                   int
}

// balanced reports whether the equation holds.
func (n counts) balanced(waiting int) bool {
	return n.Read == n.Filtered+n.Refused+n.Unchanged+n.Queued && n.Queued == n.Accepted+n.Duplicate+n.Stale+n.Rejected+waiting
}

// streamStatus is what a test reads of `status -o json`.
type streamStatus struct {
	Name         string
	Counts       counts
	Waiting      int
	OpenRefusals int `json:"open_refusals"`
	Refusals     []struct {
		Problems []struct{ Title, Rule, Zh, En string }
	}
}

// answer is what a test reads of a file's receipt.
type answer struct {
	Outcome, Charset, Zh, Errors string
	Counts                       counts
}

// answered waits until the bus has answered every record of a file.
func (d *drops) answered(t *testing.T, stream, name string) answer {
	t.Helper()
	var a answer
	wait(t, "the receipt of "+name, func(context.Context) error {
		raw, err := os.ReadFile(filepath.Join(d.dir, "drop", stream, "feedback", name+".回执.json"))
		if err != nil {
			return err
		}
		a = answer{}
		if err := json.Unmarshal(raw, &a); err != nil {
			return err
		}
		switch a.Outcome {
		case "received":
			return errors.New(a.Zh)
		case "finished":
			return nil
		}
		t.Fatalf("%s: %s: %s", name, a.Outcome, a.Zh)
		return nil
	})
	return a
}

// status asks the program how it stands; while an adapter runs, that is its
// last word.
func (d *drops) status(t *testing.T) (streams []streamStatus, running bool) {
	t.Helper()
	var st struct {
		Running bool
		Streams []streamStatus
	}
	if err := json.Unmarshal([]byte(run(t, "hutong-adapter", "status", "-config", d.config, "-o", "json")), &st); err != nil {
		t.Fatal(err)
	}
	return st.Streams, st.Running
}

// settled is the status after the adapter ended: the counting equation holds
// and nothing waits.
func (d *drops) settled(t *testing.T) []streamStatus {
	t.Helper()
	streams, running := d.status(t)
	for _, s := range streams {
		if !s.Counts.balanced(s.Waiting) || s.Waiting != 0 || running {
			t.Errorf("stream %s does not add up: %+v, %d waiting, running %v", s.Name, s.Counts, s.Waiting, running)
		}
	}
	return streams
}

// all pulls what a subscription still has, and acknowledges it.
func (r *received) all(t *testing.T, client *api.Client, subscription string) {
	t.Helper()
	for {
		p, err := client.Pull(t.Context(), subscription, api.ReadOptions{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		r.take(&p)
		if p.Through > 0 {
			if err := client.Ack(t.Context(), subscription, p.Through); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.Records) == 0 && p.End {
			break
		}
	}
	for _, f := range r.faults {
		t.Error(f)
	}
}

// table is a CSV file as a spreadsheet shows it: rows[0] is row 1, the header.
func table(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, byteMark))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func untable(t *testing.T, rows [][]string) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(byteMark)
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func readShared(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(sharedData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func wantCounts(t *testing.T, a answer, want counts) {
	t.Helper()
	if diff := cmp.Diff(want, a.Counts); diff != "" {
		t.Fatalf("receipt (-want +got):\n%s%s", diff, a.Zh)
	}
}

// quarantined is how many refused records the bus keeps for a publisher.
func quarantined(t *testing.T, publisher *api.Client) int {
	t.Helper()
	list, err := api.List[api.QuarantineItem](t.Context(), publisher, nil, "quarantine")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestItemsPreviewAndCheck asks the program about a good configuration and
// about bad ones, before it ever ran: nothing may be moved or sent.
func TestItemsPreviewAndCheck(t *testing.T) {
	file := readShared(t, "approvals/guangan-service-items.gb18030.csv")
	c := startCluster(t, 1)
	c.join(t, "zwb", "items", "publisher, reviewer")
	subscriber := c.join(t, "czj", "budget", "subscriber")
	c.resource(t, itemsEntry, "approvals.service_item")
	subscribeAll(t, c, "approvals.service_item", "zwb.items", "czj.budget", "items")
	d := newDrops(t, c, "zwb.items", "items approvals.service_item guangan-service-items")
	d.put(t, "items", "items.csv", file)

	if out := run(t, "hutong-adapter", "check", "-config", d.config); strings.Contains(out, "FAIL") || strings.Contains(out, "warn") ||
		!strings.Contains(out, "映射与模式相符") || !strings.Contains(out, "有1个文件等待读取") ||
		!strings.Contains(out, "文件items.csv:格式csv,编码gb18030 / ") {
		t.Errorf("check:\n%s", out)
	}
	out, errs, code := try(t, "hutong-adapter", "preview", "-rows", "5", "-config", d.config)
	if code != 0 || !strings.Contains(errs, "5行:5条可用,0条会被退回") {
		t.Errorf("preview: exit %d\n%s%s", code, out, errs)
	}
	previewed(t, out, 5)
	badConfigurations(t, c, d)
	badRows(t, d)

	for _, gone := range []string{"outbox", "drop/items/work", "drop/items/feedback"} {
		if _, err := os.Stat(filepath.Join(d.dir, gone)); err == nil {
			t.Errorf("check or preview made %s", gone)
		}
	}
	page, err := subscriber.Pull(t.Context(), "items", api.ReadOptions{})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("check or preview sent something: %+v, %v", page, err)
	}
}

// previewed checks that preview printed records as they would be queued.
func previewed(t *testing.T, out string, n int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != n {
		t.Fatalf("%d lines:\n%s", len(lines), out)
	}
	var first struct {
		Key, Op  string
		Data     map[string]string
		Warnings []string
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Key != "511Z07001006-511602000000-000-11511301008778183N-1-00" || first.Op != "upsert" || first.Data["task_name"] != "企业投资项目备案（技术改造）（市级/县级）" || len(first.Warnings) != 12 {
		t.Errorf("first record %+v", first)
	}
}

// badRows previews a file with the twelve faults: they are named, and the
// double, which only the look at a whole file finds, is not among them.
func badRows(t *testing.T, d *drops) {
	t.Helper()
	rows := table(t, readShared(t, "approvals/guangan-service-items.utf8.csv"))
	faults := plantedFaults(rows)
	for _, f := range faults {
		rows[f.row-1][f.column] = f.with(rows[f.row-1][f.column])
	}
	if err := os.Remove(filepath.Join(d.dir, "drop", "items", "in", "items.csv")); err != nil {
		t.Fatal(err)
	}
	d.put(t, "items", "faulty.csv", untable(t, rows))
	out, errs, code := try(t, "hutong-adapter", "preview", "-rows", "2000", "-config", d.config)
	if code != 2 || !strings.Contains(errs, "1135行:1124条可用,11条会被退回") {
		t.Errorf("preview of faulty rows: exit %d, %d bytes\n%s", code, len(out), errs)
	}
	for _, f := range faults {
		if place := fmt.Sprintf("第%d行 %c列“%s”:", f.row, 'A'+f.column, f.title); f.rule != "duplicate_key" && !strings.Contains(errs, place) {
			t.Errorf("preview does not say %s\n%s", place, errs)
		}
	}
}

// badCase is a configuration and a mapping of which one is bad, and what is
// said of them.
type badCase struct {
	config, mapping string
	command         string
	code            int
	says            []string
}

// badCases are made from a good configuration and a good mapping.
func badCases(t *testing.T, c *cluster, config, mapping string) map[string]badCase {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	configured := func(from, to, command string, code int, says ...string) badCase {
		return badCase{strings.Replace(config, from, to, 1), mapping, command, code, says}
	}
	mapped := func(from, to, command string, says ...string) badCase {
		return badCase{config, strings.Replace(mapping, from, to, 1), command, 2, says}
	}
	return map[string]badCase{
		"unknown key":          configured("poll: 50ms", "polls: 50ms", "check", 2, "polls"),
		"several faults":       configured("poll: 50ms, accept: rename", "poll: 1ms, accept: soon", "preview", 2, "soon", "poll"),
		"no credential":        configured("zwb.items.key", "nobody.key", "check", 2, "nobody.key"),
		"refused credential":   configured(filepath.Join(c.dir, "zwb.items.key"), "other.key", "check", 2, "FAIL", "总线拒绝"),
		"bus not reached":      configured(c.apis[0], "http://"+closed.Addr().String(), "check", 3, "总线连不上", "映射与模式相符"),
		"unknown resource":     configured("approvals.service_item", "approvals.licence", "check", 2, "FAIL", "not_found"),
		"mapping of another":   mapped("approvals.service_item", "approvals.case", "check", "FAIL", "approvals.case"),
		"another key":          mapped("key: [task_code]", "key: [task_name]", "check", "FAIL", "key 应为"),
		"required member left": mapped("  region: {from: 区划代码, steps: [fold, trim]}\n", "", "check", "FAIL", "region"),
		"column not there":     mapped("from: 部门", "from: 部们", "check", "FAIL", "部们", "部门"),
		"unknown step":         mapped("upper", "uper", "preview", "uper"),
	}
}

// badConfigurations checks what the program says of configurations and mappings
// that cannot work, and by which exit code.
func badConfigurations(t *testing.T, c *cluster, d *drops) {
	t.Helper()
	example, err := filepath.Abs(filepath.Join("examples", "mappings", "guangan-service-items.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(d.dir, "other.key"), "hk_nobody")
	file := filepath.Join(d.dir, "bad.yaml")
	cases := badCases(t, c, string(config), string(mapping))
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		tc := cases[name]
		if tc.config == string(config) && tc.mapping == string(mapping) {
			t.Fatalf("%s: nothing is bad", name)
		}
		writeFile(t, filepath.Join(d.dir, "bad-mapping.yaml"), tc.mapping)
		writeFile(t, file, strings.Replace(tc.config, example, "bad-mapping.yaml", 1))
		out, errs, code := try(t, "hutong-adapter", tc.command, "-config", file)
		if code != tc.code {
			t.Errorf("%s: exit %d, want %d\n%s%s", name, code, tc.code, out, errs)
		}
		for _, want := range tc.says {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: nothing of %q\n%s%s", name, want, out, errs)
			}
		}
		t.Logf("%s: exit %d\n%s%s", name, code, out, errs)
	}
}
