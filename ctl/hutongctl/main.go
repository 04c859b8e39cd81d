// Command hutongctl is the bus from the command line; see hutongctl --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hutong-bus/hutong/ctl"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := ctl.Exec(ctx, ctl.Options{Version: version, Contexts: os.Getenv("HUTONG_CONTEXTS")}, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
