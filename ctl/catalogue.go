package ctl

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

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
		return a.change(cmd.Context(), act{zh: "为 " + args[0] + " 登记模式", en: "register a schema of " + args[0], look: exists("resources", args[0]),
			do: posting[api.SchemaInfo](a, json.RawMessage(b), "resources", args[0], "schemas")})
	}}
	lint := &cobra.Command{Use: "lint -f FILE", Short: "Check a schema against the profile, without a server", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		b, err := a.readSchema(file)
		if err != nil {
			return err
		}
		return a.lint(schemas.Lint(b))
	}}
	for _, cmd := range []*cobra.Command{register, lint} {
		cmd.Flags().StringVarP(&file, "file", "f", "", "file with the schema, JSON or YAML, - for standard input")
	}
	noun.AddCommand(list, show, register, lint)
	return noun
}

// lint prints what was found. Advice does not make a schema invalid.
func (a *app) lint(findings schemas.Findings) error {
	if a.output == "json" {
		if findings == nil {
			findings = schemas.Findings{}
		}
		if err := a.printJSON(map[string]any{"valid": !findings.Refused(), "findings": findings}); err != nil {
			return err
		}
		if findings.Refused() {
			return errOutsideProfile
		}
		return nil
	}
	var refused []api.FieldError
	for _, f := range findings {
		message := f.Zh
		if a.language == "en" {
			message = f.En
		}
		message = f.Place() + ": " + message
		if f.Advice {
			fmt.Fprintf(a.out, "%s: %s\n", a.say("建议", "advice"), message)
			continue
		}
		refused = append(refused, api.FieldError{Pointer: f.Pointer, Keyword: f.Rule, Code: f.Rule, Message: message})
	}
	if len(refused) > 0 {
		p := api.Refuse(api.CodeSchemaRefused, "%[1]d处不合规范 / %[1]d places are outside the profile", len(refused))
		p.Errors = refused
		return p
	}
	_, err := fmt.Fprintln(a.out, a.say("符合规范", "within the profile"))
	return err
}

// readSchema reads a schema; YAML becomes JSON.
func (a *app) readSchema(file string) ([]byte, error) {
	b, err := a.readFile(file)
	if err != nil {
		return nil, err
	}
	return toJSON(file, b)
}
