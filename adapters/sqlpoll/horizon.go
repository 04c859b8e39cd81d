package sqlpoll

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// openTransactions are those that may still write to this database. Sessions
// of other databases cannot.
const openTransactions = `SELECT pid, xact_start FROM pg_stat_activity
	WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
	AND (datname = current_database() OR datname IS NULL) AND backend_type NOT IN ('autovacuum worker', 'walsender')`

// bound reads the horizon: first the sessions, then the prepared
// transactions, and only later, in statements of their own, the rows. A
// transaction that is in neither list has ended before and its rows are
// visible; one that begins later writes a later time, because nothing younger
// than Settle is read.
func (p *postgres) bound(ctx context.Context) (bound, error) {
	if !p.exact {
		return bound{overlap: true, notice: &adapters.Notice{Code: "horizon_unknown", Zh: "不能读取提交水位,改为重叠读取", En: "the commit horizon cannot be read; the overlap is read again instead"}}, nil
	}
	var horizon time.Time
	var pid *int32
	var held *float64
	err := p.conn.QueryRow(ctx, `WITH open AS (`+openTransactions+`)
		SELECT least((SELECT min(xact_start) FROM open), now() - $1::text::interval), (SELECT pid FROM open ORDER BY xact_start LIMIT 1),
		extract(epoch FROM now() - (SELECT min(xact_start) FROM open))::float8`, interval(time.Duration(p.conf.Settle))).Scan(&horizon, &pid, &held)
	if err != nil {
		return bound{}, p.fault(ctx, err)
	}
	var prepared int
	if err := p.conn.QueryRow(ctx, `SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()`).Scan(&prepared); err != nil {
		return bound{}, p.fault(ctx, err)
	}
	var b bound
	if held != nil && pid != nil && *held > heldLong.Seconds() {
		b.notice = &adapters.Notice{Code: "horizon_held", File: p.conf.Table,
			Zh: fmt.Sprintf("数据库会话%d的事务已打开%d分钟,其后的行暂不读取。改法:提交或结束该事务", *pid, int(*held/60)),
			En: fmt.Sprintf("the transaction of session %d has been open for %d minutes; later rows wait for it; commit or end it", *pid, int(*held/60))}
	}
	if prepared > 0 { // how long they have been writing is not known any more: nothing new is complete
		b.notice = &adapters.Notice{Code: "horizon_prepared", File: p.conf.Table, Zh: fmt.Sprintf("有%d个两阶段事务未结束,新行暂不读取", prepared),
			En: fmt.Sprintf("%d prepared transactions are open; new rows wait for them", prepared)}
		b.upper = p.last
		if p.conf.byID() {
			b.upper = p.settled
		}
		b.none = b.upper == ""
		return b, nil
	}
	if p.conf.byID() {
		return p.boundID(ctx, b, horizon)
	}
	err = p.conn.QueryRow(ctx, `SELECT `+p.moment("$1::timestamptz", "$2::text"), horizon, p.zone).Scan(&b.upper)
	p.last = b.upper
	return b, p.fault(ctx, err)
}

// boundID turns the horizon in time into one in numbers: an id that was seen
// before a moment was handed out before it, and all smaller ones too; once
// every transaction of that time has ended, they are complete.
func (p *postgres) boundID(ctx context.Context, b bound, horizon time.Time) (bound, error) {
	if p.seen != "" && horizon.After(p.seenAt) {
		p.settled, p.seen = p.seen, ""
	}
	if p.seen == "" {
		var top *string
		if err := p.conn.QueryRow(ctx, `SELECT max(`+quote(p.conf.ID)+`)::text FROM `+quoteTable(p.conf.Table)).Scan(&top); err != nil {
			return b, p.fault(ctx, err)
		}
		if err := p.conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&p.seenAt); err != nil {
			return b, p.fault(ctx, err)
		}
		if top != nil {
			p.seen = *top
		}
	}
	b.upper, b.none = p.settled, p.settled == "" && p.seen != ""
	b.quiet = p.settled == "" && p.seen == ""
	return b, nil
}

// moment is an SQL text of an instant in the type of the updated_at column.
func (p *postgres) moment(instant, zone string) string {
	if strings.HasPrefix(baseType(p.types[p.conf.UpdatedAt]), "timestamp without") {
		return "(" + instant + " AT TIME ZONE " + zone + ")::text"
	}
	return "(" + instant + ")::text || left(" + zone + ", 0)" // both parameters are named in either form
}

func interval(d time.Duration) string { return fmt.Sprintf("%d microseconds", d.Microseconds()) }
