package authority

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// writeFile puts data at path so that a crash leaves the old file or the new
// one: written beside, synced, renamed over, directory synced.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second Close is harmless
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// WriteKey keeps a further private file (mode 0600) with the same guarantees,
// for rooms whose keys are theirs to understand.
func WriteKey(path string, data []byte) error { return writeFile(path, data, 0o600) }

// ReadKey reads a private file and refuses one that others may read. It
// returns ErrLoose, or an error that is fs.ErrNotExist.
func ReadKey(path string) ([]byte, error) { return readKey(path) }

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows has no such bits: there the directory's own rights must do.
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s", ErrLoose, path)
	}
	if st.Size() > bundleBytes {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, bundleBytes)
	}
	b := make([]byte, st.Size())
	if n, err := f.ReadAt(b, 0); n != len(b) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

func writePair(dir, name string, p pair) error {
	if err := writeFile(filepath.Join(dir, name+".key"), p.keyPEM, 0o600); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name+".crt"), p.certPEM, 0o644)
}

func readPair(dir, name string) (p pair, err error) {
	if p.keyPEM, err = readKey(filepath.Join(dir, name+".key")); err != nil {
		return pair{}, err
	}
	if p.certPEM, err = os.ReadFile(filepath.Join(dir, name+".crt")); err != nil {
		return pair{}, err
	}
	return p, nil
}
