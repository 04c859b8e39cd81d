package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// validator wraps the compiled schema of the third-party validator, which is used nowhere else.
type validator struct {
	root     *jsonschema.Schema
	expected *expectation // nil where nothing is expected
}

// location is the only address the validator knows; it loads nothing.
const location = "hutong:///schema"

var errNothingIsLoaded = errors.New("schemas: nothing outside the schema is loaded")

// compile hands the linted document to the validator; what that refuses becomes findings. A
// panic there is a fault of the schema as far as the caller can tell.
func (l *linter) compile(a *analysis) (v *validator) {
	defer func() {
		if r := recover(); r != nil {
			l.add("", "compile", "模式不能编译", "the schema does not compile")
			v = nil
		}
	}()
	l.lighten()
	doc := maps.Clone(a.doc)
	delete(doc, "$id") // it would move what references are resolved against
	text, err := json.Marshal(doc)
	if err != nil {
		l.add("", "compile", "模式不能编译", "the schema does not compile")
		return nil
	}
	c := jsonschema.NewCompiler()
	c.Draft = jsonschema.Draft2020
	c.AssertFormat = true
	c.LoadURL = func(string) (io.ReadCloser, error) { return nil, errNothingIsLoaded }
	for name := range formats {
		c.Formats[name] = func(v any) bool {
			s, ok := v.(string)
			return !ok || CheckFormat(name, s) == ""
		}
	}
	c.RegisterExtension("x-code-table", nil, codeTableKeyword{})
	if err := c.AddResource(location, strings.NewReader(string(text))); err != nil {
		l.add("", "compile", "模式不能编译", "the schema does not compile")
		return nil
	}
	root, err := c.Compile(location)
	if err != nil {
		l.compileFault(err)
		return nil
	}
	return &validator{root: root, expected: expect(a.root)}
}

// compileFault turns the meta-schema's errors into findings, one per keyword.
func (l *linter) compileFault(err error) {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		l.add("", "compile", "模式不能编译:"+err.Error(), "the schema does not compile: "+err.Error())
		return
	}
	var leaves func(e *jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			l.add(joinPointer(splitLocation(e.InstanceLocation)), "schema_form", "关键字的取值不合 JSON Schema 2020-12:"+e.Message, "not JSON Schema 2020-12: "+e.Message)
		}
		for _, c := range e.Causes {
			leaves(c)
		}
	}
	leaves(invalid)
}

// codeTableKeyword makes x-code-table assert that a string is a code of the table.
type codeTableKeyword struct{}

func (codeTableKeyword) Compile(_ jsonschema.CompilerContext, m map[string]any) (jsonschema.ExtSchema, error) {
	name, ok := m["x-code-table"].(string)
	if !ok {
		return nil, nil
	}
	t, ok := LookupCodeTable(name)
	if !ok {
		return nil, fmt.Errorf("no code table %q", name)
	}
	return codeOf{t}, nil
}

type codeOf struct{ table *CodeTable }

func (c codeOf) Validate(ctx jsonschema.ValidationContext, v any) error {
	if s, ok := v.(string); ok {
		if _, known := c.table.Code(s); !known {
			return ctx.Error("x-code-table", "not a code of %s", c.table.Name)
		}
	}
	return nil
}
