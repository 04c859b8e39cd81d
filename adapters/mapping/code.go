package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// codeTable translates the words of a source into codes of the resource.
type codeTable struct {
	// Values maps what stands in the source to the code.
	Values map[string]string `json:"values"`
	// Unknown says what happens to anything else: refuse (default), pass, drop.
	Unknown string `json:"unknown,omitempty"`
	// Other, if set, is the code for anything else.
	Other string `json:"other,omitempty"`

	name string
}

func (t *codeTable) check() []error {
	var faults []error
	if len(t.Values) == 0 {
		faults = append(faults, errors.New("values: at least one is needed"))
	}
	switch t.Unknown {
	case "", "refuse", "pass", "drop":
	default:
		faults = append(faults, fmt.Errorf("unknown: %q is not refuse, pass or drop", t.Unknown))
	}
	if t.Other != "" && t.Unknown != "" {
		faults = append(faults, errors.New("unknown and other exclude each other"))
	}
	return faults
}

// codeStep: {code: table} names a table of the file's `codes`.
func (c *compiler) codeStep(arg json.RawMessage) (step, error) {
	var name string
	if err := json.Unmarshal(arg, &name); err != nil {
		return nil, errors.New("the name of a table under codes is needed")
	}
	t, ok := c.codes[name]
	if !ok {
		return nil, fmt.Errorf("there is no table %q under codes", name)
	}
	c.used[name] = true
	return each(t.translate), nil
}

// shownCodes is how many permitted words a refusal names.
const shownCodes = 8

func (t *codeTable) translate(v any) (any, *fault) {
	word := textOf(v)
	if code, ok := t.Values[word]; ok {
		return code, nil
	}
	switch {
	case t.Other != "":
		return t.Other, nil
	case t.Unknown == "pass":
		return v, nil
	case t.Unknown == "drop":
		return nil, nil
	}
	permitted := sortedKeys(t.Values)
	slices.SortFunc(permitted, func(a, b string) int { return len(a) - len(b) })
	more := ""
	if len(permitted) > shownCodes {
		permitted, more = permitted[:shownCodes], "…"
	}
	list := strings.Join(permitted, "、") + more
	return nil, &fault{rule: "code", shouldZh: "应为代码表“" + t.name + "”中的值", fixZh: "改为" + list + "之一",
		shouldEn: fmt.Sprintf("must be a value of code table %q", t.name), fixEn: "use one of " + strings.Join(permitted, ", ") + more}
}
