package store

import (
	"strings"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/cockroachdb/pebble/vfs/errorfs"
)

// FS is the file system below a database. Rooms that keep files beside a
// database (snapshots) use the same one, so that one crash test covers both.
type FS = vfs.FS

// File is an open file of an FS.
type File = vfs.File

// MemFS is a file system in memory. A strict one forgets on ResetToSyncedState
// everything that was not synced, directories included, like a power cut.
type MemFS = vfs.MemFS

// Disk is the real file system.
func Disk() FS { return vfs.Default }

// NewMemFS makes an empty file system in memory whose writes always last.
func NewMemFS() *MemFS { return vfs.NewMem() }

// NewStrictMemFS makes an empty file system in memory for crash tests: call
// SetIgnoreSyncs(true) at the moment of the cut, close what is open, then
// ResetToSyncedState and SetIgnoreSyncs(false).
func NewStrictMemFS() *MemFS { return vfs.NewStrictMem() }

// Op is one operation on an FS, as a fault hook sees it.
type Op struct {
	Name  string // pebble's name of the operation, lower case: "create", "filesync", …
	Path  string
	Write bool // changes something
	Sync  bool // makes something durable
}

// FaultFS puts a hook before every operation of fs; an error from the hook is
// the operation's error. The hook is called from many goroutines at once.
func FaultFS(fs FS, hook func(Op) error) FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
		return hook(Op{
			Name:  opNames[op],
			Path:  path,
			Write: op.OpKind() == errorfs.OpKindWrite,
			Sync:  op == errorfs.OpFileSync,
		})
	}))
}

var opNames = map[errorfs.Op]string{
	errorfs.OpCreate: "create", errorfs.OpLink: "link", errorfs.OpOpen: "open", errorfs.OpOpenDir: "opendir",
	errorfs.OpRemove: "remove", errorfs.OpRemoveAll: "removeall", errorfs.OpRename: "rename",
	errorfs.OpReuseForRewrite: "reuse", errorfs.OpMkdirAll: "mkdirall", errorfs.OpLock: "lock", errorfs.OpList: "list",
	errorfs.OpFilePreallocate: "filepreallocate", errorfs.OpStat: "stat", errorfs.OpGetDiskUsage: "diskusage",
	errorfs.OpFileClose: "fileclose", errorfs.OpFileRead: "fileread", errorfs.OpFileReadAt: "filereadat",
	errorfs.OpFileWrite: "filewrite", errorfs.OpFileWriteAt: "filewriteat", errorfs.OpFileStat: "filestat",
	errorfs.OpFileSync: "filesync", errorfs.OpFileFlush: "fileflush",
}

// Free reports the bytes free for us and the total of the file system that
// holds path.
func Free(fs FS, path string) (free, total uint64, err error) {
	u, err := fs.GetDiskUsage(path)
	if err != nil {
		return 0, 0, wrap("disk usage of "+strings.TrimSpace(path), err)
	}
	return u.AvailBytes, u.TotalBytes, nil
}
