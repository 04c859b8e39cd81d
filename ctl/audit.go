package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
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
			return usage("请用 -o 指定证据文件", "name the evidence file with -o")
		}
		return a.change(cmd.Context(), act{zh: "把 " + args[1] + " 的证据写入 " + file, en: "write the evidence of " + args[1] + " to " + file,
			look: func(context.Context, *api.Client) error { return couldMake(file, false) },
			do: func(ctx context.Context, c *api.Client) error {
				n, err := fetchTo(file, 0o600, func() ([]byte, error) { return c.Evidence(ctx, args[0], args[1], grant) })
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(map[string]any{"done": true, "file": file, "bytes": n})
				}
				_, err = fmt.Fprintln(a.out, a.say(
					fmt.Sprintf("%s:%d 字节;在任何地方用 hutongctl audit verify %[1]s --trust TRUST 验证", file, n),
					fmt.Sprintf("%s: %d bytes; verify it anywhere with hutongctl audit verify %[1]s --trust TRUST", file, n)))
				return err
			},
		})
	}}
	cmd.Flags().StringVar(&file, "file", "", "file to write to (also -o FILE)")
	cmd.Flags().StringVar(&grant, "grant", "", "grant whose fields are opened, where there are several")
	fileAsOutput(a, cmd, &file)
	return cmd
}

// fetchTo writes over a file what fetch brings, having seen first that it can
// be written. It returns the length.
func fetchTo(name string, mode fs.FileMode, fetch func() ([]byte, error)) (int, error) {
	file, err := overFile(name, mode)
	if err != nil {
		return 0, err
	}
	defer file.close()
	b, err := fetch()
	if err != nil {
		return 0, err
	}
	return len(b), file.write(b)
}

func (a *app) trustCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "trust -o FILE", Short: "Write the trust file and print its fingerprints to compare on paper", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		var trust tlog.Trust
		fetch := func(ctx context.Context, c *api.Client) (b []byte, err error) {
			if b, err = c.Raw(ctx, nil, "audit", "trust"); err != nil {
				return nil, err
			}
			if trust, err = tlog.ParseTrust(b); err != nil {
				return nil, fmt.Errorf("read trust file: %w", err)
			}
			return b, nil
		}
		if file == "" {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := fetch(cmd.Context(), c); err != nil {
				return err
			}
			return a.fingerprints(trust, "")
		}
		return a.change(cmd.Context(), act{zh: "把信任文件写入 " + file, en: "write the trust file to " + file,
			look: func(context.Context, *api.Client) error { return couldMake(file, false) },
			do: func(ctx context.Context, c *api.Client) error {
				if _, err := fetchTo(file, 0o644, func() ([]byte, error) { return fetch(ctx, c) }); err != nil {
					return err
				}
				return a.fingerprints(trust, file)
			},
		})
	}}
	cmd.Flags().StringVar(&file, "file", "", "file to write to; the same as -o FILE")
	fileAsOutput(a, cmd, &file)
	return cmd
}

// fingerprint is one key of a trust file as people compare it.
type fingerprint struct {
	Kind        string `json:"kind"` // log or node
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

// fingerprints prints the fingerprint of each key of a trust file, which is in
// file unless that is empty.
func (a *app) fingerprints(trust tlog.Trust, file string) error {
	var keys []fingerprint
	add := func(kind, name, vkey string) error {
		f, err := tlog.Fingerprint(vkey)
		if err != nil {
			return fmt.Errorf("fingerprint of %s: %w", name, err)
		}
		keys = append(keys, fingerprint{Kind: kind, Name: name, Fingerprint: f})
		return nil
	}
	for _, l := range trust.Logs {
		if err := add("log", l.VKey[:max(0, strings.IndexByte(l.VKey, '+'))], l.VKey); err != nil {
			return err
		}
	}
	for _, w := range trust.Witnesses {
		if err := add("node", w.Name, w.VKey); err != nil {
			return err
		}
	}
	if a.output == "json" {
		answer := map[string]any{"keys": keys}
		if file != "" {
			answer["file"], answer["done"] = file, true
		}
		return a.printJSON(answer)
	}
	fmt.Fprintln(a.out, "请与书面指纹逐一核对 / compare these with the paper:")
	for _, k := range keys {
		kind := map[string]string{"log": "log 日志", "node": "node 节点"}[k.Kind]
		fmt.Fprintf(a.out, "%s %s\n  %s\n", kind, k.Name, k.Fingerprint)
	}
	return nil
}

// readTrust reads a trust file, whose line ends and byte order mark an editor
// may have changed.
func (a *app) readTrust(name string) (tlog.Trust, error) {
	text, err := a.readFile(name)
	if err != nil {
		return tlog.Trust{}, notJudged("信任文件读不到", "the trust file cannot be read", err)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	trust, err := tlog.ParseTrust(text)
	if err != nil {
		return trust, notJudged("信任文件 "+name+" 不能用", "the trust file "+name+" cannot be used", err)
	}
	return trust, nil
}

// notJudged says that evidence was neither found valid nor invalid.
func notJudged(zh, en string, err error) error {
	zhWhy, enWhy := err.Error(), err.Error()
	var u *usageError
	if errors.As(err, &u) {
		zhWhy, enWhy = u.zh, u.en
	}
	return &usageError{zh: zh + ",证据未作判断:" + zhWhy, en: en + ", so the evidence was not judged: " + enWhy}
}

func (a *app) verifyCommand() *cobra.Command {
	var trustFile string
	cmd := &cobra.Command{Use: "verify FILE --trust TRUST", Short: "Verify an evidence file; needs no server", Args: arguments("FILE"), RunE: func(_ *cobra.Command, args []string) error {
		if trustFile == "" {
			return usage("请用 --trust 指定信任文件;它须来自书面或可信介质,不能与证据同来", "name the trust file with --trust; it must come from paper or a medium you trust, not with the evidence")
		}
		trust, err := a.readTrust(trustFile)
		if err != nil {
			return err
		}
		b, err := a.readFile(args[0])
		if err != nil {
			return notJudged("证据文件读不到", "the evidence file cannot be read", err)
		}
		report, err := audit.Verify(bytes.NewReader(b), int64(len(b)), trust)
		if err != nil {
			return notJudged("信任文件 "+trustFile+" 不能用", "the trust file "+trustFile+" cannot be used", err)
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
	cmd.Annotations = map[string]string{annotationVerdict: "yes"}
	return cmd
}
