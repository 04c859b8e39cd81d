package filedrop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// claim renames a file from in to work; false means that somebody else took it.
func (d *Drop) claim(name string) (bool, error) {
	err := os.Rename(filepath.Join(d.folder.in(), name), filepath.Join(d.folder.work(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim %s: %w", name, err)
	}
	if _, file, ok := readControl(d.folder.in(), name); ok {
		if err := os.Rename(file, filepath.Join(d.folder.work(), filepath.Base(file))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("claim %s: %w", name, err)
		}
	}
	return true, errors.Join(syncDir(d.folder.work()), syncDir(d.folder.in()))
}

// staged is a claimed file after it was copied and looked at.
type staged struct {
	unit    *unit
	notices []adapters.Notice
	drift   []adapters.Drift
}

// stage copies a claimed file, looks at it as a whole and seals it. unit is nil where the file was refused, had been
// received before, or is still being written; the notices say which.
func (d *Drop) stage(ctx context.Context, name string) (staged, error) {
	from := filepath.Join(d.folder.work(), name)
	info, err := os.Lstat(from)
	if err != nil {
		return staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	if info.Size() > int64(d.c.MaxBytes) {
		return d.refuseFile(&unit{meta: meta{Name: name, Feedback: name}}, refuse("too_large", "文件应不超过%d字节,实为%d字节", "the file must be at most %d bytes, it is %d", d.c.MaxBytes, info.Size()), nil)
	}
	dir, err := os.MkdirTemp(d.folder.units(), "stage-")
	if err != nil {
		return staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // gone already where it was sealed; else swept at the next Open
	u := &unit{dir: dir, bad: map[place]adapters.Verdict{}, stale: true,
		meta: meta{V: metaVersion, Name: name, Size: info.Size(), At: d.env.Now().UnixMilli()}}
	if u.Digest, err = d.copyHashed(ctx, from, u.data()); err != nil {
		return staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	u.ID = u.Digest[:32]
	u.Feedback = d.feedbackName(u)
	if again, err := os.Lstat(from); err != nil || again.Size() != info.Size() || !again.ModTime().Equal(info.ModTime()) {
		return d.putBack(name, err)
	}
	if seen, ok, err := d.seen(ctx, u); err != nil {
		return staged{}, err
	} else if ok {
		return d.receivedBefore(u, seen)
	}
	look, err := d.inspect(ctx, u)
	var no *refusal
	switch {
	case errors.As(err, &no):
		return d.refuseFile(u, no, look.bad)
	case err != nil:
		return staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	if again, err := os.Lstat(from); err != nil || again.Size() != info.Size() || !again.ModTime().Equal(info.ModTime()) {
		return d.putBack(name, err)
	}
	if err := d.seal(u); err != nil {
		return staged{}, fmt.Errorf("seal %s: %w", name, err)
	}
	return staged{unit: u, drift: look.drift, notices: look.notices}, nil
}

// seal is the moment from which the file's rows go out.
func (d *Drop) seal(u *unit) error {
	if err := u.saveMeta(); err != nil {
		return err
	}
	to := filepath.Join(d.folder.units(), u.ID)
	if err := os.Rename(u.dir, to); err != nil {
		return err
	}
	u.dir = to
	return syncDir(d.folder.units())
}

// putBack gives a file back that changed while it was looked at.
func (d *Drop) putBack(name string, err error) (staged, error) {
	if err != nil {
		return staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	d.still[name] = stillness{} // another than it will be found
	if _, file, ok := readControl(d.folder.work(), name); ok {
		if err := os.Rename(file, filepath.Join(d.folder.in(), filepath.Base(file))); err != nil {
			return staged{}, fmt.Errorf("give %s back: %w", name, err)
		}
	}
	if err := os.Rename(filepath.Join(d.folder.work(), name), filepath.Join(d.folder.in(), name)); err != nil {
		return staged{}, fmt.Errorf("give %s back: %w", name, err)
	}
	return staged{notices: []adapters.Notice{{Code: "file_changed", File: name, Zh: "文件在读取时仍在写入,稍后再读", En: "the file was still being written; it will be read later"}}}, nil
}

func (d *Drop) copyHashed(ctx context.Context, from, to string) (digest string, err error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, h), reader(func(p []byte) (int, error) {
		if err := d.ended(ctx); err != nil {
			return 0, err
		}
		return src.Read(p)
	}))
	if err = errors.Join(err, dst.Sync(), dst.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// reader is an io.Reader made of a function.
type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// seen asks the ledger, and the units not answered yet.
func (d *Drop) seen(ctx context.Context, u *unit) (adapters.LedgerEntry, bool, error) {
	d.mu.Lock()
	known := d.units[u.ID]
	d.mu.Unlock()
	if known != nil {
		return adapters.LedgerEntry{Digest: u.Digest, Name: known.Name, At: known.At, Rows: known.Rows}, true, nil
	}
	if d.env.Ledger == nil {
		return adapters.LedgerEntry{}, false, nil
	}
	entry, ok, err := d.env.Ledger.Seen(ctx, u.Digest)
	if err != nil {
		err = fmt.Errorf("look %s up in the ledger: %w", u.Name, err)
	}
	return entry, ok, err
}

// receivedBefore answers a file whose content was handed over before: no row goes out.
func (d *Drop) receivedBefore(u *unit, seen adapters.LedgerEntry) (staged, error) {
	when := time.UnixMilli(seen.At).In(d.env.Now().Location()).Format("2006-01-02 15:04")
	zh := fmt.Sprintf("相同内容已于%s以“%s”收到,共%d行,本次未再发送", when, seen.Name, seen.Rows)
	en := fmt.Sprintf("the same content was received on %s as %q, %d rows; nothing was sent again", when, seen.Name, seen.Rows)
	err := d.writeReceipt(u, receipt{Outcome: "received_before", Zh: zh, En: en, Rows: seen.Rows})
	if err = errors.Join(err, d.moveOriginal(u.Name, "done")); err != nil {
		return staged{}, fmt.Errorf("answer %s: %w", u.Name, err)
	}
	return staged{notices: []adapters.Notice{{Code: "file_duplicate", File: u.Name, Zh: zh, En: en}}}, nil
}

// refuseFile answers a file that is refused whole.
func (d *Drop) refuseFile(u *unit, no *refusal, bad []adapters.Verdict) (staged, error) {
	for _, v := range bad {
		u.bad[place{v.Origin.Row, v.Index}] = v
	}
	err := d.writeReceipt(u, receipt{Outcome: "refused", Rule: no.rule, Zh: no.zh, En: no.en, Rows: u.Rows, Counts: &adapters.Counts{Refused: len(bad)}})
	if len(bad) > 0 {
		err = errors.Join(err, d.writeErrorFile(u))
	}
	if err = errors.Join(err, d.moveOriginal(u.Name, "bad")); err != nil {
		return staged{}, fmt.Errorf("answer %s: %w", u.Name, err)
	}
	return staged{notices: []adapters.Notice{{Code: "file_refused", File: u.Name, Zh: no.zh, En: no.en}}}, nil
}

// moveOriginal takes the department's file, and what announced it, out of work.
func (d *Drop) moveOriginal(name, where string) error {
	dir := d.folder.dated(where, d.env.Now())
	err := moveTo(filepath.Join(d.folder.work(), name), dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // moved before a crash
	}
	if _, file, ok := readControl(d.folder.work(), name); ok {
		err = errors.Join(err, moveTo(file, dir, filepath.Base(file)))
	}
	return err
}

// feedbackName is the base of the unit's feedback files: its name, with the start of its id where another file of
// that name still has feedback.
func (d *Drop) feedbackName(u *unit) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, other := range d.units {
		if other.Feedback == u.Name && other.ID != u.ID {
			return u.Name + "." + u.ID[:8]
		}
	}
	return u.Name
}

// leftovers are files in work that belong to no unit: claimed before a crash and not sealed.
func (d *Drop) leftovers() ([]string, error) {
	files, err := list(d.folder.work(), &Config{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		owned := slices.ContainsFunc(d.sorted(), func(u *unit) bool { return u.Name == f.name })
		if !owned {
			out = append(out, f.name)
		}
	}
	return out, nil
}

// sweep removes stages that were never sealed.
func (d *Drop) sweep() error {
	entries, err := os.ReadDir(d.folder.units())
	if err != nil {
		return fmt.Errorf("look into drop folder: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "stage-") {
			if err := os.RemoveAll(filepath.Join(d.folder.units(), e.Name())); err != nil {
				return fmt.Errorf("remove unfinished stage: %w", err)
			}
		}
	}
	return nil
}
