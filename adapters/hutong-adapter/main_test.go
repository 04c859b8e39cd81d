package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/adapters/runner"
	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// node answers as a node does, as far as an adapter asks.
type node struct {
	mu    sync.Mutex
	keys  []string // key of each accepted record, in order
	lines []string
	head  http.Header
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.head = r.Header
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/resources/org.unit":
		reply(http.StatusOK, schemas.Resource{Resource: "org.unit", SchemaVersion: 1, Key: []string{"unit_code"}})
	case "GET /v1/resources/org.unit/schemas/1":
		raw, _ := schemas.EmbeddedSchema("org.unit", 1)
		_, _ = w.Write(raw)
	case "POST /v1/resources/org.unit/records":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answer := api.PublishAnswer{}
		for i, line := range strings.Split(strings.TrimSpace(string(body)), "\n") {
			var rec struct {
				Key string `json:"key"`
				Seq uint64 `json:"seq"`
			}
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				reply(http.StatusBadRequest, api.Refuse(api.CodeMalformed, "%v", err))
				return
			}
			n.keys, n.lines = append(n.keys, rec.Key), append(n.lines, line)
			answer.Items = append(answer.Items, api.PublishItem{Index: i, Status: api.StatusAccepted, Seq: rec.Seq, Offset: uint64(len(n.keys)), Version: 1})
		}
		reply(http.StatusOK, answer)
	default:
		reply(http.StatusNotFound, api.Refuse(api.CodeNotFound, "%s", r.URL.Path))
	}
}

// place is a directory with everything an adapter needs.
type place struct {
	t    *testing.T
	dir  string
	node *node
	db   *sql.DB
}

const unitsMapping = `
resource: org.unit
key: [unit_code]
fields:
  unit_code: {from: 编码, steps: [trim]}
  name: {from: 名称, steps: [trim]}
ignore: [改动]
`

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), node: &node{}}
	srv := httptest.NewServer(p.node)
	t.Cleanup(srv.Close)
	p.write("key", "hk_test\n")
	p.write("units.yaml", unitsMapping)
	p.configure(srv.URL)
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "units.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p.db = db
	p.exec(`CREATE TABLE units (编码 TEXT PRIMARY KEY, 名称 TEXT, 改动 TEXT NOT NULL)`,
		`INSERT INTO units VALUES ('FGW', '发展和改革委员会', '2025-03-01 08:00:00'), ('CZJ', ' 财政局 ', '2025-03-01 08:00:01')`)
	return p
}

func (p *place) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) configure(bus string) {
	p.write("adapter.yaml", fmt.Sprintf(`
department: fgw
system: spxt
bus: [%s]
credential_file: key
outbox: {dir: outbox}
streams:
  - name: units
    resource: org.unit
    mapping: units.yaml
    source: {kind: sqlpoll, driver: sqlite, file: units.db, table: units, updated_at: 改动, key: [编码], poll: 10ms}
`, bus))
}

func (p *place) exec(statements ...string) {
	p.t.Helper()
	for _, s := range statements {
		if _, err := p.db.ExecContext(p.t.Context(), s); err != nil {
			p.t.Fatal(err)
		}
	}
}

// do runs the program and wants an exit code.
func (p *place) do(code int, args ...string) (out, errOut string) {
	p.t.Helper()
	var o, e bytes.Buffer
	if got := execute(p.t.Context(), append(args, "-config", filepath.Join(p.dir, "adapter.yaml")), &o, &e); got != code {
		p.t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, o.String(), e.String())
	}
	return o.String(), e.String()
}

func TestRunOnceAndStatus(t *testing.T) {
	p := newPlace(t)
	p.do(api.ExitRefused, "status") // nothing was ever run, and nothing is made
	if outbox.Exists(filepath.Join(p.dir, "outbox")) {
		t.Error("status made an outbox")
	}
	p.do(api.ExitDone, "run", "-once")
	p.exec(`UPDATE units SET 名称 = '财政局(国资委)', 改动 = '2025-03-02 08:00:00' WHERE 编码 = 'CZJ'`)
	p.do(api.ExitDone, "run", "-once")
	if diff := cmp.Diff([]string{"FGW", "CZJ", "CZJ"}, p.node.keys); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(p.node.lines[1], `"name":"财政局"`) || !strings.Contains(p.node.lines[1], `"seq":2`) || !strings.Contains(p.node.lines[1], `"schema_version":1`) {
		t.Errorf("line %s", p.node.lines[1])
	}
	if got := p.node.head.Get("Hutong-Producer"); !strings.HasPrefix(got, "fgw.spxt; epoch=") || p.node.head.Get("Authorization") != "Bearer hk_test" {
		t.Errorf("head %v", p.node.head)
	}
	out, _ := p.do(api.ExitDone, "status", "-o", "json")
	var st runner.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatal(err)
	}
	n := st.Streams[0].Counts
	n.Warnings = 0
	if diff := cmp.Diff(outbox.Counts{Read: 3, Queued: 3, Accepted: 3}, n); diff != "" {
		t.Error(diff)
	}
	out, _ = p.do(api.ExitDone, "status")
	if !strings.Contains(out, "读取 read 3") {
		t.Errorf("status:\n%s", out)
	}
}

// While an adapter runs, its outbox is locked; status reads its last word.
func TestStatusWhileRunning(t *testing.T) {
	p := newPlace(t)
	p.do(api.ExitDone, "run", "-once")
	box, err := outbox.Open(outbox.Options{Dir: filepath.Join(p.dir, "outbox"), Producer: "fgw.spxt"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	out, _ := p.do(api.ExitDone, "status")
	if !strings.Contains(out, "接收 accepted 2") {
		t.Errorf("status:\n%s", out)
	}
	p.do(api.ExitRefused, "run", "-once") // two at once
}

func TestSignalEndsRun(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	var o, e bytes.Buffer
	done := make(chan int, 1)
	// Stops when cancel is called below.
	go func() {
		done <- execute(ctx, []string{"run", "-config", filepath.Join(p.dir, "adapter.yaml")}, &o, &e)
	}()
	for {
		p.node.mu.Lock()
		n := len(p.node.keys)
		p.node.mu.Unlock()
		if n == 2 {
			break
		}
		select {
		case code := <-done:
			t.Fatalf("ended with %d\n%s", code, e.String())
		default:
		}
	}
	cancel()
	if code := <-done; code != api.ExitDone {
		t.Errorf("exit code %d\n%s", code, e.String())
	}
}

func TestPreview(t *testing.T) {
	p := newPlace(t)
	out, _ := p.do(api.ExitDone, "preview")
	if !strings.Contains(out, `"key":"FGW"`) || strings.Count(out, "\n") != 2 {
		t.Errorf("preview:\n%s", out)
	}
	if outbox.Exists(filepath.Join(p.dir, "outbox")) || len(p.node.keys) != 0 {
		t.Error("preview made an outbox or sent something")
	}
	p.exec(`INSERT INTO units VALUES ('XX', '', '2025-03-01 08:00:03')`)
	_, errOut := p.do(api.ExitRefused, "preview", "-rows", "10")
	if !strings.Contains(errOut, "1条会被退回") || !strings.Contains(errOut, "全称") {
		t.Errorf("preview:\n%s", errOut)
	}
	p.do(api.ExitRefused, "preview", "-stream", "none")
}

func TestCheck(t *testing.T) {
	p := newPlace(t)
	out, _ := p.do(api.ExitDone, "check")
	if strings.Contains(out, "FAIL") || !strings.Contains(out, "映射与模式相符") {
		t.Errorf("check:\n%s", out)
	}
	p.write("units.yaml", strings.Replace(unitsMapping, "from: 名称", "from: 名字", 1))
	out, _ = p.do(api.ExitRefused, "check")
	if !strings.Contains(out, "名字") {
		t.Errorf("check of a missing column:\n%s", out)
	}
	p.write("units.yaml", strings.Replace(unitsMapping, "key: [unit_code]", "key: [name]", 1))
	if out, _ = p.do(api.ExitRefused, "check"); !strings.Contains(out, "key") {
		t.Errorf("check of another key:\n%s", out)
	}
	p.write("units.yaml", unitsMapping)
	p.write("units.yaml", strings.Replace(unitsMapping, "org.unit", "org.other", 1))
	p.do(api.ExitRefused, "check")
}

// Why a stream stopped is still said when nothing runs any more.
func TestStatusAfterAStop(t *testing.T) {
	p := newPlace(t)
	p.exec(`ALTER TABLE units RENAME COLUMN 名称 TO 名字`)
	_, errOut := p.do(api.ExitRefused, "run", "-once")
	if !strings.Contains(errOut, "名称") {
		t.Errorf("run:\n%s", errOut)
	}
	out, _ := p.do(api.ExitDone, "status")
	if !strings.Contains(out, "映射所用的列“名称”不在来源中") || !strings.Contains(out, "not running") {
		t.Errorf("status:\n%s", out)
	}
}

func TestFaultsOfUse(t *testing.T) {
	for _, args := range [][]string{nil, {"fly"}, {"run"}, {"status", "-config", "x", "-o", "xml"}, {"run", "-config", "x", "more"}, {"run", "-config", "/nowhere/adapter.yaml"}} {
		var o, e bytes.Buffer
		if code := execute(t.Context(), args, &o, &e); code != api.ExitRefused {
			t.Errorf("%v: exit code %d, want %d", args, code, api.ExitRefused)
		}
		if e.Len() == 0 {
			t.Errorf("%v: nothing was said", args)
		}
	}
	var o, e bytes.Buffer
	if code := execute(t.Context(), []string{"version"}, &o, &e); code != api.ExitDone || !strings.HasPrefix(o.String(), "hutong-adapter ") {
		t.Errorf("version: %d %q", code, o.String())
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, api.ExitDone},
		{errFound, api.ExitRefused},
		{runner.ErrHalted, api.ExitRefused},
		{fmt.Errorf("x: %w", outbox.ErrLocked), api.ExitRefused},
		{outbox.ErrCorrupt, api.ExitInternal},
		{&runner.BusError{Code: "not_granted"}, api.ExitRefused},
		{&runner.BusError{Code: "no_leader"}, api.ExitUnreachable},
		{fmt.Errorf("x: %w", api.ErrUnreachable), api.ExitUnreachable},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
}
