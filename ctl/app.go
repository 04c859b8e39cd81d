package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
)

// Options are what the main chooses.
type Options struct {
	Version  string
	Contexts string // path of contexts.yaml; empty: in the user's configuration folder
}

// app is one run of the program: its streams and global flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	version  string

	output string // table or json
	// fileOutput is what -o said on a command whose answer is a file.
	fileOutput string
	context    string
	contexts   string // path of contexts.yaml
	language   string
	timeout    time.Duration // how long the nodes are tried in turn
	dryRun     bool
	yes        bool
}

// Annotations of commands.
const (
	annotationFile    = "file"    // -o names a file
	annotationVerdict = "verdict" // exit code 2 is kept for what was judged invalid
)

// errUsage is returned when the command line itself is wrong.
var errUsage = errors.New("usage")

// errRefusedRecords is returned when some records of a batch were rejected.
var errRefusedRecords = errors.New("有记录未被接受 / some records were rejected")

// errInvalidEvidence is returned when evidence does not hold.
var errInvalidEvidence = errors.New("证据无效 / the evidence is not valid")

// errOutsideProfile is returned when a schema breaks a rule of the profile.
var errOutsideProfile = errors.New("模式不合规范 / the schema is outside the profile")

// Exec runs one command line and returns the exit code.
func Exec(ctx context.Context, o Options, args []string, in io.Reader, out, errs io.Writer) int {
	a := &app{in: in, out: out, err: errs, version: o.Version, contexts: o.Contexts}
	if a.contexts == "" {
		a.contexts = defaultContexts()
	}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return api.ExitDone
	}
	a.explain(err)
	switch {
	case errors.Is(err, errUsage) && cmd.Annotations[annotationVerdict] != "":
		return api.ExitInternal
	case errors.Is(err, errUsage), errors.Is(err, errRefusedRecords), errors.Is(err, errInvalidEvidence), errors.Is(err, errOutsideProfile):
		return api.ExitRefused
	}
	return api.ExitCode(err)
}

// explain prints an error for a person: the problem, each reason, the next
// step where one is known.
func (a *app) explain(err error) {
	var u *usageError
	if errors.As(err, &u) {
		fmt.Fprintf(a.err, "hutongctl: %s\n", u.in(a.language))
		return
	}
	var p *api.Problem
	if !errors.As(err, &p) {
		text := err.Error()
		if a.language == "en" {
			text = api.In("en", text)
		}
		fmt.Fprintf(a.err, "hutongctl: %s\n", text)
		return
	}
	detail := p.Detail
	if a.language == "en" {
		detail = api.In("en", detail)
	}
	fmt.Fprintf(a.err, "hutongctl: %s (%s): %s\n", p.Title, p.Code, detail)
	for _, e := range p.Errors {
		fmt.Fprintf(a.err, "  - %s\n", sentence(e))
	}
	if p.More > 0 {
		fmt.Fprintf(a.err, "  … %d more\n", p.More)
	}
}

// sentence is the message of a reason, or its rule where it has none.
func sentence(e api.FieldError) string {
	if e.Message != "" {
		return e.Message
	}
	return strings.TrimSpace(e.Keyword + " " + e.Code)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "hutongctl",
		Short:         "互通 Hutong: the exchange bus from the command line",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if a.language != "zh" && a.language != "en" {
				return usage("--lang 只能是 zh 或 en,不能是 %q", "--lang is zh or en, not %q", a.language)
			}
			if cmd.Annotations[annotationFile] != "" && a.output != "table" && a.output != "json" {
				a.fileOutput, a.output = a.output, "table"
			}
			if a.output != "table" && a.output != "json" {
				return usage("-o 只能是 table 或 json,不能是 %q", "-o is table or json, not %q", a.output)
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "table or json; a file name on commands that write FILE or BUNDLE")
	f.StringVar(&a.context, "context", "", "context to use instead of the current one")
	f.StringVar(&a.contexts, "contexts", a.contexts, "file of contexts, or the environment's HUTONG_CONTEXTS")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to try the nodes in turn before giving up")
	f.StringVar(&a.language, "lang", "zh", "language of messages: zh or en")
	f.BoolVar(&a.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.BoolVar(&a.yes, "yes", false, "do not ask before destroying something")
	root.AddCommand(a.contextCommand(), a.departmentCommand(), a.groupCommand(), a.systemCommand(), a.credentialCommand(),
		a.resourceCommand(), a.schemaCommand(), a.grantCommand(), a.recordCommand(), a.quarantineCommand(),
		a.subscriptionCommand(), a.publicationCommand(), a.auditCommand(), a.clusterCommand(), a.versionCommand())
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	requireVerbs(root)
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		if a.output == "json" {
			return a.printJSON(map[string]string{"version": a.version})
		}
		_, err := fmt.Fprintf(a.out, "hutongctl %s\n", a.version)
		return err
	}}
}
