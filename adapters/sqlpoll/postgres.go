package sqlpoll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hutong-bus/hutong/adapters"
)

// postgres is one connection to PostgreSQL, read only, never inside a
// transaction between two statements.
type postgres struct {
	conf Config
	base string
	conn *pgx.Conn

	types map[string]string // of the columns, by name
	zone  string            // in which a column without zone is written
	exact bool              // the horizon can be read

	settled string    // by id: everything up to it is complete
	seen    string    // by id: the greatest id seen …
	seenAt  time.Time // … before this moment
	last    string    // by moment: the last horizon; it stays true
}

const (
	connectTimeout   = 15 * time.Second
	statementTimeout = "60s"
	// heldLong is how long a transaction may hold the horizon back before the
	// operator is told.
	heldLong = 5 * time.Minute
)

func (p *postgres) connect(ctx context.Context) error {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	dsn, err := p.conf.dsn(p.base)
	if err != nil {
		return err
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("%w: the connection string cannot be read", adapters.ErrConfig) // its text may hold a password
	}
	c.ConnectTimeout = connectTimeout
	for k, v := range map[string]string{"application_name": "hutong-adapter", "DateStyle": "ISO", "client_encoding": "UTF8",
		"default_transaction_read_only": "on", "statement_timeout": statementTimeout} {
		c.RuntimeParams[k] = v
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return errors.Join(adapters.ErrReconnect, err)
	}
	p.conn = conn
	if err := p.prepare(ctx); err != nil {
		return errors.Join(err, p.close())
	}
	return nil
}

// prepare learns what the horizon depends on and refuses where neither it nor
// an overlap is there.
func (p *postgres) prepare(ctx context.Context) error {
	if err := p.conn.QueryRow(ctx, `SELECT current_setting('TimeZone')`).Scan(&p.zone); err != nil {
		return p.fault(ctx, err)
	}
	if p.conf.TimeZone != "" {
		p.zone = p.conf.TimeZone
	}
	if _, err := p.conn.Exec(ctx, `SET TIME ZONE 'UTC'`); err != nil {
		return p.fault(ctx, err)
	}
	var rights, standby, tracked bool
	err := p.conn.QueryRow(ctx, `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), pg_is_in_recovery(), current_setting('track_activities') = 'on'`).
		Scan(&rights, &standby, &tracked)
	p.exact = err == nil && rights && !standby && tracked
	if p.exact {
		return p.singleStep(ctx)
	}
	if p.conf.Overlap > 0 && !p.conf.byID() {
		return nil
	}
	return fmt.Errorf("%w: 不能读取提交水位(需要 pg_read_all_stats 且连接主库),也未设 overlap:直接按“大于上次”读取会漏行。改法:GRANT pg_read_all_stats TO 本账号,或以 updated_at 读取并设 overlap"+
		" / the commit horizon cannot be read (it needs pg_read_all_stats and a primary) and no overlap is set: grant the role, or read by updated_at with an overlap", adapters.ErrConfig)
}

// singleStep refuses a sequence that hands out numbers in blocks: sessions
// then use their numbers in any order, and no horizon tells when.
func (p *postgres) singleStep(ctx context.Context) error {
	if !p.conf.byID() {
		return nil
	}
	var cache int64
	err := p.conn.QueryRow(ctx, `SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence($1, $2)::regclass`, quoteTable(p.conf.Table), p.conf.ID).Scan(&cache)
	if err == nil && cache > 1 {
		return fmt.Errorf("%w: 序列每次预取%d个编号,编号次序不等于写入次序。改法:ALTER SEQUENCE … CACHE 1,或按 updated_at 读取 / the sequence of %s has CACHE %d; set CACHE 1 or read by updated_at",
			adapters.ErrConfig, cache, p.conf.ID, cache)
	}
	return nil
}

func (p *postgres) close() error {
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.conn.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// fault sorts an error: a statement that cannot be right stops the stream,
// everything else is tried again over a new connection.
func (p *postgres) fault(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch pe.Code[:2] {
		case "22", "42", "0A":
			return err
		}
	}
	return errors.Join(adapters.ErrReconnect, err)
}

func (p *postgres) columns(ctx context.Context) ([]column, error) {
	rows, err := p.conn.Query(ctx, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
		EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))
		FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, quoteTable(p.conf.Table))
	if err != nil {
		return nil, p.fault(ctx, err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (column, error) {
		var c column
		err := r.Scan(&c.Name, &c.Type, &c.Nullable, &c.Key)
		return c, err
	})
	if err != nil {
		return nil, p.fault(ctx, err)
	}
	p.types = map[string]string{}
	for _, c := range out {
		p.types[c.Name] = c.Type
	}
	first := baseType(p.types[p.conf.order()[0]])
	switch {
	case first == "": // its absence is named by the caller
	case p.conf.byID() && first != "bigint" && first != "integer" && first != "smallint":
		return nil, fmt.Errorf("%w: id: column %s is of type %s, not a whole number", adapters.ErrConfig, p.conf.ID, first)
	case !p.conf.byID() && !strings.HasPrefix(first, "timestamp"):
		return nil, fmt.Errorf("%w: updated_at: column %s is of type %s, not a timestamp", adapters.ErrConfig, p.conf.UpdatedAt, first)
	}
	return out, nil
}

const (
	layoutZoned = "2006-01-02 15:04:05.999999-07"
	layoutLocal = "2006-01-02 15:04:05.999999"
)

func parseMoment(s string) (time.Time, string, error) {
	if t, err := time.Parse(layoutZoned, s); err == nil {
		return t.UTC(), layoutZoned, nil
	}
	t, err := time.Parse(layoutLocal, s)
	return t, layoutLocal, err
}

func (p *postgres) back(high string, overlap time.Duration) string {
	t, form, err := parseMoment(high)
	if err != nil {
		return high
	}
	return t.Add(-overlap).Format(form)
}

func (p *postgres) less(a, b string) bool {
	if p.conf.byID() {
		return len(a) < len(b) || len(a) == len(b) && a < b
	}
	ta, _, _ := parseMoment(a)
	tb, _, _ := parseMoment(b)
	return ta.Before(tb)
}

// where writes the conditions of a look and the order it reads in.
func (p *postgres) where(from start, b bound) (sql string, args []any, order string) {
	cols := p.conf.order()
	quoted := make([]string, len(cols))
	var conds []string
	for i, c := range cols {
		quoted[i] = "t." + quote(c) // a bare name in ORDER BY would mean the text in the list
		conds = append(conds, quoted[i]+" IS NOT NULL")
	}
	param := func(v string, col string) string {
		args = append(args, v)
		return fmt.Sprintf("$%d::text::%s", len(args), p.types[col])
	}
	if !p.conf.byID() {
		conds = append(conds, "isfinite("+quoted[0]+")")
	}
	if p.conf.Where != "" {
		conds = append(conds, "("+p.conf.Where+")")
	}
	if b.upper != "" {
		op := " < "
		if p.conf.byID() {
			op = " <= "
		}
		conds = append(conds, quoted[0]+op+param(b.upper, cols[0]))
	}
	switch {
	case len(from.place) > 0:
		var at []string
		for i, v := range from.place {
			at = append(at, param(v, cols[i]))
		}
		conds = append(conds, "("+strings.Join(quoted, ", ")+") > ("+strings.Join(at, ", ")+")")
	case from.moment != "":
		conds = append(conds, quoted[0]+" >= "+param(from.moment, cols[0]))
	}
	return strings.Join(conds, " AND "), args, strings.Join(quoted, ", ")
}

func (p *postgres) rows(ctx context.Context, from start, b bound, cols []column, limit adapters.Limits) ([]row, bool, error) {
	var list []string
	for _, c := range cols {
		if strings.HasSuffix(c.Type, "[]") {
			list = append(list, "to_json("+quote(c.Name)+")::text")
			continue
		}
		list = append(list, quote(c.Name)+"::text")
	}
	for _, c := range p.conf.order() {
		list = append(list, quote(c)+"::text")
	}
	where, args, order := p.where(from, b)
	rows, err := p.conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s ORDER BY %s LIMIT %d",
		strings.Join(list, ", "), quoteTable(p.conf.Table), where, order, limit.Rows), args...)
	if err != nil {
		return nil, false, p.fault(ctx, err)
	}
	defer rows.Close()
	var out []row
	bytes := 0
	for rows.Next() {
		cells := make([]*string, len(list))
		into := make([]any, len(list))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, false, p.fault(ctx, err)
		}
		out = append(out, p.row(cols, cells))
		for _, c := range cells {
			if c != nil {
				bytes += len(*c)
			}
		}
		if len(out) == limit.Rows || bytes >= limit.Bytes {
			return out, true, nil
		}
	}
	return out, false, p.fault(ctx, rows.Err())
}

func (p *postgres) row(cols []column, cells []*string) row {
	r := row{fields: make([]adapters.Value, len(cols))}
	for i, c := range cols {
		r.fields[i] = pgValue(c.Type, cells[i])
	}
	for _, c := range cells[len(cols):] {
		r.place = append(r.place, *c) // where excludes nulls
	}
	if p.conf.byID() {
		return r
	}
	t, form, err := parseMoment(r.place[0])
	if err == nil && form == layoutLocal {
		var loc *time.Location
		if loc, err = time.LoadLocation(p.zone); err == nil {
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
		}
	}
	if err == nil {
		r.at = t.UnixMilli()
	}
	return r
}

func (p *postgres) held(ctx context.Context, b bound) (bool, error) {
	if b.overlap || b.upper == "" {
		return b.none, nil
	}
	first := quote(p.conf.order()[0])
	where := first + " > $1::text::" + p.types[p.conf.order()[0]]
	args := []any{b.upper}
	if !p.conf.byID() { // a row dated in the future is not waited for
		where = first + " >= $1::text::" + p.types[p.conf.UpdatedAt] + " AND " + first + " <= (" + p.moment("now()", "$2::text") + ")::" + p.types[p.conf.UpdatedAt]
		args = append(args, p.zone)
	}
	if p.conf.Where != "" {
		where += " AND (" + p.conf.Where + ")"
	}
	var there bool
	err := p.conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+quoteTable(p.conf.Table)+" WHERE "+where+")", args...).Scan(&there)
	return there, p.fault(ctx, err)
}

func quote(name string) string { return `"` + name + `"` } // names hold no quotes: see parse

func quoteTable(table string) string {
	parts := strings.Split(table, ".")
	for i, p := range parts {
		parts[i] = quote(p)
	}
	return strings.Join(parts, ".")
}
