package replica

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"

	"github.com/hutong-bus/hutong/node/store"
)

// Names under Config.Dir. The state lies in the highest-numbered directory: a
// state that came from another node is unpacked into incoming and becomes the
// state by one rename, while readers of the old one go on reading it where it is.
const (
	snapshotsDir = "snapshots"
	incomingDir  = "state.incoming"
	outgoingDir  = "state.outgoing." // and a number
)

var stateName = regexp.MustCompile(`^state\.([0-9]{6,})$`)

func stateDirName(n uint64) string { return fmt.Sprintf("state.%06d", n) }

// StateDir finishes or drops an interrupted install and returns the directory
// of the state, existing or not yet. Call it before the state is opened; fs nil
// is the disk. Without it raft would take a snapshot's index for applied that
// the state never saw (it marks an install as done before the state is swapped).
func StateDir(fs store.FS, dir string) (string, error) {
	if fs == nil {
		fs = store.Disk()
	}
	if err := makeDir(fs, dir, snapshotsDir); err != nil {
		return "", err
	}
	names, err := fs.List(dir)
	if err != nil {
		return "", fmt.Errorf("list %s: %w", dir, err)
	}
	numbers := stateNumbers(names)
	for _, name := range names {
		if len(name) > len(outgoingDir) && name[:len(outgoingDir)] == outgoingDir {
			if err := fs.RemoveAll(fs.PathJoin(dir, name)); err != nil {
				return "", fmt.Errorf("remove %s: %w", name, err)
			}
		}
		if name == incomingDir {
			swapped, err := finishInstall(fs, dir, numbers)
			if err != nil {
				return "", err
			}
			if swapped {
				numbers = append(numbers, last(numbers)+1)
			}
		}
	}
	if len(numbers) == 0 {
		return fs.PathJoin(dir, stateDirName(1)), nil
	}
	for _, n := range numbers[:len(numbers)-1] {
		if err := fs.RemoveAll(fs.PathJoin(dir, stateDirName(n))); err != nil {
			return "", fmt.Errorf("remove old state: %w", err)
		}
	}
	return fs.PathJoin(dir, stateDirName(last(numbers))), nil
}

// finishInstall makes a complete incoming state the state, unless a newer
// snapshot is already known; an incomplete one is removed.
func finishInstall(fs store.FS, dir string, numbers []uint64) (swapped bool, err error) {
	incoming := fs.PathJoin(dir, incomingDir)
	drop := func() error {
		if err := fs.RemoveAll(incoming); err != nil {
			return fmt.Errorf("remove incomplete install: %w", err)
		}
		return syncDir(fs, dir)
	}
	raw, err := readFile(fs, fs.PathJoin(incoming, installMark))
	if errors.Is(err, os.ErrNotExist) {
		return false, drop()
	} else if err != nil {
		return false, fmt.Errorf("read mark of the install: %w", err)
	}
	mark, err := decodeMeta(raw)
	if err != nil {
		return false, fmt.Errorf("read mark of the install: %w", err)
	}
	metas, err := listMetas(fs, fs.PathJoin(dir, snapshotsDir))
	if err != nil {
		return false, err
	}
	for _, m := range metas {
		if m.Index > mark.Index {
			return false, drop()
		}
	}
	if err := writeMeta(fs, fs.PathJoin(dir, snapshotsDir), mark); err != nil {
		return false, err
	}
	return true, renameIncoming(fs, dir, last(numbers)+1)
}

// renameIncoming is the swap.
func renameIncoming(fs store.FS, dir string, n uint64) error {
	if err := fs.Rename(fs.PathJoin(dir, incomingDir), fs.PathJoin(dir, stateDirName(n))); err != nil {
		return fmt.Errorf("swap in the installed state: %w", err)
	}
	if err := syncDir(fs, dir); err != nil {
		return fmt.Errorf("swap in the installed state: %w", err)
	}
	return nil
}

func stateNumbers(names []string) []uint64 {
	var numbers []uint64
	for _, name := range names {
		if m := stateName.FindStringSubmatch(name); m != nil {
			if n, err := strconv.ParseUint(m[1], 10, 64); err == nil && stateDirName(n) == name {
				numbers = append(numbers, n)
			}
		}
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	return numbers
}

func last(numbers []uint64) uint64 {
	if len(numbers) == 0 {
		return 0
	}
	return numbers[len(numbers)-1]
}

// makeDir makes dir and one directory in it, durably.
func makeDir(fs store.FS, dir, sub string) error {
	if err := fs.MkdirAll(fs.PathJoin(dir, sub), 0o700); err != nil {
		return fmt.Errorf("make %s: %w", sub, err)
	}
	if err := syncDir(fs, dir); err != nil {
		return fmt.Errorf("make %s: %w", sub, err)
	}
	return nil
}
