package filedrop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// folder is a drop folder on disk.
type folder struct{ root string }

func (f folder) in() string       { return filepath.Join(f.root, "in") }
func (f folder) work() string     { return filepath.Join(f.root, "work") }
func (f folder) units() string    { return filepath.Join(f.root, "work", ".units") }
func (f folder) feedback() string { return filepath.Join(f.root, "feedback") }
func (f folder) dated(name string, at time.Time) string {
	return filepath.Join(f.root, name, at.Format("20060102"))
}

func (f folder) make() error {
	for _, dir := range []string{f.in(), f.units(), f.feedback(), filepath.Join(f.root, "done"), filepath.Join(f.root, "bad")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("make drop folder: %w", err)
		}
	}
	return nil
}

// controlSuffixes announce a file; the rest are names of files that are still being written or open in an editor.
var (
	controlSuffixes = []string{".done", ".ctl"}
	busySuffixes    = []string{".tmp", ".part", ".filepart", ".crdownload"}
	busyPrefixes    = []string{".", "~$"}
)

func hasAnySuffix(name string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(strings.ToLower(name), s) })
}

// takes reports whether a name in `in` is that of a file to read.
func (c *Config) takes(name string) bool {
	if hasAnySuffix(name, controlSuffixes) || hasAnySuffix(name, busySuffixes) ||
		slices.ContainsFunc(busyPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return false
	}
	if c.Pattern == "" {
		return true
	}
	ok, _ := path.Match(c.Pattern, name) // the pattern was checked with the configuration
	return ok
}

// dropped is a file seen in a folder.
type dropped struct {
	name string
	size int64
	mod  time.Time
}

// list returns the regular files of dir that are to be read, oldest first.
func list(dir string, c *Config) ([]dropped, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into drop folder: %w", err)
	}
	var out []dropped
	for _, e := range entries {
		if !e.Type().IsRegular() || !c.takes(e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved away since
		}
		if err != nil {
			return nil, fmt.Errorf("look into drop folder: %w", err)
		}
		out = append(out, dropped{name: e.Name(), size: info.Size(), mod: info.ModTime()})
	}
	slices.SortStableFunc(out, func(a, b dropped) int { return a.mod.Compare(b.mod) })
	return out, nil
}

// control is what a .done or .ctl file may state about its file; all members are optional.
type control struct {
	Rows   *int   `json:"rows"`
	Bytes  *int64 `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// maxControlBytes bounds a control file.
const maxControlBytes = 4096

// readControl finds the control file of a file. An empty one, or one in another form, announces without stating.
func readControl(dir, name string) (c control, file string, found bool) {
	for _, suffix := range controlSuffixes {
		file = filepath.Join(dir, name+suffix)
		info, err := os.Lstat(file)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if f, err := os.Open(file); err == nil {
			raw, _ := io.ReadAll(io.LimitReader(f, maxControlBytes)) // what cannot be read states nothing
			_ = f.Close()                                            // only read from
			if json.Unmarshal(raw, &c) != nil {
				c = control{}
			}
		}
		return c, file, true
	}
	return control{}, "", false
}

// moveTo renames a file into dir, under a free name, and makes the move durable.
func moveTo(from, dir, name string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	to := filepath.Join(dir, name)
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		ext := filepath.Ext(name)
		to = filepath.Join(dir, fmt.Sprintf("%s.%d%s", strings.TrimSuffix(name, ext), n, ext))
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(from)))
}

// writeAtomic writes a file beside its place, fsyncs it and renames it.
func writeAtomic(file string, write func(w io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".writing-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the first error tells
		}
	}()
	if err = write(tmp); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Chmod(0o640), tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// syncDir makes names in dir durable, as far as the file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrPermission) {
		err = nil // directories cannot be synced there
	}
	return errors.Join(err, d.Close())
}
