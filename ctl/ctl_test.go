package ctl

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/tlog"
)

// testTrust is a trust file of one log and one node.
func testTrust(t *testing.T) []byte {
	t.Helper()
	key := func(name string) *tlog.Key {
		k, err := tlog.NewKey(strings.NewReader(strings.Repeat(name, 32)), name)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	trust, err := tlog.NodeTrust(key("log.example").VKey(), []tlog.Witness{{Name: "n1", VKey: key("n1").CosignerVKey()}})
	if err != nil {
		t.Fatal(err)
	}
	return trust.Encode()
}

// bench is a folder with the files that commands need, and a bus that answers
// everything and remembers what it was asked.
type bench struct {
	t       *testing.T
	dir     string
	missing bool // every object is unknown
	failing bool // everything but GET is refused

	mu    sync.Mutex
	asked []string // "GET /v1/…"
}

var benchFiles = map[string]string{
	"department.yaml":   "{code: fgw, name: 发改委, kind: government, level: county, region: '500154'}",
	"group.yaml":        "{code: all, name: 全部, departments: [fgw]}",
	"system.yaml":       "{code: sys, department: fgw, name: 系统, roles: [publisher], resources: ['*.*']}",
	"resource.yaml":     "{resource: a.b, title: {zh: 甲, en: A}, owner: fgw, sharing: conditional, disclosure: {route: none}}",
	"grant.yaml":        "{grant: g, resource: a.b, subscriber: fgw, fields: all, purpose: 核定, legal_basis: {instrument: 办法, article: 一}, not_after: 2036-12-31T00:00:00Z}",
	"subscription.yaml": "{subscription: s, resource: a.b, grant: g, sink: {kind: pull}, start: earliest}",
	"schema.json":       `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"string","maxLength":9}}}`,
	"record.ndjson":     `{"op":"upsert","data":{"a":"1"}}` + "\n",
	"bad.hev":           "no evidence",
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	trust := testTrust(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r.Method+" "+r.URL.Path)
		b.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		get := r.Method == http.MethodGet
		switch {
		case get && b.missing && strings.HasSuffix(r.URL.Path, "/credentials"):
			w.Write([]byte("[]"))
		case get && b.missing && r.URL.Path == "/v1/cluster":
			w.Write([]byte(`{"nodes":[]}`))
		case get && b.missing, !get && b.failing:
			p := api.Refuse(api.CodeNotFound, "没有 / none")
			w.WriteHeader(p.Status)
			json.NewEncoder(w).Encode(p)
		case get && r.URL.Path == "/v1/audit/trust":
			w.Write(trust)
		case get && r.URL.Path == "/v1/cluster":
			w.Write([]byte(`{"nodes":[{"id":"n2"}]}`))
		case get && strings.HasSuffix(r.URL.Path, "/records"):
			w.Write([]byte(`{"records":[],"through":0,"end":true}`))
		case get && strings.HasSuffix(r.URL.Path, "/credentials"):
			w.Write([]byte(`[{"id":"k1"}]`))
		case get && slices.Contains([]string{"departments", "groups", "resources", "grants", "subscriptions", "publications", "quarantine", "events", "systems", "schemas"}, filepath.Base(r.URL.Path)):
			w.Write([]byte("[]"))
		case strings.HasSuffix(r.URL.Path, "/credentials"):
			w.Write([]byte(`{"id":"k2","kind":"api_key","secret":"hk_secret","not_after":"2030-01-01T00:00:00Z"}`))
		case strings.HasSuffix(r.URL.Path, "/validate"):
			w.Write([]byte(`{"valid":true}`))
		default:
			w.Write([]byte("{}"))
		}
	}))
	t.Cleanup(server.Close)
	for name, text := range benchFiles {
		b.write(name, text)
	}
	b.write("trust", string(trust))
	b.write("contexts.yaml", "current: main\ncontexts:\n  main: {server: ['"+server.URL+"'], api_key: hk_x}\n  other: {server: ['"+server.URL+"']}\n")
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// run runs one command line; @name in it is a file of the folder.
func (b *bench) run(args ...string) (out, errs string, code int) {
	b.t.Helper()
	b.mu.Lock()
	b.asked = nil
	b.mu.Unlock()
	var o, e bytes.Buffer
	all := []string{}
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			a = filepath.Join(b.dir, name)
		}
		all = append(all, a)
	}
	code = Exec(b.t.Context(), Options{Version: "v1", Contexts: filepath.Join(b.dir, "contexts.yaml")}, all, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

// files is the folder's content.
func (b *bench) files() map[string]string {
	b.t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(b.dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path] = b.read(path)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// verb is how a test calls one command.
type verb struct {
	args     string // after the command itself; @name is a file
	changes  bool   // on the bus, in a file, or by taking records
	destroys bool
	lines    bool // the answer is NDJSON
}

// verbs has every command of the tree; a command without a line fails the tests.
var verbs = map[string]verb{
	"version":               {},
	"context list":          {},
	"context show":          {args: "main"},
	"context use":           {args: "other", changes: true},
	"context add":           {args: "third --server http://127.0.0.1:1 --credential-file @k", changes: true},
	"context test":          {},
	"department list":       {},
	"department show":       {args: "fgw"},
	"department put":        {args: "-f @department.yaml", changes: true},
	"group list":            {},
	"group show":            {args: "all"},
	"group put":             {args: "-f @group.yaml", changes: true},
	"system list":           {args: "fgw"},
	"system show":           {args: "fgw.sys"},
	"system put":            {args: "-f @system.yaml", changes: true},
	"system fence":          {args: "fgw.sys", changes: true, destroys: true},
	"credential issue":      {args: "fgw.sys --secret-file @new.key", changes: true},
	"credential list":       {args: "fgw.sys"},
	"credential revoke":     {args: "fgw.sys k1", changes: true, destroys: true},
	"resource list":         {},
	"resource show":         {args: "a.b"},
	"resource put":          {args: "-f @resource.yaml", changes: true},
	"schema list":           {args: "a.b"},
	"schema show":           {args: "a.b 1"},
	"schema register":       {args: "a.b -f @schema.json", changes: true},
	"schema lint":           {args: "-f @schema.json"},
	"grant request":         {args: "-f @grant.yaml", changes: true},
	"grant list":            {},
	"grant show":            {args: "g"},
	"grant approve":         {args: "g", changes: true},
	"grant refuse":          {args: "g", changes: true},
	"grant revoke":          {args: "g", changes: true, destroys: true},
	"record publish":        {args: "a.b -f @record.ndjson", changes: true},
	"record validate":       {args: "a.b -f @record.ndjson", changes: true},
	"record get":            {args: "a.b k"},
	"record history":        {args: "a.b k"},
	"record pull":           {args: "s --ack", changes: true, lines: true},
	"quarantine list":       {},
	"quarantine show":       {args: "fgw.sys:1"},
	"quarantine discard":    {args: "fgw.sys:1", changes: true, destroys: true},
	"subscription create":   {args: "-f @subscription.yaml", changes: true},
	"subscription list":     {},
	"subscription show":     {args: "s"},
	"subscription pause":    {args: "s", changes: true},
	"subscription resume":   {args: "s", changes: true},
	"subscription delete":   {args: "s", changes: true, destroys: true},
	"publication list":      {},
	"publication show":      {args: "1"},
	"publication approve":   {args: "1", changes: true},
	"publication return":    {args: "1", changes: true},
	"publication withdraw":  {args: "1", changes: true, destroys: true},
	"audit trace":           {args: "a.b k"},
	"audit events":          {},
	"audit evidence":        {args: "a.b k --file @new.hev", changes: true},
	"audit trust":           {args: "--file @new.trust", changes: true},
	"audit verify":          {args: "@bad.hev --trust @trust"},
	"cluster status":        {},
	"cluster member-add":    {args: "n3 127.0.0.1:1 --bundle @new.bundle", changes: true},
	"cluster member-remove": {args: "n2", changes: true, destroys: true},
	"cluster transfer":      {args: "n2", changes: true, destroys: true},
}

// commands are the names of all commands that do something.
func commands(t *testing.T) []string {
	t.Helper()
	var all []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "hutongctl ")
		if first, _, _ := strings.Cut(name, " "); first == "help" || first == "completion" {
			return
		}
		if !c.HasSubCommands() {
			if _, ok := verbs[name]; !ok {
				t.Errorf("command %q has no line in verbs", name)
			}
			all = append(all, name)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
	if len(all) < 50 {
		t.Fatalf("only %d commands: the walk is broken", len(all))
	}
	return all
}

func line(name string, more ...string) []string {
	return append(append(strings.Fields(name), strings.Fields(verbs[name].args)...), more...)
}

func TestDryRunDoesNothing(t *testing.T) {
	for _, name := range commands(t) {
		for _, output := range []string{"table", "json"} {
			t.Run(name+" "+output, func(t *testing.T) {
				b := newBench(t)
				before := b.files()
				out, errs, code := b.run(line(name, "--dry-run", "--yes", "-o", output)...)
				v := verbs[name]
				if code != 0 && name != "audit verify" {
					t.Errorf("exit %d: %s", code, errs)
				}
				for _, a := range b.asked {
					if !strings.HasPrefix(a, "GET ") || strings.HasSuffix(a, "/subscriptions/s/records") {
						t.Errorf("asked the bus: %s", a)
					}
				}
				if diff := cmp.Diff(before, b.files()); diff != "" {
					t.Errorf("files changed: %s", diff)
				}
				if v.changes != strings.Contains(out, "would") {
					t.Errorf("says %q", out)
				}
				if output == "json" && !json.Valid([]byte(out)) {
					t.Errorf("not JSON: %q", out)
				}
			})
		}
	}
}

func TestDryRunOfWhatIsNotThere(t *testing.T) {
	for _, name := range commands(t) {
		if !verbs[name].destroys {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.missing = true
			out, errs, code := b.run(line(name, "--dry-run")...)
			if code != api.ExitRefused || out != "" || !strings.Contains(errs, "not_found") {
				t.Errorf("exit %d, says %q %q", code, out, errs)
			}
		})
	}
}

func TestChangesHappenWithoutDryRun(t *testing.T) {
	for _, name := range commands(t) {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			before := b.files()
			v := verbs[name]
			if v.destroys {
				if _, _, code := b.run(line(name)...); code != api.ExitRefused || len(b.asked) > 0 {
					t.Errorf("unconfirmed: exit %d, asked %v", code, b.asked)
				}
			}
			out, errs, code := b.run(line(name, "--yes", "-o", "json")...)
			if code != 0 && name != "audit verify" {
				t.Fatalf("exit %d: %s", code, errs)
			}
			if !json.Valid([]byte(out)) && !v.lines {
				t.Errorf("not JSON: %q", out)
			}
			changed := !cmp.Equal(before, b.files()) || slices.ContainsFunc(b.asked, func(a string) bool { return !strings.HasPrefix(a, "GET ") })
			if changed != v.changes && !v.lines {
				t.Errorf("changed something is %v, want %v", changed, v.changes)
			}
		})
	}
}
