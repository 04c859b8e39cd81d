package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/schemas/record"
)

// readObject reads one YAML or JSON object strictly.
func readObject[T any](a *app, name string) (T, error) {
	b, err := a.readFile(name)
	if err != nil {
		var none T
		return none, err
	}
	return decodeObject[T](name, b)
}

// decodeObject decodes the object of a file. Neither YAML's guesses (no is
// false, 0123 is 83) nor those of encoding/json (NAME is name) are taken: a
// value has the kind that is wanted, and a member the very name.
func decodeObject[T any](name string, text []byte) (T, error) {
	var out T
	b, err := toJSON(name, text)
	if err != nil {
		return out, err
	}
	limits := record.DefaultLimits()
	limits.RecordBytes = max(len(b), 1)
	_, value, err := record.Decode(b, limits)
	if err != nil {
		return out, usage("%s:%v", "%s: %v", name, err)
	}
	c := objectCheck{name: name, text: text}
	if value == nil {
		return out, usage("%s:没有内容", "%s: there is nothing in it", name)
	}
	if err := c.check(value, reflect.TypeFor[T](), nil); err != nil {
		return out, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		return out, usage("%s:%v", "%s: %v", name, err)
	}
	return out, nil
}

// toJSON is the JSON of a file that holds one JSON or YAML document.
func toJSON(name string, text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if json.Valid(text) {
		return text, nil
	}
	content := false
	for i, line := range bytes.Split(text, []byte("\n")) {
		if content && bytes.HasPrefix(line, []byte("---")) {
			return nil, usage("%s 第%d行:一个文件只放一个对象", "%s line %d: one file holds one object", name, i+1)
		}
		line = bytes.TrimSpace(line)
		content = content || len(line) > 0 && line[0] != '#' && line[0] != '%' && !bytes.HasPrefix(line, []byte("---"))
	}
	b, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, usage("%s 既不是 JSON 也不是 YAML:%v", "%s is neither JSON nor YAML: %v", name, err)
	}
	return b, nil
}

// objectCheck holds decoded values against the Go type that they are for.
type objectCheck struct {
	name string
	text []byte
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (c objectCheck) check(v any, t reflect.Type, path []string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case v == nil: // a member left empty
		return nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return c.list(v, t.Elem(), path)
	case t.Implements(unmarshaler), reflect.PointerTo(t).Implements(unmarshaler):
		if _, ok := v.([]any); ok {
			return c.list(v, reflect.TypeFor[string](), path)
		}
		return nil // judges itself
	}
	switch t.Kind() {
	case reflect.Struct:
		return c.object(v, t, path)
	case reflect.Map:
		return c.names(v, t.Elem(), path)
	case reflect.String:
		if _, ok := v.(string); !ok {
			return c.fault(path, fmt.Sprintf("要文本,读到的是 %v;请加引号", v), fmt.Sprintf("text is wanted and %v was read; put it in quotes", v))
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return c.fault(path, "要 true 或 false", "true or false is wanted")
		}
	default:
		if _, ok := v.(json.Number); !ok {
			return c.fault(path, "要数字", "a number is wanted")
		}
	}
	return nil
}

func (c objectCheck) list(v any, elem reflect.Type, path []string) error {
	list, ok := v.([]any)
	if !ok {
		return c.fault(path, "要列表", "a list is wanted")
	}
	for _, e := range list {
		if e == nil {
			return c.fault(path, "列表中有空项", "an element of the list is empty")
		}
		if err := c.check(e, elem, path); err != nil {
			return err
		}
	}
	return nil
}

func (c objectCheck) object(v any, t reflect.Type, path []string) error {
	members, ok := v.(map[string]any)
	if !ok {
		return c.fault(path, "要对象", "an object is wanted")
	}
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag != "" && tag != "-" {
			types[tag] = t.Field(i).Type
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := append(path[:len(path):len(path)], name)
		if types[name] == nil {
			for known := range types {
				if strings.EqualFold(known, name) {
					return c.fault(at, "成员名须写作 "+known, "this member is written "+known)
				}
			}
			return c.fault(at, "没有这个成员", "there is no such member")
		}
		if err := c.check(members[name], types[name], at); err != nil {
			return err
		}
	}
	return nil
}

// names checks a map. A name that is nowhere in the file was made by YAML: no
// was read as false.
func (c objectCheck) names(v any, elem reflect.Type, path []string) error {
	members, ok := v.(map[string]any)
	if !ok {
		return c.fault(path, "要对象", "an object is wanted")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !bytes.Contains(c.text, []byte(name)) && !bytes.ContainsRune(c.text, '\\') {
			return c.fault(path, fmt.Sprintf("有成员名被读成 %s;请加引号", name), fmt.Sprintf("a member's name was read as %s; put it in quotes", name))
		}
		if err := c.check(members[name], elem, append(path[:len(path):len(path)], name)); err != nil {
			return err
		}
	}
	return nil
}

// fault says what is wrong at a place of the file.
func (c objectCheck) fault(path []string, zh, en string) error {
	zhPlace, enPlace := c.name, c.name
	if line := c.line(path); line > 0 {
		zhPlace, enPlace = fmt.Sprintf("%s 第%d行附近", c.name, line), fmt.Sprintf("%s near line %d", c.name, line)
	}
	if len(path) > 0 {
		zhPlace, enPlace = zhPlace+","+strings.Join(path, "."), enPlace+", "+strings.Join(path, ".")
	}
	return &usageError{zh: zhPlace + ":" + zh, en: enPlace + ": " + en}
}

// line looks for the members of path one after another; 0 where it does not
// find them. It is a help for the eye only.
func (c objectCheck) line(path []string) int {
	at := 0
	for _, name := range path {
		where := regexp.MustCompile(`(?m)(?:^|[\s{,])["']?` + regexp.QuoteMeta(name) + `["']?\s*:`).FindIndex(c.text[at:])
		if where == nil {
			return 0
		}
		at += where[1]
	}
	if len(path) == 0 {
		return 0
	}
	return 1 + bytes.Count(c.text[:at], []byte("\n"))
}
