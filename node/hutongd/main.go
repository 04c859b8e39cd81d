// Command hutongd is one node of the bus.
//
//	hutongd -config FILE            runs a node
//	hutongd init -dir DIR           makes the folder of a new cluster's first node
//	hutongd init -dir DIR -join B   makes the folder of a node that joins
//	hutongd version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hutong-bus/hutong/node"
)

// version is set when a release is built.
var version = "dev"

// Exit codes.
const (
	exitDone     = 0
	exitInternal = 1
	exitRefused  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exec(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func exec(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "init":
			return initialise(args[1:], out, errs)
		case "version":
			fmt.Fprintf(out, "hutongd %s\n", version)
			return exitDone
		}
	}
	flags := flag.NewFlagSet("hutongd", flag.ContinueOnError)
	flags.SetOutput(errs)
	file := flags.String("config", "", "configuration file, hutongd.yaml")
	if err := flags.Parse(args); err != nil || *file == "" || flags.NArg() > 0 {
		fmt.Fprintln(errs, "usage: hutongd -config FILE | hutongd init -dir DIR [-join BUNDLE] | hutongd version")
		return exitRefused
	}
	config, err := node.ReadConfig(*file)
	if err != nil {
		fmt.Fprintf(errs, "hutongd: %v\n", err)
		return exitRefused
	}
	n, err := node.New(config, version, config.Logger(errs))
	if err == nil {
		err = n.Run(ctx)
	}
	if err != nil {
		fmt.Fprintf(errs, "hutongd: %v\n", err)
		if errors.Is(err, node.ErrConfig) {
			return exitRefused
		}
		return exitInternal
	}
	return exitDone
}

func initialise(args []string, out, errs io.Writer) int {
	var o node.InitOptions
	flags := flag.NewFlagSet("hutongd init", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.Dir, "dir", "", "folder to make")
	flags.StringVar(&o.Join, "join", "", "join bundle from hutongctl cluster member-add")
	flags.StringVar(&o.NodeID, "node", "", "name of the first node of a new cluster (default n1)")
	flags.StringVar(&o.Listen.API, "api", "", "address of the API listener (default 127.0.0.1:7080)")
	flags.StringVar(&o.Listen.Node, "link", "", "address of the node listener of a new cluster (default 127.0.0.1:7081)")
	flags.StringVar(&o.Listen.Public, "public", "", "address of the public listener (default 127.0.0.1:7082)")
	flags.StringVar(&o.Origin, "origin", "", "DNS name of the operator, begins the names of audit logs (default hutong.invalid)")
	flags.StringVar(&o.Department, "department", "", "code of the department that runs the bus (default egov)")
	flags.StringVar(&o.DepartmentName, "department-name", "", "its name (default 电子政务办)")
	flags.StringVar(&o.Region, "region", "", "its division code (default 500154)")
	if err := flags.Parse(args); err != nil || o.Dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(errs, "usage: hutongd init -dir DIR [-join BUNDLE]")
		return exitRefused
	}
	if err := node.Init(o); err != nil {
		fmt.Fprintf(errs, "hutongd init: %v\n", err)
		return exitRefused
	}
	fmt.Fprintf(out, "%s is ready: hutongd -config %s/hutongd.yaml\n", o.Dir, o.Dir)
	return exitDone
}
