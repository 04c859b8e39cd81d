package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/replica"
)

// The connections that a test's client keeps are closed by its cleanup.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freeListen takes three free addresses on loopback. Another program could take
// one in between; then the node says so and the test fails by name.
func freeListen(t *testing.T) Listen {
	t.Helper()
	var out [3]string
	for i := range out {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out[i] = l.Addr().String()
	}
	return Listen{API: out[0], Node: out[1], Public: out[2]}
}

// initialised makes a node's folder and returns its configuration, with a fast
// heartbeat.
func initialised(t *testing.T, o InitOptions) Config {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "node")
	}
	if o.Listen == (Listen{}) {
		o.Listen = freeListen(t)
	}
	if err := Init(o); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(filepath.Join(o.Dir, "hutongd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.Raft.Heartbeat = "50ms"
	return c
}

// running starts a node and stops it when the test ends; stop may be called
// before.
func running(t *testing.T, c Config) (stop func()) {
	t.Helper()
	n, err := New(c, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	// Stops when ctx ends.
	go func() { ended <- n.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		// A node that was taken out of its cluster may have noticed.
		if err := <-ended; err != nil && !errors.Is(err, replica.ErrRemoved) {
			t.Errorf("node %s ended: %v", c.NodeID, err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// adminContext is the context that Init wrote for the administrator.
func adminContext(t *testing.T, c Config) api.ClientConfig {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(c.DataDir), "contexts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Current  string                      `json:"current"`
		Contexts map[string]api.ClientConfig `json:"contexts"`
	}
	if err := yaml.UnmarshalStrict(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Contexts[file.Current]
}

func adminKey(t *testing.T, c Config) string { t.Helper(); return adminContext(t, c).APIKey }

// client is the administrator's.
func client(t *testing.T, c Config) *api.Client {
	t.Helper()
	out, err := api.NewClient(adminContext(t, c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

// until asks again and again until f has no error.
func until(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

func problemCode(err error) api.Code {
	var p *api.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// TestNode founds a node, uses it, stops it and starts it again.
func TestNode(t *testing.T) {
	c := initialised(t, InitOptions{})
	stop := running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	// Ready means founded: the administrator's key is known.
	if _, err := api.Put(ctx, admin, api.Department{Code: "swj", Name: "水务局", Kind: "government", Level: "county", Region: "500154"}, 0, "departments", "swj"); err != nil {
		t.Fatal(err)
	}
	until(t, "the bootstrap file to go", func(context.Context) error {
		if _, err := os.Stat(c.bootstrapFile()); err == nil {
			return errors.New("it is still there, with a key's hash")
		}
		return nil
	})
	status, err := api.Object[api.Cluster](ctx, admin, "cluster")
	if err != nil || status.Leader != "n1" || len(status.Nodes) != 1 || !status.Nodes[0].Voter || status.Nodes[0].Version != "test" || status.Nodes[0].FreeBytes == 0 {
		t.Errorf("cluster %+v, %v", status, err)
	}
	until(t, "a checkpoint", func(ctx context.Context) error { _, err := admin.Public(ctx, "/audit/checkpoint"); return err })
	stop()
	if conn, err := net.Dial("tcp", c.Listen.API); err == nil {
		conn.Close()
		t.Error("a stopped node listens")
	}
	running(t, c)
	until(t, "the node again", admin.Ready)
	if got, err := api.Object[api.Department](ctx, admin, "departments", "swj"); err != nil || got.Name != "水务局" {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
}

// TestLastVoter asks a node alone for what it cannot do.
func TestLastVoter(t *testing.T) {
	c := initialised(t, InitOptions{})
	running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	for name, tt := range map[string]struct {
		do   func() error
		want api.Code
	}{
		"remove the last voter":    {func() error { return admin.Delete(ctx, "cluster", "members", "n1") }, api.CodeConflict},
		"remove nobody":            {func() error { return admin.Delete(ctx, "cluster", "members", "n9") }, api.CodeNotFound},
		"hand on to nobody":        {post(ctx, admin, exchange.Transfer{}, "transfer-leadership"), api.CodeConflict},
		"hand on to a stranger":    {post(ctx, admin, exchange.Transfer{Node: "n9"}, "transfer-leadership"), api.CodeNotFound},
		"add itself":               {post(ctx, admin, api.MemberRequest{ID: "n1", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeConflict},
		"add at its own address":   {post(ctx, admin, api.MemberRequest{ID: "n2", Address: api.Addresses{Node: c.Listen.Node}}, "members"), api.CodeConflict},
		"add without a port":       {post(ctx, admin, api.MemberRequest{ID: "n2", Address: api.Addresses{Node: "127.0.0.1"}}, "members"), api.CodeInvalid},
		"add a name with a space":  {post(ctx, admin, api.MemberRequest{ID: "n 2", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeInvalid},
		"add a name with a letter": {post(ctx, admin, api.MemberRequest{ID: "N_2", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeInvalid},
	} {
		if err := tt.do(); problemCode(err) != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}

func post(ctx context.Context, c *api.Client, in any, verb string) func() error {
	return func() error { _, err := c.PostRaw(ctx, in, "cluster", verb); return err }
}

// TestJoin adds a node with its bundle, as the runbook has it, and takes it out
// again.
func TestJoin(t *testing.T) {
	c := initialised(t, InitOptions{})
	running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	listen := freeListen(t)
	raw, err := admin.PostRaw(ctx, api.MemberRequest{ID: "n2", Address: api.Addresses{API: listen.API, Node: listen.Node, Public: listen.Public}}, "cluster", "members")
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "n2.bundle")
	if err := os.WriteFile(bundle, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	joined := initialised(t, InitOptions{Join: bundle, Listen: Listen{API: listen.API, Public: listen.Public}})
	if joined.NodeID != "n2" || joined.Listen.Node != listen.Node {
		t.Errorf("joined %+v", joined)
	}
	running(t, joined)
	until(t, "both to vote", func(ctx context.Context) error {
		trust, err := admin.Raw(ctx, nil, "audit", "trust")
		if err == nil && !bytes.Contains(trust, []byte("n2")) {
			err = fmt.Errorf("the trust file does not know n2:\n%s", trust)
		}
		return err
	})
	second, err := api.NewClient(api.ClientConfig{Server: []string{"http://" + listen.API}})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	until(t, "the second node", second.Ready)
	// Two nodes are two voters: the second is taken out before it stops.
	until(t, "n2 to go", func(ctx context.Context) error { return admin.Delete(ctx, "cluster", "members", "n2") })
	until(t, "the cluster to forget it", func(ctx context.Context) error {
		status, err := api.Object[api.Cluster](ctx, admin, "cluster")
		if err == nil && len(status.Nodes) != 1 {
			err = fmt.Errorf("%+v", status.Nodes)
		}
		return err
	})
}

func TestNewRefuses(t *testing.T) {
	c := initialised(t, InitOptions{})
	other := c
	other.NodeID = "n9"
	if _, err := New(other, "test", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrConfig) {
		t.Errorf("keys of another node: %v", err)
	}
	empty := c
	empty.DataDir = t.TempDir()
	if _, err := New(empty, "test", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a node starts without keys")
	}
	broken := c
	broken.TLS = TLS{CertFile: "none.pem", KeyFile: "none.key"}
	if _, err := New(broken, "test", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrConfig) {
		t.Errorf("no certificate: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := c
	busy.Listen.Public = taken.Addr().String()
	if _, err := New(busy, "test", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a node starts on an address that is taken")
	}
	// What failed gave everything back: the same folder starts now.
	n, err := New(c, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // Close before Run, and twice
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := n.Run(t.Context()); err == nil {
		t.Error("a closed node runs")
	}
}

// TestAPIOverTLS serves the API with a certificate of the node's own, and knows a
// system by the certificate that was issued to it.
func TestAPIOverTLS(t *testing.T) {
	c := initialised(t, InitOptions{})
	c.TLS.CertFile = selfIssued
	running(t, c)
	ctx := t.Context()
	dir := t.TempDir()
	config := api.ClientConfig{Server: []string{"https://" + c.Listen.API}, CAFile: filepath.Join(filepath.Dir(c.DataDir), "ca.pem"), APIKey: adminKey(t, c)}
	admin, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	until(t, "the node", admin.Ready)
	issued, err := api.Post[api.Credential](ctx, admin, api.CredentialRequest{Kind: "certificate"}, "departments", "egov", "systems", "admin", "credentials")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "system.pem")
	if err := os.WriteFile(file, []byte(issued.Certificate+issued.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	config.APIKey, config.CertFile, config.KeyFile = "", file, file
	system, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	if _, err := api.Object[api.Cluster](ctx, system, "cluster"); err != nil {
		t.Errorf("by certificate: %v", err)
	}
	if err := admin.Delete(ctx, "departments", "egov", "systems", "admin", "credentials", issued.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Object[api.Cluster](ctx, system, "cluster"); problemCode(err) != api.CodeUnauthenticated {
		t.Errorf("by a revoked certificate: %v", err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://" + c.Listen.API + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %d %s", answer.StatusCode, b)
	}
}

func TestReadConfigListsEveryFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hutongd.yaml")
	write := func(text string) (Config, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadConfig(file)
	}
	const good = "node_id: n1\ndata_dir: data\nlisten: {api: ':7080', node: '127.0.0.1:7081', public: '127.0.0.1:7082'}\n"
	c, err := write(good)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{NodeID: "n1", DataDir: filepath.Join(filepath.Dir(file), "data"), Listen: Listen{":7080", "127.0.0.1:7081", "127.0.0.1:7082"}, Advertise: Listen{":7080", "127.0.0.1:7081", "127.0.0.1:7082"},
		Raft: Raft{Heartbeat: "500ms"}, Limits: Limits{RecordBytes: 256 << 10, WaitingBytes: 64 << 20}, Disk: Disk{80, 90, 95}, Feed: Feed{Date: "2026-01-01"}, Log: LogConfig{"info", "text"}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	_, err = write(`
node_id: "N 1"
listen: {api: nowhere, node: "127.0.0.1:0", public: "127.0.0.1:99999"}
advertise: {api: "x"}
tls: {cert_file: a.pem}
raft: {heartbeat: 1ms}
limits: {record_bytes: 9999999, waiting_bytes: 5, requests_per_s: -1}
disk: {warn: 90, slow: 80, refuse: 100}
feed: {date: yesterday, base: ftp://x}
log: {level: loud, format: xml}
`)
	for _, fault := range []string{"node_id", "data_dir", "listen.api", "listen.node", "listen.public", "advertise.api", "tls", "raft.heartbeat", "record_bytes", "waiting_bytes", "requests_per_s", "disk", "feed", "log.level", "log.format"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s is not named in: %v", fault, err)
		}
	}
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), file) {
		t.Errorf("the file is not named: %v", err)
	}
	for name, text := range map[string]string{
		"unknown key": good + "colour: red\n", "unknown nested key": good + "raft: {speed: 9}\n", "no YAML": "{", "a key twice": good + "node_id: n2\n",
		"two listeners on one address": strings.Replace(good, "7082", "7081", 1),
	} {
		if _, err := write(text); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrConfig) {
		t.Errorf("no file: %v", err)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "county")
	if err := Init(InitOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, dir)
	if err := Init(InitOptions{Dir: dir}); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if diff := cmp.Diff(before, readAll(t, dir)); diff != "" {
		t.Errorf("the refused init changed something (-before +after):\n%s", diff)
	}
	// A folder without its hutongd.yaml was not finished; its keys are kept all the same.
	if err := os.Remove(filepath.Join(dir, "hutongd.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := Init(InitOptions{Dir: dir}); err == nil {
		t.Error("init writes over keys")
	}
	for _, secret := range []string{"contexts.yaml", "data/bootstrap.json"} {
		info, err := os.Stat(filepath.Join(dir, secret))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v, %v", secret, info.Mode(), err)
		}
	}
	if strings.Contains(before["data/bootstrap.json"], "hk_") || strings.Contains(before["hutongd.yaml"], "hk_") || !strings.Contains(before["contexts.yaml"], "hk_") {
		t.Error("the administrator's key belongs into contexts.yaml and nowhere else")
	}
	for name, text := range map[string]string{"no bundle": "", "empty": "", "no JSON": "x", "an object": "{}"} {
		file := filepath.Join(t.TempDir(), "bundle")
		if name != "no bundle" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		into := filepath.Join(t.TempDir(), "n2")
		if err := Init(InitOptions{Dir: into, Join: file}); err == nil {
			t.Errorf("%s: joined", name)
		}
		if _, err := os.Stat(filepath.Join(into, "hutongd.yaml")); err == nil {
			t.Errorf("%s: a configuration was written", name)
		}
	}
}

// readAll is every file below a folder.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDisks(t *testing.T) {
	voter := func(freePercent uint64) replica.Node {
		return replica.Node{Voter: true, TotalBytes: 1000, FreeBytes: 10 * freePercent}
	}
	for _, tt := range []struct {
		name   string
		nodes  []replica.Node
		warned int
		room   exchange.Room
	}{
		{"nobody", nil, 0, exchange.RoomEnough},
		{"one node with room", []replica.Node{voter(21)}, 0, exchange.RoomEnough},
		{"one node warned", []replica.Node{voter(20)}, 1, exchange.RoomEnough},
		{"one node slow", []replica.Node{voter(10)}, 1, exchange.RoomSlow},
		{"one node full", []replica.Node{voter(5)}, 1, exchange.RoomNone},
		{"one full follower of three", []replica.Node{voter(50), voter(50), voter(1)}, 1, exchange.RoomEnough},
		{"two full of three", []replica.Node{voter(50), voter(1), voter(1)}, 2, exchange.RoomNone},
		{"one full and one slow of three", []replica.Node{voter(50), voter(8), voter(1)}, 2, exchange.RoomSlow},
		{"a full node that does not vote", []replica.Node{voter(50), {TotalBytes: 1000}}, 0, exchange.RoomEnough},
		{"a node that was not heard", []replica.Node{voter(50), {Voter: true}}, 0, exchange.RoomEnough},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := disks{marks: Disk{Warn: 80, Slow: 90, Refuse: 95}}
			if warned, room := d.judge(tt.nodes); warned != tt.warned || room != tt.room {
				t.Errorf("%d warned, room %d; want %d, %d", warned, room, tt.warned, tt.room)
			}
			d.look(replica.Status{Nodes: tt.nodes}, slog.New(slog.DiscardHandler))
			if d.Room() != tt.room {
				t.Errorf("room %d after the look", d.Room())
			}
		})
	}
}

func TestLogger(t *testing.T) {
	for _, tt := range []struct {
		config LogConfig
		want   string
	}{
		{LogConfig{"info", "json"}, `"msg":"said"`}, {LogConfig{"info", "text"}, "msg=said"}, {LogConfig{"warn", "text"}, ""},
	} {
		var out bytes.Buffer
		c := Config{Log: tt.config}
		c.Logger(&out).Info("said")
		if got := out.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q", tt.config, got)
		}
	}
}
