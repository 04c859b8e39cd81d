package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
)

// putObject reads an object from a file and writes it over what is there. The
// file's revision, where it has one, is the precondition; otherwise what is
// there now is.
func putObject[T any](ctx context.Context, a *app, file string, path func(T) []string, revision func(*T) *uint64) error {
	object, err := readObject[T](a, file)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	rev := revision(&object)
	if *rev == 0 {
		now, err := api.Object[T](ctx, c, path(object)...)
		var p *api.Problem
		switch {
		case err == nil:
			*rev = *revision(&now)
		case errors.As(err, &p) && p.Code == api.CodeNotFound:
		default:
			return err
		}
	}
	if a.dryRun {
		where := strings.Join(path(object), "/")
		return a.would(fmt.Sprintf("写入 %s,覆盖修订 %d", where, *rev), fmt.Sprintf("write %s over revision %d", where, *rev))
	}
	out, err := api.Put(ctx, c, object, *rev, path(object)...)
	if err != nil {
		return err
	}
	return a.print(out)
}

// showCommand reads one object.
func showCommand[T any](a *app, use string, names []string, path func(args []string) []string) *cobra.Command {
	return &cobra.Command{Use: use, Short: "Show one", Args: arguments(names...), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		v, err := api.Object[T](cmd.Context(), c, path(args)...)
		if err != nil {
			return err
		}
		return a.print(v)
	}}
}

// putCommand writes one object from a file.
func putCommand[T any](a *app, path func(T) []string, revision func(*T) *uint64) *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "put -f FILE", Short: "Write one from a YAML or JSON file", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		return putObject(cmd.Context(), a, file, path, revision)
	}}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the object, - for standard input")
	return cmd
}

// listOf makes a list command.
func listOf[T any](a *app, use string, names []string, path func(args []string) []string, head []string, cells func(T) []any) *cobra.Command {
	return &cobra.Command{Use: use, Short: "List", Args: arguments(names...), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		rows, err := api.List[T](cmd.Context(), c, nil, path(args)...)
		if err != nil {
			return err
		}
		return printRows(a, rows, head, cells)
	}}
}

func fixed(path ...string) func([]string) []string { return func([]string) []string { return path } }

func under(path ...string) func([]string) []string {
	return func(args []string) []string { return append(append([]string{}, path...), args...) }
}

func (a *app) departmentCommand() *cobra.Command {
	noun := &cobra.Command{Use: "department", Short: "Departments 部门"}
	noun.AddCommand(
		listOf(a, "list", nil, fixed("departments"), []string{"CODE", "NAME", "KIND", "LEVEL", "REGION", "USCC"}, func(d api.Department) []any {
			return []any{d.Code, d.Name, d.Kind, d.Level, d.Region, d.USCC}
		}),
		showCommand[api.Department](a, "show DEPARTMENT", []string{"DEPARTMENT"}, under("departments")),
		putCommand(a, func(d api.Department) []string { return []string{"departments", d.Code} }, func(d *api.Department) *uint64 { return &d.Revision }),
	)
	return noun
}

func (a *app) groupCommand() *cobra.Command {
	noun := &cobra.Command{Use: "group", Short: "Groups of departments 部门组"}
	noun.AddCommand(
		listOf(a, "list", nil, fixed("groups"), []string{"CODE", "NAME", "DEPARTMENTS"}, func(g api.Group) []any { return []any{g.Code, g.Name, []string(g.Departments)} }),
		showCommand[api.Group](a, "show GROUP", []string{"GROUP"}, under("groups")),
		putCommand(a, func(g api.Group) []string { return []string{"groups", g.Code} }, func(g *api.Group) *uint64 { return &g.Revision }),
	)
	return noun
}

// systemPath splits "<department>.<system>".
func systemPath(name string, rest ...string) ([]string, error) {
	department, system, ok := strings.Cut(name, ".")
	if !ok {
		return nil, usage("系统写作 DEPARTMENT.SYSTEM,不能是 %q", "a system is named DEPARTMENT.SYSTEM, not %q", name)
	}
	return append([]string{"departments", department, "systems", system}, rest...), nil
}

func (a *app) systemCommand() *cobra.Command {
	noun := &cobra.Command{Use: "system", Short: "Departments' systems 系统"}
	show := &cobra.Command{Use: "show DEPARTMENT.SYSTEM", Short: "Show one", Args: arguments("DEPARTMENT.SYSTEM"), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := systemPath(args[0])
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		v, err := api.Object[api.System](cmd.Context(), c, path...)
		if err != nil {
			return err
		}
		return a.print(v)
	}}
	noun.AddCommand(
		listOf(a, "list DEPARTMENT", []string{"DEPARTMENT"}, func(args []string) []string { return []string{"departments", args[0], "systems"} }, []string{"SYSTEM", "NAME", "ROLES", "RESOURCES"}, func(s api.System) []any {
			return []any{s.FullName(), s.Name, []string(s.Roles), []string(s.Resources)}
		}),
		show,
		putCommand(a, func(s api.System) []string { return []string{"departments", s.Department, "systems", s.Code} }, func(s *api.System) *uint64 { return &s.Revision }),
		a.fenceCommand(),
	)
	return noun
}

func (a *app) fenceCommand() *cobra.Command {
	var epoch uint64
	fence := &cobra.Command{Use: "fence DEPARTMENT.SYSTEM", Short: "Refuse older epochs of a system's producers from now on", Args: arguments("DEPARTMENT.SYSTEM"), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := systemPath(args[0])
		if err != nil {
			return err
		}
		return a.change(cmd.Context(), act{
			zh: "隔断系统 " + args[0] + " 的旧生产者", en: "fence the producers of " + args[0], destroys: true,
			look: exists(path...),
			do:   posting[map[string]any](a, map[string]uint64{"epoch": epoch}, append(path, "fence")...),
		})
	}}
	fence.Flags().Uint64Var(&epoch, "epoch", 0, "least epoch accepted from now on; 0: one above all seen")
	return fence
}

func (a *app) credentialCommand() *cobra.Command {
	noun := &cobra.Command{Use: "credential", Short: "Systems' credentials 凭证"}
	list := &cobra.Command{Use: "list DEPARTMENT.SYSTEM", Short: "List credentials, without secrets", Args: arguments("DEPARTMENT.SYSTEM"), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := systemPath(args[0], "credentials")
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		rows, err := api.List[api.Credential](cmd.Context(), c, nil, path...)
		if err != nil {
			return err
		}
		return printRows(a, rows, []string{"ID", "KIND", "SCOPES", "NOT AFTER", "REVOKED"}, func(c api.Credential) []any {
			return []any{c.ID, c.Kind, c.Scopes, c.NotAfter, c.Revoked}
		})
	}}
	revoke := &cobra.Command{Use: "revoke DEPARTMENT.SYSTEM ID", Short: "Revoke a credential", Args: arguments("DEPARTMENT.SYSTEM", "ID"), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := systemPath(args[0], "credentials")
		if err != nil {
			return err
		}
		zh, en := "吊销 "+args[0]+" 的凭证 "+args[1], "revoke credential "+args[1]+" of "+args[0]
		return a.change(cmd.Context(), act{zh: zh, en: en, destroys: true,
			look: func(ctx context.Context, c *api.Client) error {
				all, err := api.List[api.Credential](ctx, c, nil, path...)
				if err == nil && !slices.ContainsFunc(all, func(c api.Credential) bool { return c.ID == args[1] }) {
					err = api.Refuse(api.CodeNotFound, "%[1]s 没有凭证 %[2]s / %[1]s has no credential %[2]s", args[0], args[1])
				}
				return err
			},
			do: a.deleting(zh, en, append(path, args[1])...),
		})
	}}
	noun.AddCommand(a.issueCommand(), list, revoke)
	return noun
}

func (a *app) issueCommand() *cobra.Command {
	var in api.CredentialRequest
	var secretFile string
	issue := &cobra.Command{Use: "issue DEPARTMENT.SYSTEM", Short: "Issue a credential; its secret is shown once", Args: arguments("DEPARTMENT.SYSTEM"), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := systemPath(args[0])
		if err != nil {
			return err
		}
		return a.change(cmd.Context(), act{zh: "为 " + args[0] + " 签发凭证", en: "issue a credential of " + args[0],
			look: func(ctx context.Context, c *api.Client) error {
				if secretFile != "" {
					if err := couldMake(secretFile, true); err != nil {
						return err
					}
				}
				return exists(path...)(ctx, c)
			},
			do: func(ctx context.Context, c *api.Client) error {
				return a.issue(ctx, c, in, secretFile, append(path, "credentials")...)
			},
		})
	}}
	f := issue.Flags()
	f.StringVar(&secretFile, "secret-file", "", "write the secret to this new file instead of printing it")
	f.StringVar(&in.Kind, "kind", "api_key", "api_key or certificate")
	f.StringSliceVar(&in.Scopes, "scope", nil, "role that the credential is narrowed to, more than once for several")
	f.StringVar(&in.NotAfter, "not-after", "", "end, RFC 3339; empty: one year")
	return issue
}

// issue asks for a credential once there is a place for its secret, which the
// bus says only once.
func (a *app) issue(ctx context.Context, c *api.Client, in api.CredentialRequest, secretFile string, path ...string) error {
	if secretFile == "" {
		return posting[api.Credential](a, in, path...)(ctx, c)
	}
	file, err := newFile(secretFile)
	if err != nil {
		return err
	}
	defer file.close()
	out, err := api.Post[api.Credential](ctx, c, in, path...)
	if err != nil {
		return err
	}
	// Certificate and key, or the API key: what the client config takes.
	if err := file.write([]byte(out.Secret + out.Certificate + out.Key + "\n")); err != nil {
		// Printed after all: it could never be had again.
		return errors.Join(err, a.print(out))
	}
	out.Secret, out.Key = "(in "+secretFile+")", ""
	return a.print(out)
}
