//go:build unix

package filedrop

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a second adapter out of the folder until Close of the returned file.
func (f folder) lock() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(f.units(), "LOCK"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock drop folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("%w: %s", ErrInUse, f.root)
	}
	return file, nil
}
