package filedrop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// untilPoll is how long until the folder is looked into again.
func (d *Drop) untilPoll() time.Duration {
	return max(0, d.looked.Add(time.Duration(d.c.Poll)).Sub(d.env.Now()))
}

// poll looks into the folder, at most once per Poll, and lists what is ready.
func (d *Drop) poll(ctx context.Context) error {
	if len(d.ready) > 0 || !d.looked.IsZero() && d.untilPoll() > 0 {
		return nil
	}
	d.looked = d.env.Now()
	d.retry()
	files, err := list(d.folder.in(), &d.c)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[f.name] = true
		ok, err := d.isReady(ctx, f)
		if err != nil {
			return err
		}
		if ok {
			d.ready = append(d.ready, f.name)
		}
		if ok || d.c.Accept != acceptStable {
			delete(d.still, f.name)
		}
	}
	for name := range d.still {
		if !seen[name] {
			delete(d.still, name)
		}
	}
	return nil
}

// Pending reports whether a file waits that has not stood still for long enough to be judged. One that stands still
// and does not end as it must is not pending: it may never be finished. Called by the goroutine of Next.
func (d *Drop) Pending() bool {
	for _, s := range d.still {
		if s.polls < d.c.StablePolls {
			return true
		}
	}
	return false
}

// retry writes feedback again that could not be written before.
func (d *Drop) retry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.sorted() {
		if u.Handed && u.stale {
			d.afterwards(u, d.handOver(u))
		}
	}
}

// isReady applies the accept policy to one file.
func (d *Drop) isReady(ctx context.Context, f dropped) (bool, error) {
	if ctl, _, ok := readControl(d.folder.in(), f.name); ok {
		return ctl.Bytes == nil || *ctl.Bytes == f.size, nil
	}
	switch d.c.Accept {
	case acceptRename:
		return true, nil
	case acceptDone:
		return false, nil
	}
	s, known := d.still[f.name]
	if !known || s.size != f.size || !s.mod.Equal(f.mod) {
		d.still[f.name] = stillness{dropped: f}
		return false, nil
	}
	s.polls++
	d.still[f.name] = s
	if s.polls < d.c.StablePolls {
		return false, nil
	}
	err := closes(filepath.Join(d.folder.in(), f.name), &d.c, func() error { return d.ended(ctx) })
	switch {
	case errors.Is(err, errUnfinished):
		return false, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	}
	return err == nil, err
}

// closes reports whether a file that stands still also ends as its format must; errUnfinished if it does not yet.
// What is wrong in any other way is judged when it is staged.
func closes(path string, c *Config, ended func() error) error {
	t, _, err := openBytes(path, c)
	var no *refusal
	if errors.As(err, &no) {
		return errUnfinished // a gzip header cut short
	}
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // it was only read
	head := make([]byte, 0, 512)
	tail := make([]byte, 0, 2*tailBytes)
	buf := make([]byte, 64<<10)
	for {
		if err := ended(); err != nil {
			return err
		}
		n, err := t.Read(buf)
		if room := cap(head) - len(head); room > 0 {
			head = append(head, buf[:min(room, n)]...)
		}
		tail = append(tail, buf[max(0, n-tailBytes):n]...)
		if len(tail) > tailBytes {
			tail = tail[:copy(tail, tail[len(tail)-tailBytes:])]
		}
		if errors.As(err, &no) {
			if no.rule == "gzip" {
				return errUnfinished
			}
			return nil
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("look at the end of %s: %w", filepath.Base(path), err)
		}
	}
	format := c.Format
	if format == auto {
		format = formatOf(head)
	}
	if !endsWell(format, tail, c) {
		return errUnfinished
	}
	return nil
}

// tailBytes is how much of the end is looked at.
const tailBytes = 4096

func endsWell(format string, tail []byte, c *Config) bool {
	trimmed := bytes.TrimRight(tail, " \t\r\n")
	ended := len(tail) > 0 && tail[len(tail)-1] == '\n'
	switch format {
	case formatJSON:
		return bytes.HasSuffix(trimmed, []byte("]"))
	case formatNDJSON:
		last := trimmed[bytes.LastIndexByte(trimmed, '\n')+1:]
		return ended || json.Valid(last) || len(last) == tailBytes && bytes.HasSuffix(last, []byte("}"))
	}
	return ended || !c.FinalNewline
}

// Describe implements adapters.Source: the header of the first file that waits, without claiming it.
func (d *Drop) Describe(ctx context.Context) (adapters.Discovery, error) {
	b, err := d.Preview(ctx, 100)
	if errors.Is(err, adapters.ErrIdle) {
		return adapters.Discovery{Notes: []string{"没有等待的文件 / no file waits in " + d.folder.in()}}, nil
	}
	var no *refusal
	if errors.As(err, &no) {
		return adapters.Discovery{Notes: []string{no.zh + " / " + no.en}}, nil
	}
	if err != nil {
		return adapters.Discovery{}, err
	}
	out := adapters.Discovery{Notes: []string{b.Notices[0].Zh + " / " + b.Notices[0].En}}
	for i, name := range b.Columns {
		c := adapters.Column{Name: name, Kind: adapters.KindText}
		for _, row := range b.Rows {
			if len(row.Fields) > i && !row.Fields[i].IsNone() {
				c.Kind = row.Fields[i].Kind()
			} else {
				c.Nullable = true
			}
		}
		out.Columns = append(out.Columns, c)
	}
	return out, nil
}

// Preview implements adapters.Previewer: the first rows of the first file that waits, ready or not.
func (d *Drop) Preview(ctx context.Context, rows int) (adapters.Batch, error) {
	files, err := list(d.folder.in(), &d.c)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(files) == 0 {
		return adapters.Batch{}, &adapters.IdleError{Wait: time.Duration(d.c.Poll)}
	}
	if err != nil {
		return adapters.Batch{}, err
	}
	path := filepath.Join(d.folder.in(), files[0].name)
	layout, err := detect(path, &d.c)
	if err != nil {
		return adapters.Batch{}, err
	}
	reader, closer, err := openRows(path, layout, &d.c)
	if err != nil {
		return adapters.Batch{}, err
	}
	defer closer.Close()
	u := &unit{meta: meta{Name: files[0].name, Layout: layout}}
	columns := newColumnSet(nil)
	if grid, ok := reader.(*csvRows); ok {
		columns = newColumnSet(grid.columns)
	}
	var raws []rawRow
	for len(raws) < rows && ctx.Err() == nil {
		raw, err := reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return adapters.Batch{}, err
		}
		if _, err := u.row(raw, columns, true); err != nil {
			return adapters.Batch{}, err
		}
		raws = append(raws, raw)
	}
	out := adapters.Batch{Columns: columns.names, Notices: []adapters.Notice{{Code: "preview", File: u.Name,
		Zh: fmt.Sprintf("文件%s:格式%s,编码%s", u.Name, layout.Format, layout.Charset),
		En: fmt.Sprintf("file %s: format %s, charset %s", u.Name, layout.Format, layout.Charset)}}}
	for _, raw := range raws { // again, now that all columns are known
		row, err := u.row(raw, columns, false)
		if err != nil {
			return adapters.Batch{}, err
		}
		out.Rows = append(out.Rows, row)
	}
	return out, context.Cause(ctx)
}

// Check implements adapters.Preflighter.
func (d *Drop) Check(context.Context) []adapters.Finding {
	var out []adapters.Finding
	say := func(level, code, zh, en string, args ...any) {
		out = append(out, adapters.Finding{Level: level, Code: code, Zh: fmt.Sprintf(zh, args...), En: fmt.Sprintf(en, args...)})
	}
	info, err := os.Stat(d.folder.root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		say("ok", "folder_new", "投递文件夹%s将在首次运行时建立", "the drop folder %s will be made at the first run", d.folder.root)
		return out
	case err != nil || !info.IsDir():
		say("fail", "folder", "投递文件夹%s无法使用", "the drop folder %s cannot be used", d.folder.root)
		return out
	}
	probe, err := os.CreateTemp(d.folder.root, ".check-*")
	if err != nil {
		say("fail", "folder_write", "投递文件夹%s不可写", "the drop folder %s cannot be written to", d.folder.root)
		return out
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		say("fail", "folder_write", "投递文件夹%s不可删除文件", "files cannot be removed from the drop folder %s", d.folder.root)
	}
	files, err := list(d.folder.in(), &d.c)
	if err == nil {
		say("ok", "waiting", "有%d个文件等待读取", "%d files wait", len(files))
	}
	return out
}
