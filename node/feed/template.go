package feed

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"net/url"
	"strings"
	"text/template"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of a template and of what it writes for one entry.
const (
	maxSource = 16 << 10  // bytes of a template
	maxOutput = 128 << 10 // bytes a body may have
	maxShort  = 16 << 10  // bytes read of what the other templates write
	maxNested = 2         // ranges within one another
	maxTitle  = 300       // characters of a title
	maxLink   = 2048      // bytes of a link
)

// templates are the compiled templates of a resource; nil where it has none, or
// one that is refused.
type templates struct{ title, summary, body, link *template.Template }

// Check tells whether the feed templates of a resource can be used; exchange asks
// it before a resource is put. What it accepts is bounded in time and memory over
// any projection (see the package comment). It returns a *TemplateError for each
// that is refused, joined.
func Check(f *schemas.Feed) error {
	_, err := compile(f, nil)
	return err
}

func compile(f *schemas.Feed, l labels) (templates, error) {
	var t templates
	if f == nil {
		return t, nil
	}
	var errs []error
	for _, p := range []struct {
		member, source string
		into           **template.Template
	}{{"title", f.Title, &t.title}, {"summary", f.Summary, &t.summary}, {"body", f.Body, &t.body}, {"link", f.Link, &t.link}} {
		if strings.TrimSpace(p.source) == "" {
			continue
		}
		var err error
		if *p.into, err = compileOne(p.member, p.source, l); err != nil {
			errs = append(errs, err)
		}
	}
	return t, errors.Join(errs...)
}

func compileOne(member, source string, l labels) (*template.Template, error) {
	refuse := func(zh, en string) error { return &TemplateError{Member: member, Zh: zh, En: en} }
	if len(source) > maxSource {
		return nil, refuse("模板不能超过16 KiB", "a template is at most 16 KiB")
	}
	t, err := template.New(member).Funcs(template.FuncMap{"label": l.escaped}).Funcs((&meter{}).functions()).Parse(source)
	if err != nil {
		return nil, refuse("模板写法有误："+err.Error(), err.Error())
	}
	if t.Tree == nil || len(t.Templates()) > 1 {
		return nil, refuse("模板里不能定义别的模板", "a template may not define others")
	}
	var f fitter
	if f.list(t.Root, 0); f.refusal != (refusal{}) {
		return nil, refuse(f.refusal.zh, f.refusal.en)
	}
	return t, nil
}

// render makes what one entry shows, at the cost of what m has left. It cannot
// fail: what a template spoils falls back.
func (b *Builder) render(e Entry, m *meter) item {
	it := item{Entry: e, id: b.EntryID(e.ID)}
	if e.Deleted {
		return it
	}
	it.title = b.title()
	it.body = b.labels.definitionList(e.Data)
	data, err := values(e.Data)
	if err != nil {
		it.fallback = true
		return it
	}
	data["_fields"] = it.body
	failed := b.refused
	text := func(t *template.Template, limit int) string {
		if t == nil {
			return ""
		}
		out, err := run(t, data, m, maxShort)
		if errors.Is(err, errOutput) { // a long text is shown from its beginning
			out, err = whole(out), nil
		}
		if err != nil {
			failed = true
			return ""
		}
		return cut(strings.Join(strings.Fields(plainText(out)), " "), limit)
	}
	if title := text(b.templates.title, maxTitle); title != "" {
		it.title = title
	}
	it.summary = text(b.templates.summary, 2*maxTitle)
	it.link = b.link(data, m, &failed)
	if b.templates.body != nil {
		body, err := b.body(data, m)
		if err != nil {
			failed = true
		} else {
			it.body = body
		}
	}
	it.fallback = failed
	return it
}

func (b *Builder) body(data map[string]any, m *meter) (string, error) {
	out, err := run(b.templates.body, data, m, maxOutput)
	if err != nil {
		return "", err
	}
	return harmless(out)
}

// link is the address the template gives, empty where it gives none that may be
// served.
func (b *Builder) link(data map[string]any, m *meter, failed *bool) string {
	if b.templates.link == nil {
		return ""
	}
	out, err := run(b.templates.link, data, m, maxShort)
	if err != nil {
		*failed = true
		return ""
	}
	out = strings.TrimSpace(plainText(out))
	if out == "" {
		return ""
	}
	link, ok := safeLink(out)
	if !ok {
		*failed = true
		return ""
	}
	return link
}

// safeLink takes an http(s) address with a host, or a reference relative to the
// portal: no other scheme, no //host, no backslash, no control character.
func safeLink(s string) (string, bool) {
	if len(s) > maxLink || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", false
	}
	switch {
	case u.Scheme == "http" || u.Scheme == "https":
		return u.String(), u.Host != ""
	case u.Scheme == "" && u.Host == "" && !strings.HasPrefix(s, "//"):
		return u.String(), true
	}
	return "", false
}

// run executes a template on the meter, with output of at most limit bytes; with
// errOutput comes what was written until then. What a template prints for a member
// that is not there is taken out: no value can look like it, because in values < is
// escaped.
func run(t *template.Template, data map[string]any, m *meter, limit int) (string, error) {
	mine, err := t.Clone() // shares the tree; the functions are of this run
	if err != nil {
		return "", fmt.Errorf("execute template: %w", err)
	}
	var out bytes.Buffer
	err = mine.Funcs(m.functions()).Execute(&limited{w: &out, left: limit}, data)
	if err != nil {
		err = fmt.Errorf("execute template: %w", err)
	}
	return strings.ReplaceAll(out.String(), "<no value>", ""), err
}

// whole takes a tag or character reference off the end that was cut.
func whole(s string) string {
	if i := strings.LastIndexAny(s, "<&"); i >= 0 && !strings.ContainsAny(s[i:], ">;") {
		s = s[:i]
	}
	return strings.ToValidUTF8(s, "")
}

type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	fits := min(len(p), l.left)
	n, err := l.w.Write(p[:fits])
	if l.left -= n; err == nil && fits < len(p) {
		err = errOutput
	}
	return n, err
}

// values reads a projection for the templates: every text XML-escaped, numbers as
// their own text.
func values(projection []byte) (map[string]any, error) {
	_, v, err := record.Decode(projection, record.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("read projection: %w", err)
	}
	m, ok := escape(v).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read projection: %w: not an object", errBody)
	}
	return m, nil
}

func escape(v any) any {
	switch v := v.(type) {
	case string:
		return escapeText(v)
	case json.Number:
		return v.String()
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, value := range v {
			m[name] = escape(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = escape(value)
		}
		return l
	}
	return v
}

// escapeText is s as XML text or attribute value; characters that XML 1.0 does not
// have become U+FFFD.
func escapeText(s string) string {
	var b strings.Builder
	// A strings.Builder does not fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// plainText reads escaped text back; elements in it are dropped.
func plainText(s string) string {
	var b strings.Builder
	d := decoder(s)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			return html.UnescapeString(s)
		}
		if text, ok := token.(xml.CharData); ok {
			b.Write(text)
		}
	}
}

func cut(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return s
}
