package ctl

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/tlog"
)

func (a *app) auditCommand() *cobra.Command {
	noun := &cobra.Command{Use: "audit", Short: "Trace and evidence 审计"}
	noun.AddCommand(a.traceCommand(), a.eventsCommand(), a.evidenceCommand(), a.trustCommand(), a.verifyCommand())
	return noun
}

func (a *app) printEvents(events []api.Event) error {
	return printRows(a, events, []string{"AT", "LEAF", "TYPE", "RESOURCE", "OFFSET", "VERSION", "SYSTEM", "OUTCOME", "REASONS", "GRANT"}, func(e api.Event) []any {
		return []any{e.At, e.Leaf, e.Type, e.Resource, e.Offset, e.Version, e.System, e.Outcome, e.ReasonCodes, e.Grant}
	})
}

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{Use: "trace RESOURCE KEY", Short: "The life of one record", Args: arguments("RESOURCE", "KEY"), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		events, err := c.Events(cmd.Context(), url.Values{"resource": {args[0]}, "key": {args[1]}})
		if err != nil {
			return err
		}
		return a.printEvents(events)
	}}
}

func (a *app) eventsCommand() *cobra.Command {
	q := map[string]*string{}
	cmd := &cobra.Command{Use: "events", Short: "Exchange events by filter", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		query := url.Values{}
		for name, v := range q {
			if *v != "" {
				query.Set(name, *v)
			}
		}
		events, err := c.Events(cmd.Context(), query)
		if err != nil {
			return err
		}
		return a.printEvents(events)
	}}
	for name, usage := range map[string]string{"resource": "only of this resource", "key": "only of this key, with --resource", "department": "only by this department", "type": "only of this type", "from": "from this time, RFC 3339", "to": "before this time, RFC 3339", "after": "after this leaf index"} {
		q[name] = cmd.Flags().String(name, "", usage)
	}
	return cmd
}

func (a *app) evidenceCommand() *cobra.Command {
	var file, grant string
	cmd := &cobra.Command{Use: "evidence RESOURCE KEY -o FILE", Short: "Write the evidence file of one record", Args: arguments("RESOURCE", "KEY"), RunE: func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return fmt.Errorf("%w: name the evidence file with -o", errUsage)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := c.Evidence(cmd.Context(), args[0], args[1], grant)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return fmt.Errorf("write evidence: %w", err)
		}
		fmt.Fprintf(a.out, "%s: %d bytes; verify it anywhere with hutongctl audit verify %s --trust TRUST\n", file, len(b), file)
		return nil
	}}
	cmd.Flags().StringVar(&file, "file", "", "file to write to (also -o FILE)")
	cmd.Flags().StringVar(&grant, "grant", "", "grant whose fields are opened, where there are several")
	fileAsOutput(a, cmd, &file)
	return cmd
}

func (a *app) trustCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "trust -o FILE", Short: "Write the trust file and print its fingerprints to compare on paper", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := c.Raw(cmd.Context(), nil, "audit", "trust")
		if err != nil {
			return err
		}
		trust, err := tlog.ParseTrust(b)
		if err != nil {
			return fmt.Errorf("read trust file: %w", err)
		}
		if file != "" {
			if err := os.WriteFile(file, b, 0o644); err != nil {
				return fmt.Errorf("write trust file: %w", err)
			}
		}
		fmt.Fprintln(a.out, "请与书面指纹逐一核对 / compare these with the paper:")
		return a.fingerprints(trust)
	}}
	cmd.Flags().StringVar(&file, "file", "", "file to write to (also -o FILE)")
	fileAsOutput(a, cmd, &file)
	return cmd
}

// fingerprints prints the fingerprint of each key of a trust file.
func (a *app) fingerprints(trust tlog.Trust) error {
	line := func(what, name, vkey string) error {
		f, err := tlog.Fingerprint(vkey)
		if err != nil {
			return fmt.Errorf("fingerprint of %s: %w", name, err)
		}
		fmt.Fprintf(a.out, "%s %s\n  %s\n", what, name, f)
		return nil
	}
	for _, l := range trust.Logs {
		if err := line("log 日志", l.VKey[:max(0, strings.IndexByte(l.VKey, '+'))], l.VKey); err != nil {
			return err
		}
	}
	for _, w := range trust.Witnesses {
		if err := line("node 节点", w.Name, w.VKey); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) verifyCommand() *cobra.Command {
	var trustFile string
	cmd := &cobra.Command{Use: "verify FILE --trust TRUST", Short: "Verify an evidence file; needs no server", Args: arguments("FILE"), RunE: func(_ *cobra.Command, args []string) error {
		if trustFile == "" {
			return fmt.Errorf("%w: name the trust file with --trust; it must come from paper or a medium you trust, not with the evidence", errUsage)
		}
		text, err := a.readFile(trustFile)
		if err != nil {
			return err
		}
		trust, err := tlog.ParseTrust(text)
		if err != nil {
			return fmt.Errorf("%w: trust file %s: %w", errUsage, trustFile, err)
		}
		b, err := a.readFile(args[0])
		if err != nil {
			return err
		}
		report, err := audit.Verify(bytes.NewReader(b), int64(len(b)), trust)
		if err != nil {
			return fmt.Errorf("%w: %w", errInvalidEvidence, err)
		}
		if a.output == "json" {
			if err := a.printJSON(report); err != nil {
				return err
			}
		} else {
			fmt.Fprint(a.out, report.Text(a.language))
		}
		switch report.Verdict {
		case audit.Valid:
			return nil
		case audit.NotCovered:
			return api.ErrNotCovered
		}
		return errInvalidEvidence
	}}
	cmd.Flags().StringVar(&trustFile, "trust", "", "trust file")
	return cmd
}
