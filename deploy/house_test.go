package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
)

// binaries is the folder of the three programs, built once by TestMain.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hutong-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./node/hutongd", "./adapters/hutong-adapter", "./ctl/hutongctl")
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	code := 1
	if err := cmd.Run(); err == nil {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// sharedData finds a file of the real data. Where the data are absent the test
// is skipped, which under CI is a failure.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("HUTONG_SHARED_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	path, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the real data are not at %s; set HUTONG_SHARED_DATA", root)
		}
		t.Skipf("the real data are not at %s; set HUTONG_SHARED_DATA to run this test", root)
	}
	return path
}

// process is a program that a test started.
type process struct {
	name string
	args []string
	log  string
	cmd  *exec.Cmd
	done chan error
}

// start runs a program until the test ends.
func start(t *testing.T, log, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, args: args, log: log}
	p.run(t)
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) run(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(filepath.Join(binaries, p.name), p.args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	p.done = done
	cmd := p.cmd
	// Stops when the process ends; stop waits for it.
	go func() {
		done <- cmd.Wait()
		f.Close()
	}()
}

// kill ends the process at once, as a power cut of one machine would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-p.done
	p.done <- nil
}

// stop ends the process in good order and shows its log where the test failed.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			t.Errorf("%s did not stop within 30 s", p.name)
			p.kill(t)
		}
		p.done <- nil
	}
	if t.Failed() {
		b, err := os.ReadFile(p.log)
		if err == nil {
			t.Logf("log of %s %v:\n%s", p.name, p.args, tail(b, 6000))
		}
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

// cluster is a running bus with its administrator's client.
type cluster struct {
	dir    string
	nodes  []*process
	apis   []string // base addresses
	public []string
	admin  *api.Client
}

// freePorts takes n free ports on loopback. Another program could take one in
// between; then the node says so and the test fails by name.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// startCluster starts n nodes and waits until all of them vote.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir()}
	ports := freePorts(t, 3*n)
	for i := range n {
		c.apis = append(c.apis, "http://"+ports[3*i])
		c.public = append(c.public, "http://"+ports[3*i+2])
	}
	first := filepath.Join(c.dir, "n1")
	run(t, "hutongd", "init", "-dir", first, "-node", "n1", "-api", ports[0], "-link", ports[1], "-public", ports[2])
	c.nodes = append(c.nodes, start(t, filepath.Join(c.dir, "n1.log"), "hutongd", "-config", filepath.Join(first, "hutongd.yaml")))
	c.writeContext(t, "admin", contextKey(t, filepath.Join(first, "contexts.yaml")))
	c.admin = c.client(t, "admin")
	wait(t, "the first node", func(ctx context.Context) error { return c.admin.Ready(ctx) })
	for i := 1; i < n; i++ {
		id := fmt.Sprintf("n%d", i+1)
		bundle := filepath.Join(c.dir, id+".bundle")
		c.ctl(t, "admin", "cluster", "member-add", id, ports[3*i+1], "--api", ports[3*i], "--public", ports[3*i+2], "-o", bundle)
		dir := filepath.Join(c.dir, id)
		run(t, "hutongd", "init", "-dir", dir, "-join", bundle, "-api", ports[3*i], "-public", ports[3*i+2])
		c.nodes = append(c.nodes, start(t, filepath.Join(c.dir, id+".log"), "hutongd", "-config", filepath.Join(dir, "hutongd.yaml")))
	}
	wait(t, "all nodes to vote", func(ctx context.Context) error {
		status, err := api.Object[api.Cluster](ctx, c.admin, "cluster")
		if err != nil {
			return err
		}
		voters := 0
		for _, m := range status.Nodes {
			if m.Voter && m.Fresh {
				voters++
			}
		}
		if voters != n {
			return fmt.Errorf("%d of %d nodes vote and are fresh", voters, n)
		}
		return nil
	})
	return c
}

// contextKey reads the administrator's key from contexts.yaml.
func contextKey(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var contexts struct {
		Current  string                      `json:"current"`
		Contexts map[string]api.ClientConfig `json:"contexts"`
	}
	if err := yaml.UnmarshalStrict(b, &contexts); err != nil {
		t.Fatal(err)
	}
	return contexts.Contexts[contexts.Current].APIKey
}

func (c *cluster) contexts() string { return filepath.Join(c.dir, "contexts.yaml") }

// writeContext adds a context that knows all nodes.
func (c *cluster) writeContext(t *testing.T, name, key string) {
	t.Helper()
	file := filepath.Join(c.dir, name+".key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--contexts", c.contexts(), "context", "add", name, "--credential-file", file, "--public", c.public[0]}
	for _, a := range c.apis {
		args = append(args, "--server", a)
	}
	run(t, "hutongctl", args...)
}

// client is an API client of a context, of all nodes or only of some.
func (c *cluster) client(t *testing.T, name string, servers ...string) *api.Client {
	t.Helper()
	if len(servers) == 0 {
		servers = c.apis
	}
	client, err := api.NewClient(api.ClientConfig{Server: servers, Public: c.public[0], CredentialFile: filepath.Join(c.dir, name+".key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// ctl runs hutongctl in a context and returns what it printed; the test fails
// with it.
func (c *cluster) ctl(t *testing.T, name string, args ...string) string {
	t.Helper()
	return run(t, "hutongctl", append([]string{"--contexts", c.contexts(), "--context", name, "--yes"}, args...)...)
}

// try is ctl for what may fail: it returns both streams and the exit code.
func (c *cluster) try(t *testing.T, name string, args ...string) (out, errs string, code int) {
	t.Helper()
	return try(t, "hutongctl", append([]string{"--contexts", c.contexts(), "--context", name, "--yes"}, args...)...)
}

// apply puts objects given as YAML: "departments", "systems/DEPARTMENT" and so
// on are chosen by noun.
func (c *cluster) apply(t *testing.T, noun string, objects ...string) {
	t.Helper()
	for i, o := range objects {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(file, []byte(o), 0o600); err != nil {
			t.Fatal(err)
		}
		c.ctl(t, "admin", noun, "put", "-f", file)
	}
}

// join makes a department with one system and a context of its full name.
func (c *cluster) join(t *testing.T, department, system, roles string) *api.Client {
	t.Helper()
	c.apply(t, "department", fmt.Sprintf("{code: %s, name: %s, kind: government, level: county, region: %q}", department, department, "500154"))
	c.apply(t, "system", fmt.Sprintf("{code: %s, department: %s, name: %s, roles: [%s], resources: ['*.*']}", system, department, system, roles))
	name := department + "." + system
	var issued api.Credential
	if err := json.Unmarshal([]byte(c.ctl(t, "admin", "credential", "issue", name, "-o", "json")), &issued); err != nil {
		t.Fatal(err)
	}
	c.writeContext(t, name, issued.Secret)
	return c.client(t, name)
}

// resource puts a catalogue entry with the shared schema of that name.
func (c *cluster) resource(t *testing.T, entry, name string) {
	t.Helper()
	c.apply(t, "resource", entry)
	c.ctl(t, "admin", "schema", "register", name, "-f", filepath.Join("..", "schemas", "catalog", strings.ReplaceAll(name, ".", "/"), "v1.json"))
}

// run runs a program to its end and fails the test with what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, errs, code := try(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s%s", name, strings.Join(args, " "), code, out, errs)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(filepath.Join(binaries, name), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// waitMax bounds how long a test waits for something that must come.
const waitMax = 120 * time.Second

// wait asks again and again until f has no error.
func wait(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		if err = f(ctx); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// leader is the index of the leading node.
func (c *cluster) leader(t *testing.T) int {
	t.Helper()
	out := -1
	wait(t, "a leader", func(ctx context.Context) error {
		status, err := api.Object[api.Cluster](ctx, c.admin, "cluster")
		if err != nil {
			return err
		}
		for i := range c.nodes {
			if status.Leader == fmt.Sprintf("n%d", i+1) {
				out = i
				return nil
			}
		}
		return fmt.Errorf("no leader in %+v", status)
	})
	return out
}

// sameEverywhere waits until all nodes are at the same place and checks that
// they hold the same.
func (c *cluster) sameEverywhere(t *testing.T) {
	t.Helper()
	wait(t, "equal replicas", func(ctx context.Context) error {
		status, err := api.Object[api.Cluster](ctx, c.admin, "cluster")
		if err != nil {
			return err
		}
		if len(status.Nodes) != len(c.nodes) {
			return fmt.Errorf("%d of %d nodes", len(status.Nodes), len(c.nodes))
		}
		for _, m := range status.Nodes {
			if m.State == "unreachable" {
				return fmt.Errorf("%s is unreachable", m.ID)
			}
			if m.Applied == status.Nodes[0].Applied && (m.RunningHash != status.Nodes[0].RunningHash || m.Root != status.Nodes[0].Root) {
				t.Fatalf("replicas differ at index %d: %+v", m.Applied, status.Nodes)
			}
			if m.Applied != status.Nodes[0].Applied {
				return fmt.Errorf("%s is at %d, %s at %d", m.ID, m.Applied, status.Nodes[0].ID, status.Nodes[0].Applied)
			}
		}
		return nil
	})
}
