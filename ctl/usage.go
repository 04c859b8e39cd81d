package ctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError says in both languages what is wrong with a command line or with
// a file that it names. It is errUsage.
type usageError struct{ zh, en string }

// usage makes a usageError; both texts take the same arguments in the same order.
func usage(zh, en string, args ...any) error {
	return &usageError{zh: fmt.Sprintf(zh, args...), en: fmt.Sprintf(en, args...)}
}

// Error is the Chinese text with the English beside it.
func (e *usageError) Error() string { return "用法:" + e.zh + " / usage: " + e.en }

// Unwrap makes it errUsage.
func (e *usageError) Unwrap() error { return errUsage }

// in is the text in a language: English alone, or Chinese with English beside.
func (e *usageError) in(language string) string {
	if language == "en" {
		return "usage: " + e.en
	}
	return e.Error()
}

// say is a sentence for people in the language chosen: English alone, or
// Chinese with English beside.
func (a *app) say(zh, en string) string {
	if a.language == "en" {
		return en
	}
	return zh + " / " + en
}

// form is how a command is written, such as "hutongctl grant show GRANT".
func form(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Use
	}
	return cmd.Parent().CommandPath() + " " + cmd.Use
}

// arguments wants exactly the named arguments.
func arguments(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between wants the named arguments, of which only the first least must be there.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			missing := strings.Join(names[len(args):least], " ")
			return usage("%s;缺少 %s", "%s; %s is missing", form(cmd), missing)
		case len(args) > len(names) && len(names) == 0:
			return usage("%s;不要参数,多了 %q", "%s; it takes no argument, and there is %q", form(cmd), args[0])
		case len(args) > len(names):
			return usage("%s;多了 %q", "%s; there is one too many: %q", form(cmd), args[len(names)])
		}
		return nil
	}
}

var noArguments = arguments()

// flagError is what is wrong with a command's flags.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() {
		return usage("%s:选项有误(%v),或动词写错;见 %[1]s --help", "%s: %v, or the verb is not known; see %[1]s --help", cmd.CommandPath(), err)
	}
	return usage("%s:选项有误(%v);见 %[3]s --help", "%s: %v; see %[3]s --help", form(cmd), err, cmd.CommandPath())
}

// requireVerbs makes a command that only groups others refuse what is none of
// them, and turns every complaint about arguments into one about usage.
func requireVerbs(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		requireVerbs(c)
	}
	if cmd.HasSubCommands() && cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usage("%s 没有 %q;见 %[1]s --help", "%s has no %q; see %[1]s --help", cmd.CommandPath(), args[0])
		}
		return
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			var own *usageError
			if err == nil || errors.As(err, &own) {
				return err
			}
			return usage("%s:%v", "%s: %v", form(cmd), err)
		}
	}
}

// helpCommand is help that knows when there is nothing of that name.
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [NOUN [VERB]]", Short: "Help about a command", RunE: func(cmd *cobra.Command, args []string) error {
		found, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return usage("没有命令 %q;见 hutongctl --help", "no command %q; see hutongctl --help", strings.Join(args, " "))
		}
		return found.Help()
	}}
}
