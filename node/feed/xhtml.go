package feed

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

const xhtmlSpace = "http://www.w3.org/1999/xhtml"

// elements are the elements a body may have, each with its own attributes beside
// lang and title. Nothing here can run, load or submit anything.
var elements = map[string][]string{
	"p": nil, "div": nil, "span": nil, "br": nil, "hr": nil, "dl": nil, "dt": nil, "dd": nil, "ul": nil, "ol": nil, "li": nil,
	"table": nil, "caption": nil, "thead": nil, "tbody": nil, "tfoot": nil, "tr": nil,
	"th": {"colspan", "rowspan"}, "td": {"colspan", "rowspan"}, "a": {"href"}, "time": {"datetime"},
	"em": nil, "strong": nil, "b": nil, "i": nil, "u": nil, "s": nil, "sub": nil, "sup": nil, "abbr": nil,
	"blockquote": nil, "pre": nil, "code": nil, "h1": nil, "h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil,
}

// maxDepth bounds elements within elements.
const maxDepth = 100

func decoder(s string) *xml.Decoder {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Entity = xml.HTMLEntity
	return d
}

// harmless parses a body and writes it anew from the elements and attributes it
// may have. It returns errBody for anything else: not well formed, other
// elements, links that are neither http(s) nor relative.
func harmless(body string) (string, error) {
	var b strings.Builder
	var open []string
	d := decoder(body)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return b.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("%w: not well formed", errBody)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(open) >= maxDepth {
				return "", fmt.Errorf("%w: too deep", errBody)
			}
			if err := startTag(&b, token); err != nil {
				return "", err
			}
			open = append(open, token.Name.Local)
		case xml.EndElement:
			if name := open[len(open)-1]; name != "br" && name != "hr" {
				b.WriteString("</" + name + ">")
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if n := len(open); n > 0 && (open[n-1] == "br" || open[n-1] == "hr") {
				return "", fmt.Errorf("%w: text in an empty element", errBody)
			}
			textEscaper.WriteString(&b, string(token)) //nolint:errcheck // a strings.Builder does not fail
		case xml.Comment:
		default:
			return "", fmt.Errorf("%w: neither element nor text", errBody)
		}
	}
}

var textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func startTag(b *strings.Builder, e xml.StartElement) error {
	own, ok := elements[e.Name.Local]
	if !ok || e.Name.Space != "" && e.Name.Space != xhtmlSpace {
		return fmt.Errorf("%w: element not allowed", errBody)
	}
	b.WriteString("<" + e.Name.Local)
	var seen []string
	for _, a := range e.Attr {
		name := a.Name.Local
		if a.Name.Space == "" && name == "xmlns" && a.Value == xhtmlSpace {
			continue
		}
		if a.Name.Space != "" || slices.Contains(seen, name) || name != "title" && name != "lang" && !slices.Contains(own, name) {
			return fmt.Errorf("%w: attribute not allowed", errBody)
		}
		seen = append(seen, name)
		value := a.Value
		if name == "href" {
			if value, ok = safeLink(value); !ok {
				return fmt.Errorf("%w: link not allowed", errBody)
			}
		}
		b.WriteString(" " + name + `="` + escapeText(value) + `"`)
	}
	if e.Name.Local == "br" || e.Name.Local == "hr" {
		b.WriteString("/>")
		return nil
	}
	b.WriteString(">")
	return nil
}

// labels are the Chinese titles of fields by their path, names joined by /, * for
// the elements of an array.
type labels map[string]string

func labelsOf(annotations []schemas.Annotation) labels {
	l := make(labels, len(annotations))
	for _, a := range annotations {
		if a.TitleZh != "" {
			l[strings.Join(a.Pointer, "/")] = a.TitleZh
		}
	}
	return l
}

// of is the title of a path, or its last name where it has none.
func (l labels) of(path string) string {
	if t, ok := l[path]; ok {
		return t
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}

// escaped is of for templates.
func (l labels) escaped(path string) string { return escapeText(l.of(path)) }

// definitionList writes a projection as nested lists with Chinese field names, in
// the order of its members. Members without a value are left out. What is no
// object in compact form gives an empty list.
func (l labels) definitionList(projection []byte) string {
	var b strings.Builder
	if err := l.write(&b, "", projection); err != nil {
		return "<dl></dl>"
	}
	return b.String()
}

func (l labels) write(b *strings.Builder, path string, raw []byte) error {
	if len(raw) == 0 {
		return errBody
	}
	switch raw[0] {
	case '{':
		b.WriteString("<dl>")
		err := record.Members(raw, func(name string, value []byte) error {
			if s := string(value); s == "null" || s == `""` || s == "[]" || s == "{}" {
				return nil
			}
			below := strings.TrimPrefix(path+"/"+name, "/")
			b.WriteString("<dt>" + escapeText(l.of(below)) + "</dt><dd>")
			err := l.write(b, below, value)
			b.WriteString("</dd>")
			return err
		})
		b.WriteString("</dl>")
		return err
	case '[':
		b.WriteString("<ul>")
		err := record.Elements(raw, func(value []byte) error {
			b.WriteString("<li>")
			err := l.write(b, path+"/*", value)
			b.WriteString("</li>")
			return err
		})
		b.WriteString("</ul>")
		return err
	case '"':
		s, ok := record.Unquote(raw)
		if !ok {
			return errBody
		}
		b.WriteString(escapeText(s))
		return nil
	}
	b.WriteString(escapeText(scalarZh(string(raw))))
	return nil
}

func scalarZh(s string) string {
	switch s {
	case "true":
		return "是"
	case "false":
		return "否"
	case "null":
		return ""
	}
	return s
}
