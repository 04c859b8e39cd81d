package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// realNode is a member with the real state machine.
type realNode struct {
	*node
	m   *state.Machine
	log *store.DB
	r   *Replica
}

func (n *realNode) start(bootstrap bool) {
	n.t.Helper()
	dir, err := StateDir(nil, n.dir)
	if err != nil {
		n.t.Fatal(err)
	}
	db, err := store.OpenState(dir, store.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	if n.m, err = state.Open(db, state.Config{ClusterID: n.keys.Cluster()}); err != nil {
		n.t.Fatal(err)
	}
	if n.log, err = store.OpenLog(filepath.Join(n.dir, "log"), store.Options{}); err != nil {
		n.t.Fatal(err)
	}
	if n.r, err = Open(n.config(bootstrap), n.log, n.m); err != nil {
		n.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.done = stop, make(chan error, 1)
	go func() { n.done <- n.r.Run(ctx) }()
}

func (n *realNode) close() {
	n.t.Helper()
	if n.r == nil {
		return
	}
	if err := n.r.Close(); err != nil {
		n.t.Error(err)
	}
	if err := <-n.done; err != nil {
		n.t.Errorf("Run of %s: %v", n.id, err)
	}
	n.stop()
	n.r = nil
	if err := errors.Join(n.m.Close(), n.log.Close()); err != nil {
		n.t.Error(err)
	}
}

func (n *realNode) command(c state.Command) state.Result {
	n.t.Helper()
	raw, err := state.EncodeCommand(c)
	if err != nil {
		n.t.Fatal(err)
	}
	section, err := record.EncodeCommand(record.Header{Node: n.id}, raw)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	res, err := n.r.Propose(ctx, [][]byte{section})
	if err != nil {
		n.t.Fatal(err)
	}
	return res[0]
}

// With the real state: commands through every node, marks that all replicas
// agree with, and the state itself sent to a node that joins after truncation.
func TestRealState(t *testing.T) {
	var nodes []*realNode
	for _, n := range newNodes(t, 3, func(c *Config) { c.TrailingBytes = 1 }) {
		r := &realNode{node: n}
		t.Cleanup(r.close)
		nodes = append(nodes, r)
	}
	first := nodes[0]
	first.start(true)
	until(t, "ready", func() bool { return first.r.Fresh() == nil })
	boot := &state.Bootstrap{Cluster: "c-test", Log: "example.gov.cn/2026-1", Epoch: 1}
	boot.Request = "boot"
	boot.Systems = []policy.System{{Code: "admin", Department: "d00", Name: "admin", Roles: []string{"administrator"}}}
	boot.Departments = []policy.Department{{Code: "d00", Name: "县政府办", Kind: "government", Level: "county", Region: "330000"}}
	if res := first.command(boot); res.Code != state.Applied {
		t.Fatalf("bootstrap: %s %v", res.Code, res.Err)
	}
	put := func(n *realNode, i int) {
		t.Helper()
		c := &state.DepartmentPut{Object: policy.Department{
			Code: fmt.Sprintf("d%02d", i), Name: fmt.Sprintf("部门%d", i), Kind: "government", Level: "county", Region: "330000",
		}}
		c.Request, c.By = fmt.Sprintf("put-%d", i), state.By{System: "d00.admin", Department: "d00"}
		res := n.command(c)
		if res.Code != state.Applied {
			t.Fatalf("put %d on %s: %s %v", i, n.id, res.Code, res.Err)
		}
		var d policy.Department
		if err := json.Unmarshal(res.Answer, &d); err != nil || d.Code != c.Object.Code {
			t.Fatalf("answer %s, %v", res.Answer, err)
		}
	}
	for i := 1; i <= 20; i++ {
		put(first, i)
	}
	if err := first.r.snapshot(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, n := range nodes[1:] {
		n.start(false)
		addMember(ctx, t, first.r, n.node)
	}
	until(t, "all fresh", func() bool {
		for _, n := range nodes {
			if len(n.r.voters()) != 3 || n.r.Fresh() != nil {
				return false
			}
		}
		return true
	})
	for i := 21; i <= 50; i++ {
		put(nodes[i%3], i)
	}
	head := func(n *realNode) record.Mark {
		h, err := stateMachine{n.m}.head()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	until(t, "the same tree and running hash everywhere", func() bool {
		a, b, c := head(first), head(nodes[1]), head(nodes[2])
		return a.Size > 50 && a.Root == b.Root && a.Root == c.Root && a.Running == b.Running && a.Running == c.Running
	})
	nodes[2].close()
	nodes[2].start(false)
	until(t, "fresh again", func() bool { return nodes[2].r.Fresh() == nil })
	v, err := nodes[2].m.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if len(v.Departments()) != 51 {
		t.Errorf("%d departments", len(v.Departments()))
	}
}

// A leader whose clock is far off hands leadership on; log time stays with the majority.
func TestClockHandsOn(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) {
		if c.NodeID == "n1" {
			c.Clock = func() time.Time { return time.Now().Add(-45 * time.Second) }
		}
	})
	until(t, "another leads", func() bool { l := nodes[1].r.Leader(); return l != "" && l != "n1" })
	nodes[0].must("a/1")
	until(t, "log time of the majority everywhere", func() bool {
		for _, n := range nodes {
			if off := time.Since(time.UnixMilli(n.r.Now())).Abs(); off > 5*time.Second {
				return false
			}
		}
		return true
	})
	alarmed := func() bool {
		for _, a := range nodes[0].r.Status().Alarms {
			if a.Code == "clock_off" && a.Node == "n1" {
				return true
			}
		}
		return false
	}
	until(t, "alarm", alarmed)
}

// One node alone whose clock is far behind its log asks before it starts.
func TestClockBack(t *testing.T) {
	n := newNodes(t, 1, nil)[0]
	n.start(true)
	n.must("a/1")
	n.close()
	n.tune = func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(-10 * time.Minute) } }
	if err := n.open(false); !errors.Is(err, ErrClockBack) {
		t.Fatalf("got %v, want ErrClockBack", err)
	}
	n.tune = func(c *Config) {
		c.Clock = func() time.Time { return time.Now().Add(-10 * time.Minute) }
		c.AcceptClock = true
	}
	before := time.Now().UnixMilli()
	n.start(false)
	n.must("a/2")
	if _, ms, _ := n.m.Applied(); ms < before-5000 {
		t.Errorf("log time went back to %d", ms)
	}
}
