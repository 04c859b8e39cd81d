package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
)

// Contexts is the file contexts.yaml: named ways to reach a bus. Relative names
// of files in it are below its own folder.
type Contexts struct {
	Current  string                      `json:"current"`
	Contexts map[string]api.ClientConfig `json:"contexts"`
}

// errNoContexts is returned when there is no contexts file yet.
var errNoContexts = errors.New("no contexts file")

// defaultContexts is contexts.yaml in the user's configuration folder.
func defaultContexts() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "contexts.yaml"
	}
	return filepath.Join(dir, "hutong", "contexts.yaml")
}

func (a *app) readContexts() (Contexts, error) {
	b, err := os.ReadFile(a.contexts)
	if errors.Is(err, fs.ErrNotExist) {
		return Contexts{}, fmt.Errorf("%w: %w", errNoContexts, usage("没有上下文文件 %s;请用 --contexts 指定", "no contexts file at %s; name one with --contexts", a.contexts))
	}
	if err != nil {
		return Contexts{}, fmt.Errorf("read contexts: %w", err)
	}
	return decodeObject[Contexts](a.contexts, b)
}

// writeContexts replaces the file whole: it holds keys, so only its owner may
// read it.
func (a *app) writeContexts(c Contexts) error {
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode contexts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(a.contexts), 0o700); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	if err := os.WriteFile(a.contexts+".tmp", b, 0o600); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	if err := os.Rename(a.contexts+".tmp", a.contexts); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	return nil
}

// files are the members of a context that name files.
func files(c *api.ClientConfig) []*string {
	return []*string{&c.CredentialFile, &c.CAFile, &c.CertFile, &c.KeyFile}
}

// keepFiles turns names relative to the current folder, as they are given on
// the command line, into names that mean the same in the contexts file: below
// its folder where they are, so that the folder can move, else absolute.
func (a *app) keepFiles(c *api.ClientConfig) error {
	dir, err := filepath.Abs(filepath.Dir(a.contexts))
	if err != nil {
		return fmt.Errorf("find the contexts' folder: %w", err)
	}
	for _, f := range files(c) {
		if *f == "" || filepath.IsAbs(*f) {
			continue
		}
		if *f, err = filepath.Abs(*f); err != nil {
			return fmt.Errorf("find %s: %w", *f, err)
		}
		if rel, err := filepath.Rel(dir, *f); err == nil && filepath.IsLocal(rel) {
			*f = rel
		}
	}
	return nil
}

// chosen is the context to use, and its name.
func (a *app) chosen() (string, api.ClientConfig, error) {
	c, err := a.readContexts()
	if err != nil {
		return "", api.ClientConfig{}, err
	}
	name := a.context
	if name == "" {
		name = c.Current
	}
	config, ok := c.Contexts[name]
	if !ok {
		return "", config, usage("没有上下文 %q,%s 中有:%s", "no context %q in %s, which has: %s", name, a.contexts, strings.Join(slices.Sorted(maps.Keys(c.Contexts)), " "))
	}
	for _, f := range files(&config) {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(filepath.Dir(a.contexts), *f)
		}
	}
	return name, config, nil
}

// client makes the client of the chosen context.
func (a *app) client() (*api.Client, error) {
	name, config, err := a.chosen()
	if err != nil {
		return nil, err
	}
	config.Language, config.Timeout = a.language, a.timeout
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	return client, nil
}

// named reads the contexts, of which there must be one of that name.
func (a *app) named(name string) (Contexts, error) {
	c, err := a.readContexts()
	if err != nil {
		return c, err
	}
	if _, ok := c.Contexts[name]; !ok {
		return c, api.Refuse(api.CodeNotFound, "没有上下文 %[1]q / no context %[1]q", name)
	}
	return c, nil
}

func (a *app) contextCommand() *cobra.Command {
	noun := &cobra.Command{Use: "context", Short: "Named ways to reach a bus 上下文"}
	show := &cobra.Command{Use: "show NAME", Short: "Show a context, without its key", Args: arguments("NAME"), RunE: func(_ *cobra.Command, args []string) error {
		c, err := a.named(args[0])
		if err != nil {
			return err
		}
		config := c.Contexts[args[0]]
		if config.APIKey != "" {
			config.APIKey = "(set)"
		}
		return a.print(config)
	}}
	use := &cobra.Command{Use: "use NAME", Short: "Make a context the current one", Args: arguments("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.named(args[0])
		if err != nil {
			return err
		}
		c.Current = args[0]
		return a.change(cmd.Context(), a.writing(c, "改用上下文 "+args[0], "use context "+args[0]))
	}}
	noun.AddCommand(a.contextListCommand(), show, use, a.contextAddCommand(), a.contextTestCommand())
	return noun
}

// writing is the act of writing the contexts file.
func (a *app) writing(c Contexts, zh, en string) act {
	return act{zh: zh, en: en, local: true, do: func(context.Context, *api.Client) error {
		if err := a.writeContexts(c); err != nil {
			return err
		}
		return a.done(zh, en, nil)
	}}
}

func (a *app) contextListCommand() *cobra.Command {
	type row struct {
		Name    string   `json:"name"`
		Current bool     `json:"current"`
		Server  []string `json:"server"`
	}
	return &cobra.Command{Use: "list", Short: "List contexts", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		c, err := a.readContexts()
		if err != nil {
			return err
		}
		var rows []row
		for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
			rows = append(rows, row{Name: name, Current: name == c.Current, Server: c.Contexts[name].Server})
		}
		return printRows(a, rows, []string{"NAME", "CURRENT", "SERVER"}, func(r row) []any { return []any{r.Name, r.Current, r.Server} })
	}}
}

func (a *app) contextAddCommand() *cobra.Command {
	var config api.ClientConfig
	add := &cobra.Command{Use: "add NAME --server ADDRESS", Short: "Add or replace a context", Args: arguments("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		if len(config.Server) == 0 {
			return usage("至少要有一个 --server", "give at least one --server")
		}
		c, err := a.readContexts()
		if err != nil && !errors.Is(err, errNoContexts) {
			return err
		}
		if err := a.keepFiles(&config); err != nil {
			return err
		}
		if c.Contexts == nil {
			c.Contexts = map[string]api.ClientConfig{}
		}
		c.Contexts[args[0]] = config
		if c.Current == "" {
			c.Current = args[0]
		}
		return a.change(cmd.Context(), a.writing(c, "写入上下文 "+args[0], "write context "+args[0]))
	}}
	f := add.Flags()
	f.StringSliceVar(&config.Server, "server", nil, "base address of a node, more than once for several")
	f.StringVar(&config.Public, "public", "", "base address of the public listener")
	f.StringVar(&config.CredentialFile, "credential-file", "", "file that holds the API key")
	f.StringVar(&config.CAFile, "ca-file", "", "PEM file of the authority to trust")
	f.StringVar(&config.CertFile, "cert-file", "", "PEM client certificate")
	f.StringVar(&config.KeyFile, "key-file", "", "PEM key of the client certificate")
	return add
}

func (a *app) contextTestCommand() *cobra.Command {
	return &cobra.Command{Use: "test", Short: "Ask the bus of the current context whether it is ready", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		name, _, err := a.chosen()
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Ready(cmd.Context()); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]any{"context": name, "ready": true})
		}
		_, err = fmt.Fprintln(a.out, "ready")
		return err
	}}
}
