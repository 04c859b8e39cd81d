package ctl

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

func (a *app) resourceCommand() *cobra.Command {
	noun := &cobra.Command{Use: "resource", Short: "Catalogue entries 数据资源"}
	noun.AddCommand(
		listOf(a, "list", nil, fixed("resources"), []string{"RESOURCE", "TITLE", "OWNER", "SHARING", "SCHEMA", "DISCLOSURE"}, func(r api.Resource) []any {
			return []any{r.Resource, r.Title.Zh, r.Owner, r.Sharing, r.SchemaVersion, r.Disclosure.Route}
		}),
		showCommand[api.Resource](a, "show RESOURCE", []string{"RESOURCE"}, under("resources")),
		putCommand(a, func(r api.Resource) []string { return []string{"resources", r.Resource} }, func(r *api.Resource) *uint64 { return &r.Revision }),
	)
	return noun
}

func (a *app) schemaCommand() *cobra.Command {
	noun := &cobra.Command{Use: "schema", Short: "Schema versions 模式版本"}
	list := listOf(a, "list RESOURCE", []string{"RESOURCE"}, func(args []string) []string { return []string{"resources", args[0], "schemas"} }, []string{"VERSION", "TITLE"}, func(s api.SchemaInfo) []any {
		return []any{s.Version, s.Title}
	})
	show := &cobra.Command{Use: "show RESOURCE VERSION", Short: "Print a schema", Args: arguments("RESOURCE", "VERSION"), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := c.Raw(cmd.Context(), nil, "resources", args[0], "schemas", args[1])
		if err != nil {
			return err
		}
		_, err = a.out.Write(append(b, '\n'))
		return err
	}}
	var file string
	register := &cobra.Command{Use: "register RESOURCE -f FILE", Short: "Register the next schema version", Args: arguments("RESOURCE"), RunE: func(cmd *cobra.Command, args []string) error {
		b, err := a.readSchema(file)
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		out, err := api.Post[api.SchemaInfo](cmd.Context(), c, json.RawMessage(b), "resources", args[0], "schemas")
		if err != nil {
			return err
		}
		return a.print(out)
	}}
	lint := &cobra.Command{Use: "lint -f FILE", Short: "Check a schema against the profile, without a server", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		b, err := a.readSchema(file)
		if err != nil {
			return err
		}
		findings := schemas.Lint(b)
		if len(findings) == 0 {
			fmt.Fprintln(a.out, "符合规范 / within the profile")
			return nil
		}
		p := api.Refuse(api.CodeSchemaRefused, "%d places are outside the profile", len(findings))
		for _, f := range findings {
			message := f.Zh
			if a.language == "en" {
				message = f.En
			}
			p.Errors = append(p.Errors, api.FieldError{Pointer: f.Pointer, Keyword: f.Rule, Code: f.Rule, Message: f.Pointer + ": " + message})
		}
		return p
	}}
	for _, cmd := range []*cobra.Command{register, lint} {
		cmd.Flags().StringVarP(&file, "file", "f", "", "file with the schema, JSON or YAML, - for standard input")
	}
	noun.AddCommand(list, show, register, lint)
	return noun
}

// readSchema reads a schema; YAML becomes JSON.
func (a *app) readSchema(file string) ([]byte, error) {
	b, err := a.readFile(file)
	if err != nil {
		return nil, err
	}
	if json.Valid(b) {
		return b, nil
	}
	out, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is neither JSON nor YAML: %w", errUsage, file, err)
	}
	return out, nil
}
