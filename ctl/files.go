package ctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readFile reads a file, or standard input for "-".
func (a *app) readFile(name string) ([]byte, error) {
	if name == "" {
		return nil, usage("请用 -f 指定文件", "name a file with -f")
	}
	if name == "-" {
		return io.ReadAll(a.in)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, usage("读不到文件:%v", "cannot read the file: %v", err)
	}
	return b, nil
}

// outFile is a file opened before the bus is asked for what goes into it, so
// that an answer that is given only once finds its place.
type outFile struct {
	f    *os.File
	made bool // by this run
	kept bool // written whole
}

// newFile makes a file that must not exist yet, for its owner alone.
func newFile(name string) (*outFile, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, existsAlready(name)
	case err != nil:
		return nil, usage("写不了文件:%v", "cannot write the file: %v", err)
	}
	return &outFile{f: f, made: true}, nil
}

func existsAlready(name string) error {
	return usage("文件 %s 已存在,不覆盖;请另取名", "the file %s exists already and is not overwritten; choose another name", name)
}

// overFile opens a file to be written over, or makes it.
func overFile(name string, mode fs.FileMode) (*outFile, error) {
	_, before := os.Stat(name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return nil, usage("写不了文件:%v", "cannot write the file: %v", err)
	}
	return &outFile{f: f, made: errors.Is(before, fs.ErrNotExist)}, nil
}

// write makes b the whole content.
func (o *outFile) write(b []byte) error {
	info, err := o.f.Stat()
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	regular := info.Mode().IsRegular()
	if regular {
		if err := o.f.Truncate(0); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	if _, err := o.f.Write(b); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if regular {
		if err := o.f.Sync(); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	o.kept = true
	return nil
}

// close closes the file; one that this run made and did not write whole goes.
func (o *outFile) close() {
	o.f.Close()
	if o.made && !o.kept {
		os.Remove(o.f.Name())
	}
}

// couldMake looks, without making anything, whether a file could be made; it
// must not exist where fresh.
func couldMake(name string, fresh bool) error {
	if _, err := os.Lstat(name); err == nil && fresh {
		return existsAlready(name)
	}
	if info, err := os.Stat(filepath.Dir(name)); err != nil || !info.IsDir() {
		return usage("没有文件夹 %s", "there is no folder %s", filepath.Dir(name))
	}
	return nil
}
