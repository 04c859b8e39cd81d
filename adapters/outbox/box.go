package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"
	"github.com/cockroachdb/pebble/vfs"
)

// Options of Open. Dir and Producer are needed, everything else has a default.
type Options struct {
	Dir      string
	Producer string // "<department>.<system>[.<n>]"

	MaxBytes     int64            // waiting records and verdicts; default 1 GiB; at 95 % the source waits
	MinFreeBytes uint64           // of the disk; below it the source waits; default 64 MiB
	MaxRefusals  int              // open refusals kept per stream, the oldest go first; default 10,000
	FS           vfs.FS           // nil: the disk
	Now          func() time.Time // default time.Now
	Rand         io.Reader        // source of the row secret; needed when the outbox is new
	Logger       *slog.Logger
}

const (
	defaultMaxBytes     = 1 << 30
	defaultMinFreeBytes = 64 << 20
	defaultMaxRefusals  = 10_000
	memTableBytes       = 8 << 20 // records leave within seconds: little is worth sorting in memory
	warnPercent         = 80
	stopPercent         = 95
)

func (o *Options) ensureDefaults() {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = defaultMinFreeBytes
	}
	if o.MaxRefusals <= 0 {
		o.MaxRefusals = defaultMaxRefusals
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// identity names the outbox. It is written once and again beside the database
// (file OUTBOX), so that a lost database is noticed and never becomes an empty
// outbox of the old epoch.
type identity struct {
	Producer string `json:"producer"`
	Epoch    uint64 `json:"epoch"`
	Secret   []byte `json:"secret,omitempty"` // of the row hashes; only in the database
}

// queue is the state of one resource: numbers low … next-1 wait.
type queue struct {
	Next  uint64 `json:"next"`
	Low   uint64 `json:"low"`
	Bytes int64  `json:"bytes"`
}

// Box is an open outbox.
type Box struct {
	opt  Options
	db   *pebble.DB
	lock *pebble.Lock
	id   identity

	mu       sync.Mutex
	closed   bool
	broken   error
	changed  chan struct{} // closed and replaced after every change
	queues   map[string]queue
	totals   map[string]Counts
	refusals map[string][]openRefusal // per stream, oldest first
	nextRef  map[string]uint64
	verdicts map[string]verdictState
	bytes    int64 // waiting records and verdicts
	warned   bool
}

type openRefusal struct {
	n         uint64
	key, unit string
}

type verdictState struct {
	next uint64 // number of the next verdict
	size map[uint64]int64
}

// Open opens the outbox in o.Dir, or makes one where none was. A new outbox
// takes the present Unix second as its epoch, so that an outbox made anew after
// a loss comes after the lost one and fences it. Errors: ErrLocked,
// ErrProducer, ErrCorrupt, ErrFormat.
func Open(o Options) (*Box, error) {
	o.ensureDefaults()
	known, err := readMarker(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if known != nil && known.Producer != o.Producer {
		return nil, fmt.Errorf("open outbox of %q for %q: %w", known.Producer, o.Producer, ErrProducer)
	}
	dir := o.FS.PathJoin(o.Dir, "db")
	if err := makeDir(o, dir); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w: %w", ErrLocked, err)
	}
	po := pebbleOptions(o, known != nil)
	po.Lock = lock
	db, err := pebble.Open(dir, po)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open outbox: %w: %w", ErrCorrupt, err), lock.Close())
	}
	b := &Box{opt: o, db: db, lock: lock, changed: make(chan struct{}), queues: map[string]queue{}, totals: map[string]Counts{},
		refusals: map[string][]openRefusal{}, nextRef: map[string]uint64{}, verdicts: map[string]verdictState{}}
	if err := b.load(known); err != nil {
		return nil, errors.Join(err, db.Close(), lock.Close())
	}
	return b, nil
}

// makeDir makes the database's directory and syncs the ones above it: a file
// that is synced in a directory that is not may be gone after a loss of power.
func makeDir(o Options, dir string) error {
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open outbox: %w", err)
	}
	for _, above := range []string{o.FS.PathDir(o.Dir), o.Dir} {
		if err := syncDir(o.FS, above); err != nil {
			return fmt.Errorf("open outbox: %w", err)
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func pebbleOptions(o Options, exists bool) *pebble.Options {
	po := &pebble.Options{
		FS:                          o.FS,
		FormatMajorVersion:          pebble.FormatVirtualSSTables,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       40,
		BytesPerSync:                1 << 20,
		ErrorIfNotExists:            exists,
		Logger:                      pebbleLogger{o.Logger},
		Levels:                      make([]pebble.LevelOptions, 7),
	}
	for i := range po.Levels {
		po.Levels[i] = pebble.LevelOptions{BlockSize: 32 << 10, Compression: pebble.SnappyCompression, FilterPolicy: bloom.FilterPolicy(10)}
	}
	return po
}

// Exists reports whether an outbox was ever made in dir.
func Exists(dir string) bool {
	_, err := os.Stat(markerPath(vfs.Default, dir))
	return err == nil
}

func markerPath(fs vfs.FS, dir string) string { return fs.PathJoin(dir, "OUTBOX") }

func readMarker(fs vfs.FS, dir string) (*identity, error) {
	f, err := fs.Open(markerPath(fs, dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	raw, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read outbox marker: %w", err)
	}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return nil, fmt.Errorf("read outbox marker: %w: %w", ErrCorrupt, err)
	}
	return &id, nil
}

func writeMarker(fs vfs.FS, dir string, id identity) error {
	id.Secret = nil
	raw, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("write outbox marker: %w", err)
	}
	tmp := fs.PathJoin(dir, "OUTBOX.tmp")
	f, err := fs.Create(tmp)
	if err != nil {
		return fmt.Errorf("write outbox marker: %w", err)
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write outbox marker: %w", err)
	}
	if err := fs.Rename(tmp, markerPath(fs, dir)); err != nil {
		return fmt.Errorf("write outbox marker: %w", err)
	}
	return syncDir(fs, dir)
}

// Close waits for nobody, wakes everybody who waits in Append, and gives the
// directory free. It may be called twice.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.announce()
	if err := errors.Join(b.db.Close(), b.lock.Close()); err != nil {
		return fmt.Errorf("close outbox: %w", err)
	}
	return nil
}

// Producer is the producer's id and its epoch.
func (b *Box) Producer() (id string, epoch uint64) { return b.id.Producer, b.id.Epoch }

// Changed is closed at the next change. Take it before looking, or a change
// between looking and waiting is missed.
func (b *Box) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *Box) announce() { // under mu
	close(b.changed)
	b.changed = make(chan struct{})
}

// commit writes one batch with an fsync. After a failure nobody can say
// whether it is on disk, so the box answers ErrBroken from then on.
func (b *Box) commit(batch *pebble.Batch) error { // under mu
	if err := batch.Commit(pebble.Sync); err != nil {
		b.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		b.announce()
		return b.broken
	}
	return nil
}

func (b *Box) usable() error { // under mu
	if b.closed {
		return ErrClosed
	}
	return b.broken
}

// hash is the keyed hash by which an unchanged row is known. Without the
// secret of this outbox it says nothing about the row.
func (b *Box) hash(op byte, reason string, compact []byte) rowHash {
	m := hmac.New(sha256.New, b.id.Secret)
	m.Write([]byte{op})
	m.Write(appendName(nil, reason))
	m.Write(compact)
	var h rowHash
	copy(h[:], m.Sum(nil))
	return h
}

// pebbleLogger keeps Pebble quiet and ends the process where Pebble cannot go
// on: what is on disk is whole, and opening it again is the recovery.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("outbox store", "error", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("outbox store failed", "error", fmt.Sprintf(format, args...))
	os.Exit(1)
}
