package runner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/schemas/record"
)

// home is the address of a verdict as it lies in the outbox.
type home struct {
	Origin adapters.Origin `json:"origin"`
	Index  int             `json:"index,omitempty"`
}

// envelopeBytes is what a record's line holds beside key and data at most.
const envelopeBytes = 1 << 10

// converter turns one batch of rows into one batch for the outbox.
type converter struct {
	s      *stream
	in     adapters.Batch
	out    outbox.Batch
	schema Schema
	home   bool // verdicts go home
	first  *adapters.Problem
}

// convert judges every row. It returns a stopError, and nothing is stored,
// when the refusals pass the stream's threshold: after the fault is mended the
// same rows are read again.
func (s *stream) convert(in adapters.Batch, judge adapters.Judge, schema Schema, feedback bool) (outbox.Batch, error) {
	c := &converter{s: s, in: in, schema: schema, home: feedback && in.Unit != ""}
	c.out = outbox.Batch{Stream: s.conf.Name, Resource: s.conf.Resource, Cursor: in.Cursor, Read: in.Filtered, Filtered: in.Filtered,
		Ledger: in.Ledger, Unit: in.Unit, UnitEnd: in.UnitEnd, Corrects: in.Corrects}
	if len(in.Rows) > 0 && !slices.Equal(s.columns, in.Columns) {
		if err := s.compare(in, judge); err != nil {
			return outbox.Batch{}, err
		}
	}
	for _, row := range in.Rows {
		if err := c.row(judge, row); err != nil {
			return outbox.Batch{}, err
		}
	}
	if in.Unit == "" && s.refused.tripped() { // whole units are judged by their source before the first row
		return outbox.Batch{}, c.tripped()
	}
	return c.out, nil
}

// compare holds the columns against the mapping when they are new. A source
// of units does that itself, unit by unit.
func (s *stream) compare(in adapters.Batch, judge adapters.Judge) error {
	s.columns = in.Columns
	if in.Unit != "" {
		return nil
	}
	missing, unknown := judge.Columns(in.Columns)
	if len(missing) > 0 {
		d := make([]adapters.Drift, 0, len(missing))
		for _, m := range missing {
			d = append(d, adapters.Drift{Kind: "missing", Column: m, Zh: fmt.Sprintf("映射所用的列“%s”不在来源中。改法:恢复该列或修改映射", m),
				En: fmt.Sprintf("column %q of the mapping is not in the source; restore it or change the mapping", m)})
		}
		return &adapters.DriftError{Drift: d}
	}
	for _, u := range unknown {
		s.notice(adapters.Notice{Code: "column_unused", Zh: fmt.Sprintf("来源的列“%s”未被映射使用,也未列入 ignore", u),
			En: fmt.Sprintf("column %q of the source is neither mapped nor ignored", u)})
	}
	return nil
}

func (c *converter) row(judge adapters.Judge, row adapters.Row) error {
	judged, err := judge.Row(c.in.Columns, row)
	if err != nil {
		return fmt.Errorf("map row: %w", err)
	}
	if len(judged) == 0 {
		if problems := faults(row, 0, nil); len(problems) > 0 {
			return c.refuse(row, 0, "", problems)
		}
		c.out.Read++
		c.out.Filtered++
		return nil
	}
	for _, j := range judged {
		problems := faults(row, j.Index, append(j.Problems, check(j, row.Origin)...))
		if len(problems) > 0 {
			if err := c.refuse(row, j.Index, j.Key, problems); err != nil {
				return err
			}
			continue
		}
		if err := c.queue(row, j); err != nil {
			return err
		}
	}
	return nil
}

// faults adds what the source itself found in a row, or in one element of it,
// to have; the Judge may have named it already.
func faults(row adapters.Row, index int, have []adapters.Problem) []adapters.Problem {
	for _, e := range row.Errs {
		if (e.Index == 0 || e.Index == index) && !slices.Contains(have, e.Problem) {
			have = append(have, e.Problem)
		}
	}
	return have
}

// check holds a record against the two bounds that the bus would refuse
// without looking at the schema.
func check(j adapters.Judged, at adapters.Origin) []adapters.Problem {
	if len(j.Problems) > 0 {
		return nil
	}
	place := placeOf(at)
	limit := record.DefaultLimits().RecordBytes - envelopeBytes
	if n := len(j.Body) + len(j.Key); n > limit {
		return []adapters.Problem{{Rule: "too_large",
			Zh: fmt.Sprintf("%s:记录过大,应不超过%d字节,实为%d字节。改法:截短长文本或改用附件", place.Zh, limit, n),
			En: fmt.Sprintf("%s: the record is too large: at most %d bytes, found %d; shorten long text", place.En, limit, n)}}
	}
	if err := record.CheckKey(j.Key); err != nil {
		return []adapters.Problem{{Rule: "key",
			Zh: fmt.Sprintf("%s:业务主键不可用,应为1至512字节、不含控制字符。改法:核对主键字段", place.Zh),
			En: fmt.Sprintf("%s: the key cannot be used: 1 to 512 bytes without control characters; check the key fields", place.En)}}
	}
	return nil
}

func placeOf(at adapters.Origin) Reason {
	if at.Row == 0 {
		return Reason{at.File, at.File}
	}
	return Reason{fmt.Sprintf("第%d行", at.Row), fmt.Sprintf("row %d", at.Row)}
}

func (c *converter) refuse(row adapters.Row, index int, key string, problems []adapters.Problem) error {
	reasons, err := json.Marshal(problems)
	if err != nil {
		return fmt.Errorf("store reasons: %w", err)
	}
	if c.first == nil {
		c.first = &problems[0]
	}
	c.out.Read++
	c.s.refused.add(true)
	origin, err := c.origin(row, index)
	if err != nil {
		return err
	}
	c.out.Refusals = append(c.out.Refusals, outbox.Refusal{Key: key, Origin: origin, Reasons: reasons})
	return nil
}

func (c *converter) queue(row adapters.Row, j adapters.Judged) error {
	origin, err := c.origin(row, j.Index)
	if err != nil {
		return err
	}
	at := j.At
	if at == 0 {
		at = c.s.r.cfg.Now().UnixMilli()
	}
	op := j.Op
	if op == 0 {
		op = record.Upsert
	}
	c.out.Read++
	c.s.refused.add(false)
	c.out.Rows = append(c.out.Rows, outbox.Row{Origin: origin, Warnings: len(j.Warnings), Record: record.Record{Key: j.Key, Op: op,
		OccurredAt: at, Data: j.Body, Reason: j.Reason, SchemaVersion: c.schema.Version, SourceVersion: j.Version}})
	return nil
}

func (c *converter) origin(row adapters.Row, index int) ([]byte, error) {
	if !c.home {
		return nil, nil
	}
	b, err := json.Marshal(home{row.Origin, index})
	if err != nil {
		return nil, fmt.Errorf("store origin: %w", err)
	}
	return b, nil
}

func (c *converter) tripped() error {
	w := &c.s.refused
	n := min(w.n, windowRecords)
	zh := fmt.Sprintf("退回过多:最近%d条中退回%d条,超过阈值%.0f%%,本批未取用", n, w.sum, w.over*100)
	en := fmt.Sprintf("%d of the last %d records were refused, above the threshold of %.0f %%; nothing of this batch was taken", w.sum, n, w.over*100)
	if c.first != nil {
		zh += "。首个原因:" + strings.TrimSuffix(c.first.Zh, "。")
		en += "; first reason: " + c.first.En
	}
	return &stopError{Reason: Reason{zh + "。改法:修正数据或映射后重新启动", en + "; correct data or mapping, then start again"}}
}
