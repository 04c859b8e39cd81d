package ctl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
)

// Contexts is the file contexts.yaml: named ways to reach a bus.
type Contexts struct {
	Current  string                      `json:"current"`
	Contexts map[string]api.ClientConfig `json:"contexts"`
}

// defaultContexts is contexts.yaml in the user's configuration folder.
func defaultContexts() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "contexts.yaml"
	}
	return filepath.Join(dir, "hutong", "contexts.yaml")
}

func (a *app) readContexts() (Contexts, error) {
	var c Contexts
	b, err := os.ReadFile(a.contexts)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%w: no contexts file at %s; name one with --contexts", errUsage, a.contexts)
	}
	if err != nil {
		return c, fmt.Errorf("read contexts: %w", err)
	}
	if err := yaml.UnmarshalStrict(b, &c); err != nil {
		return c, fmt.Errorf("%w: contexts file %s: %w", errUsage, a.contexts, err)
	}
	return c, nil
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

// client makes the client of the chosen context.
func (a *app) client() (*api.Client, error) {
	c, err := a.readContexts()
	if err != nil {
		return nil, err
	}
	name := a.context
	if name == "" {
		name = c.Current
	}
	config, ok := c.Contexts[name]
	if !ok {
		return nil, fmt.Errorf("%w: no context %q in %s; there are %v", errUsage, name, a.contexts, slices.Sorted(maps.Keys(c.Contexts)))
	}
	config.Language = a.language
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	return client, nil
}

func (a *app) contextCommand() *cobra.Command {
	noun := &cobra.Command{Use: "context", Short: "Named ways to reach a bus"}
	type row struct {
		Name    string   `json:"name"`
		Current bool     `json:"current"`
		Server  []string `json:"server"`
	}
	list := &cobra.Command{Use: "list", Short: "List contexts", Args: noArguments, RunE: func(*cobra.Command, []string) error {
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
	show := &cobra.Command{Use: "show NAME", Short: "Show a context, without its key", Args: arguments("NAME"), RunE: func(_ *cobra.Command, args []string) error {
		c, err := a.readContexts()
		if err != nil {
			return err
		}
		config, ok := c.Contexts[args[0]]
		if !ok {
			return api.Refuse(api.CodeNotFound, "no context %q", args[0])
		}
		if config.APIKey != "" {
			config.APIKey = "(set)"
		}
		return a.print(config)
	}}
	use := &cobra.Command{Use: "use NAME", Short: "Make a context the current one", Args: arguments("NAME"), RunE: func(_ *cobra.Command, args []string) error {
		c, err := a.readContexts()
		if err != nil {
			return err
		}
		if _, ok := c.Contexts[args[0]]; !ok {
			return api.Refuse(api.CodeNotFound, "no context %q", args[0])
		}
		c.Current = args[0]
		return a.writeContexts(c)
	}}
	var config api.ClientConfig
	add := &cobra.Command{Use: "add NAME", Short: "Add or replace a context", Args: arguments("NAME"), RunE: func(_ *cobra.Command, args []string) error {
		if len(config.Server) == 0 {
			return fmt.Errorf("%w: give at least one --server", errUsage)
		}
		c, err := a.readContexts()
		if err != nil && !errors.Is(err, errUsage) {
			return err
		}
		if c.Contexts == nil {
			c.Contexts = map[string]api.ClientConfig{}
		}
		c.Contexts[args[0]] = config
		if c.Current == "" {
			c.Current = args[0]
		}
		return a.writeContexts(c)
	}}
	f := add.Flags()
	f.StringSliceVar(&config.Server, "server", nil, "base address of a node, more than once for several")
	f.StringVar(&config.Public, "public", "", "base address of the public listener")
	f.StringVar(&config.CredentialFile, "credential-file", "", "file that holds the API key")
	f.StringVar(&config.CAFile, "ca-file", "", "PEM file of the authority to trust")
	f.StringVar(&config.CertFile, "cert-file", "", "PEM client certificate")
	f.StringVar(&config.KeyFile, "key-file", "", "PEM key of the client certificate")
	test := &cobra.Command{Use: "test", Short: "Ask the bus of the current context whether it is ready", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if err := c.Ready(cmd.Context()); err != nil {
			return err
		}
		fmt.Fprintln(a.out, "ready")
		return nil
	}}
	noun.AddCommand(list, show, use, add, test)
	return noun
}
