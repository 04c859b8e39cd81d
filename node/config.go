package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/feed"
)

// Config is hutongd.yaml. Unknown keys are refused.
type Config struct {
	NodeID  string `json:"node_id"`  // name of this node, as in its certificate
	DataDir string `json:"data_dir"` // keys, log and state; a relative path starts at the file's folder
	// Listen are the three listeners as host:port. API takes departments' systems
	// and hutongctl, Node the other nodes, Public everybody.
	Listen Listen `json:"listen"`
	// Advertise is how others reach the listeners; empty: as Listen says.
	Advertise Listen    `json:"advertise,omitzero"`
	TLS       TLS       `json:"tls,omitzero"`
	Raft      Raft      `json:"raft,omitzero"`
	Limits    Limits    `json:"limits,omitzero"`
	Disk      Disk      `json:"disk,omitzero"`
	Feed      Feed      `json:"feed,omitzero"`
	Log       LogConfig `json:"log,omitzero"`
}

// Listen are three addresses.
type Listen struct {
	API    string `json:"api"`
	Node   string `json:"node"`
	Public string `json:"public"`
}

// TLS of the API listener. Without it the API speaks HTTP: only for loopback,
// or behind a proxy that speaks TLS.
type TLS struct {
	CertFile string `json:"cert_file,omitempty"` // PEM; "self" issues one under the cluster's authority at each start
	KeyFile  string `json:"key_file,omitempty"`
}

// Raft tunes the log.
type Raft struct {
	Heartbeat string `json:"heartbeat,omitempty"` // default 500ms; 250ms for nodes in one room
	// AcceptClock confirms a clock far behind the log; see the runbook.
	AcceptClock bool `json:"accept_clock,omitempty"`
}

// Limits of what is taken.
type Limits struct {
	RecordBytes  int     `json:"record_bytes,omitempty"`   // default 262,144; at most 1,048,576
	WaitingBytes int     `json:"waiting_bytes,omitempty"`  // of sections not applied yet, then 429; default 64 MiB
	RequestsPerS float64 `json:"requests_per_s,omitempty"` // of this node's API; 0: no limit
}

// Disk says at which share of use (percent) the node warns, slows and refuses.
type Disk struct {
	Warn   int `json:"warn,omitempty"`   // default 80
	Slow   int `json:"slow,omitempty"`   // default 90
	Refuse int `json:"refuse,omitempty"` // default 95
}

// Feed names the operator in the ids of feed entries (RFC 4151). They must
// never change: readers would take every entry for a new one.
type Feed struct {
	Authority string `json:"authority,omitempty"` // a DNS name of the operator, default the audit log's origin
	Date      string `json:"date,omitempty"`      // a day on which it was the operator's
	Base      string `json:"base,omitempty"`      // address of the portal, for links
}

// LogConfig of the node's own log.
type LogConfig struct {
	Level  string `json:"level,omitempty"`  // debug info warn error; default info
	Format string `json:"format,omitempty"` // text or json; default text
}

// ErrConfig is returned when hutongd.yaml cannot be used; every fault is
// listed.
var ErrConfig = errors.New("configuration")

// ReadConfig reads and checks a configuration file.
func ReadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var c Config
	if err := yaml.UnmarshalStrict(b, &c); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	if c.DataDir != "" && !filepath.IsAbs(c.DataDir) {
		c.DataDir = filepath.Join(filepath.Dir(path), c.DataDir)
	}
	c.setDefaults()
	if err := errors.Join(c.faults()...); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	return c, nil
}

func (c *Config) setDefaults() {
	or := func(s *string, fallback string) {
		if *s == "" {
			*s = fallback
		}
	}
	or(&c.Advertise.API, c.Listen.API)
	or(&c.Advertise.Node, c.Listen.Node)
	or(&c.Advertise.Public, c.Listen.Public)
	or(&c.Raft.Heartbeat, "500ms")
	or(&c.Feed.Date, "2026-01-01")
	or(&c.Log.Level, "info")
	or(&c.Log.Format, "text")
	for _, d := range []struct {
		at       *int
		fallback int
	}{{&c.Limits.RecordBytes, 256 << 10}, {&c.Limits.WaitingBytes, 64 << 20}, {&c.Disk.Warn, 80}, {&c.Disk.Slow, 90}, {&c.Disk.Refuse, 95}} {
		if *d.at == 0 {
			*d.at = d.fallback
		}
	}
}

// faults lists everything that is wrong.
func (c *Config) faults() []error {
	var out []error
	bad := func(format string, args ...any) { out = append(out, fmt.Errorf(format, args...)) }
	if err := authority.CheckNodeID(c.NodeID); err != nil {
		bad("node_id: %w", err)
	}
	if c.DataDir == "" {
		bad("data_dir is missing")
	}
	for _, l := range []struct{ name, address string }{
		{"listen.api", c.Listen.API}, {"listen.node", c.Listen.Node}, {"listen.public", c.Listen.Public},
		{"advertise.api", c.Advertise.API}, {"advertise.node", c.Advertise.Node}, {"advertise.public", c.Advertise.Public},
	} {
		if !isAddress(l.address) {
			bad("%s must be host:port", l.name)
		}
	}
	if l := c.Listen; l.API == l.Node || l.Node == l.Public || l.API == l.Public {
		bad("listen: the three addresses must differ")
	}
	if d, err := time.ParseDuration(c.Raft.Heartbeat); err != nil || d < 20*time.Millisecond || d > 10*time.Second {
		bad("raft.heartbeat must be a time from 20ms to 10s")
	}
	if (c.TLS.CertFile != "" && c.TLS.CertFile != selfIssued) != (c.TLS.KeyFile != "") {
		bad("tls needs both cert_file and key_file, or cert_file: self")
	}
	if c.Limits.RecordBytes < 1024 || c.Limits.RecordBytes > 1<<20 {
		bad("limits.record_bytes must be from 1,024 to 1,048,576")
	}
	if c.Limits.WaitingBytes < 1<<20 {
		bad("limits.waiting_bytes must be at least 1 MiB")
	}
	if c.Limits.RequestsPerS < 0 {
		bad("limits.requests_per_s must not be negative")
	}
	if !(0 < c.Disk.Warn && c.Disk.Warn < c.Disk.Slow && c.Disk.Slow < c.Disk.Refuse && c.Disk.Refuse < 100) {
		bad("disk must rise: warn < slow < refuse < 100")
	}
	if _, err := feed.New(feed.Config{Authority: cmp.Or(c.Feed.Authority, "any.example"), Date: c.Feed.Date, Base: c.Feed.Base}); err != nil {
		bad("feed: %w", err)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		bad("log.level must be debug, info, warn or error")
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format must be text or json")
	}
	return out
}

// isAddress takes host:port with a port from 1 to 65535; the host may be empty
// where one listens.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// selfIssued in tls.cert_file has the node issue its API certificate itself.
const selfIssued = "self"

func (c *Config) heartbeat() time.Duration {
	d, err := time.ParseDuration(c.Raft.Heartbeat)
	if err != nil {
		return 500 * time.Millisecond // faults has refused it
	}
	return d
}

// Logger makes the node's logger.
func (c *Config) Logger(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Places in the data directory.
func (c *Config) keyDir() string        { return filepath.Join(c.DataDir, "keys") }
func (c *Config) logDir() string        { return filepath.Join(c.DataDir, "log") }
func (c *Config) replicaDir() string    { return filepath.Join(c.DataDir, "replica") }
func (c *Config) checkpointDir() string { return filepath.Join(c.DataDir, "checkpoint") }
func (c *Config) bootstrapFile() string { return filepath.Join(c.DataDir, "bootstrap.json") }
