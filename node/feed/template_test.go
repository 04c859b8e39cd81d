package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// TestEntry shows what one entry becomes under one template.
func TestEntry(t *testing.T) {
	const data = `{"stage":"a<b & \"c\"","item":"x\ny","url":"javascript:alert(1)","ok":"https://e.example/?q=中 文","parties":[{"name":"甲"}],"n":1.50,"t":true,"z":null}`
	list := `<dl><dt>阶段</dt><dd>a&lt;b &amp; &#34;c&#34;</dd><dt>公开事项</dt><dd>x&#xA;y</dd><dt>url</dt><dd>javascript:alert(1)</dd>` +
		`<dt>ok</dt><dd>https://e.example/?q=中 文</dd><dt>当事人</dt><dd><ul><li><dl><dt>名称</dt><dd>甲</dd></dl></li></ul></dd><dt>n</dt><dd>1.50</dd><dt>t</dt><dd>是</dd></dl>`
	type shown struct {
		Title, Summary, Link, Body string
		Fallback                   bool
	}
	const name = "工程项目信息公开"
	for _, tt := range []struct {
		name string
		f    schemas.Feed
		want shown
	}{
		{"nothing", schemas.Feed{}, shown{Title: name, Body: list}},
		{"title is plain text", schemas.Feed{Title: "{{.stage}} {{.item}} {{.none}} {{.z}}|{{.n}}"}, shown{Title: `a<b & "c" x y |1.50`, Body: list}},
		{"markup in a title is dropped", schemas.Feed{Title: "<b>{{.n}}</b> A & B"}, shown{Title: "<b>1.50</b> A & B", Body: list}},
		{"well-formed markup in a title", schemas.Feed{Title: "<b>{{.n}}</b> A"}, shown{Title: "1.50 A", Body: list}},
		{"empty title", schemas.Feed{Title: "{{.none}} "}, shown{Title: name, Body: list}},
		{"long title", schemas.Feed{Title: strings.Repeat("字", 400)}, shown{Title: strings.Repeat("字", 299) + "…", Body: list}},
		{"summary", schemas.Feed{Summary: "{{len .parties}} {{label `stage`}}"}, shown{Title: name, Summary: "1 阶段", Body: list}},
		{"body", schemas.Feed{Body: `<div xmlns="http://www.w3.org/1999/xhtml"><p title="{{.stage}}">{{.stage}}&nbsp;<br/></p><!-- x --></div>`},
			shown{Title: name, Body: `<div><p title="a&lt;b &amp; &#34;c&#34;">a&lt;b &amp; "c"` + "\u00a0" + `<br/></p></div>`}},
		{"body with the list", schemas.Feed{Body: `<h3>x</h3>{{._fields}}`},
			shown{Title: name, Body: "<h3>x</h3>" + strings.NewReplacer("&#34;", `"`, "&#xA;", "\n").Replace(list)}},
		{"link", schemas.Feed{Body: `<p><a href="{{.ok}}">x</a></p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"link escaped", schemas.Feed{Body: `<p><a href="https://e.example/{{urlquery .ok}}">x</a></p>`},
			shown{Title: name, Body: `<p><a href="https://e.example/https%3A%2F%2Fe.example%2F%3Fq%3D%E4%B8%AD+%E6%96%87">x</a></p>`}},
		{"script", schemas.Feed{Body: `<script>1</script>`}, shown{Title: name, Body: list, Fallback: true}},
		{"event", schemas.Feed{Body: `<p onclick="x">1</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"style", schemas.Feed{Body: `<p style="x">1</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"script link from a value", schemas.Feed{Body: `<a href="{{.url}}">1</a>`}, shown{Title: name, Body: list, Fallback: true}},
		{"other namespace", schemas.Feed{Body: `<p xmlns="urn:x">1</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"prefix", schemas.Feed{Body: `<svg:p xmlns:svg="urn:x">1</svg:p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"unbound prefix", schemas.Feed{Body: `<svg:p>1</svg:p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"not closed", schemas.Feed{Body: `<p>1`}, shown{Title: name, Body: list, Fallback: true}},
		{"closed twice", schemas.Feed{Body: `<p>1</p></div>`}, shown{Title: name, Body: list, Fallback: true}},
		{"cut entity", schemas.Feed{Body: `<p>{{slice .stage 0 3}}</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"instruction", schemas.Feed{Body: `<?php x ?>`}, shown{Title: name, Body: list, Fallback: true}},
		{"doctype", schemas.Feed{Body: `<!DOCTYPE p [<!ENTITY a "b">]><p>&a;</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"attribute twice", schemas.Feed{Body: `<p title="a" title="b">1</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"failing", schemas.Feed{Body: `<p>{{.stage.x}}</p>`}, shown{Title: name, Body: list, Fallback: true}},
		{"failing title", schemas.Feed{Title: `{{index .parties 7}}`}, shown{Title: name, Body: list, Fallback: true}},
		{"array as text", schemas.Feed{Title: "{{.parties}}", Body: "<p>{{print .parties}}</p>"}, shown{Title: name, Body: list, Fallback: true}},
		{"long summary", schemas.Feed{Summary: strings.Repeat("&amp;字", 2000) + "{{._fields}}{{._fields}}"}, shown{Title: name, Summary: strings.Repeat("&字", 299) + "&…", Body: list}},
		{"functions", schemas.Feed{Title: `{{printf "%s-%d%%" .n (len .parties)}} {{(index .parties 0).name}} {{.n | printf "%q"}} {{if and .t (eq .n "1.50")}}y{{end}}{{slice .ok 0 5}}`},
			shown{Title: `1.50-1% 甲 "1.50" yhttps`, Body: list}},
		{"too long", schemas.Feed{Body: `{{range .parties}}{{range $}}{{range $}}x{{end}}{{end}}{{end}}`}, shown{Title: name, Body: list, Fallback: true}},
		{"relative link", schemas.Feed{Link: "/p/{{urlquery .ok}}"}, shown{Title: name, Link: "/p/https%3A%2F%2Fe.example%2F%3Fq%3D%E4%B8%AD+%E6%96%87", Body: list}},
		{"http link", schemas.Feed{Link: "http://e.example/{{.n}}?a=1&b=2"}, shown{Title: name, Link: "http://e.example/1.50?a=1&b=2", Body: list}},
		{"no link", schemas.Feed{Link: "{{.none}}"}, shown{Title: name, Body: list}},
		{"script link", schemas.Feed{Link: "{{.url}}"}, shown{Title: name, Body: list, Fallback: true}},
		{"other host", schemas.Feed{Link: "//e.example/{{.n}}"}, shown{Title: name, Body: list, Fallback: true}},
		{"backslash", schemas.Feed{Link: `/\e.example`}, shown{Title: name, Body: list, Fallback: true}},
		{"no host", schemas.Feed{Link: `https:///x`}, shown{Title: name, Body: list, Fallback: true}},
		{"opaque", schemas.Feed{Link: `http:x`}, shown{Title: name, Body: list, Fallback: true}},
		{"user", schemas.Feed{Link: `https://a@b.example/`}, shown{Title: name, Body: list, Fallback: true}},
		{"ftp", schemas.Feed{Link: `ftp://e.example/x`}, shown{Title: name, Body: list, Fallback: true}},
		{"data", schemas.Feed{Link: `data:text/html,x`}, shown{Title: name, Body: list, Fallback: true}},
		{"line break", schemas.Feed{Link: `/a{{.item}}`}, shown{Title: name, Body: list, Fallback: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := builder(t, func(c *Config) { c.Resource.Feed = &tt.f })
			it := b.render(Entry{ID: "p7", Data: []byte(data)}, &meter{left: entryUnits})
			got := shown{it.title, it.summary, it.link, it.body, it.fallback}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplateRefusals(t *testing.T) {
	for _, bad := range []string{"{{.a", "{{nothing .a}}", `{{define "x"}}{{end}}`, `{{template "title"}}`, `{{block "b" .}}{{end}}`,
		"{{range 1000000000}}{{end}}", "{{range len .a}}{{end}}", "{{$n := 100}}{{range $n}}{{end}}", "{{call .f}}", "{{with (call .f)}}{{end}}",
		"{{range .a}}{{range .b}}{{range .c}}{{end}}{{end}}{{end}}", "{{if .a}}{{range 9}}{{end}}{{end}}", "{{if .a}}{{else}}{{range 9}}{{end}}{{end}}",
		strings.Repeat("x", maxSource+1)} {
		err := Check(&schemas.Feed{Title: bad})
		var refused *TemplateError
		if !errors.Is(err, ErrTemplate) || !errors.As(err, &refused) || refused.Member != "title" || refused.Zh == "" || refused.En == "" {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	err := Check(&schemas.Feed{Title: "{{", Body: "{{", Link: "{{", Summary: "{{"})
	if got := strings.Count(err.Error(), "feed."); got != 4 {
		t.Errorf("%d of 4 refused templates named: %v", got, err)
	}
	for _, good := range []*schemas.Feed{nil, {}, {Title: "{{range .a}}{{range .b}}{{.}}{{end}}{{end}}", Body: "{{range $i, $p := .parties}}{{range $p.x}}{{.}}{{end}}{{$i}}{{end}}{{range $.a}}{{end}}"}} {
		if err := Check(good); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// FuzzFeed: whatever template and record, both documents are well formed, and no
// value becomes markup.
func FuzzFeed(f *testing.F) {
	f.Add(body, "{{.stage}}", "/p/{{.stage}}", entries()[0].Data)
	f.Add(`<p>{{.stage}}</p>`, "<b>{{.}}</b>", "{{.stage}}", []byte(`{"stage":"</p><script>alert(1)</script>","\u0000":"\u0001"}`))
	f.Add(`{{._fields}}<a href="{{.stage}}">x</a>`, "&{{.stage}};", "javascript:{{.stage}}", []byte(`{"stage":"javascript:x"}`))
	f.Fuzz(func(t *testing.T, body, title, link string, raw []byte) {
		c := config()
		c.Resource.Feed = &schemas.Feed{Title: title, Summary: title, Body: body, Link: link}
		b, err := New(c)
		if err != nil {
			return
		}
		data, _, err := record.Decode(raw, record.DefaultLimits())
		if err != nil {
			data = raw
		}
		e := []Entry{{Seq: 1, ID: title, Version: 1, Published: 1, Updated: 1, DepartmentName: link, Data: data}}
		d, err := b.Atom(e)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, d.Body)
		for _, bad := range []string{"<script", "<iframe", "<img", "<style", `href="javascript:`, `href="data:`, " on"} {
			if inTag(d.Body, bad) {
				t.Fatalf("%q in %s", bad, d.Body)
			}
		}
		j, err := b.JSON(e)
		if err != nil || !json.Valid(j.Body) {
			t.Fatalf("JSON Feed %v: %s", err, j.Body)
		}
	})
}

// inTag looks for bad in the tags of a document.
func inTag(doc []byte, bad string) bool {
	for part := range bytes.SplitSeq(doc, []byte("<")) {
		tag, _, _ := bytes.Cut(part, []byte(">"))
		if bad == " on" {
			for _, a := range strings.Fields(string(tag)) {
				if strings.HasPrefix(a, "on") && strings.Contains(a, `="`) && !strings.Contains(string(tag), `title="`) && !strings.Contains(string(tag), `label="`) {
					return true
				}
			}
			continue
		}
		if strings.Contains("<"+string(tag), bad) {
			return true
		}
	}
	return false
}

func BenchmarkAtom(b *testing.B) {
	c := config()
	c.Resource.Feed.Body = body
	builder, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	var many []Entry
	for range 100 {
		many = append(many, entries()[0])
	}
	for b.Loop() {
		if _, err := builder.Atom(many); err != nil {
			b.Fatal(err)
		}
	}
}
