package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCrash = errors.New("crash")

// network is loopback TCP on which nodes can be cut off.
type network struct {
	mu    sync.Mutex
	ids   map[string]string // address → node
	cut   map[string]bool
	conns map[net.Conn][2]string
}

func newNetwork() *network {
	return &network{ids: map[string]string{}, cut: map[string]bool{}, conns: map[net.Conn][2]string{}}
}

func (n *network) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		n.mu.Lock()
		to := n.ids[address]
		blocked := n.cut[from] || n.cut[to]
		n.mu.Unlock()
		if blocked {
			return nil, errors.New("cut off")
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.cut[from] || n.cut[to] {
			return nil, errors.Join(errors.New("cut off"), c.Close())
		}
		n.conns[c] = [2]string{from, to}
		return c, nil
	}
}

// setCut cuts a node off, or lets it in again.
func (n *network) setCut(node string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[node] = cut
	for c, ends := range n.conns {
		if cut && (ends[0] == node || ends[1] == node) {
			_ = c.Close()
			delete(n.conns, c)
		}
	}
}

// node is one member of a test cluster, started or not.
type node struct {
	t    testing.TB
	id   string
	addr string
	fs   store.FS
	dir  string
	keys *authority.Keys
	net  *network
	tune func(*Config)

	r    *Replica
	m    *fakeMachine
	log  *store.DB
	done chan error
	stop context.CancelFunc
}

func newNodes(t testing.TB, count int, tune func(*Config)) []*node {
	t.Helper()
	keys, err := authority.Init(filepath.Join(t.TempDir(), "keys"), authority.Settings{
		Cluster: "c-test", Node: "n1", OriginKey: []byte("k"), Now: time.Now(), Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	net := newNetwork()
	var nodes []*node
	for i := range count {
		id := fmt.Sprintf("n%d", i+1)
		k := keys
		if i > 0 {
			k = joinKeys(t, keys, id)
		}
		n := &node{t: t, id: id, fs: store.Disk(), dir: t.TempDir(), keys: k, net: net, tune: tune, addr: freeAddress(t)}
		net.ids[n.addr] = id
		nodes = append(nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			n.close()
		}
	})
	return nodes
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (n *node) config(bootstrap bool) Config {
	c := Config{
		ClusterID: n.keys.Cluster(), NodeID: n.id, Dir: n.dir, FS: n.fs,
		Certificate: n.keys.NodeCertificate(), Roots: n.keys.NodeRoots(), Listen: n.addr, Bootstrap: bootstrap,
		Heartbeat: 150 * time.Millisecond, Version: "test", Addresses: Addresses{API: "api-" + n.id},
		Dial: n.net.dialer(n.id), Logger: slog.New(slog.NewTextHandler(testWriter{n.t, n.id}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if n.tune != nil {
		n.tune(&c)
	}
	return c
}

// testWriter brings log lines into the test's output.
type testWriter struct {
	t  testing.TB
	id string
}

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		w.t.Logf("%s %s", w.id, bytes.TrimSpace(p))
	}
	return len(p), nil
}

// openMachine opens what lies on disk as a node's start does.
func (n *node) openMachine() error {
	dir, err := StateDir(n.fs, n.dir)
	if err != nil {
		return err
	}
	db, err := store.OpenState(dir, store.Options{FS: n.fs})
	if err != nil {
		return err
	}
	if n.log, err = store.OpenLog(n.fs.PathJoin(n.dir, "log"), store.Options{FS: n.fs}); err != nil {
		return errors.Join(err, db.Close())
	}
	n.m, err = openFake(db)
	return err
}

func (n *node) open(bootstrap bool) error {
	if err := n.openMachine(); err != nil {
		return err
	}
	var err error
	if n.r, err = open(n.config(bootstrap), n.log, n.m); err != nil {
		n.r = nil
		return errors.Join(err, n.m.db.Abandon(), n.log.Close())
	}
	return nil
}

func (n *node) start(bootstrap bool) {
	n.t.Helper()
	if err := n.open(bootstrap); err != nil {
		n.t.Fatalf("start %s: %v", n.id, err)
	}
	n.run()
}

func (n *node) run() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.done = stop, make(chan error, 1)
	go func() { n.done <- n.r.Run(ctx) }()
}

// close stops the node as SIGTERM does.
func (n *node) close() {
	if n.r == nil {
		return
	}
	if err := n.r.Close(); err != nil {
		n.t.Errorf("close %s: %v", n.id, err)
	}
	if n.done != nil {
		<-n.done
		n.stop()
		n.done = nil
	}
	n.r = nil
	if err := errors.Join(n.m.db.Close(), n.log.Close()); err != nil {
		n.t.Errorf("close %s: %v", n.id, err)
	}
}

// crash stops the node without handing on leadership and without flushing the state.
func (n *node) crash() {
	n.r.fail(errCrash)
	if n.done != nil {
		if err := <-n.done; !errors.Is(err, errCrash) {
			n.t.Errorf("Run of %s: %v, want the crash", n.id, err)
		}
		n.done = nil
		n.stop()
	}
	if err := n.r.Close(); err != nil {
		n.t.Errorf("close %s: %v", n.id, err)
	}
	n.r = nil
	if err := errors.Join(n.m.db.Abandon(), n.log.Abandon()); err != nil {
		n.t.Errorf("abandon %s: %v", n.id, err)
	}
}

// section is a command of the fake machine.
func (n *node) section(payload string, revision uint64) []byte {
	s, err := record.EncodeCommand(record.Header{Node: n.id, Revision: revision}, []byte(payload))
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

func (n *node) propose(ctx context.Context, payloads ...string) ([]state.Result, error) {
	var sections [][]byte
	for _, p := range payloads {
		sections = append(sections, n.section(p, 0))
	}
	return n.r.Propose(ctx, sections)
}

// must proposes until it is applied.
func (n *node) must(payloads ...string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		res, err := n.propose(ctx, payloads...)
		if errors.Is(err, ErrNoLeader) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			n.t.Fatalf("%s: propose: %v", n.id, err)
		}
		for _, r := range res {
			if r.Code != state.Applied {
				n.t.Fatalf("%s: answered %s", n.id, r.Code)
			}
		}
		return
	}
}

// until waits for a condition; what says what was waited for.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // polled, never relied upon
	}
}

// cluster starts count nodes as one cluster of voters.
func cluster(t testing.TB, count int, tune func(*Config)) []*node {
	t.Helper()
	nodes := newNodes(t, count, tune)
	for i, n := range nodes {
		n.start(i == 0)
	}
	until(t, "first leader", func() bool { return nodes[0].r.Leader() == "n1" && nodes[0].r.Fresh() == nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, n := range nodes[1:] {
		addMember(ctx, t, nodes[0].r, n)
	}
	until(t, "all vote and are fresh", func() bool {
		for _, n := range nodes {
			if len(n.r.voters()) != count || n.r.Fresh() != nil {
				return false
			}
		}
		return true
	})
	return nodes
}

// addMember tries again while no leader is known, as a person would.
func addMember(ctx context.Context, t testing.TB, at *Replica, n *node) {
	t.Helper()
	until(t, "member added", func() bool {
		err := at.AddMember(ctx, n.id, n.addr)
		if err != nil && !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
		return err == nil
	})
}

func leaderOf(t testing.TB, nodes []*node) (leader *node, others []*node) {
	t.Helper()
	until(t, "a leader all agree on", func() bool {
		leader, others = nil, nil
		for _, n := range nodes {
			if n.r == nil {
				continue
			}
			if n.r.packer.isActive() {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		if leader == nil {
			return false
		}
		for _, n := range others {
			if n.r.Leader() != leader.id {
				return false
			}
		}
		return leader.r.ready(leader.r.raft.CurrentTerm())
	})
	return leader, others
}

// same waits until all nodes have applied the same and gives it.
func same(t *testing.T, nodes []*node) []string {
	t.Helper()
	until(t, "all have the same running hash", func() bool {
		a, _ := nodes[0].m.head()
		for _, n := range nodes[1:] {
			if b, _ := n.m.head(); b.Running != a.Running {
				return false
			}
		}
		return true
	})
	want, err := nodes[0].m.payloads()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		got, err := n.m.payloads()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s and %s differ", nodes[0].id, n.id)
		}
	}
	return want
}

func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func joinKeys(t testing.TB, keys *authority.Keys, id string) *authority.Keys {
	t.Helper()
	b, err := keys.Bundle(authority.Settings{Node: id, Now: time.Now(), Random: rand.Reader}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := authority.Join(filepath.Join(t.TempDir(), "keys"), b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func restamped(section []byte, epoch, number uint64) { record.Restamp(section, epoch, number) }

func encodeEntry(ms int64, sections ...[]byte) []byte { return state.EncodeEntry(ms, sections) }

func noResults(state.Entry, [][]state.Result) {}

// BenchmarkPropose is one section of 16 KiB after another from 16 proposers at
// each end; records per section are not this room's.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{1, 3} {
		for _, at := range []string{"leader", "follower"} {
			if size == 1 && at == "follower" {
				continue
			}
			for _, proposers := range []int{1, 16} {
				b.Run(fmt.Sprintf("nodes=%d/at=%s/proposers=%d", size, at, proposers), func(b *testing.B) {
					nodes := cluster(b, size, nil)
					n, followers := leaderOf(b, nodes)
					if at == "follower" {
						n = followers[0]
					}
					body := bytes.Repeat([]byte("x"), 16<<10)
					var next atomic.Int64
					b.SetBytes(16 << 10)
					b.SetParallelism(max(proposers/runtime.GOMAXPROCS(0), 1))
					if proposers == 1 {
						for b.Loop() {
							n.must(fmt.Sprintf("b/%d/%s", next.Add(1), body))
						}
						return
					}
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							n.must(fmt.Sprintf("b/%d/%s", next.Add(1), body))
						}
					})
				})
			}
		}
	}
}
