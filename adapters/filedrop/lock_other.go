//go:build !unix

package filedrop

import (
	"fmt"
	"os"
	"path/filepath"
)

// lock opens the lock file; systems without flock refuse to remove or replace an open file by themselves.
func (f folder) lock() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(f.units(), "LOCK"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock drop folder: %w", err)
	}
	return file, nil
}
