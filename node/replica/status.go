package replica

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/store"
)

// Node is what is known of one member, for CONTRACT's cluster object.
type Node struct {
	ID        string    `json:"id"`
	Addresses Addresses `json:"addresses"`
	Voter     bool      `json:"voter"`
	// State is leader, follower, joining (not yet a voter) or unreachable (not heard for 3 s).
	State       string `json:"state"`
	Applied     uint64 `json:"applied"`
	RunningHash string `json:"running_hash"` // hex, after Applied
	Size        uint64 `json:"size"`         // of the tree
	Root        string `json:"root"`         // hex
	Fresh       bool   `json:"fresh"`
	FreeBytes   uint64 `json:"free_bytes"`
	TotalBytes  uint64 `json:"total_bytes"`
	Version     string `json:"version"`
	// ClockOffset is its clock less this node's.
	ClockOffset time.Duration `json:"-"`
}

// Status is the cluster as this node sees it, at most about a second old.
type Status struct {
	Cluster string
	Leader  string // "" if none is known
	Term    uint64
	Nodes   []Node // by id
	Resends uint64 // link epochs that this node began with something unanswered
	Waiting int    // bytes proposed on this node and unanswered
	Log     LogStatus
	Alarms  []Alarm
}

// LogStatus is this node's log.
type LogStatus struct{ First, Last, Commit uint64 }

// Alarm is something an operator must look at; codes are stable.
type Alarm struct {
	Code   string // clock_off clock_jumped unreachable removed
	Node   string
	Detail string
}

// nodeInfo is exchanged each second.
type nodeInfo struct {
	Node    Node  `json:"node"`
	ClockMs int64 `json:"clock_ms"`
}

// peers keeps what was last heard of the other nodes.
type peers struct {
	mu    sync.Mutex
	heard map[string]heardInfo
	gone  bool // the others say that this node is no member
}

type heardInfo struct {
	info Node
	at   time.Time
}

func newPeers() *peers { return &peers{heard: map[string]heardInfo{}} }

func (p *peers) hear(n Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[n.ID] = heardInfo{n, time.Now()}
	p.gone = false
}

func (p *peers) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.heard, node)
}

func (p *peers) disowned() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func (p *peers) isDisowned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// lately is what was last heard of a node, zero if nothing, and whether within three seconds.
func (p *peers) lately(node string) (Node, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.heard[node]
	return h.info, !h.at.IsZero() && time.Since(h.at) <= clockHeard
}

// self describes this node.
func (r *Replica) self() Node {
	n := Node{ID: r.cfg.NodeID, Addresses: r.cfg.Addresses, Version: r.cfg.Version, Fresh: r.Fresh() == nil}
	n.Addresses.Node = r.port.Addr().String()
	if head, err := r.m.head(); err == nil {
		n.Applied, n.Size = head.Index, head.Size
		n.RunningHash, n.Root = hex.EncodeToString(head.Running[:]), hex.EncodeToString(head.Root[:])
	}
	if free, total, err := store.Free(r.cfg.FS, r.cfg.Dir); err == nil {
		n.FreeBytes, n.TotalBytes = free, total
		r.diskIsLow.Store(total > 0 && free < total/20) // refuse at 95 % (CONTRACT §5)
	}
	return n
}

func (r *Replica) ownInfo() ([]byte, error) {
	b, err := json.Marshal(nodeInfo{Node: r.self(), ClockMs: r.cfg.Clock().UnixMilli()})
	if err != nil {
		return nil, fmt.Errorf("encode hello: %w", err)
	}
	return b, nil
}

// answerHello exchanges what the two nodes must know of each other. Of the
// asker's clock nothing is learnt here: how long its word was on the way is not known.
func (r *Replica) answerHello(_ context.Context, from string, payload []byte) ([]byte, error) {
	var in nodeInfo
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("decode hello: %w", err)
	}
	in.Node.ID = from // proved; what it says of itself is not
	r.peers.hear(in.Node)
	return r.ownInfo()
}

// keepPeers says hello to every member each second: clocks, space, how far they
// are. It also looks after this node's clock and lets those in who caught up.
func (r *Replica) keepPeers(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	up := map[string]bool{}
	for {
		applied, _, _ := r.m.Applied()
		r.clock.sample()
		r.port.cutStrangers()
		r.helloAll(ctx)
		r.tellChanges(up)
		r.lookAtClock(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.promote(applied)
	}
}

// tellChanges logs who came and who went since the last time.
func (r *Replica) tellChanges(up map[string]bool) {
	for _, s := range r.servers() {
		id := string(s.ID)
		if id == r.cfg.NodeID {
			continue
		}
		_, heard := r.peers.lately(id)
		was, known := up[id]
		up[id] = heard
		if heard && !was {
			r.cfg.Logger.Info("node is heard", "node", id)
		} else if !heard && (was || !known) {
			r.cfg.Logger.Warn("node is not heard", "node", id)
		}
	}
}

func (r *Replica) helloAll(ctx context.Context) {
	own, err := r.ownInfo()
	if err != nil {
		r.cfg.Logger.Error("hello not sent", "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 900*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range r.servers() {
		if string(s.ID) == r.cfg.NodeID {
			continue
		}
		wg.Add(1)
		// Stops when the call ends, at the latest with ctx.
		go func() {
			defer wg.Done()
			asked := time.Now()
			b, err := r.calls.call(ctx, string(s.ID), kindHello, own)
			if err != nil {
				if errors.Is(err, ErrNotMember) {
					r.peers.disowned()
				}
				return
			}
			var in nodeInfo
			if err := json.Unmarshal(b, &in); err != nil {
				return
			}
			in.Node.ID = string(s.ID)
			r.peers.hear(in.Node)
			r.clock.hear(string(s.ID), in.ClockMs, asked)
		}()
	}
	wg.Wait()
}

// lookAtClock hands leadership on when this node's clock is far from the others'.
func (r *Replica) lookAtClock(ctx context.Context) {
	voters := r.voters()
	off, ok, _ := r.clock.offset(voters)
	if !ok || off.Abs() <= clockHandOn || len(voters) < 2 || r.raft.State() != raft.Leader || ctx.Err() != nil {
		return
	}
	for _, v := range voters {
		if v == r.cfg.NodeID {
			continue
		}
		if _, up := r.peers.lately(v); !up {
			continue
		}
		r.cfg.Logger.Warn("clock is far off: leadership is handed on", "off", off)
		if err := r.transfer(v); err == nil {
			return
		}
	}
}

// Status describes the cluster as this node sees it; it asks nobody.
func (r *Replica) Status() Status {
	s := Status{Cluster: r.cfg.ClusterID, Leader: r.Leader(), Term: r.raft.CurrentTerm()}
	s.Log.First, s.Log.Last = r.logs.bounds()
	s.Log.Commit = r.raft.CommitIndex()
	s.Resends, s.Waiting = r.link.status()
	for _, m := range r.servers() {
		id := string(m.ID)
		n, heard := r.peers.lately(id)
		if id == r.cfg.NodeID {
			n, heard = r.self(), true
		}
		n.ID, n.Voter = id, m.Suffrage == raft.Voter
		n.Addresses.Node = string(m.Address)
		n.ClockOffset, _, _ = r.clock.of(id)
		switch {
		case !heard:
			n.State, n.Fresh = "unreachable", false
			s.Alarms = append(s.Alarms, Alarm{"unreachable", id, "not heard for three seconds"})
		case id == s.Leader:
			n.State = "leader"
		case !n.Voter:
			n.State = "joining"
		default:
			n.State = "follower"
		}
		if heard && n.ClockOffset.Abs() > clockAlarm {
			s.Alarms = append(s.Alarms, Alarm{"clock_off", id, fmt.Sprintf("its clock differs from this node's by %s", n.ClockOffset)})
		}
		s.Nodes = append(s.Nodes, n)
	}
	sort.Slice(s.Nodes, func(i, j int) bool { return s.Nodes[i].ID < s.Nodes[j].ID })
	if off, ok, jumped := r.clock.offset(r.voters()); jumped {
		s.Alarms = append(s.Alarms, Alarm{"clock_jumped", r.cfg.NodeID, "the clock was set while the node ran; one node alone goes on by its own count until it is started again"})
	} else if ok && off.Abs() > clockAlarm {
		s.Alarms = append(s.Alarms, Alarm{"clock_off", r.cfg.NodeID, fmt.Sprintf("this node's clock is off the others' median by %s", off)})
	}
	if r.peers.isDisowned() {
		s.Alarms = append(s.Alarms, Alarm{"removed", r.cfg.NodeID, "the other nodes say that this node is no member"})
	}
	return s
}

// raftLogger brings raft's words to slog: what is wrong at warn and above, the rest at debug.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: nowhere{}})
	l.RegisterSink(slogSink{log})
	return l
}

type nowhere struct{}

// Write drops what the sink has already.
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

type slogSink struct{ log *slog.Logger }

// repeated is what raft says many times a second while a node is away, which
// keepPeers says once.
var repeated = map[string]bool{
	"failed to appendEntries to": true, "failed to heartbeat to": true, "failed to make requestVote RPC": true,
	"failed to contact": true, "failed to decode incoming command": true, "failed to get previous log": true,
	"appendEntries rejected, sending older logs": true, "failed to flush response": true,
}

// Accept passes one message on. raft calls it from many goroutines.
func (s slogSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case repeated[msg]:
	case level == hclog.Warn:
		to = slog.LevelWarn
	case level == hclog.Error:
		to = slog.LevelError
	}
	ctx := context.Background()
	if s.log.Enabled(ctx, to) {
		s.log.Log(ctx, to, "raft", append([]any{"text", msg}, args...)...)
	}
}
