package sqlpoll

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	driver "modernc.org/sqlite" // the SQLite driver, without C

	"github.com/hutong-bus/hutong/adapters"
)

// sqlite is one connection to an SQLite file. SQLite has one writer at a
// time, so a read transaction sees everything numbered or dated before what
// it sees; only rows of the moment last seen may still be added, and rows
// whose moment was taken before the writer got its turn. Both lie within the
// overlap.
type sqlite struct {
	conf    Config
	path    string
	db      *sql.DB
	version int64 // data_version at the last look
}

// busyTimeout is how long a read waits for a writer outside WAL mode.
const busyTimeout = 5 * time.Second

func (q *sqlite) connect(ctx context.Context) error {
	if q.db != nil {
		return nil
	}
	if _, err := os.Stat(q.path); err != nil {
		return errors.Join(adapters.ErrReconnect, err)
	}
	// Not mode=ro: a database in WAL mode may need its shared memory made.
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: q.path}).EscapedPath(), RawQuery: url.Values{"mode": {"rw"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "query_only(1)"}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return fmt.Errorf("open %s: %w", q.path, err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return errors.Join(adapters.ErrReconnect, err, db.Close())
	}
	q.db, q.version = db, 0
	return nil
}

func (q *sqlite) close() error {
	if q.db == nil {
		return nil
	}
	return q.db.Close()
}

// fault sorts an error: a statement that cannot be right stops the stream, a
// busy or vanished file is tried again.
func (q *sqlite) fault(ctx context.Context, err error) error {
	const sqliteError = 1 // SQLITE_ERROR: no such column, syntax
	var se *driver.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &se) && se.Code() == sqliteError {
		return err
	}
	return errors.Join(adapters.ErrReconnect, err)
}

func (q *sqlite) name() (schema, table string) {
	if s, t, ok := strings.Cut(q.conf.Table, "."); ok {
		return s, t
	}
	return "main", q.conf.Table
}

func (q *sqlite) columns(ctx context.Context) ([]column, error) {
	schema, table := q.name()
	rows, err := q.db.QueryContext(ctx, `SELECT name, type, "notnull" = 0 AND pk = 0, pk > 0 FROM pragma_table_xinfo(?, ?) WHERE hidden <> 1 ORDER BY cid`, table, schema)
	if err != nil {
		return nil, q.fault(ctx, err)
	}
	var out []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.Name, &c.Type, &c.Nullable, &c.Key); err != nil {
			return nil, errors.Join(q.fault(ctx, err), rows.Close())
		}
		out = append(out, c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, q.fault(ctx, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no table %s in %s", adapters.ErrConfig, q.conf.Table, q.path)
	}
	return out, nil
}

// bound is quiet when no other connection has committed since the last look.
func (q *sqlite) bound(ctx context.Context) (bound, error) {
	var v int64
	if err := q.db.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&v); err != nil {
		return bound{}, q.fault(ctx, err)
	}
	b := bound{quiet: v == q.version}
	q.version = v
	return b, nil
}

func (q *sqlite) back(high string, overlap time.Duration) string {
	return parseAtom(high).back(overlap).text()
}

func (q *sqlite) less(a, b string) bool { return parseAtom(a).less(parseAtom(b)) }

func (q *sqlite) rows(ctx context.Context, from start, _ bound, cols []column, limit adapters.Limits) ([]row, bool, error) {
	order := q.conf.order()
	var list, quoted, conds []string
	var args []any
	for _, c := range cols {
		list = append(list, "+"+quote(c.Name)) // the plus keeps the driver from reading dates into the value
	}
	for _, c := range order {
		list = append(list, "+"+quote(c))
		quoted = append(quoted, "t."+quote(c))
		conds = append(conds, quote(c)+" IS NOT NULL")
	}
	if q.conf.Where != "" {
		conds = append(conds, "("+q.conf.Where+")")
	}
	switch {
	case len(from.place) > 0:
		for _, p := range from.place {
			args = append(args, parseAtom(p).value)
		}
		conds = append(conds, "("+strings.Join(quoted, ", ")+") > (?"+strings.Repeat(", ?", len(order)-1)+")")
	case from.moment != "":
		args = append(args, parseAtom(from.moment).value)
		conds = append(conds, quoted[0]+" >= ?")
	}
	rows, err := q.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s ORDER BY %s LIMIT %d", strings.Join(list, ", "),
		quoteTable(q.conf.Table), strings.Join(conds, " AND "), strings.Join(quoted, ", "), limit.Rows), args...)
	if err != nil {
		return nil, false, q.fault(ctx, err)
	}
	out, more, err := q.collect(rows, cols, len(list), limit)
	return out, more, q.fault(ctx, errors.Join(err, rows.Close()))
}

func (q *sqlite) collect(rows *sql.Rows, cols []column, n int, limit adapters.Limits) (out []row, more bool, err error) {
	bytes := 0
	for rows.Next() {
		cells := make([]any, n)
		into := make([]any, n)
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, false, err
		}
		r := row{fields: make([]adapters.Value, len(cols))}
		for i, c := range cols {
			v, fault := sqliteValue(c, cells[i])
			if fault != nil {
				r.errs = append(r.errs, adapters.RowError{Problem: *fault})
			}
			r.fields[i] = v
			bytes += len(v.Raw()) + 8
		}
		for _, c := range cells[len(cols):] {
			r.place = append(r.place, atom{c}.text())
		}
		if !q.conf.byID() {
			r.at = parseAtom(r.place[0]).unixMs(q.conf.TimeZone)
		}
		out = append(out, r)
		if len(out) == limit.Rows || bytes >= limit.Bytes {
			return out, true, nil
		}
	}
	return out, false, rows.Err()
}

func (q *sqlite) held(context.Context, bound) (bool, error) { return false, nil }

func (q *sqlite) check(ctx context.Context, cols []column) []adapters.Finding {
	var out []adapters.Finding
	var n int64
	first := q.conf.order()[0]
	err := q.db.QueryRowContext(ctx, "SELECT count(*) FROM "+quoteTable(q.conf.Table)+" WHERE "+quote(first)+" IS NULL").Scan(&n)
	if err == nil && n > 0 {
		out = append(out, adapters.Finding{Level: "warn", Code: "nulls", Zh: fmt.Sprintf("有%d行的排序列为空,永远不会被读取", n),
			En: fmt.Sprintf("%d rows have a null order column and are never read", n)})
	}
	return append(out, nullable(q.conf, cols)...)
}
