package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/checkpoint"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/node/transport"
)

// Node is one node of the bus.
//
//	clients ─► transport ─► exchange ─► replica ─► state ─► store
//	               │            │          │
//	          public feeds   checkpoint ◄──┘ (marks)
type Node struct {
	config  Config
	version string
	log     *slog.Logger

	keys        *authority.Keys
	logDB       *store.DB
	machine     *state.Machine
	replica     *replica.Replica
	checkpoints *checkpoint.Room
	service     *exchange.Service
	server      *transport.Server
	disks       disks
	listeners   [2]net.Listener // API, public

	closing sync.Once
	closed  error
}

// New opens the stores, checks the keys, starts the replica and takes the
// listeners' addresses. Nothing is served before Run.
func New(config Config, version string, log *slog.Logger) (*Node, error) {
	n := &Node{config: config, version: version, log: log, disks: disks{marks: config.Disk}}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open starts the rooms from the lowest floor up; what it started before an
// error is for Close.
func (n *Node) open() (err error) {
	if n.keys, err = authority.Open(n.config.keyDir()); err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	if n.keys.Node() != n.config.NodeID {
		return fmt.Errorf("%w: node_id is %q, the keys are those of %q", ErrConfig, n.config.NodeID, n.keys.Node())
	}
	if err := n.openStores(); err != nil {
		return err
	}
	if err := n.openCheckpoints(); err != nil {
		return err
	}
	if err := n.openService(); err != nil {
		return err
	}
	return n.listen()
}

// openStores opens log and state and starts the replica on them.
func (n *Node) openStores() (err error) {
	if err := os.MkdirAll(n.config.replicaDir(), 0o700); err != nil {
		return fmt.Errorf("make replica folder: %w", err)
	}
	if n.logDB, err = store.OpenLog(n.config.logDir(), store.Options{}); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	dir, err := replica.StateDir(store.Disk(), n.config.replicaDir())
	if err != nil {
		return fmt.Errorf("find state: %w", err)
	}
	db, err := store.OpenState(dir, store.Options{})
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	if n.machine, err = state.Open(db, state.Config{ClusterID: n.keys.Cluster()}); err != nil {
		return errors.Join(fmt.Errorf("open state: %w", err), db.Close())
	}
	_, err = os.Stat(n.config.bootstrapFile())
	n.replica, err = replica.Open(replica.Config{
		ClusterID: n.keys.Cluster(), NodeID: n.config.NodeID, Dir: n.config.replicaDir(),
		Certificate: n.keys.NodeCertificate(), Roots: n.keys.NodeRoots(),
		Listen: n.config.Listen.Node, Advertise: n.config.Advertise.Node,
		Addresses: replica.Addresses{API: n.config.Advertise.API, Node: n.config.Advertise.Node, Public: n.config.Advertise.Public},
		Version:   n.version, Bootstrap: err == nil, AcceptClock: n.config.Raft.AcceptClock,
		Heartbeat: n.config.heartbeat(), WaitingBytes: n.config.Limits.WaitingBytes, Logger: n.log,
	}, n.logDB, n.machine)
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	return nil
}

// openService makes exchange and transport.
func (n *Node) openService() error {
	cosigner, err := tlog.ParseKey(string(n.keys.CosignerKey()))
	if err != nil {
		return fmt.Errorf("read node key: %w", err)
	}
	origin, err := tlog.ParseKey(string(n.keys.OriginKey()))
	if err != nil {
		return fmt.Errorf("read log key: %w", err)
	}
	n.service = exchange.New(exchange.Config{Node: n.config.NodeID, RecordBytes: n.config.Limits.RecordBytes, PublicOrigin: n.config.Feed.Base,
		FeedAuthority: n.config.Feed.Authority, FeedDate: n.config.Feed.Date, LogVKey: origin.VKey()},
		exchange.Parts{Machine: n.machine, Replica: n.replica, Checkpoints: latest{n.checkpoints}, Members: &members{n}, Issuer: &issuer{n.keys}, Disk: &n.disks, Key: cosigner})
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	limits := transport.Default()
	limits.RecordBytes, limits.RequestsPerS, limits.VersionString = n.config.Limits.RecordBytes, n.config.Limits.RequestsPerS, n.version
	n.server = transport.New(limits, n.service, n.log, registry)
	return nil
}

// listen takes the addresses of the API and the public listener.
func (n *Node) listen() (err error) {
	for i, address := range []string{n.config.Listen.API, n.config.Listen.Public} {
		if n.listeners[i], err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	config, err := n.apiTLS()
	if err != nil || config == nil {
		return err
	}
	n.listeners[0] = tls.NewListener(n.listeners[0], config)
	return nil
}

// apiTLS is the TLS configuration of the API listener, nil for plain HTTP.
// Client certificates of the cluster's system authority are checked where they
// are shown; who shows none sends a key.
func (n *Node) apiTLS() (*tls.Config, error) {
	var certificate tls.Certificate
	var err error
	switch n.config.TLS.CertFile {
	case "":
		return nil, nil
	case selfIssued:
		certificate, err = (&issuer{n.keys}).server(n.config)
	default:
		certificate, err = tls.LoadX509KeyPair(n.config.TLS.CertFile, n.config.TLS.KeyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: tls: %w", ErrConfig, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: n.keys.SystemRoots()}, nil
}

// stopWait bounds how long a listener waits for what is in flight; what takes
// longer is cut off, and its outcome unknown to whoever asked.
const stopWait = 5 * time.Second

// Run serves until ctx ends or a part fails. The listeners stop first, so that
// what they took in is still answered by the log.
func (n *Node) Run(ctx context.Context) error {
	var g run.Group
	n.serve(&g, n.listeners[0], n.server.API())
	n.serve(&g, n.listeners[1], n.server.Public())
	actor := func(f func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		g.Add(func() error { return f(ctx) }, func(error) { cancel() })
	}
	actor(n.replica.Run)
	actor(n.checkpoints.Run)
	actor(n.tend)
	stopped, stop := context.WithCancel(ctx)
	g.Add(func() error { <-stopped.Done(); return context.Cause(stopped) }, func(error) { stop() })
	n.log.Info("node runs", slog.String("node", n.config.NodeID), slog.String("cluster", n.keys.Cluster()), slog.String("api", n.listeners[0].Addr().String()), slog.String("public", n.listeners[1].Addr().String()))
	err := g.Run()
	if errors.Is(err, context.Canceled) || errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// serve adds one listener to the group.
func (n *Node) serve(g *run.Group, l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	g.Add(func() error { return s.Serve(l) }, func(error) {
		n.service.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			if err := s.Close(); err != nil {
				n.log.Debug("close listener", slog.Any("error", err))
			}
		}
	})
}

// Close stops what New started, in reverse. It is idempotent.
func (n *Node) Close() error {
	n.closing.Do(func() {
		var errs []error
		for _, l := range n.listeners {
			if l != nil {
				if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					errs = append(errs, err)
				}
			}
		}
		if n.replica != nil {
			errs = append(errs, n.replica.Close())
		}
		if n.machine != nil {
			errs = append(errs, n.machine.Close())
		}
		if n.logDB != nil {
			errs = append(errs, n.logDB.Close())
		}
		n.closed = errors.Join(errs...)
	})
	return n.closed
}
