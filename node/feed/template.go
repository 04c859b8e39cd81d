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
	"text/template/parse"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of a template and of what it writes for one entry.
const (
	maxSource = 16 << 10 // bytes of a template
	maxOutput = 1 << 20  // bytes it may write
	maxNested = 2        // ranges within one another
	maxTitle  = 300      // characters of a title
	maxLink   = 2048     // bytes of a link
)

// templates are the compiled templates of a resource; nil where it has none.
type templates struct{ title, summary, body, link *template.Template }

// Check tells whether the feed templates of a resource can be used; exchange asks
// it before a resource is put. It returns a *TemplateError for each that is
// refused, joined.
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
	t, err := template.New(member).Funcs(template.FuncMap{"label": l.escaped}).Parse(source)
	if err != nil {
		return nil, refuse("模板写法有误："+err.Error(), err.Error())
	}
	if t.Tree == nil || len(t.Templates()) > 1 {
		return nil, refuse("模板里不能定义别的模板", "a template may not define others")
	}
	if err := walk(t.Tree.Root, 0); err != nil {
		return nil, refuse("模板里不能用template、call，range只能遍历字段，最多嵌套两层",
			"a template may not use template or call, and range only over fields, at most two deep")
	}
	return t, nil
}

// walk refuses what could run without end: templates that call templates, and
// ranges over anything but a field of the data.
func walk(n parse.Node, ranges int) error {
	list := func(l *parse.ListNode, depth int) error {
		if l == nil {
			return nil
		}
		for _, kid := range l.Nodes {
			if err := walk(kid, depth); err != nil {
				return err
			}
		}
		return nil
	}
	branch := func(b *parse.BranchNode, depth int) error {
		return errors.Join(pipe(b.Pipe), list(b.List, depth), list(b.ElseList, depth))
	}
	switch n := n.(type) {
	case *parse.ListNode:
		return list(n, ranges)
	case *parse.ActionNode:
		return pipe(n.Pipe)
	case *parse.IfNode:
		return branch(&n.BranchNode, ranges)
	case *parse.WithNode:
		return branch(&n.BranchNode, ranges)
	case *parse.RangeNode:
		if ranges >= maxNested || !overField(n.Pipe) {
			return ErrTemplate
		}
		return branch(&n.BranchNode, ranges+1)
	case *parse.TemplateNode:
		return ErrTemplate
	}
	return nil
}

// pipe refuses the function call.
func pipe(p *parse.PipeNode) error {
	if p == nil {
		return nil
	}
	for _, c := range p.Cmds {
		for _, a := range c.Args {
			switch a := a.(type) {
			case *parse.IdentifierNode:
				if a.Ident == "call" {
					return ErrTemplate
				}
			case *parse.PipeNode:
				if err := pipe(a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// overField tells whether a range goes over a field of the data: .a, .a.b, $.a, .
// or a field of a variable.
func overField(p *parse.PipeNode) bool {
	if p == nil || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	switch n := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode, *parse.DotNode:
		return true
	case *parse.VariableNode:
		return n.Ident[0] == "$" || len(n.Ident) > 1
	}
	return false
}

// render makes what one entry shows. It cannot fail: what a template spoils falls
// back.
func (b *Builder) render(e Entry) item {
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
	failed := false
	text := func(t *template.Template, limit int) string {
		if t == nil {
			return ""
		}
		out, err := run(t, data)
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
	it.link = b.link(data, &failed)
	if b.templates.body != nil {
		body, err := b.body(data)
		if err != nil {
			failed = true
		} else {
			it.body = body
		}
	}
	it.fallback = failed
	return it
}

func (b *Builder) body(data map[string]any) (string, error) {
	out, err := run(b.templates.body, data)
	if err != nil {
		return "", err
	}
	return harmless(out)
}

// link is the address the template gives, empty where it gives none that may be
// served.
func (b *Builder) link(data map[string]any, failed *bool) string {
	if b.templates.link == nil {
		return ""
	}
	out, err := run(b.templates.link, data)
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

// run executes a template with bounded output. What a template prints for a
// member that is not there is taken out: no value can look like it, because in
// values < is escaped.
func run(t *template.Template, data map[string]any) (string, error) {
	var out bytes.Buffer
	if err := t.Execute(&limited{w: &out, left: maxOutput}, data); err != nil {
		return "", fmt.Errorf("execute template: %w", err)
	}
	return strings.ReplaceAll(out.String(), "<no value>", ""), nil
}

type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errOutput
	}
	return l.w.Write(p)
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
