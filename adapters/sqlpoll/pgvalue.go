package sqlpoll

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

var typeModifier = regexp.MustCompile(`\([^)]*\)`)

// baseType is a type's name without its modifier: numeric(10,2) → numeric.
func baseType(typ string) string { return typeModifier.ReplaceAllString(typ, "") }

func (p *postgres) kind(typ string) adapters.ValueKind { return pgKind(typ) }

func pgKind(typ string) adapters.ValueKind {
	if strings.HasSuffix(typ, "[]") {
		return adapters.KindJSON
	}
	switch baseType(typ) {
	case "smallint", "integer", "bigint":
		return adapters.KindInt
	case "numeric", "real", "double precision":
		return adapters.KindDecimal
	case "boolean":
		return adapters.KindBool
	case "date":
		return adapters.KindDate
	case "timestamp without time zone":
		return adapters.KindLocal
	case "timestamp with time zone":
		return adapters.KindInstant
	case "bytea":
		return adapters.KindBytes
	case "json", "jsonb":
		return adapters.KindJSON
	}
	return adapters.KindText
}

// pgValue reads PostgreSQL's text form of a cell. What does not fit its kind
// (NaN, infinity, years before Christ) is handed over as the text it is.
func pgValue(typ string, cell *string) adapters.Value {
	if cell == nil {
		return adapters.Null()
	}
	s := *cell
	switch pgKind(typ) {
	case adapters.KindInt:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return adapters.Int(n)
		}
	case adapters.KindDecimal:
		if json.Valid([]byte(s)) {
			return adapters.Decimal(s)
		}
	case adapters.KindBool:
		return adapters.Bool(s == "true" || s == "t")
	case adapters.KindDate:
		if len(s) == len("2006-01-02") {
			return adapters.Date(s)
		}
	case adapters.KindLocal:
		if _, form, err := parseMoment(s); err == nil && form == layoutLocal {
			return adapters.Local(strings.Replace(s, " ", "T", 1))
		}
	case adapters.KindInstant:
		if t, form, err := parseMoment(s); err == nil && form == layoutZoned {
			return adapters.Instant(t.UnixMilli())
		}
	case adapters.KindBytes:
		if b, err := hex.DecodeString(strings.TrimPrefix(s, `\x`)); err == nil {
			return adapters.Bytes(b)
		}
	case adapters.KindJSON:
		compact, v, err := record.Decode([]byte(s), record.DefaultLimits())
		if err == nil {
			switch v.(type) {
			case map[string]any, []any:
				return adapters.JSON(compact)
			}
		}
	}
	return adapters.Text(s)
}

// check says what a person should know before the first run.
func (p *postgres) check(ctx context.Context, cols []column) []adapters.Finding {
	var out []adapters.Finding
	add := func(level, code, zh, en string) {
		out = append(out, adapters.Finding{Level: level, Code: code, Zh: zh, En: en})
	}
	if p.exact {
		add("ok", "horizon", "可读取提交水位,不会漏行", "the commit horizon can be read; no row is passed over")
	} else {
		add("warn", "horizon", "不能读取提交水位,改为重叠读取:提交晚于overlap的事务会漏行", "the commit horizon cannot be read; rows of transactions that last longer than the overlap are missed")
	}
	first := p.conf.order()[0]
	var indexed bool
	err := p.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = $1::text::regclass AND a.attname = $2::text)`, quoteTable(p.conf.Table), first).Scan(&indexed)
	if err == nil && !indexed {
		add("warn", "index", fmt.Sprintf("列“%s”上没有索引,每次读取都要扫描全表", first), fmt.Sprintf("column %q has no index; every look scans the table", first))
	}
	if n, err := p.nulls(ctx); err == nil && n > 0 {
		add("warn", "nulls", fmt.Sprintf("有%d行的排序列为空,永远不会被读取", n), fmt.Sprintf("%d rows have a null order column and are never read", n))
	}
	return append(out, nullable(p.conf, cols)...)
}

func (p *postgres) nulls(ctx context.Context) (n int64, err error) {
	var conds []string
	for _, c := range p.conf.order() {
		conds = append(conds, quote(c)+" IS NULL")
	}
	err = p.conn.QueryRow(ctx, "SELECT count(*) FROM "+quoteTable(p.conf.Table)+" WHERE "+strings.Join(conds, " OR ")).Scan(&n)
	return n, p.fault(ctx, err)
}

// nullable warns of order columns that may become null one day.
func nullable(conf Config, cols []column) []adapters.Finding {
	var out []adapters.Finding
	for _, c := range cols {
		for _, o := range conf.order() {
			if c.Name == o && c.Nullable {
				out = append(out, adapters.Finding{Level: "warn", Code: "nullable", Zh: fmt.Sprintf("列“%s”允许为空,为空的行不会被读取", o),
					En: fmt.Sprintf("column %q may be null; such rows are never read", o)})
			}
		}
	}
	return out
}
