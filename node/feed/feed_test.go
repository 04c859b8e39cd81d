package feed

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mmcdole/gofeed"

	"github.com/hutong-bus/hutong/schemas"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func config() Config {
	return Config{
		Resource: schemas.Resource{
			Resource: "projects.disclosure", Title: schemas.Title{Zh: "工程项目信息公开", En: "Project disclosure"},
			Summary: "按阶段公开的工程项目信息", Owner: "fgw", Revision: 3, SchemaVersion: 1,
			Feed: &schemas.Feed{
				Title:   "{{.stage}}：{{.item}}",
				Summary: "{{with .amount}}{{.}} 元{{end}}",
				Body:    `<p class-free="">x</p>`,
				Link:    "/projects/{{urlquery .project_code}}",
			},
		},
		Labels: []schemas.Annotation{
			{Pointer: []string{"project_code"}, TitleZh: "项目代码"}, {Pointer: []string{"stage"}, TitleZh: "阶段"},
			{Pointer: []string{"item"}, TitleZh: "公开事项"}, {Pointer: []string{"amount"}, TitleZh: "金额"},
			{Pointer: []string{"parties"}, TitleZh: "当事人"}, {Pointer: []string{"parties", "*", "name"}, TitleZh: "名称"},
			{Pointer: []string{"final"}, TitleZh: "是否终结"},
		},
		OwnerName: "发展和改革局", Authority: "hutong.example.cn", Date: "2026-01-01", Base: "https://gk.example.cn/",
	}
}

const body = `<p>{{label "stage"}}：<strong>{{.stage}}</strong></p>{{if .parties}}<ul>{{range .parties}}<li>{{label "parties/*/name"}} {{.name}}</li>{{end}}</ul>{{end}}`

func entries() []Entry {
	return []Entry{
		{Seq: 9, ID: "p2", Version: 2, Department: "jw", DepartmentName: "建设委员会", Published: 1_800_000_000_000, Updated: 1_800_000_100_000,
			Data: []byte(`{"project_code":"P2","stage":"合同履约","item":"变更 <b>\"A&B\"</b>","amount":"1200.00","parties":[{"name":"甲<乙"},{"name":null}],"final":true,"note":null}`)},
		{Seq: 8, ID: "p1", Version: 1, Department: "jw", DepartmentName: "建设委员会", Published: 1_799_000_000_000, Updated: 1_799_500_000_000, Deleted: true},
		{Seq: 5, ID: "p0", Version: 1, Published: 1_798_000_000_000, Updated: 1_798_000_000_000, Data: []byte(`{"project_code":"P0","stage":"立项审批","final":false}`)},
	}
}

func builder(t *testing.T, change func(*Config)) *Builder {
	t.Helper()
	c := config()
	c.Resource.Feed.Body = body
	if change != nil {
		change(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAtom(t *testing.T) {
	b := builder(t, nil)
	d, err := b.Atom(entries())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "feed.atom", d.Body)
	wellFormed(t, d.Body)
	if d.Entries != 3 || d.Fallbacks != 0 || d.Updated != 1_800_000_100_000 || d.MediaType != MediaAtom {
		t.Errorf("document says %d entries, %d fallbacks, updated %d, %s", d.Entries, d.Fallbacks, d.Updated, d.MediaType)
	}
	f, err := gofeed.NewParser().Parse(bytes.NewReader(d.Body))
	if err != nil {
		t.Fatal(err)
	}
	if f.FeedType != "atom" || f.Title != "工程项目信息公开" || len(f.Items) != 2 {
		t.Fatalf("a reader saw %s %q with %d items", f.FeedType, f.Title, len(f.Items))
	}
	it := f.Items[0]
	want := []string{"tag:hutong.example.cn,2026-01-01:record/projects.disclosure/p2",
		`合同履约：变更 <b>"A&B"</b>`, "1200.00 元", "建设委员会", "2027-01-15T08:01:40.000Z"}
	got := []string{it.GUID, it.Title, it.Description, it.Authors[0].Name, it.Updated}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a reader saw (-want +got):\n%s", diff)
	}
	if !strings.Contains(it.Content, "<li>名称 甲&lt;乙</li>") || !strings.Contains(it.Link, "/projects/P2") {
		t.Errorf("content %q, link %q", it.Content, it.Link)
	}
	if diff := cmp.Diff([]string{"工程项目信息公开", "建设委员会"}, it.Categories); diff != "" {
		// The parser gives the label where there is one.
		t.Errorf("categories (-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	d, err := builder(t, nil).JSON(entries())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "feed.json", d.Body)
	f, err := gofeed.NewParser().Parse(bytes.NewReader(d.Body))
	if err != nil {
		t.Fatal(err)
	}
	if f.FeedType != "json" || len(f.Items) != 3 || f.Items[0].Link != "https://gk.example.cn/projects/P2" {
		t.Fatalf("a reader saw %s with %d items, link %q", f.FeedType, len(f.Items), f.Items[0].Link)
	}
	if gone := f.Items[1]; gone.GUID != builder(t, nil).EntryID("p1") || gone.Content != "" && !strings.Contains(gone.Content, "已撤回") || gone.Title != "" {
		t.Errorf("a reader saw the withdrawn item as %+v", gone)
	}
	var raw struct {
		Items []struct {
			Text   string         `json:"content_text"`
			HTML   string         `json:"content_html"`
			Hutong map[string]any `json:"_hutong"`
		} `json:"items"`
	}
	if err := json.Unmarshal(d.Body, &raw); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"deleted": true, "when": "2027-01-09T13:06:40.000Z"}, raw.Items[1].Hutong); diff != "" {
		t.Errorf("tombstone (-want +got):\n%s", diff)
	}
	if raw.Items[1].Text == "" || raw.Items[1].HTML != "" || raw.Items[0].Hutong != nil {
		t.Error("the withdrawn item must say so in its text, and only it")
	}
}

// TestNothingLeftOfTheWithdrawn: a tombstone shows nothing, even if data came with it.
func TestNothingLeftOfTheWithdrawn(t *testing.T) {
	e := []Entry{{Seq: 1, ID: "p7", Version: 1, Updated: 1, Deleted: true, Data: []byte(`{"stage":"秘密事项","item":"x"}`)}}
	b := builder(t, nil)
	for _, write := range []func([]Entry) (Document, error){b.Atom, b.JSON} {
		d, err := write(e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(d.Body, []byte("秘密事项")) {
			t.Errorf("withdrawn content is still there: %s", d.Body)
		}
	}
}

func TestEmptyFeed(t *testing.T) {
	b := builder(t, func(c *Config) {
		c.Base, c.OwnerName, c.Resource.Feed, c.Resource.Title, c.Resource.Owner = "", "", nil, schemas.Title{}, ""
	})
	d, err := b.Atom(nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "empty.atom", d.Body)
	if d, err = b.JSON(nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "empty.json", d.Body)
}

func TestIDsNeverChange(t *testing.T) {
	want := "tag:hutong.example.cn,2026-01-01:record/projects.disclosure/a%2Fb%20c"
	for _, change := range []func(*Config){nil,
		func(c *Config) { c.Base = "http://other.example" },
		func(c *Config) {
			c.Resource.Owner, c.OwnerName, c.Resource.Title.Zh, c.Resource.Revision = "x", "y", "z", 99
		},
	} {
		if got := builder(t, change).EntryID("a/b c"); got != want {
			t.Errorf("id is %q, want %q", got, want)
		}
	}
}

// TestETag: everything that changes the document changes the tag, and no body or
// key goes into it.
func TestETag(t *testing.T) {
	b := builder(t, nil)
	base := b.ETag(FormatAtom, entries())
	d, err := b.Atom(entries())
	if err != nil || d.ETag != base || len(base) != 34 {
		t.Fatalf("document has tag %s, asked alone it is %s (%v)", d.ETag, base, err)
	}
	seen := map[string]string{base: "base"}
	differs := func(name, tag string) {
		t.Helper()
		if was, ok := seen[tag]; ok {
			t.Errorf("%s has the tag of %s", name, was)
		}
		seen[tag] = name
	}
	differs("format", b.ETag(FormatJSON, entries()))
	alter := func(f func([]Entry) []Entry) string { return b.ETag(FormatAtom, f(entries())) }
	differs("seq", alter(func(e []Entry) []Entry { e[0].Seq++; return e }))
	differs("version", alter(func(e []Entry) []Entry { e[0].Version++; return e }))
	differs("withdrawal", alter(func(e []Entry) []Entry { e[0].Deleted = true; return e }))
	differs("time", alter(func(e []Entry) []Entry { e[0].Updated++; return e }))
	differs("one less", alter(func(e []Entry) []Entry { return e[:2] }))
	differs("none", b.ETag(FormatAtom, nil))
	differs("template", builder(t, func(c *Config) { c.Resource.Feed.Title = "x" }).ETag(FormatAtom, entries()))
	differs("revision", builder(t, func(c *Config) { c.Resource.Revision++ }).ETag(FormatAtom, entries()))
	differs("label", builder(t, func(c *Config) { c.Labels[0].TitleZh = "x" }).ETag(FormatAtom, entries()))
	differs("base", builder(t, func(c *Config) { c.Base = "" }).ETag(FormatAtom, entries()))
	same := alter(func(e []Entry) []Entry { e[0].Data = []byte(`{"stage":"other"}`); return e })
	if same != base {
		t.Error("the tag was made from a body")
	}
}

func TestConfigRefusals(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no authority":    func(c *Config) { c.Authority = "" },
		"authority, path": func(c *Config) { c.Authority = "a/b" },
		"date":            func(c *Config) { c.Date = "26-1-1" },
		"base":            func(c *Config) { c.Base = "gk.example.cn" },
		"base scheme":     func(c *Config) { c.Base = "ftp://gk.example.cn" },
	} {
		c := config()
		change(&c)
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := builder(t, nil).Atom(make([]Entry, MaxEntries+1)); !errors.Is(err, ErrTooMany) {
		t.Errorf("too many: %v", err)
	}
}

// TestBounded: a document stops growing, newest entries first.
func TestBounded(t *testing.T) {
	long := []byte(`{"stage":"` + strings.Repeat("长", 80_000) + `"}`)
	var many []Entry
	for i := range uint64(50) {
		many = append(many, Entry{Seq: 50 - i, ID: "p7", Version: 1, Updated: 1, Data: long})
	}
	b := builder(t, func(c *Config) { c.Resource.Feed = nil })
	for _, write := range []func([]Entry) (Document, error){b.Atom, b.JSON} {
		d, err := write(many)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Body) > MaxDocumentBytes*5/4 || d.Entries == 0 || d.Entries == len(many) {
			t.Errorf("%d entries in %d bytes", d.Entries, len(d.Body))
		}
	}
}

// wellFormed reads a document to its end.
func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, doc)
		}
	}
}
