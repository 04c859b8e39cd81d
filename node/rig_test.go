package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
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
