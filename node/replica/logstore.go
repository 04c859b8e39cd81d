package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
)

// Keys of the log database: a table byte first.
const (
	tableLog    = 'l' // index, 8 bytes big-endian → entry
	tableStable = 's' // raft's key → value
	tableLink   = 'e' // nothing → link epoch, 8 bytes big-endian
)

// A log value is: format, type, term (8), time of append (8, Unix nanoseconds,
// 0 none), length of extensions (4), extensions, data, CRC-32C (4) over the
// index and all before it. The index takes part so that an entry found under
// another's key is noticed. All integers are big-endian.
const (
	logFormat  = 1
	logPrefix  = 1 + 1 + 8 + 8 + 4
	logTrailer = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logStore is raft.LogStore over the log database. Indexes are contiguous: what
// would leave a gap is refused. raft's main goroutine writes; replication and
// FSM goroutines read at the same time.
type logStore struct {
	db         *store.DB
	cacheBytes int
	diskLow    func() bool // consulted when a pin stands in the way of a deletion

	// writing is held over a commit, so that readers never wait for an fsync.
	writing sync.Mutex

	mu          sync.RWMutex
	first, last uint64 // 0, 0 when empty; changed with writing held as well
	cache       []*raft.Log
	cached      int // bytes in cache
	pins        map[*pin]struct{}
	grown       int64 // bytes stored since resetGrown
}

// pin keeps the log from an index on while a snapshot of it is sent.
type pin struct {
	index   uint64
	aborted chan struct{}
}

var (
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.MonotonicLogStore = (*logStore)(nil)
)

func openLogStore(db *store.DB, cacheBytes int, diskLow func() bool) (*logStore, error) {
	s := &logStore{db: db, cacheBytes: cacheBytes, diskLow: diskLow, pins: map[*pin]struct{}{}}
	it := db.NewIter([]byte{tableLog}, []byte{tableLog + 1})
	if it.First() {
		s.first = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if it.Last() {
		s.last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return s, nil
}

// IsMonotonic tells raft to empty the log after an install instead of leaving a gap.
func (s *logStore) IsMonotonic() bool { return true }

// FirstIndex is the oldest index kept, 0 if there is none.
func (s *logStore) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, nil
}

// LastIndex is the newest index kept, 0 if there is none.
func (s *logStore) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// GetLog reads one entry. It returns raft.ErrLogNotFound, ErrCorrupt.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	s.mu.RLock()
	if n := len(s.cache); n > 0 && index >= s.cache[0].Index && index <= s.cache[n-1].Index {
		*l = *s.cache[index-s.cache[0].Index]
		s.mu.RUnlock()
		return nil
	}
	s.mu.RUnlock()
	b, err := s.db.Get(logKey(index))
	if errors.Is(err, store.ErrNotFound) {
		return raft.ErrLogNotFound
	} else if err != nil {
		return fmt.Errorf("read log entry %d: %w", index, err)
	}
	return decodeLog(index, b, l)
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and returns after the fsync: raft counts the
// leader's own copy from here on (invariant 1). It returns ErrCorrupt for a gap.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	next := s.last + 1
	if s.first == 0 {
		next = logs[0].Index
	}
	b := s.db.NewWriteBatch()
	var bytes int64
	for _, l := range logs {
		if l.Index != next || next == 0 {
			return errors.Join(fmt.Errorf("store log entry %d after %d: %w: gap", l.Index, next-1, ErrCorrupt), b.Discard())
		}
		v := encodeLog(l)
		if err := b.Set(logKey(l.Index), v); err != nil {
			return errors.Join(fmt.Errorf("store log entry %d: %w", l.Index, err), b.Discard())
		}
		bytes += int64(len(v))
		next++
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("store log entries %d–%d: %w", logs[0].Index, next-1, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 {
		s.first = logs[0].Index
	}
	s.last = next - 1
	s.grown += bytes
	for _, l := range logs {
		kept := *l
		s.cache = append(s.cache, &kept)
		s.cached += cost(l)
	}
	for len(s.cache) > 0 && s.cached > s.cacheBytes {
		s.cached -= cost(s.cache[0])
		s.cache[0] = nil
		s.cache = s.cache[1:]
	}
	return nil
}

// DeleteRange removes entries, both ends included: a prefix (compaction), a
// suffix (conflict with a new leader) or all (install). Of a prefix it keeps
// what a running install still needs.
func (s *logStore) DeleteRange(lo, hi uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.first == 0 || hi < s.first || lo > s.last {
		return nil
	}
	lo, hi = max(lo, s.first), min(hi, s.last)
	if lo > s.first && hi < s.last {
		return fmt.Errorf("delete log entries %d–%d of %d–%d: %w: gap", lo, hi, s.first, s.last, ErrCorrupt)
	}
	if lo == s.first && hi < s.last {
		if hi = s.unpinned(hi); hi < lo {
			return nil
		}
	}
	b := s.db.NewWriteBatch()
	if err := b.DeleteRange(logKey(lo), logKey(hi+1)); err != nil {
		return errors.Join(fmt.Errorf("delete log entries: %w", err), b.Discard())
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("delete log entries %d–%d: %w", lo, hi, err)
	}
	s.forget(lo, hi)
	return nil
}

// forget takes what was deleted out of bounds and cache.
func (s *logStore) forget(lo, hi uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case lo == s.first && hi == s.last:
		s.first, s.last, s.cache, s.cached = 0, 0, nil, 0
	case lo == s.first:
		s.first = hi + 1
		for len(s.cache) > 0 && s.cache[0].Index < s.first {
			s.cached -= cost(s.cache[0])
			s.cache = s.cache[1:]
		}
	default:
		s.last = lo - 1
		for n := len(s.cache); n > 0 && s.cache[n-1].Index > s.last; n = len(s.cache) {
			s.cached -= cost(s.cache[n-1])
			s.cache = s.cache[:n-1]
		}
	}
}

// unpinned is the highest index up to hi that no running install needs. When
// the disk runs out the installs are given up instead.
func (s *logStore) unpinned(hi uint64) uint64 {
	low := s.diskLow()
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.pins {
		if p.index > hi {
			continue
		}
		if low {
			close(p.aborted)
			delete(s.pins, p)
			continue
		}
		hi = p.index - 1 // p.index itself stays: its term stands in the first message after the install
	}
	return hi
}

// pinAt keeps the entries from index on until release.
func (s *logStore) pinAt(index uint64) *pin {
	p := &pin{index: index, aborted: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[p] = struct{}{}
	return p
}

func (s *logStore) release(p *pin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pins, p)
}

// grownBytes is what was stored since the last resetGrown.
func (s *logStore) grownBytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.grown
}

// resetGrown begins counting anew, after a snapshot was taken at n bytes.
func (s *logStore) resetGrown(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grown -= n
}

// trailing is the number of newest entries that together have at most budget bytes, at least one.
func (s *logStore) trailing(budget int64) (n uint64, err error) {
	it := s.db.NewIter([]byte{tableLog}, []byte{tableLog + 1})
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.Last(); ok; ok = it.Prev() {
		budget -= int64(len(it.Value()))
		if budget < 0 {
			break
		}
		n++
	}
	return max(n, 1), nil
}

// check reads the entries after an index, counts them as grown, and names the
// first that is damaged or missing. It returns ErrCorrupt.
func (s *logStore) check(after uint64) (err error) {
	it := s.db.NewIter(logKey(after+1), []byte{tableLog + 1})
	defer func() { err = errors.Join(err, it.Close()) }()
	want := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		index := binary.BigEndian.Uint64(it.Key()[1:])
		if want != 0 && index != want {
			return fmt.Errorf("log entry %d: %w: it is missing", want, ErrCorrupt)
		}
		want = index + 1
		var l raft.Log
		if err := decodeLog(index, it.Value(), &l); err != nil {
			return err
		}
		s.grown += int64(len(it.Value()))
	}
	return nil
}

func (s *logStore) bounds() (first, last uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, s.last
}

// lastTime is the log time of the newest command in the log, 0 if it holds none.
func (s *logStore) lastTime() (ms int64, err error) {
	first, last := s.bounds()
	var l raft.Log
	for i := last; i >= first && i > 0; i-- {
		if err := s.GetLog(i, &l); err != nil {
			return 0, err
		}
		if l.Type == raft.LogCommand {
			e, err := state.DecodeEntry(i, l.Data)
			if err != nil {
				return 0, err
			}
			return e.Time, nil
		}
	}
	return 0, nil
}

// lastCommand is the highest index up to upTo whose entry reaches the state
// machine: commands and configurations do, no-ops and barriers do not. 0 if the
// log holds none.
func (s *logStore) lastCommand(upTo uint64) (uint64, error) {
	var l raft.Log
	for i := upTo; i > 0; i-- {
		if err := s.GetLog(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			return 0, nil // compacted: all of that is in the state
		} else if err != nil {
			return 0, err
		}
		if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration {
			return i, nil
		}
	}
	return 0, nil
}

func cost(l *raft.Log) int { return len(l.Data) + len(l.Extensions) + 128 }

func logKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableLog}, index)
}

func encodeLog(l *raft.Log) []byte {
	b := make([]byte, 0, logPrefix+len(l.Extensions)+len(l.Data)+logTrailer)
	b = append(b, logFormat, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(append(b, l.Extensions...), l.Data...)
	return binary.BigEndian.AppendUint32(b, logCRC(l.Index, b))
}

func logCRC(index uint64, b []byte) uint32 {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], index)
	return crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, b)
}

// decodeLog fills l; its Data and Extensions are copies.
func decodeLog(index uint64, b []byte, l *raft.Log) error {
	if len(b) > 0 && b[0] != logFormat {
		return fmt.Errorf("log entry %d: %w", index, store.ErrUpgrade)
	}
	if len(b) < logPrefix+logTrailer {
		return fmt.Errorf("log entry %d: %w: %d bytes", index, ErrCorrupt, len(b))
	}
	body := b[:len(b)-logTrailer]
	if binary.BigEndian.Uint32(b[len(body):]) != logCRC(index, body) {
		return fmt.Errorf("log entry %d: %w: checksum differs", index, ErrCorrupt)
	}
	ext := binary.BigEndian.Uint32(body[logPrefix-4:])
	rest := body[logPrefix:]
	if uint64(ext) > uint64(len(rest)) {
		return fmt.Errorf("log entry %d: %w: framing", index, ErrCorrupt)
	}
	*l = raft.Log{Index: index, Type: raft.LogType(body[1]), Term: binary.BigEndian.Uint64(body[2:])}
	if at := int64(binary.BigEndian.Uint64(body[10:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	if ext > 0 {
		l.Extensions = append([]byte(nil), rest[:ext]...)
	}
	l.Data = append([]byte(nil), rest[ext:]...)
	return nil
}
