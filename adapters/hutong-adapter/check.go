package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/adapters/runner"
	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// errFound is returned when a command has printed why it is not content.
var errFound = errors.New("faults were found")

// findings prints what a check sees as it sees it.
type findings struct {
	a       *app
	failed  bool
	offline bool
}

var marks = map[string]string{"ok": "  ok  ", "warn": " warn ", "fail": " FAIL "}

func (f *findings) add(level, where, zh, en string) {
	f.failed = f.failed || level == "fail"
	fmt.Fprintf(f.a.out, "[%s] %s: %s / %s\n", marks[level], where, zh, en)
}

// check looks at everything that run will need. It makes no outbox, moves no
// file and sends no record.
func (a *app) check(ctx context.Context) error {
	f := &findings{a: a}
	f.add("ok", "config", "配置可读", "the configuration can be read")
	f.credential(a.conf.Path(a.conf.CredentialFile))
	dir := a.conf.Path(a.conf.Outbox.Dir)
	if outbox.Exists(dir) {
		f.add("ok", "outbox", "发件箱已存在", "the outbox is there")
	} else {
		f.add("ok", "outbox", "发件箱将在首次运行时建立", "the outbox is made at the first run")
	}
	b, err := newBus(a.conf, askTimeout)
	if err != nil {
		f.add("fail", "bus", err.Error(), "the client cannot be made")
		return errFound
	}
	for _, s := range a.conf.Streams {
		f.stream(ctx, b, s)
	}
	switch {
	case f.failed:
		return errFound
	case f.offline:
		return fmt.Errorf("check: %w", api.ErrUnreachable)
	}
	return nil
}

func (f *findings) credential(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		f.add("fail", "credential", "凭据文件不可读:"+err.Error(), "the credential file cannot be read")
	case info.Mode().Perm()&0o077 != 0:
		f.add("warn", "credential", "凭据文件他人可读,应为0600", "others can read the credential file; make its mode 0600")
	default:
		f.add("ok", "credential", "凭据文件可读", "the credential file can be read")
	}
}

func (f *findings) stream(ctx context.Context, b *bus, s adapters.StreamConfig) {
	where := "stream " + s.Name
	schema, from, err := f.a.schema(ctx, b, s.Resource)
	var be *runner.BusError
	switch {
	case errors.As(err, &be) && api.Lookup(api.Code(be.Code)).Class == api.ClassRefused:
		f.add("fail", where, "总线拒绝:"+err.Error(), "the bus refuses")
		return
	case err != nil:
		f.offline = true
		f.add("warn", where, fmt.Sprintf("总线连不上,用%s的模式检查:%v", from, err), "the bus cannot be reached; checked against the schema from "+from)
	default:
		f.add("ok", where, fmt.Sprintf("模式 %s 第%d版", s.Resource, schema.Version), fmt.Sprintf("schema %s version %d", s.Resource, schema.Version))
	}
	var j adapters.Judge
	if len(schema.Raw) > 0 {
		if j, err = judge(f.a.conf, s, schema); err != nil {
			f.add("fail", where, "映射不可用:"+err.Error(), "the mapping cannot be used")
			return
		}
		f.add("ok", where, "映射与模式相符", "the mapping fits the schema")
	}
	f.source(ctx, s, j)
}

func (f *findings) source(ctx context.Context, s adapters.StreamConfig, j adapters.Judge) {
	where := "stream " + s.Name
	src, err := f.a.source(s, j)
	if err != nil {
		f.add("fail", where, err.Error(), "the source cannot be made")
		return
	}
	defer func() { _ = src.Close() }()
	if p, ok := src.(adapters.Preflighter); ok {
		for _, x := range p.Check(ctx) {
			f.add(x.Level, where, x.Zh, x.En)
		}
	}
	d, err := src.Describe(ctx)
	if err != nil {
		f.add("fail", where, "来源不可读:"+err.Error(), "the source cannot be read")
		return
	}
	for _, n := range d.Notes {
		fmt.Fprintf(f.a.out, "[%s] %s: %s\n", marks["ok"], where, n)
	}
	if j == nil || len(d.Columns) == 0 {
		return
	}
	var columns []string
	for _, c := range d.Columns {
		columns = append(columns, c.Name)
	}
	missing, unknown := j.Columns(columns)
	for _, m := range missing {
		f.add("fail", where, fmt.Sprintf("映射所用的列“%s”不在来源中", m), fmt.Sprintf("column %q of the mapping is not in the source", m))
	}
	for _, u := range unknown {
		f.add("warn", where, fmt.Sprintf("来源的列“%s”未被映射使用,也未列入 ignore", u), fmt.Sprintf("column %q is neither mapped nor ignored", u))
	}
}

// schema asks the bus; where it does not answer, the adapter's own copy and
// then the shared schema built into this program stand in, and err says why.
func (a *app) schema(ctx context.Context, b *bus, resource string) (s runner.Schema, from string, err error) {
	if s, err = b.Schema(ctx, resource); err == nil {
		return s, "bus", nil
	}
	if s, cerr := runner.CachedSchema(a.conf.Path(a.conf.Outbox.Dir), resource); cerr == nil {
		return s, "cache", err
	}
	if raw, ok := schemas.EmbeddedSchema(resource, 1); ok {
		return runner.Schema{Resource: resource, Version: 1, Raw: raw}, "program", err
	}
	return runner.Schema{}, "none", err
}

// source makes a stream's source, opened by nobody.
func (a *app) source(s adapters.StreamConfig, j adapters.Judge) (adapters.Source, error) {
	src, err := kinds[s.KindName()].New(s.Source, adapters.Env{Base: a.conf.Base(), Stream: s.Stream(), Judge: j, Log: a.log})
	if err != nil {
		return nil, fmt.Errorf("make source of %s: %w", s.Name, err)
	}
	return src, nil
}

// preview maps and judges the first rows of each stream and prints the
// records, or why they would be refused.
func (a *app) preview(ctx context.Context) error {
	b, err := newBus(a.conf, askTimeout)
	if err != nil {
		return err
	}
	shown, bad := 0, false
	for _, s := range a.conf.Streams {
		if a.stream != "" && a.stream != s.Name {
			continue
		}
		shown++
		refused, err := a.previewStream(ctx, b, s)
		if err != nil {
			return err
		}
		bad = bad || refused > 0
	}
	if shown == 0 {
		return fmt.Errorf("%w: 没有名为“%s”的流 / no stream %q", adapters.ErrConfig, a.stream, a.stream)
	}
	if bad {
		return errFound
	}
	return nil
}

func (a *app) previewStream(ctx context.Context, b *bus, s adapters.StreamConfig) (refused int, err error) {
	schema, from, busErr := a.schema(ctx, b, s.Resource)
	if len(schema.Raw) == 0 {
		return 0, busErr
	}
	j, err := judge(a.conf, s, schema)
	if err != nil {
		return 0, err
	}
	src, err := a.source(s, j)
	if err != nil {
		return 0, err
	}
	defer func() { _ = src.Close() }()
	p, ok := src.(adapters.Previewer)
	if !ok {
		return 0, fmt.Errorf("%w: %s 不能试跑 / a source of kind %s has no preview", adapters.ErrConfig, s.KindName(), s.KindName())
	}
	fmt.Fprintf(a.err, "流 stream %s → %s v%d (%s)\n", s.Name, s.Resource, schema.Version, from)
	batch, err := p.Preview(ctx, a.rows)
	if errors.Is(err, adapters.ErrIdle) {
		fmt.Fprintln(a.err, "  没有可读的数据 / nothing to read")
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("preview %s: %w", s.Name, err)
	}
	records := 0
	for _, row := range batch.Rows {
		judged, err := j.Row(batch.Columns, row)
		if err != nil {
			return refused, fmt.Errorf("map row: %w", err)
		}
		for _, r := range judged {
			if len(r.Problems) > 0 {
				refused++
				for _, x := range r.Problems {
					fmt.Fprintf(a.err, "  ✗ %s\n    %s\n", x.Zh, x.En)
				}
				continue
			}
			records++
			if err := a.show(r); err != nil {
				return refused, err
			}
		}
	}
	fmt.Fprintf(a.err, "  %d行:%d条可用,%d条会被退回 / %d rows: %d records, %d would be refused\n", len(batch.Rows), records, refused, len(batch.Rows), records, refused)
	return refused, nil
}

// show prints one record as it would be queued.
func (a *app) show(r adapters.Judged) error {
	line := struct {
		Key      string          `json:"key"`
		Op       string          `json:"op"`
		Data     json.RawMessage `json:"data,omitempty"`
		Reason   string          `json:"reason,omitempty"`
		Warnings []string        `json:"warnings,omitempty"`
	}{r.Key, r.Op.String(), r.Body, r.Reason, r.Warnings}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return fmt.Errorf("print record: %w", err)
	}
	return nil
}
