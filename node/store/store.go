package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"
)

// Options are what a node may choose about a database; the zero value is what
// a server uses. Everything else is fixed by measurement (see open).
type Options struct {
	// FS is the file system below; nil is the disk.
	FS FS
	// Logger gets what Pebble has to say, at debug level, and its background
	// errors at error level; nil is silence.
	Logger *slog.Logger
	// CacheBytes bounds the block cache. Default 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed. Default 32 MiB
	// for the state, 16 MiB for the log.
	MemTableBytes uint64
	// MustExist refuses to make a new database where none is (invariant 10: a
	// node that had state never starts empty).
	MustExist bool
	// Fatal is called when Pebble cannot go on (a failed WAL write or manifest,
	// corruption found while compacting); it must not return. Default: panic with
	// the cause.
	Fatal func(error)
}

// DB is one open database.
type DB struct {
	pdb   *pebble.DB
	dir   string
	fs    FS
	write *pebble.WriteOptions

	mu     sync.Mutex
	closed bool
}

// OpenState opens the state database in dir, making it if absent (see
// Options.MustExist). It has no WAL: after a crash it stands at the last flush.
func OpenState(dir string, o Options) (*DB, error) {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	p := options(o)
	p.DisableWAL = true
	return open(dir, o, p, pebble.NoSync)
}

// OpenLog opens the log database in dir, making it if absent (see
// Options.MustExist). Each commit waits for its fsync.
func OpenLog(dir string, o Options) (*DB, error) {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	p := options(o)
	for i := range p.Levels {
		p.Levels[i].Compression = pebble.NoCompression // sections come compressed
	}
	return open(dir, o, p, pebble.Sync)
}

// options sets what was measured (prototype of three nodes on two cores): the
// defaults stall within seconds under load.
func options(o Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          o.FS,
		ErrorIfNotExists:            o.MustExist,
		FormatMajorVersion:          pebble.FormatVirtualSSTables, // pinned: raising it is a decision
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               256 << 20,
		BytesPerSync:                1 << 20,
		WALBytesPerSync:             0,
		MaxConcurrentCompactions:    func() int { return 1 },
		MaxOpenFiles:                1000,
		Levels:                      make([]pebble.LevelOptions, 7),
	}
	for i := range p.Levels {
		l := &p.Levels[i]
		l.BlockSize = 32 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
		l.TargetFileSize = 4 << 20
		if i > 0 {
			l.TargetFileSize = min(p.Levels[i-1].TargetFileSize*2, 64<<20)
		}
		l.EnsureDefaults()
	}
	log := &logger{slog: o.Logger, fatal: o.Fatal}
	p.Logger = log
	p.EventListener = &pebble.EventListener{BackgroundError: log.background}
	return p
}

func open(dir string, o Options, p *pebble.Options, w *pebble.WriteOptions) (*DB, error) {
	fs := o.FS
	if fs == nil {
		fs = Disk()
	}
	if err := ensureDir(fs, dir, o.MustExist); err != nil {
		return nil, wrap("make directory "+dir, err)
	}
	cacheBytes := o.CacheBytes
	if cacheBytes == 0 {
		cacheBytes = 64 << 20
	}
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref() // the database holds its own reference
	p.Cache = cache
	pdb, err := pebble.Open(dir, p)
	if err != nil {
		return nil, wrap("open "+dir, err)
	}
	return &DB{pdb: pdb, dir: dir, fs: fs, write: w}, nil
}

// ensureDir makes dir and syncs the directories that its name, and those of
// parents made on the way, stand in: Pebble syncs what is inside dir, but a
// directory whose own name was never synced is lost with all of it.
func ensureDir(fs FS, dir string, exists bool) error {
	var names []string
	for at := fs.PathDir(dir); ; at = fs.PathDir(at) {
		names = append(names, at)
		if _, err := fs.Stat(at); err == nil || fs.PathDir(at) == at {
			break
		}
	}
	if !exists {
		if err := fs.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	for _, at := range names {
		d, err := fs.OpenDir(at)
		if err != nil {
			if exists {
				continue // Pebble says what is missing
			}
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Dir is the directory given to open.
func (db *DB) Dir() string { return db.dir }

// FS is the file system the database lies on.
func (db *DB) FS() FS { return db.fs }

// Get gives a copy of key's value, or ErrNotFound.
func (db *DB) Get(key []byte) ([]byte, error) {
	v, closer, err := db.pdb.Get(key)
	return copied("get", v, closer, err)
}

// NewIter walks the keys in [lower, upper); nil bounds are open.
func (db *DB) NewIter(lower, upper []byte) *Iter {
	it, err := db.pdb.NewIter(bounds(lower, upper))
	return newIter(it, err)
}

// Snapshot fixes the present content for reading until it is closed.
func (db *DB) Snapshot() *Snapshot { return &Snapshot{s: db.pdb.NewSnapshot()} }

// Flush writes everything committed before the call to sorted files and waits
// for them to be durable.
func (db *DB) Flush() error { return wrap("flush "+db.dir, db.pdb.Flush()) }

// Checkpoint flushes and then makes dir, which must not exist, a database of
// its own that holds at least everything committed before the call (hard
// links where the file system has them).
func (db *DB) Checkpoint(dir string) error {
	if err := db.Flush(); err != nil { // with the WAL off the memtable would be missing without an error
		return err
	}
	return wrap("checkpoint to "+dir, db.pdb.Checkpoint(dir))
}

// Compact rewrites the keys in [lower, upper] so that what was deleted there is
// gone from the files.
func (db *DB) Compact(lower, upper []byte) error {
	return wrap("compact "+db.dir, db.pdb.Compact(lower, upper, false))
}

// Metrics are the numbers an operator watches.
type Metrics struct {
	DiskBytes       uint64 // sorted files and WAL
	MemTableBytes   uint64
	CacheBytes      int64
	CacheHits       int64
	CacheMisses     int64
	L0Files         int64
	L0Sublevels     int32
	Compactions     int64
	CompactionDebt  uint64 // estimated bytes
	Flushes         int64
	WALBytesWritten uint64
	ReadAmp         int
}

// Metrics reads the numbers; it takes a lock for some microseconds.
func (db *DB) Metrics() Metrics {
	m := db.pdb.Metrics()
	return Metrics{
		DiskBytes: m.DiskSpaceUsage(), MemTableBytes: m.MemTable.Size,
		CacheBytes: m.BlockCache.Size, CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
		L0Files: m.Levels[0].NumFiles, L0Sublevels: m.Levels[0].Sublevels,
		Compactions: m.Compact.Count, CompactionDebt: m.Compact.EstimatedDebt,
		Flushes: m.Flush.Count, WALBytesWritten: m.WAL.BytesWritten, ReadAmp: m.ReadAmp(),
	}
}

// Close closes the database. It may be called more than once; all snapshots,
// batches and iterators must be closed before. What the state database had not
// flushed is flushed first.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	var flushErr error
	if !db.write.Sync { // a clean stop saves the replay
		flushErr = db.pdb.Flush()
	}
	if err := db.pdb.Close(); err != nil {
		return wrap("close "+db.dir, err)
	}
	return wrap("flush "+db.dir, flushErr)
}

// Abandon closes the database as a crash would leave it: nothing is flushed.
// Tests and the removal of a replaced state use it.
func (db *DB) Abandon() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	return wrap("close "+db.dir, db.pdb.Close())
}

// logger hands Pebble's words to slog.
type logger struct {
	slog  *slog.Logger
	fatal func(error)
}

// Infof logs at debug level: Pebble reports every flush and compaction.
func (l *logger) Infof(format string, args ...any) {
	if l.slog != nil {
		l.slog.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

// Fatalf stops the process with the cause.
func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("store: pebble cannot go on: %s", fmt.Sprintf(format, args...))
	if l.slog != nil {
		l.slog.Error("pebble cannot go on", "err", err)
	}
	if l.fatal != nil {
		l.fatal(err)
	}
	panic(err)
}

// background logs what Pebble will try again, and stops for what it must not:
// corruption found while compacting (invariant 10).
func (l *logger) background(err error) {
	if pebble.IsCorruptionError(err) {
		l.Fatalf("%v", err)
	}
	if l.slog != nil {
		l.slog.Error("pebble background work failed", "err", err)
	}
}
