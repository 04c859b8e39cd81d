package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Replica is one node's part of the replicated log. See the package comment for
// who may call what.
type Replica struct {
	cfg    Config
	m      machine
	logs   *logStore
	stable stableStore
	snaps  *snapshotStore
	fsm    *fsm
	port   *port
	trans  *transport
	raft   *raft.Raft

	calls    *calls
	packer   *packer
	link     *link
	clock    *clock
	fresh    *freshness
	verifier *verifier
	peers    *peers

	readyTerm    atomic.Uint64 // the term in which this node leads and has applied an entry of its own
	transferring atomic.Int32  // transfers of leadership under way
	diskIsLow    atomic.Bool   // of the last look, see self
	watchKick    chan struct{} // of capacity 1: the leader may have changed

	done    context.Context // ends when the node fails or closes
	stop    context.CancelCauseFunc
	removal sync.WaitGroup // of replaced states

	mu      sync.Mutex // guards the three below
	running chan struct{}
	closing bool
	closed  chan struct{} // closed when Close is done
}

// Open checks what lies on disk, listens, and starts raft: it votes and applies
// from here on; Run makes it propose. The log database and the machine stay the
// caller's to close, after Close. It returns ErrConfig, ErrStateBehind, ErrLogLost,
// ErrCorrupt, ErrClockBack, store.ErrUpgrade, or why it cannot listen.
func Open(cfg Config, log *store.DB, m *state.Machine) (*Replica, error) {
	return open(cfg, log, stateMachine{m})
}

func open(cfg Config, log *store.DB, m machine) (_ *Replica, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	r := &Replica{
		cfg: cfg, m: m, stable: stableStore{log}, fresh: &freshness{}, peers: newPeers(),
		watchKick: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	r.done, r.stop = context.WithCancelCause(context.Background())
	if err := r.openDisk(log); err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	if err := r.openNetwork(); err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	if err := r.openRaft(); err != nil {
		_ = r.trans.Close() // closes the port
		r.port.wait()
		return nil, fmt.Errorf("open replica: %w", err)
	}
	if err := r.checkClock(); err != nil {
		return nil, errors.Join(fmt.Errorf("open replica: %w", err), r.Close())
	}
	return r, nil
}

// openDisk opens log and snapshots and makes sure that they and the state fit together.
func (r *Replica) openDisk(log *store.DB) (err error) {
	if r.logs, err = openLogStore(log, r.cfg.CacheBytes, r.diskIsLow.Load); err != nil {
		return err
	}
	if err := makeDir(r.cfg.FS, r.cfg.Dir, snapshotsDir); err != nil {
		return err
	}
	names, err := r.cfg.FS.List(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", r.cfg.Dir, err)
	}
	r.snaps = &snapshotStore{
		fs: r.cfg.FS, dir: r.cfg.Dir, cluster: r.cfg.ClusterID, logs: r.logs, m: r.m, n: last(stateNumbers(names)),
	}
	if err := r.align(); err != nil {
		return err
	}
	_, ms, _ := r.m.Applied()
	r.clock = newClock(r.cfg.NodeID, r.cfg.Clock, ms)
	logged, err := r.logs.lastTime()
	if err != nil {
		return err
	}
	r.clock.logged(logged)
	return nil
}

func (r *Replica) openNetwork() (err error) {
	if r.port, err = listen(&r.cfg); err != nil {
		return err
	}
	r.calls = newCalls(r.cfg.NodeID, func(ctx context.Context, node string) (net.Conn, error) { return r.dialNode(ctx, node, purposeCalls) })
	r.packer = newPacker(r.apply, func() int64 { return r.clock.stamp(r.voters()) }, r.lastLogged)
	r.verifier = &verifier{verify: func() error { return r.raft.VerifyLeader().Error() }}
	r.link = &link{
		node: r.cfg.NodeID, waitingBytes: r.cfg.WaitingBytes, leader: r.Leader, open: r.openLink,
		epochOf: r.stable.linkEpoch, keepEpoch: r.stable.setLinkEpoch, fail: r.fail, waitIndex: r.m.WaitApplied,
		applied:     func() uint64 { epoch, _ := r.m.Link(r.cfg.NodeID); return epoch },
		resendAfter: resendAfter, noLeader: noLeaderAfter, patience: resendAfter,
		kick: make(chan struct{}, 1), leaderAt: time.Now(), progress: time.Now(),
	}
	r.port.member, r.port.nodeAt = r.isMember, r.nodeAt
	r.port.serve = func(node string, c net.Conn, purpose byte) {
		if purpose == purposeCalls {
			r.calls.serve(node, c)
			return
		}
		if err := serveSections(r.packer, node, r.cfg.WindowBytes, c); err != nil {
			r.cfg.Logger.Warn("link of a node ended", "node", node, "err", err)
		}
	}
	for kind, h := range map[string]Handler{
		kindFresh: r.answerFresh, kindStrong: r.answerStrong, kindStart: r.answerStart, kindHello: r.answerHello,
		kindAdd: r.answerAdd, kindRemove: r.answerRemove, kindTransfer: r.answerTransfer,
	} {
		r.calls.handle(kind, h)
	}
	return nil
}

func (r *Replica) openRaft() (err error) {
	logger := raftLogger(r.cfg.Logger)
	r.trans = &transport{open: map[*pipeline]struct{}{}, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: r.port, MaxPool: 3, Timeout: 10 * time.Second, Logger: logger,
	})}
	r.fsm = &fsm{m: r.m, snaps: r.snaps, logs: r.logs, cfg: &r.cfg, fail: r.fail, applied: r.onApplied, swapped: r.onSwapped}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.cfg.NodeID)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = r.cfg.Heartbeat, r.cfg.Heartbeat, r.cfg.Heartbeat/2
	c.CommitTimeout, c.MaxAppendEntries, c.BatchApplyCh = commitTimeout, maxAppend, true
	c.NoSnapshotRestoreOnStart = true
	c.SnapshotThreshold, c.SnapshotInterval = math.MaxUint64, 24*time.Hour // snapshots are ours to trigger, by bytes
	c.TrailingLogs = 1 << 20                                               // until the first snapshot sets it
	c.Logger = logger
	c.NoLegacyTelemetry = true
	if r.cfg.Bootstrap {
		if err := r.bootstrap(c); err != nil {
			return fmt.Errorf("make the cluster: %w", err)
		}
	}
	if r.raft, err = raft.NewRaft(c, r.fsm, r.logs, r.stable, r.snaps, r.trans); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	// The observer is a call in raft's goroutine that only reminds; nothing is queued.
	r.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			remind(r.watchKick)
		}
		return false
	}))
	r.port.start()
	return nil
}

func remind(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// fail stops the node with the first cause, which Run returns.
func (r *Replica) fail(err error) { r.stop(err) }

func (r *Replica) onApplied(last state.Entry, res [][]state.Result) {
	r.clock.applied(last.Time)
	r.link.onApplied(res)
}

func (r *Replica) onSwapped(drained <-chan struct{}, old string) {
	_, ms, _ := r.m.Applied()
	r.clock.applied(ms)
	r.link.doubt() // what is in flight may lie in what was skipped
	r.removal.Add(1)
	// Stops when the last reader of the old state leaves, or the replica closes.
	go func() {
		defer r.removal.Done()
		select {
		case <-drained:
			if err := r.cfg.FS.RemoveAll(old); err != nil {
				r.cfg.Logger.Warn("old state not removed", "err", err)
			}
		case <-r.done.Done(): // StateDir removes it at the next start
		}
	}()
}

// Run proposes, forwards, asks and ticks until ctx ends (nil), Close is called
// (nil) or the node must stop (the cause). It may be called once.
func (r *Replica) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running != nil || r.closing {
		r.mu.Unlock()
		return ErrClosed
	}
	r.running = make(chan struct{})
	r.mu.Unlock()
	defer close(r.running)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.done, func() { cancel(context.Cause(r.done)) })()
	var g errgroup.Group
	for _, loop := range []func(context.Context){
		r.packer.run, r.link.run, r.keepFresh, r.keepMarks, r.watchLeader, r.keepPeers, r.keepSnapshots, r.watchRaft,
	} {
		g.Go(func() error { loop(ctx); return nil })
	}
	_ = g.Wait() // the loops return nothing
	if err := context.Cause(r.done); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// watchRaft notices that raft stopped by itself: this node was removed.
func (r *Replica) watchRaft(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.raft.State() == raft.Shutdown && ctx.Err() == nil {
			r.fail(ErrRemoved)
			return
		}
	}
}

// Close hands leadership on if it can, stops raft and everything else, and
// waits. It may be called twice, and before Run.
func (r *Replica) Close() error {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		<-r.closed
		return nil
	}
	r.closing = true
	running := r.running
	r.mu.Unlock()
	defer close(r.closed)
	if r.done.Err() == nil && running != nil {
		r.handOn()
	}
	r.stop(ErrClosed)
	if running != nil {
		<-running
	}
	r.link.shut()
	down := r.raft.Shutdown()
	r.trans.cut()
	err := down.Error() // closes the transport and with it the port
	r.trans.CloseStreams()
	_ = r.port.Close()
	r.calls.close()
	r.port.wait()
	r.removal.Wait()
	if err != nil {
		return fmt.Errorf("close replica: %w", err)
	}
	return nil
}

// Propose brings a group of sections, in order, into the log and returns one
// result for each, from this node's own Apply: its state holds them then. The
// sections name this node in their headers; link epoch and number are stamped
// here, into copies. They belong to the replica from the call on and MUST NOT be
// changed any more. On Revalidate at i all of results[i:] are Revalidate and
// nothing of them was applied.
//
// It returns ErrPushback, ErrNoLeader, ErrClosed, ErrTooLarge and
// ErrForeignSection when nothing of the group was begun; ErrUnknown when the
// caller's ctx or the node ended with sections under way.
func (r *Replica) Propose(ctx context.Context, sections [][]byte) ([]state.Result, error) {
	if len(sections) == 0 {
		return nil, nil
	}
	for i, s := range sections {
		if err := checkSection(s); err != nil {
			return nil, fmt.Errorf("propose section %d: %w", i, err)
		}
		h, err := record.ParseHeader(s)
		if err != nil {
			return nil, fmt.Errorf("propose section %d: %w: %w", i, ErrForeignSection, err)
		}
		if h.Node != r.cfg.NodeID {
			return nil, fmt.Errorf("propose section %d: %w: it names %q", i, ErrForeignSection, h.Node)
		}
	}
	g, err := r.link.add(sections)
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	var res []state.Result
	select {
	case <-g.done:
		res, err = g.results, g.err
	case <-ctx.Done():
		res, err = r.link.abandon(g, context.Cause(ctx)) // the group goes on being the link's
	}
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	return res, nil
}

// Leader is the id of the node that leads as far as this one knows, "" if none.
func (r *Replica) Leader() string {
	_, id := r.raft.LeaderWithID()
	return string(id)
}

// Handle sets who answers messages of a kind from other nodes; kinds beginning
// with "replica." are taken. Set handlers before Run.
func (r *Replica) Handle(kind string, h Handler) { r.calls.handle(kind, h) }

// Call sends a message, at most 1 MiB, to a node's handler and waits for the
// answer; without a deadline in ctx, 10 s. To this node itself it is a plain
// call. It returns ErrUnreachable, ErrNotMember, ErrKind, ErrTooLarge, or
// ErrAnswer with the text of the handler's error.
func (r *Replica) Call(ctx context.Context, node, kind string, payload []byte) ([]byte, error) {
	return r.calls.call(ctx, node, kind, payload)
}
