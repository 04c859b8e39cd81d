// Command hutong-adapter runs beside a department's system: it reads its
// sources, maps and checks their rows, keeps them in a durable outbox and sends
// them to the bus.
//
//	hutong-adapter run     -config FILE [-once]
//	hutong-adapter check   -config FILE
//	hutong-adapter preview -config FILE [-stream NAME] [-rows N]
//	hutong-adapter status  -config FILE [-o table|json]
//	hutong-adapter version
//
// Exit codes: 0 done, 1 internal, 2 refused or invalid, 3 not reachable.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/filedrop"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/adapters/runner"
	"github.com/hutong-bus/hutong/adapters/sqlpoll"
	"github.com/hutong-bus/hutong/node/api"
)

// kinds are the sources that this program can read.
var kinds = map[string]adapters.Kind{
	"filedrop":   filedrop.Kind(),
	sqlpoll.Name: sqlpoll.Kind(),
}

// command is one verb.
type command struct {
	zh, en string
	run    func(a *app, ctx context.Context) error // a method expression
}

var commands = map[string]command{
	"run":     {"运行", "read, map, queue and send until stopped", (*app).runAdapter},
	"check":   {"运行前检查", "look at configuration, rights, mapping and bus, changing nothing", (*app).check},
	"preview": {"试跑:只看前几行,不发送", "map and judge the first rows, sending nothing", (*app).preview},
	"status":  {"状态与对账", "counts, backlog, refusals and why something stands still", (*app).status},
	"version": {"版本", "print the version", (*app).version},
}

// order is how the commands are listed.
var order = []string{"run", "check", "preview", "status", "version"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// app is one call of the program.
type app struct {
	out, err io.Writer
	log      *slog.Logger
	conf     *adapters.Config

	file   string
	once   bool
	stream string
	rows   int
	form   string
}

var errUsage = errors.New("usage")

// execute is the program without its process: it returns the exit code.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	a := &app{out: out, err: errOut, log: slog.New(slog.NewJSONHandler(errOut, nil))}
	if len(args) == 0 {
		a.usage()
		return api.ExitRefused
	}
	c, ok := commands[args[0]]
	if !ok {
		a.usage()
		return api.ExitRefused
	}
	if err := a.flags(args[0], args[1:]); err != nil {
		return api.ExitRefused // flag has said why
	}
	if args[0] != "version" {
		conf, err := adapters.LoadConfig(a.file, kinds)
		if err != nil {
			fmt.Fprintf(errOut, "配置不可用 / the configuration cannot be used:\n%v\n", err)
			return api.ExitRefused
		}
		a.conf = conf
	}
	err := c.run(a, ctx)
	if err != nil && !errors.Is(err, errFound) {
		fmt.Fprintf(errOut, "%s\n", sentence(err))
	}
	return exitCode(err)
}

func (a *app) flags(name string, args []string) error {
	f := flag.NewFlagSet("hutong-adapter "+name, flag.ContinueOnError)
	f.SetOutput(a.err)
	if name != "version" {
		f.StringVar(&a.file, "config", "", "配置文件 / configuration `FILE`")
	}
	switch name {
	case "run":
		f.BoolVar(&a.once, "once", false, "全部读完并得到回执后退出 / end when everything is read and answered")
	case "preview":
		f.StringVar(&a.stream, "stream", "", "只看这个流 / only this stream `NAME`")
		f.IntVar(&a.rows, "rows", 20, "行数 / how many rows")
	case "status":
		f.StringVar(&a.form, "o", "table", "输出格式 / output: table or json")
	}
	if err := f.Parse(args); err != nil {
		return errUsage
	}
	if f.NArg() > 0 || name != "version" && a.file == "" || a.form != "" && a.form != "table" && a.form != "json" {
		f.Usage()
		return errUsage
	}
	return nil
}

func (a *app) usage() {
	fmt.Fprintln(a.err, "hutong-adapter 前置机适配器 / adapter of a department's system")
	for _, name := range order {
		fmt.Fprintf(a.err, "  %-8s %s / %s\n", name, commands[name].zh, commands[name].en)
	}
}

func (a *app) version(context.Context) error {
	v := "(devel)"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v = b.Main.Version
	}
	fmt.Fprintln(a.out, "hutong-adapter", v)
	return nil
}

// sentence puts an error of this program into words for people.
func sentence(err error) string {
	for _, s := range []struct {
		is     error
		zh, en string
	}{
		{outbox.ErrLocked, "发件箱正被另一个进程使用", "the outbox is in use by another process"},
		{outbox.ErrProducer, "发件箱属于另一个生产者,请核对 department、system 与 outbox.dir", "the outbox belongs to another producer; look at department, system and outbox.dir"},
		{outbox.ErrCorrupt, "发件箱已损坏。未作任何改动。改法:从备份恢复,或换新的发件箱目录(数据会重新读取)", "the outbox is corrupt; nothing was changed; restore it, or take a new directory (everything is read again)"},
		{outbox.ErrFormat, "发件箱由较新的程序写成,请升级本程序", "a newer program wrote the outbox; upgrade this one"},
		{runner.ErrHalted, "有流已停止或队列已暂停,原因见 status", "a stream stopped or a resource halted; status says why"},
		{api.ErrUnreachable, "总线连不上", "the bus cannot be reached"},
	} {
		if errors.Is(err, s.is) {
			return fmt.Sprintf("%s / %s (%v)", s.zh, s.en, err)
		}
	}
	return err.Error()
}

func exitCode(err error) int {
	var be *runner.BusError
	switch {
	case err == nil:
		return api.ExitDone
	case errors.Is(err, errFound), errors.Is(err, runner.ErrHalted), errors.Is(err, adapters.ErrConfig), errors.Is(err, outbox.ErrProducer),
		errors.Is(err, outbox.ErrLocked), errors.Is(err, outbox.ErrFormat):
		return api.ExitRefused
	case errors.As(err, &be):
		return api.ExitCode(api.Refuse(api.Code(be.Code), "%s", be.Detail))
	}
	return api.ExitCode(err)
}
