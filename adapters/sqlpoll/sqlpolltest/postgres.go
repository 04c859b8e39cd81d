// Package sqlpolltest starts a private PostgreSQL for tests: in a temporary
// directory, on loopback, ended by its own control program when the test ends.
//
// It keeps no state between tests and never touches a server that it did not
// start. Only test files import it.
package sqlpolltest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is a running private server.
type Postgres struct {
	DSN  string // of the superuser, database postgres
	Port int
	Dir  string
}

// StartPostgres starts a server with time zone Asia/Shanghai and ends it with
// the test. Where PostgreSQL is not installed the test fails: the check script
// installs it (apt-get install postgresql).
func StartPostgres(t testing.TB, settings ...string) Postgres {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hutong-pg-")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	data := filepath.Join(dir, "data")
	run(t, cred, dir, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "--no-sync")
	port := freePort(t)
	options := fmt.Sprintf("-p %d -k %s -c listen_addresses=127.0.0.1 -c timezone=Asia/Shanghai -c max_prepared_transactions=8 -c fsync=off", port, dir)
	for _, s := range settings {
		options += " -c " + s
	}
	t.Cleanup(func() { run(t, cred, dir, filepath.Join(bin, "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop") })
	run(t, cred, dir, filepath.Join(bin, "pg_ctl"), "-D", data, "-l", filepath.Join(dir, "log"), "-o", options, "-w", "start")
	return Postgres{DSN: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), Port: port, Dir: dir}
}

// As is the connection string of another role.
func (p Postgres) As(role string) string {
	return strings.Replace(p.DSN, "postgres://postgres@", "postgres://"+role+"@", 1)
}

// Connect opens a connection that is closed with the test.
func (p Postgres) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), p.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// Exec runs statements over a connection of its own.
func (p Postgres) Exec(t testing.TB, statements ...string) {
	t.Helper()
	c := p.Connect(t)
	for _, s := range statements {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// binaries finds the newest installed server.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", fmt.Errorf("look for postgresql: %w", err)
	}
	if len(found) == 0 {
		if p, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(p), nil
		}
		return "", fmt.Errorf("postgresql is not installed (apt-get install postgresql)")
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(newest), nil
}

func major(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb)))) // a directory of another form comes last
	return n
}

// owner gives dir to the user that runs the server: PostgreSQL refuses root.
func owner(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the user of postgresql: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("find the user of postgresql: %w", err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("find the user of postgresql: %w", err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, fmt.Errorf("give away %s: %w", dir, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func run(t testing.TB, cred *syscall.Credential, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	// To a file: the server inherits it, and a pipe would never close.
	out, err := os.Create(filepath.Join(dir, filepath.Base(name)+".out"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	_ = out.Close()
	if err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, said)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
