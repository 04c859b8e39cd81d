package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/schemas/record"
)

// step changes one value; nil is absent. A fault refuses the record.
type step func(v any) (any, *fault)

// fault is why a value cannot be mapped, in the two clauses of a refusal sentence.
type fault struct {
	rule            string
	shouldZh, fixZh string
	shouldEn, fixEn string
}

func (c *compiler) step(raw json.RawMessage) (step, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return c.plainStep(name)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || len(m) != 1 {
		return nil, errors.New("a step is a name or {name: argument}")
	}
	for name, arg := range m {
		s, err := c.argumentStep(name, arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return s, nil
	}
	return nil, nil
}

func (c *compiler) plainStep(name string) (step, error) {
	switch name {
	case "trim":
		return onText(trim), nil
	case "fold":
		return onText(fold), nil
	case "clean":
		return onText(clean), nil
	case "upper":
		return onText(strings.ToUpper), nil
	case "lower":
		return onText(strings.ToLower), nil
	case "text":
		return each(func(v any) (any, *fault) { return textOf(v), nil }), nil
	case "drop_if_empty":
		return dropIfEmpty, nil
	case "first":
		return first, nil
	case "key":
		return joinKey, nil
	case "num":
		return numSpec{}.step()
	case "bool":
		return boolSpec{True: yesWords, False: noWords}.step()
	default:
		return nil, fmt.Errorf("%q is not a step without argument", name)
	}
}

func (c *compiler) argumentStep(name string, arg json.RawMessage) (step, error) {
	switch name {
	case "cut":
		return cutStep(arg)
	case "code":
		return c.codeStep(arg)
	case "date":
		return dateStep(arg, c.zone)
	case "num":
		var s numSpec
		if err := strict(arg, &s); err != nil {
			return nil, err
		}
		return s.step()
	case "bool":
		var s boolSpec
		if err := strict(arg, &s); err != nil {
			return nil, err
		}
		return s.step()
	case "split":
		return splitStep(arg)
	case "join":
		return joinStep(arg)
	case "sentinels":
		var words []string
		if err := json.Unmarshal(arg, &words); err != nil || len(words) == 0 {
			return nil, errors.New("a list of texts is needed")
		}
		return each(func(v any) (any, *fault) {
			if slices.Contains(words, strings.TrimSpace(textOf(v))) {
				return nil, nil
			}
			return v, nil
		}), nil
	default:
		return nil, errors.New("is not a step")
	}
}

// strict decodes a step's argument; unknown members are refused.
func strict(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	d.UseNumber()
	return d.Decode(into)
}

// each applies f to a value, or to every element of a list; absent stays absent.
func each(f step) step {
	return func(v any) (any, *fault) {
		switch v := v.(type) {
		case nil:
			return nil, nil
		case []any:
			out := make([]any, 0, len(v))
			for _, e := range v {
				if e == nil {
					continue
				}
				e, bad := f(e)
				if bad != nil {
					return nil, bad
				}
				if e != nil {
					out = append(out, e)
				}
			}
			return out, nil
		default:
			return f(v)
		}
	}
}

// onText applies f to texts and lets everything else pass.
func onText(f func(string) string) step {
	return each(func(v any) (any, *fault) {
		if s, ok := v.(string); ok {
			return f(s), nil
		}
		return v, nil
	})
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func dropIfEmpty(v any) (any, *fault) {
	if list, ok := v.([]any); ok {
		out := make([]any, 0, len(list))
		for _, e := range list {
			if !isEmpty(e) {
				out = append(out, e)
			}
		}
		v = out
	}
	if isEmpty(v) {
		return nil, nil
	}
	return v, nil
}

// first takes the first element of a list that is not empty.
func first(v any) (any, *fault) {
	list, ok := v.([]any)
	if !ok {
		return v, nil
	}
	for _, e := range list {
		if !isEmpty(e) {
			return e, nil
		}
	}
	return nil, nil
}

// joinKey makes of a list the key that another resource's records have, with its escapes; a part that is missing makes
// it absent.
func joinKey(v any) (any, *fault) {
	list, ok := v.([]any)
	if !ok {
		return v, nil
	}
	parts := make([]string, len(list))
	for i, e := range list {
		if isEmpty(e) {
			return nil, nil
		}
		parts[i] = textOf(e)
	}
	return record.JoinKey(parts), nil
}

// cutStep: {cut: 200} keeps at most 200 characters; {cut: {characters: 200, mark: "…"}} ends a cut text with the mark.
func cutStep(arg json.RawMessage) (step, error) {
	var s struct {
		Characters int    `json:"characters"`
		Mark       string `json:"mark"`
	}
	if json.Unmarshal(arg, &s.Characters) != nil {
		if err := strict(arg, &s); err != nil {
			return nil, err
		}
	}
	keep := s.Characters - utf8.RuneCountInString(s.Mark)
	if keep < 1 {
		return nil, errors.New("at least one character must remain")
	}
	return onText(func(text string) string {
		if utf8.RuneCountInString(text) <= s.Characters {
			return text
		}
		return cutRunes(text, keep) + s.Mark
	}), nil
}

// separators is one text or a list of texts.
func separators(arg json.RawMessage) ([]string, error) {
	var n names // the same form: one text or a list
	if err := json.Unmarshal(arg, &n); err != nil || len(n) == 0 || slices.Contains(n, "") {
		return nil, errors.New("a separator or a list of separators is needed")
	}
	return n, nil
}

// splitStep: {split: "、"} or {split: ["、", ","]} makes a list; parts are trimmed, empty ones left out.
func splitStep(arg json.RawMessage) (step, error) {
	seps, err := separators(arg)
	if err != nil {
		return nil, err
	}
	return func(v any) (any, *fault) {
		text, ok := v.(string)
		if !ok {
			return v, nil
		}
		for _, s := range seps[1:] {
			text = strings.ReplaceAll(text, s, seps[0])
		}
		out := []any{}
		for part := range strings.SplitSeq(text, seps[0]) {
			if part = trim(part); part != "" {
				out = append(out, part)
			}
		}
		return out, nil
	}, nil
}

// joinStep: {join: "、"} makes one text of a list; absent and empty elements are left out.
func joinStep(arg json.RawMessage) (step, error) {
	var sep string
	if err := json.Unmarshal(arg, &sep); err != nil {
		return nil, errors.New("a text is needed")
	}
	return func(v any) (any, *fault) {
		list, ok := v.([]any)
		if !ok {
			return v, nil
		}
		var parts []string
		for _, e := range list {
			if !isEmpty(e) {
				parts = append(parts, textOf(e))
			}
		}
		if len(parts) == 0 {
			return nil, nil
		}
		return strings.Join(parts, sep), nil
	}, nil
}

var (
	yesWords = []string{"是", "有", "Y", "y", "yes", "true", "1", "√", "✓"}
	noWords  = []string{"否", "无", "N", "n", "no", "false", "0", "×"}
)

// boolSpec: {bool: {true: [已立案], false: [未立案]}}; without argument the usual words for yes and no.
type boolSpec struct {
	True  []string `json:"true"`
	False []string `json:"false"`
}

func (b boolSpec) step() (step, error) {
	if len(b.True) == 0 || len(b.False) == 0 {
		return nil, errors.New("words for true and for false are needed")
	}
	return each(func(v any) (any, *fault) {
		if _, ok := v.(bool); ok {
			return v, nil
		}
		word := trim(textOf(v))
		switch {
		case slices.Contains(b.True, word):
			return true, nil
		case slices.Contains(b.False, word):
			return false, nil
		}
		return nil, &fault{rule: "bool", shouldZh: "应为“" + b.True[0] + "”或“" + b.False[0] + "”", fixZh: "改为其中之一",
			shouldEn: fmt.Sprintf("must be %q or %q", b.True[0], b.False[0]), fixEn: "write one of them"}
	}), nil
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return raw, err
}
