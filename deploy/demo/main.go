// Command demo starts a whole county on this machine: it builds the three
// programs, runs them as processes, and has departments exchange data that it
// makes up itself.
//
//	go run ./deploy/demo [-dir DIR] [-http 127.0.0.1:7080] [-nodes 3] [-once]
//
// The story: seven departments keep approvals in one SQLite database and the
// committees of the council keep motions in spreadsheets; adapters publish
// both. Handling units receive the motions under a grant and their replies come
// back over the bus. Projects are disclosed only after four reviews. Records
// that are wrong on purpose come back with reasons.
//
// Invariant: what the summary says was received is counted in the receivers'
// own files and in the public feeds, and what was sent is counted by the
// senders; neither is derived from the other. The programs are used only as
// processes, through their command lines, files and HTTP.
//
// Concurrency: one goroutine watches each process and one plays each
// department's clerk; all stop with the context of the run, and Run waits for
// them. All data comes from one seed, so every run exchanges the same records.
//
// It never reads another process's memory or data directory, and ends only
// processes that it started, by their id.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// options are the command line.
type options struct {
	dir   string // where everything goes; empty: a new temporary folder
	host  string // of all addresses
	port  int    // API port of the first node
	nodes int
	once  bool
}

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitRefused = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, args []string, out, errs io.Writer) int {
	o, err := parseOptions(args, errs)
	if err != nil {
		fmt.Fprintf(errs, "demo: %v\n", err)
		return exitRefused
	}
	ctx, cancel := withParent(ctx)
	defer cancel()
	made := o.dir == ""
	if o.dir, err = prepareDir(o.dir); err != nil {
		fmt.Fprintf(errs, "demo: %v\n", err)
		return exitRefused
	}
	d := newDemo(o, out)
	err = d.run(ctx)
	if errors.Is(err, context.Canceled) && !o.once {
		err = nil // interrupted, which is how it ends
	}
	if err != nil {
		fmt.Fprintf(errs, "demo: %v\n数据和日志在 / data and logs are in %s\n", err, o.dir)
		return exitFailed
	}
	if made && o.once {
		if err := os.RemoveAll(o.dir); err != nil {
			fmt.Fprintf(errs, "demo: %v\n", err)
		}
	}
	return exitDone
}

func parseOptions(args []string, errs io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.dir, "dir", "", "folder for everything; it must be empty or absent (default: a temporary one)")
	address := flags.String("http", "127.0.0.1:7080", "API address of the first node; node i is at port +10·i, its node port +1, its public port +2")
	flags.IntVar(&o.nodes, "nodes", 3, "number of nodes: 1, 3, 5 or 7")
	flags.BoolVar(&o.once, "once", false, "publish everything, wait until all is delivered, print the summary and end; exit 0 only if all agrees")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	host, port, err := net.SplitHostPort(*address)
	if err != nil {
		return o, fmt.Errorf("-http must be host:port: %w", err)
	}
	o.host = host
	if o.port, err = strconv.Atoi(port); err != nil || o.port < 1 || o.port+10*o.nodes > 65535 {
		return o, fmt.Errorf("-http: %s is not a port with room for the nodes above it", port)
	}
	if o.nodes < 1 || o.nodes > 7 || o.nodes%2 == 0 {
		return o, errors.New("-nodes must be 1, 3, 5 or 7: an even number survives no more failures than one less")
	}
	return o, nil
}

// prepareDir makes the folder; one that holds something already is refused.
func prepareDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "hutong-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s 不是空文件夹,请另选一个或先清空 / is not empty; choose another folder or clear it first", dir)
	}
	return dir, nil
}
