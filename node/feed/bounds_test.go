package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// refusedTemplates are attacks by what a template says.
var refusedTemplates = map[string]string{
	"define":                   `{{define "x"}}{{template "x"}}{{end}}`,
	"define beside":            `a{{define "title"}}b{{end}}`,
	"template":                 `{{template "title" .}}`,
	"block":                    `{{block "b" .}}{{end}}`,
	"call":                     `{{call .f}}`,
	"call in a chain":          `{{(call .f).x}}`,
	"call deep":                `{{if eq (print (call .f)) "x"}}{{end}}`,
	"call in an argument":      `{{printf "%s" (call .f)}}`,
	"call after a pipe":        `{{.f | call}}`,
	"js doubles":               `{{.a | js | js}}`,
	"a function as argument":   `{{print len}}`,
	"three ranges":             `{{range .a}}{{range .b}}{{range .c}}{{end}}{{end}}{{end}}`,
	"three ranges under with":  `{{range .a}}{{with .b}}{{range .c}}{{else}}{{range .}}{{end}}{{end}}{{end}}{{end}}{{range .a}}{{range .}}{{if .}}{{range .}}{{end}}{{end}}{{end}}{{end}}`,
	"range over a number":      `{{range 1000000000}}{{end}}`,
	"range over a call":        `{{range (slice .a 1)}}{{end}}`,
	"variable":                 `{{$x := "a"}}`,
	"variable grows":           `{{$x := "a"}}{{range .a}}{{$x = print $x $x}}{{end}}{{$x}}`,
	"variable of with":         `{{with $x := .a}}{{end}}`,
	"variable of if":           `{{if $x := .a}}{{end}}`,
	"variable in parentheses":  `{{print ($x := .a)}}`,
	"range assigns":            `{{range $i := .a}}{{range $i = .b}}{{end}}{{end}}`,
	"width":                    `{{printf "%1000000s" .a}}`,
	"width after a plain verb": `{{printf "%s %9d" .a .b}}`,
	"width from the data":      `{{printf "%*s" 100000000 "x"}}`,
	"precision":                `{{printf "%.900000f" 1.0}}`,
	"flag":                     `{{printf "%+v" .}}`,
	"index doubles":            `{{.a | printf "%[1]s%[1]s" | printf "%[1]s%[1]s"}}`,
	"hexadecimal":              `{{printf "%x" .a}}`,
	"width after percents":     `{{printf "%%%%%9s" .a}}`,
	"format from the data":     `{{printf .a 1}}`,
	"format from a pipe":       `{{"%9999999s" | printf}}`,
	"format in parentheses":    `{{printf ("%9999999s") "x"}}`,
	"format alone":             `{{printf}}`,
	"cut verb":                 `{{printf "a%" .a}}`,
	"the meter itself":         `{{_result 0 .a}}`,
	"the meter with a debt":    `{{_text -1000000 .a}}`,
}

func TestRefusedTemplates(t *testing.T) {
	for name, source := range refusedTemplates {
		for _, member := range []string{source, "{{if .a}}" + source + "{{end}}", "{{with .a}}{{else}}" + source + "{{end}}"} {
			err := Check(&schemas.Feed{Body: member})
			var refused *TemplateError
			if !errors.As(err, &refused) || refused.Member != "body" || refused.Zh == "" || refused.En == "" {
				t.Errorf("%s: %q: %v", name, member, err)
			}
			if strings.Contains(source, "define") || strings.Contains(source, "block") {
				break // has no place within another
			}
		}
	}
}

// wide is a projection of nearly 256 KiB: many members, many elements, one long
// text, as the limits of a record let pass.
func wide(tb testing.TB) []byte {
	tb.Helper()
	var b strings.Builder
	b.WriteString(`{"s":"` + strings.Repeat("&", 10<<10) + `","t":"` + strings.Repeat("&", 60<<10) + `","long":"` + strings.Repeat("<", 70<<10) + `","a":[`)
	for i := range 3000 {
		fmt.Fprintf(&b, `%s["x"]`, []string{"", ","}[min(i, 1)])
	}
	b.WriteString(`],"m":{`)
	for i := range 3500 {
		fmt.Fprintf(&b, `%s"k%d":1`, []string{"", ","}[min(i, 1)], i)
	}
	b.WriteString(`}}`)
	data, _, err := record.Decode([]byte(b.String()), record.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// costlyTemplates are accepted, and would run for seconds or take many MiB over the
// wide projection if nobody counted.
var costlyTemplates = map[string]string{
	"quadratic":             `{{range .a}}{{range $.a}}{{if .}}{{end}}{{end}}{{end}}`,
	"quadratic, empty":      `{{range .a}}{{range $.a}}{{end}}{{end}}`,
	"sorting":               strings.Repeat(`{{range .m}}{{break}}{{end}}`, 500),
	"sorting in a range":    `{{range .a}}{{range $.m}}{{break}}{{end}}{{end}}`,
	"reading":               `{{range .a}}{{if eq $.t $.t}}{{end}}{{end}}`,
	"reading what is piped": `{{range .a}}{{if $.t | eq $.t}}{{end}}{{end}}`,
	"comparing":             `{{range .a}}{{if eq $.s $.s}}{{end}}{{end}}`,
	"escaping a short text": `{{range .a}}{{if html $.s}}{{end}}{{end}}`,
	"escaping":              `{{range .a}}{{if html $.t}}{{end}}{{end}}`,
	"escaping again":        `{{.t` + strings.Repeat(" | html", 2000) + `}}`,
	"printing":              `{{range .a}}{{if print $.t $.t $.t}}{{end}}{{end}}`,
	"print in print":        `{{print ` + strings.Repeat(`(print .t .t .t .t .t .t .t .t) `, 100) + `}}`,
	"a long text":           `{{if html .long}}{{end}}`,
	"an object as text":     `{{.m}}`,
	"many steps":            `{{range .a}}` + strings.Repeat(`{{if .}}{{end}}`, 1000) + `{{end}}`,
	"many arguments":        `{{range .a}}{{if and` + strings.Repeat(` .`, 7000) + `}}{{end}}{{end}}`,
	"output":                `{{range .a}}` + strings.Repeat("x", 1000) + `{{end}}`,
	"output of values":      `{{range .a}}{{$.t}}{{end}}`,
}

func TestCostlyTemplates(t *testing.T) {
	data := wide(t)
	for name, source := range costlyTemplates {
		if err := Check(&schemas.Feed{Body: source}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := builder(t, func(c *Config) { c.Resource.Feed = &schemas.Feed{Body: source} })
		m := meter{left: entryUnits}
		if it := b.render(Entry{ID: "p", Data: data}, &m); !it.fallback || m.left < 0 {
			t.Errorf("%s: fallback %t, %d units left", name, it.fallback, m.left)
		}
	}
	// What people write is far from the bounds.
	b := builder(t, func(c *Config) {
		c.Resource.Feed = &schemas.Feed{Title: "{{len .a}}", Summary: "{{slice .t 0 50}}", Body: `<ul>{{range $i, $e := .a}}<li>{{$i}} {{range .}}{{.}}{{end}}</li>{{end}}</ul>`}
	})
	if it := b.render(Entry{ID: "p", Data: data}, &meter{left: entryUnits}); it.fallback || !strings.HasPrefix(it.body, "<ul><li>0 x</li><li>1 x</li>") {
		t.Errorf("fallback %t: %.200s", it.fallback, it.body)
	}
}

// TestDocumentBudget: many costly entries cost no more than a document may, and the
// cheap document beside them is not spoilt.
func TestDocumentBudget(t *testing.T) {
	small := []byte(`{"a":[` + strings.TrimSuffix(strings.Repeat(`[],`, 3000), ",") + `]}`)
	b := builder(t, func(c *Config) {
		c.Resource.Feed = &schemas.Feed{Title: `{{range .a}}{{range .}}{{end}}{{range .}}{{end}}{{end}}x`}
	})
	m := meter{left: entryUnits}
	if it := b.render(Entry{Data: small}, &m); it.fallback {
		t.Fatal("one entry alone falls back")
	}
	each := entryUnits - m.left
	many := make([]Entry, documentUnits/each+3)
	for i := range many {
		many[i] = Entry{Seq: uint64(i), ID: fmt.Sprint(i), Version: 1, Data: []byte(`{"a":[]}`)}
	}
	if d, err := b.JSON(many); err != nil || d.Fallbacks != 0 {
		t.Errorf("cheap entries: %d fell back, %v", d.Fallbacks, err)
	}
	for i := range many {
		many[i].Data = small
	}
	if d, err := b.JSON(many); err != nil || d.Fallbacks == 0 || d.Fallbacks == d.Entries {
		t.Errorf("costly entries: %d of %d fell back, %v", d.Fallbacks, d.Entries, err)
	}
}

// TestBadTemplateIsNoError: a resource that came in with a template nobody would
// take any more still has its feed.
func TestBadTemplateIsNoError(t *testing.T) {
	for name, source := range refusedTemplates {
		c := config()
		c.Resource.Feed = &schemas.Feed{Title: "{{.stage}}", Body: source}
		b, err := New(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, write := range []func([]Entry) (Document, error){b.Atom, b.JSON} {
			d, err := write([]Entry{{Seq: 1, ID: "p7", Version: 1, Data: []byte(`{"stage":"施工许可"}`)}, {Seq: 2, ID: "p8", Version: 1, Deleted: true}})
			if err != nil || d.Entries != 2 || d.Fallbacks != 1 || strings.Count(string(d.Body), "施工许可") < 2 {
				t.Errorf("%s: %v, %d entries, %d fell back: %s", name, err, d.Entries, d.Fallbacks, d.Body)
			}
		}
	}
	// One record that spoils the template does not take the others with it.
	b := builder(t, func(c *Config) { c.Resource.Feed = &schemas.Feed{Body: "<p>{{.stage.x}}{{.stage.y.z}}</p>"} })
	d, err := b.Atom([]Entry{{ID: "1", Data: []byte(`{"stage":{"x":"好"}}`)}, {ID: "2", Data: []byte(`{"stage":"坏"}`)}, {ID: "3", Data: []byte(`[]`)}, {ID: "4", Data: nil}})
	if err != nil || d.Entries != 4 || d.Fallbacks != 3 || !strings.Contains(string(d.Body), "<p>好</p>") {
		t.Errorf("%v, %d of %d fell back: %s", err, d.Fallbacks, d.Entries, d.Body)
	}
}

// BenchmarkCostly tells what the dearest accepted templates cost, beside reading the
// projection ("nothing").
func BenchmarkCostly(b *testing.B) {
	data := wide(b)
	run := func(name, source string) {
		c := config()
		c.Resource.Feed = &schemas.Feed{Body: source}
		builder, err := New(c)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				builder.render(Entry{Data: data}, &meter{left: entryUnits})
			}
		})
	}
	run("nothing", "")
	run("most markup", `{{range .a}}`+strings.Repeat("<b>x</b>", 5)+`{{end}}`)
	for name, source := range costlyTemplates {
		run(name, source)
	}
}
