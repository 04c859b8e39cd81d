package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/node/tlog"
)

// Names of the files in Config.Dir.
const (
	noteFile     = "checkpoint" // newest assembled note
	cosignedFile = "cosigned"   // text of the checkpoint this node cosigned last
)

// Kinds of messages on the node link.
const (
	// KindCosign carries a checkpoint signed by the log; the answer is the same note with the node's cosignature.
	KindCosign = "checkpoint.cosign"
	// KindKeep carries an assembled note to keep; the answer is empty.
	KindKeep = "checkpoint.keep"
)

// Defaults of Config.
const (
	DefaultInterval    = 250 * time.Millisecond
	DefaultCallTimeout = 500 * time.Millisecond
	DefaultRefresh     = time.Minute
)

// Mark is a tree head that state found equal on this node (FORMATS §7).
type Mark struct {
	Size uint64    // leaves
	Root tlog.Hash // of the first Size leaves
	Time int64     // log time, Unix milliseconds
}

// Tree is what the room reads of the node's own state. Both methods are called from any goroutine and may read disk.
type Tree interface {
	// Mark is the newest mark that the node's own state has applied; ok is false while there is none.
	Mark() (m Mark, ok bool)
	// RootAt computes the root of the first size leaves from the node's own stored hashes. It returns an error if
	// the state has fewer.
	RootAt(size uint64) (tlog.Hash, error)
}

// Peers is the node link as this room needs it. Call MUST return soon after ctx ends. Handle is called once for each
// kind, by Open.
type Peers interface {
	Call(ctx context.Context, node, kind string, payload []byte) ([]byte, error)
	Handle(kind string, answer func(ctx context.Context, from string, payload []byte) ([]byte, error))
}

// Config is what the operator or the wiring decides.
type Config struct {
	Log         string        // name of the log, "<origin>/<year>-<n>"
	LogVKey     string        // verifier key of the log; its name is Log
	Dir         string        // folder beside state for the two files; it is made if absent
	Interval    time.Duration // how often the leader looks for a grown tree; 0 is DefaultInterval
	CallTimeout time.Duration // how long one peer may take to cosign; 0 is DefaultCallTimeout
	Refresh     time.Duration // a tree that does not grow is cosigned anew after this; 0 is DefaultRefresh
}

// Settings are what is injected. All but LogKey and Logger are required.
type Settings struct {
	Tree    Tree
	Peers   Peers
	LogKey  *tlog.Key                  // nil on a node that does not hold the log's key: it cannot lead checkpoints
	NodeKey *tlog.Key                  // cosigns
	Trust   func() (tlog.Trust, error) // as of now: members change
	Others  func() []string            // ids of the other nodes, as of now
	Leading func() bool                // whether this node leads
	Now     func() time.Time
	Logger  *slog.Logger // nil discards
}

// Room is the service. Make it with Open.
type Room struct {
	cfg    Config
	set    Settings
	logKey tlog.Verifier

	mu       sync.Mutex
	cosigned tlog.Checkpoint // what this node cosigned last; the zero value before the first
	newest   tlog.Checkpoint // of note
	note     []byte          // newest assembled note; nil while there is none
	noteAt   time.Time       // latest cosignature time in note
}

// Open reads the two files and answers peers from now on. A note file that does not hold is left aside: the next
// round makes one anew. It returns ErrCorrupt, tlog.ErrKey for a bad LogVKey, or an error of the file system.
func Open(cfg Config, set Settings) (*Room, error) {
	r := &Room{cfg: withDefaults(cfg), set: set}
	if r.set.Logger == nil {
		r.set.Logger = slog.New(slog.DiscardHandler)
	}
	v, err := tlog.ParseVKey(cfg.LogVKey)
	if err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	if v.Name() != cfg.Log {
		return nil, fmt.Errorf("open checkpoints: key is of log %q, not %q: %w", v.Name(), cfg.Log, tlog.ErrKey)
	}
	r.logKey = v
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	if err := r.loadCosigned(); err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	if err := r.loadNote(); err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	set.Peers.Handle(KindCosign, func(ctx context.Context, _ string, payload []byte) ([]byte, error) {
		return r.cosignSoon(ctx, payload)
	})
	set.Peers.Handle(KindKeep, func(_ context.Context, _ string, payload []byte) ([]byte, error) {
		return nil, r.keep(payload)
	})
	return r, nil
}

func withDefaults(cfg Config) Config {
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = DefaultCallTimeout
	}
	if cfg.Refresh <= 0 {
		cfg.Refresh = DefaultRefresh
	}
	return cfg
}

func (r *Room) loadCosigned() error {
	text, err := os.ReadFile(filepath.Join(r.cfg.Dir, cosignedFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := tlog.ParseCheckpoint(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", cosignedFile, ErrCorrupt, err)
	}
	if c.Origin == r.cfg.Log { // another log's record says nothing about this one
		r.cosigned = c
	}
	return nil
}

func (r *Room) loadNote() error {
	msg, err := os.ReadFile(filepath.Join(r.cfg.Dir, noteFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, at, err := r.check(msg)
	if err != nil {
		r.set.Logger.Warn("kept checkpoint does not hold and is left aside", "error", err.Error())
		return nil
	}
	r.newest, r.note, r.noteAt = c, msg, at
	return nil
}

// Latest returns the newest assembled note and the latest cosignature time in it; nil while there is none. The note
// is shared and not to be changed.
func (r *Room) Latest() (note []byte, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.note, r.noteAt
}

// Run makes checkpoints while this node leads, until ctx ends; it then returns nil. Faults are logged when they begin
// and when they end.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !r.set.Leading() {
			continue
		}
		err := r.Round(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && said != "":
			r.set.Logger.Info("checkpoints are made again")
			said = ""
		case err != nil && err.Error() != said:
			r.set.Logger.Error("no checkpoint", "error", err.Error())
			said = err.Error()
		}
	}
}

// check judges an assembled note by the trust file and returns its checkpoint, which must be of this log.
func (r *Room) check(msg []byte) (tlog.Checkpoint, time.Time, error) {
	trust, err := r.set.Trust()
	if err != nil {
		return tlog.Checkpoint{}, time.Time{}, err
	}
	c, times, err := trust.Check(msg)
	if err != nil {
		return tlog.Checkpoint{}, time.Time{}, err
	}
	if c.Origin != r.cfg.Log {
		return tlog.Checkpoint{}, time.Time{}, fmt.Errorf("checkpoint of log %q: %w", c.Origin, ErrUnsigned)
	}
	return c, time.Unix(times.Latest(), 0), nil
}

// keep stores an assembled note if it holds and is newer than the one kept. A node whose own state is behind keeps it
// all the same: the quorum vouches for it. It returns ErrInconsistent if the own state has another root.
func (r *Room) keep(msg []byte) error {
	c, at, err := r.check(msg)
	if err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.note != nil && (c.Size < r.newest.Size || c.Size == r.newest.Size && !at.After(r.noteAt)) {
		return nil
	}
	if root, err := r.set.Tree.RootAt(c.Size); err == nil && root != c.Root {
		r.set.Logger.Error("cosigned checkpoint differs from own state", "size", c.Size)
		return fmt.Errorf("keep checkpoint of %d leaves: %w", c.Size, ErrInconsistent)
	}
	if err := writeFile(filepath.Join(r.cfg.Dir, noteFile), msg); err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	r.newest, r.note, r.noteAt = c, msg, at
	return nil
}
