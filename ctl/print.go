package ctl

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// print writes one object: JSON, or YAML for people.
func (a *app) print(v any) error {
	if a.output == "json" {
		return a.printJSON(v)
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("print answer: %w", err)
	}
	_, err = a.out.Write(b)
	return err
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printRows writes a list: a JSON array, or a table for people.
func printRows[T any](a *app, rows []T, head []string, cells func(T) []any) error {
	if a.output == "json" {
		if rows == nil {
			rows = []T{}
		}
		return a.printJSON(rows)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, r := range rows {
		values := cells(r)
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = cell(v)
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	return w.Flush()
}

// cell is one value of a table. A tab or line end would break the table.
func cell(v any) string {
	s := fmt.Sprint(v)
	if list, ok := v.([]string); ok {
		s = strings.Join(list, ",")
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}
