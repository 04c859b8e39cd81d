package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

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
	dryRun     bool
	yes        bool
}

// annotationFile marks commands on which -o names a file.
const annotationFile = "file"

// errUsage is returned when the command line itself is wrong.
var errUsage = errors.New("usage")

// errRefusedRecords is returned when some records of a batch were rejected.
var errRefusedRecords = errors.New("some records were rejected")

// errInvalidEvidence is returned when evidence does not hold.
var errInvalidEvidence = errors.New("the evidence is not valid")

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
	err := root.ExecuteContext(ctx)
	if err == nil {
		return api.ExitDone
	}
	a.explain(err)
	switch {
	case errors.Is(err, errUsage), errors.Is(err, errRefusedRecords), errors.Is(err, errInvalidEvidence):
		return api.ExitRefused
	}
	return api.ExitCode(err)
}

// explain prints an error for a person: the problem, each reason, the next
// step where one is known.
func (a *app) explain(err error) {
	var p *api.Problem
	if !errors.As(err, &p) {
		fmt.Fprintf(a.err, "hutongctl: %v\n", err)
		return
	}
	fmt.Fprintf(a.err, "hutongctl: %s (%s): %s\n", p.Title, p.Code, p.Detail)
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
			if cmd.Annotations[annotationFile] != "" && a.output != "table" && a.output != "json" {
				a.fileOutput, a.output = a.output, "table"
			}
			if a.output != "table" && a.output != "json" {
				return fmt.Errorf("%w: -o is table or json", errUsage)
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	f.StringVar(&a.context, "context", "", "context to use instead of the current one")
	f.StringVar(&a.contexts, "contexts", a.contexts, "file of contexts, or the environment's HUTONG_CONTEXTS")
	f.StringVar(&a.language, "lang", "zh", "language of messages: zh or en")
	f.BoolVar(&a.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.BoolVar(&a.yes, "yes", false, "do not ask before destroying something")
	root.AddCommand(a.contextCommand(), a.departmentCommand(), a.groupCommand(), a.systemCommand(), a.credentialCommand(),
		a.resourceCommand(), a.schemaCommand(), a.grantCommand(), a.recordCommand(), a.quarantineCommand(),
		a.subscriptionCommand(), a.publicationCommand(), a.auditCommand(), a.clusterCommand(), a.versionCommand())
	requireVerbs(root)
	return root
}

// requireVerbs makes a noun without a known verb an error instead of help.
func requireVerbs(root *cobra.Command) {
	for _, noun := range root.Commands() {
		if noun.Run != nil || noun.RunE != nil {
			continue
		}
		noun.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return fmt.Errorf("%w: %s has no verb %q; see hutongctl %s --help", errUsage, cmd.Name(), args[0], cmd.Name())
		}
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		fmt.Fprintf(a.out, "hutongctl %s\n", a.version)
		return nil
	}}
}

// arguments wants exactly the named arguments.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return fmt.Errorf("%w: %s wants %s", errUsage, cmd.CommandPath(), strings.Join(names, " "))
		}
		return nil
	}
}

var noArguments = arguments()

// confirm asks before something is destroyed, unless --yes. With --dry-run it
// says what would happen and is false.
func (a *app) confirm(act string) (bool, error) {
	if a.dryRun {
		fmt.Fprintf(a.out, "would %s\n", act)
		return false, nil
	}
	if a.yes {
		return true, nil
	}
	fmt.Fprintf(a.err, "%s? Type yes: ", act)
	var answer string
	if _, err := fmt.Fscanln(a.in, &answer); err != nil || answer != "yes" {
		return false, fmt.Errorf("%w: not confirmed; add --yes to go ahead", errUsage)
	}
	return true, nil
}
