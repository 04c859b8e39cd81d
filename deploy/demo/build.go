package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// modulePath is the module that the three programs belong to.
const modulePath = "github.com/hutong-bus/hutong"

// build makes the three programs in bin, without a C compiler.
func build(ctx context.Context, bin string) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
	var told bytes.Buffer
	list.Stderr = &told
	root, err := list.Output()
	if err != nil {
		return fmt.Errorf("find the module (start the demo inside the checkout): %w: %s", err, told.String())
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "./node/hutongd", "./adapters/hutong-adapter", "./ctl/hutongctl")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the three programs: %w\n%s", err, out)
	}
	return nil
}

// withParent ends when ctx does, or, for a program that go run started, when go
// run is gone: it does not pass a termination on.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	self, err := os.Executable()
	if err != nil || !strings.Contains(filepath.ToSlash(self), "/go-build") {
		return ctx, cancel
	}
	parent := os.Getppid()
	// Stops when ctx ends, or go run has.
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}

// program is the path of one of the three.
func (d *demo) program(name string) string { return filepath.Join(d.o.dir, "bin", name) }

// ctl runs one hutongctl command and returns what it printed. code is its exit
// code.
func (d *demo) ctl(ctx context.Context, in []byte, args ...string) (out, errs string, code int, err error) {
	cmd := exec.CommandContext(ctx, d.program("hutongctl"), append([]string{"--contexts", d.path("contexts.yaml")}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, d.environment()
	err = cmd.Run()
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	if err != nil {
		err = fmt.Errorf("hutongctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), stderr.String(), code, err
}

// environment is that of all processes: no setting of the person's own
// hutongctl leaks into the county.
func (d *demo) environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "HUTONG_") {
			out = append(out, e)
		}
	}
	return out
}
