package replica

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/store"
)

// Limits and times. Zero fields of Config take these.
const (
	// DefaultHeartbeat is raft's heartbeat and election timeout; the lease is half
	// of it. Measured: the next write is acknowledged 1.1 s after a kill (median).
	DefaultHeartbeat = 500 * time.Millisecond
	// DefaultWaitingBytes is what may wait on a node, unanswered, before Propose pushes back.
	DefaultWaitingBytes = 64 << 20
	// DefaultWindowBytes is what a node may have unanswered with the leader. Times
	// five nodes it bounds what waits at the leader.
	DefaultWindowBytes = 8 << 20
	// DefaultSnapshotBytes of log after the last snapshot trigger the next one.
	DefaultSnapshotBytes = 256 << 20
	// DefaultTrailingBytes of log stay behind a snapshot, so that a follower that
	// was away for a moment needs no snapshot.
	DefaultTrailingBytes = 64 << 20
	// DefaultCacheBytes of newest log entries are kept in memory for the followers.
	DefaultCacheBytes = 32 << 20

	entryBytes     = 256 << 10 // the packer closes an entry here; flush cost is flat to here
	secondBytes    = 32 << 10  // a second entry goes in flight only for this much
	entriesFlying  = 2         // measured: more in flight is slower
	commitTimeout  = 10 * time.Millisecond
	maxAppend      = 16              // entries in one message: 4 MiB of full ones
	noLeaderAfter  = 3 * time.Second // Propose answers ErrNoLeader at once after this long without one
	resendAfter    = 3 * time.Second // without any result; doubles up to resendAtMost
	resendAtMost   = time.Minute
	dialTimeout    = 2 * time.Second
	callTimeout    = 10 * time.Second // when the caller's context has no deadline
	maxCallBytes   = 1 << 20
	maxCallsFlying = 64 // per connection
)

// Addresses are where a node is reached, for people and clients.
type Addresses struct {
	API    string `json:"api"`
	Node   string `json:"node"`
	Public string `json:"public"`
}

// Config says who this node is, where it keeps things and how it behaves.
type Config struct {
	// ClusterID and NodeID are this node's identity; NodeID is also the only DNS
	// name of Certificate.
	ClusterID, NodeID string
	// Dir holds the state directories and the snapshots' metadata. The state given
	// to Open MUST lie where StateDir said.
	Dir string
	// FS is the file system of Dir; nil is the disk.
	FS store.FS
	// StateOptions open a state that came from another node.
	StateOptions store.Options

	// Certificate and Roots prove and check nodes, both ways.
	Certificate tls.Certificate
	Roots       *x509.CertPool
	// Listen is the node port, "host:port".
	Listen string
	// Advertise is the address under which the others dial this node; default: the listener's.
	Advertise string
	// Addresses, API and Public, are told to the others for Status.
	Addresses Addresses
	// Version of the program, told to the others for Status.
	Version string

	// Bootstrap makes a new cluster with this node as its only voter, if the log is empty.
	Bootstrap bool
	// AcceptClock confirms a clock that is far behind the log (see ErrClockBack).
	AcceptClock bool

	// Heartbeat, and the limits in bytes: see the Default constants.
	Heartbeat     time.Duration
	WaitingBytes  int
	WindowBytes   int
	SnapshotBytes int64
	TrailingBytes int64
	CacheBytes    int

	// Logger gets what an operator must know; nil is silence.
	Logger *slog.Logger
	// Clock gives the wall time; nil is time.Now. Durations are not measured by it.
	Clock func() time.Time
	// Dial opens a TCP connection; nil dials. Tests cut networks with it.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// withDefaults fills what was left open and checks the rest, all faults at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if err := authority.CheckNodeID(c.NodeID); err != nil {
		errs = append(errs, err)
	}
	for _, f := range []struct {
		bad  bool
		what string
	}{
		{c.ClusterID == "" || len(c.ClusterID) > 255, "cluster id must have 1 to 255 bytes"},
		{c.Dir == "", "dir is missing"},
		{c.Listen == "", "listen is missing"},
		{c.Roots == nil || len(c.Certificate.Certificate) == 0, "certificate and roots are missing"},
		{c.Heartbeat != 0 && c.Heartbeat < 20*time.Millisecond, "heartbeat must be at least 20 ms"},
		{c.WaitingBytes < 0 || c.WindowBytes < 0 || c.SnapshotBytes < 0 || c.TrailingBytes < 0 || c.CacheBytes < 0, "a limit is negative"},
	} {
		if f.bad {
			errs = append(errs, errors.New(f.what))
		}
	}
	if len(errs) > 0 {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, errors.Join(errs...))
	}
	if c.FS == nil {
		c.FS = store.Disk()
	}
	c.StateOptions.FS = c.FS
	setDefault(&c.Heartbeat, DefaultHeartbeat)
	setDefault(&c.WaitingBytes, DefaultWaitingBytes)
	setDefault(&c.WindowBytes, DefaultWindowBytes)
	setDefault(&c.SnapshotBytes, DefaultSnapshotBytes)
	setDefault(&c.TrailingBytes, DefaultTrailingBytes)
	setDefault(&c.CacheBytes, DefaultCacheBytes)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return c, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
