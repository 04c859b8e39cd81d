package sqlpoll

import (
	"context"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// Describe implements adapters.Source.
func (s *source) Describe(ctx context.Context) (adapters.Discovery, error) {
	if err := s.connect(ctx); err != nil {
		return adapters.Discovery{}, err
	}
	all, err := s.db.columns(ctx)
	if err != nil {
		return adapters.Discovery{}, fmt.Errorf("read layout of %s: %w", s.conf.Table, err)
	}
	var d adapters.Discovery
	var key []string
	for _, c := range all {
		d.Columns = append(d.Columns, adapters.Column{Name: c.Name, Kind: s.db.kind(c.Type), Nullable: c.Nullable})
		if c.Key {
			key = append(key, c.Name)
		}
	}
	if len(key) > 0 {
		d.Keys = [][]string{key}
	}
	d.Notes = append(d.Notes, "表结构指纹 / layout "+layout(all))
	return d, nil
}

// Check implements adapters.Preflighter.
func (s *source) Check(ctx context.Context) []adapters.Finding {
	if err := s.connect(ctx); err != nil {
		return []adapters.Finding{{Level: "fail", Code: "connect", Zh: "连不上数据库:" + err.Error(), En: "cannot connect: " + err.Error()}}
	}
	all, err := s.db.columns(ctx)
	if err == nil {
		_, err = s.choose(all)
	}
	if err != nil {
		return []adapters.Finding{{Level: "fail", Code: "layout", Zh: "表结构不合:" + err.Error(), En: "layout: " + err.Error()}}
	}
	out := []adapters.Finding{{Level: "ok", Code: "layout", Zh: fmt.Sprintf("表%s共%d列", s.conf.Table, len(all)), En: fmt.Sprintf("table %s has %d columns", s.conf.Table, len(all))}}
	return append(out, s.db.check(ctx, all)...)
}

// Preview implements adapters.Previewer.
func (s *source) Preview(ctx context.Context, n int) (adapters.Batch, error) {
	if err := s.connect(ctx); err != nil {
		return adapters.Batch{}, err
	}
	all, err := s.db.columns(ctx)
	if err != nil {
		return adapters.Batch{}, fmt.Errorf("read layout of %s: %w", s.conf.Table, err)
	}
	cols, err := s.choose(all)
	if err != nil {
		return adapters.Batch{}, err
	}
	found, _, err := s.db.rows(ctx, start{}, bound{}, cols, adapters.Limits{Rows: n}.OrDefault())
	if err != nil {
		return adapters.Batch{}, fmt.Errorf("read %s: %w", s.conf.Table, err)
	}
	if len(found) == 0 {
		return adapters.Batch{}, &adapters.IdleError{Wait: time.Duration(s.conf.Poll)}
	}
	out := adapters.Batch{Columns: names(cols)}
	for _, r := range found {
		out.Rows = append(out.Rows, adapters.Row{Fields: r.fields, At: r.at, Errs: r.errs, Origin: adapters.Origin{File: s.conf.Table}})
	}
	return out, nil
}
