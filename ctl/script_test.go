package ctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hutongctl": func() {
		os.Exit(Exec(context.Background(), Options{Version: "test", Contexts: os.Getenv("HUTONG_CONTEXTS")}, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// TestScripts plays testdata/*.txtar against a real node, each with a bus of its
// own. Beside testscript's commands there is
//
//	exits CODE hutongctl …   runs it and wants that exit code
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "hutongd"), "../node/hutongd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build hutongd: %v\n%s", err, out)
	}
	schemas, err := filepath.Abs("../schemas/catalog")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: false, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			ports, err := freePorts(3)
			if err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("SCHEMAS", schemas)
			for i, name := range []string{"API", "LINK", "PUBLIC"} {
				env.Setenv(name, ports[i])
			}
			env.Setenv("HUTONG_CONTEXTS", filepath.Join(env.WorkDir, "county", "contexts.yaml"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND …")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// freePorts takes free addresses on loopback. Another program could take one in
// between; then the node says so and the script fails by name.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
