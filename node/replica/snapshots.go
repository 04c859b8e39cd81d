package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/store"
)

// snapshotMeta is one file of the snapshots directory. There is nothing else to
// a snapshot: the state itself is it.
type snapshotMeta struct {
	V                  int    `json:"v"`
	ID                 string `json:"id"`
	Index              uint64 `json:"index"`
	Term               uint64 `json:"term"`
	Configuration      []byte `json:"configuration"` // as raft encodes it
	ConfigurationIndex uint64 `json:"configuration_index"`
	// Applied is, in the mark of an install, the least applied index of the state that came.
	Applied uint64 `json:"applied,omitempty"`
}

func decodeMeta(raw []byte) (snapshotMeta, error) {
	var m snapshotMeta
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if m.V != 1 {
		return m, fmt.Errorf("snapshot metadata of version %d: %w", m.V, store.ErrUpgrade)
	}
	return m, nil
}

func (m snapshotMeta) raft(size int64) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: m.ID, Index: m.Index, Term: m.Term,
		Configuration: raft.DecodeConfiguration(m.Configuration), ConfigurationIndex: m.ConfigurationIndex, Size: size,
	}
}

// listMetas gives the metadata in a directory, newest first.
func listMetas(fs store.FS, dir string) ([]snapshotMeta, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var metas []snapshotMeta
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		raw, err := readFile(fs, fs.PathJoin(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read snapshot %s: %w", name, err)
		}
		m, err := decodeMeta(raw)
		if err != nil {
			return nil, fmt.Errorf("read snapshot %s: %w", name, err)
		}
		metas = append(metas, m)
	}
	sort.Slice(metas, func(i, j int) bool {
		a, b := metas[i], metas[j]
		return a.Index > b.Index || a.Index == b.Index && a.Term > b.Term
	})
	return metas, nil
}

// writeMeta keeps metadata durably and removes what it makes superfluous.
func writeMeta(fs store.FS, dir string, m snapshotMeta) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode snapshot %s: %w", m.ID, err)
	}
	if err := writeFile(fs, dir, m.ID+".json", raw); err != nil {
		return fmt.Errorf("write snapshot %s: %w", m.ID, err)
	}
	metas, err := listMetas(fs, dir)
	if err != nil {
		return err
	}
	for i, old := range metas {
		if i > 0 && old.ID != m.ID {
			if err := fs.Remove(fs.PathJoin(dir, old.ID+".json")); err != nil {
				return fmt.Errorf("remove snapshot %s: %w", old.ID, err)
			}
		}
	}
	return nil
}

// snapshotStore is raft.SnapshotStore for a state that is its own snapshot.
// raft calls it from its snapshot, main, FSM and replication goroutines.
type snapshotStore struct {
	fs      store.FS
	dir     string // Config.Dir
	cluster string
	logs    *logStore
	m       machine
	outs    atomic.Uint64

	swapping sync.RWMutex // held over a swap, and for reading over a flush or checkpoint
	n        uint64       // number of the state's directory
}

var _ raft.SnapshotStore = (*snapshotStore)(nil)

func (s *snapshotStore) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// newest is the newest snapshot's metadata; ok is false if there is none.
func (s *snapshotStore) newest() (m snapshotMeta, ok bool, err error) {
	metas, err := listMetas(s.fs, s.path(snapshotsDir))
	if err != nil || len(metas) == 0 {
		return snapshotMeta{}, false, err
	}
	return metas[0], true, nil
}

// Create begins a snapshot. Whether raft takes its own or receives one is known
// when bytes come: only an install writes any.
func (s *snapshotStore) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, meta: snapshotMeta{
		V: 1, ID: fmt.Sprintf("%020d-%020d", index, term), Index: index, Term: term,
		Configuration: raft.EncodeConfiguration(c), ConfigurationIndex: cIndex,
	}}, nil
}

// List gives the snapshots, newest first. Sizes are known only once opened.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	metas, err := listMetas(s.fs, s.path(snapshotsDir))
	if err != nil {
		return nil, err
	}
	out := make([]*raft.SnapshotMeta, 0, len(metas))
	for _, m := range metas {
		out = append(out, m.raft(0))
	}
	return out, nil
}

// Open gives a snapshot to send: the state is flushed (a checkpoint would leave
// the memtable out without an error), checkpointed, and streamed with a size
// known beforehand; the log behind it is kept until the reader is closed. Of a
// snapshot just received it gives an empty reader, as Restore needs none.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if mark, err := s.incoming(); err == nil && mark.ID == id {
		return mark.raft(0), io.NopCloser(strings.NewReader("")), nil
	}
	raw, err := readFile(s.fs, s.fs.PathJoin(s.path(snapshotsDir), id+".json"))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	m, err := decodeMeta(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	pin := s.logs.pinAt(m.Index)
	dir := s.path(fmt.Sprintf("%s%d", outgoingDir, s.outs.Add(1)))
	applied, _, _ := s.m.Applied()
	h := archiveHeader{Cluster: s.cluster, Index: m.Index, Applied: applied}
	files, err := s.checkpoint(dir)
	if err == nil && h.Applied < m.Index {
		err = fmt.Errorf("%w: state at %d, snapshot at %d", ErrStateBehind, h.Applied, m.Index)
	}
	if err != nil {
		s.logs.release(pin)
		return nil, nil, errors.Join(fmt.Errorf("open snapshot %s: %w", id, err), s.fs.RemoveAll(dir))
	}
	h.Files = len(files)
	pr, pw := io.Pipe()
	// Stops when the archive is written or the reader closed.
	go func() {
		pw.CloseWithError(writeArchive(pw, s.fs, dir, h, files, pin.aborted))
	}()
	return m.raft(archiveSize(h, files)), &outgoing{PipeReader: pr, done: func() error {
		s.logs.release(pin)
		return s.fs.RemoveAll(dir)
	}}, nil
}

// checkpoint puts the state's files, flushed, into dir.
func (s *snapshotStore) checkpoint(dir string) ([]archiveFile, error) {
	s.swapping.RLock()
	defer s.swapping.RUnlock()
	if err := s.m.Checkpoint(dir); err != nil {
		return nil, err
	}
	return listCheckpoint(s.fs, dir)
}

// flush makes the state durable and gives the index up to which it is.
func (s *snapshotStore) flush() (uint64, error) {
	s.swapping.RLock()
	defer s.swapping.RUnlock()
	return s.m.Flush()
}

// outgoing is a snapshot being sent.
type outgoing struct {
	*io.PipeReader
	once sync.Once
	done func() error
}

// Close ends the sending and removes the checkpoint.
func (o *outgoing) Close() (err error) {
	_ = o.PipeReader.Close() // never fails
	o.once.Do(func() { err = o.done() })
	return err
}

// incoming reads the mark of a complete install that was not swapped in yet.
func (s *snapshotStore) incoming() (snapshotMeta, error) {
	raw, err := readFile(s.fs, s.fs.PathJoin(s.path(incomingDir), installMark))
	if err != nil {
		return snapshotMeta{}, err
	}
	return decodeMeta(raw)
}

// swap makes a received state the state. A state that is newer than the
// received one stays: both are prefixes of the same committed log. old is the
// directory that may be removed once drained is closed.
func (s *snapshotStore) swap(mark snapshotMeta, o store.Options) (drained <-chan struct{}, old string, err error) {
	if applied, _, _ := s.m.Applied(); mark.Applied < applied {
		return nil, "", s.fs.RemoveAll(s.path(incomingDir))
	}
	s.swapping.Lock()
	defer s.swapping.Unlock()
	if err := renameIncoming(s.fs, s.dir, s.n+1); err != nil {
		return nil, "", err
	}
	o.MustExist = true
	db, err := store.OpenState(s.path(stateDirName(s.n+1)), o)
	if err != nil {
		return nil, "", fmt.Errorf("open the installed state: %w", err)
	}
	if drained, err = s.m.Swap(db); err != nil {
		return nil, "", fmt.Errorf("swap in the installed state: %w", err)
	}
	old = s.path(stateDirName(s.n))
	s.n++
	return drained, old, nil
}

// sink is one snapshot being taken or received.
type sink struct {
	s    *snapshotStore
	meta snapshotMeta

	pw   *io.PipeWriter
	done chan error
	head archiveHeader // valid after done
}

var _ raft.SnapshotSink = (*sink)(nil)

// ID names the snapshot.
func (k *sink) ID() string { return k.meta.ID }

// Write takes a piece of another node's state.
func (k *sink) Write(p []byte) (int, error) {
	if k.pw == nil {
		if err := k.begin(); err != nil {
			return 0, err
		}
	}
	return k.pw.Write(p)
}

// begin clears the place for an install and starts unpacking into it.
func (k *sink) begin() error {
	s := k.s
	if err := s.fs.RemoveAll(s.path(incomingDir)); err != nil {
		return fmt.Errorf("clear the last install: %w", err)
	}
	if err := makeDir(s.fs, s.dir, incomingDir); err != nil {
		return err
	}
	pr, pw := io.Pipe()
	k.pw, k.done = pw, make(chan error, 1) // one answer, read by Close or Cancel or by nobody
	// Stops when the writing end is closed by Close or Cancel.
	go func() {
		h, err := readArchive(pr, s.fs, s.path(incomingDir), s.cluster)
		k.head = h
		_ = pr.CloseWithError(err) // a failed unpacking fails the next Write; never fails itself
		k.done <- err
	}()
	return nil
}

// Close completes the snapshot. For raft's own the state was flushed by Persist
// and only metadata are written. For an install the order is: everything synced,
// then the mark, then the metadata. raft will call Restore after this, or, if
// the node dies first, StateDir does it at the next start.
func (k *sink) Close() error {
	s := k.s
	if k.pw != nil {
		_ = k.pw.Close() // never fails
		if err := <-k.done; err != nil {
			return errors.Join(fmt.Errorf("install snapshot %s: %w", k.meta.ID, err), s.fs.RemoveAll(s.path(incomingDir)))
		}
		if k.head.Index != k.meta.Index {
			return fmt.Errorf("install snapshot %s: %w: it is of index %d", k.meta.ID, ErrCorrupt, k.head.Index)
		}
		mark := k.meta
		mark.Applied = k.head.Applied
		raw, err := json.Marshal(mark)
		if err != nil {
			return fmt.Errorf("encode mark of the install: %w", err)
		}
		if err := writeFile(s.fs, s.path(incomingDir), installMark, raw); err != nil {
			return fmt.Errorf("mark the install complete: %w", err)
		}
	}
	return writeMeta(s.fs, s.path(snapshotsDir), k.meta)
}

// Cancel drops the snapshot.
func (k *sink) Cancel() error {
	if k.pw == nil {
		return nil
	}
	_ = k.pw.CloseWithError(ErrInstallAborted) // never fails
	<-k.done
	return k.s.fs.RemoveAll(k.s.path(incomingDir))
}
