package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	_ "modernc.org/sqlite" // the SQLite driver, without C
)

// column is a column of a table or file and the member of the record that goes
// into it.
type column struct{ name, member string }

// table is one table of the approvals database, which all departments share.
type table struct {
	name    string
	columns []column
	dated   bool // rows change: GXSJ tells when
	codes   map[string]map[string]string
}

var approvalTables = map[string]table{
	"approvals.service_item": {name: "QLSX", dated: true, columns: []column{{"SSBM", "task_code"}, {"JBBM", "catalog_code"}, {"SXMC", "task_name"}, {"SXLX", "task_type"}, {"BBH", "task_version"}, {"SXZT", "task_state"}, {"BMDM", "dept_code"}, {"BMMC", "dept_name"},
		{"QHDM", "region"}, {"QLLY", "power_source"}, {"SDYJ", "by_law"}, {"SLTJ", "conditions"}, {"BLLC", "flow"}, {"SFBZ", "fee_standard"}, {"FDSX", "legal_days"}, {"CNSX", "promised_days"}, {"BLCK", "windows"}, {"ZXDH", "consult"}, {"TSDH", "supervise"}, {"LYXH", "field_no"}, {"ZXXH", "sub_no"}},
		codes: map[string]map[string]string{"task_state": {"在用": "1", "暂停": "2", "取消": "3"}}},
	"approvals.case": {name: "BJJBXX", dated: true, columns: []column{{"SBLSH", "case_no"}, {"CXM", "query_code"}, {"SSBM", "task_code"}, {"SXMC", "task_name"}, {"BMDM", "dept_code"}, {"BMMC", "dept_name"}, {"QHDM", "region"},
		{"SQRLX", "applicant_type"}, {"SQRMC", "applicant_name"}, {"ZJLX", "applicant_id_type"}, {"ZJHM", "applicant_id"}, {"FRDB", "legal_rep"}, {"LXDH", "phone"}, {"LXDZ", "address"}, {"SFJE", "fee"}, {"SQSJ", "applied_at"}, {"SLSJ", "accepted_at"},
		{"CNBJSJ", "due_at"}, {"BJSJ", "closed_at"}, {"ZTGZR", "paused_workdays"}, {"BJZT", "status"}, {"JGWH", "result_no"}, {"JGMC", "result_name"}, {"YXQQ", "valid_from"}, {"YXQZ", "valid_to"}, {"HCP", "evaluation"}},
		codes: map[string]map[string]string{"status": {"收件": "1", "受理": "2", "不予受理": "3", "补正": "4", "办理中": "5", "计时暂停": "6", "办结准予": "7", "办结不予": "8", "撤回": "9", "作废": "10"}}},
	"approvals.event": {name: "BLGC", columns: []column{{"SBLSH", "case_no"}, {"GCXH", "event_no"}, {"XXLX", "kind"}, {"HJMC", "node"}, {"BMDM", "dept_code"}, {"BLR", "handler"}, {"BLYJ", "opinion"}, {"BLSJ", "at"}, {"ZTYY", "paused_reason"},
		{"ZTYJ", "paused_basis"}, {"ZTGZR", "paused_workdays"}, {"SFJE", "fee"}, {"JGWH", "result_no"}, {"JGMC", "result_name"}, {"FJZY", "attachment_sha256"}},
		codes: map[string]map[string]string{"kind": {"收件": "01", "受理": "10", "不予受理": "11", "环节": "20", "缴费": "25", "办结": "30", "计时暂停": "81", "计时恢复": "82", "结果附件": "85"}}},
}

// approvalResources are the resources of the database.
var approvalResources = []string{"approvals.service_item", "approvals.case", "approvals.event"}

// now is the database's present time, as its own programs write it.
const now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

// createApprovals makes the database with its tables, empty.
func createApprovals(ctx context.Context, file string) error {
	return withDatabase(file, func(db *sql.DB) error {
		for _, resource := range approvalResources {
			t := approvalTables[resource]
			lines := []string{`"ID" INTEGER PRIMARY KEY`, `"BM" TEXT NOT NULL`}
			for _, c := range t.columns {
				lines = append(lines, `"`+c.name+`"`)
			}
			if t.dated {
				lines = append(lines, `"GXSJ" TEXT NOT NULL DEFAULT (`+now+`)`)
			}
			if _, err := db.ExecContext(ctx, `CREATE TABLE "`+t.name+`" (`+strings.Join(lines, ", ")+`)`); err != nil {
				return fmt.Errorf("create table %s: %w", t.name, err)
			}
		}
		return nil
	})
}

// enter has departments enter records: a row of theirs with the same key is
// changed, others are added.
func enter(ctx context.Context, file string, batch map[string][]item) error {
	return withDatabase(file, func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		for _, resource := range approvalResources {
			for _, it := range batch[resource] {
				if err := approvalTables[resource].enter(ctx, tx, it); err != nil {
					return errors.Join(fmt.Errorf("enter %s: %w", resource, err), tx.Rollback())
				}
			}
		}
		return tx.Commit()
	})
}

func withDatabase(file string, do func(*sql.DB) error) error {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: url.Values{"_pragma": {"journal_mode(WAL)", "busy_timeout(5000)"}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return fmt.Errorf("open approvals database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return errors.Join(do(db), db.Close())
}

func (t table) enter(ctx context.Context, tx *sql.Tx, it item) error {
	var sets, names, marks []string
	var values []any
	for _, c := range t.columns {
		sets, names, marks = append(sets, `"`+c.name+`" = ?`), append(names, `"`+c.name+`"`), append(marks, "?")
		values = append(values, t.cell(c.member, it.body[c.member]))
	}
	if t.dated {
		key := t.columns[0]
		done, err := tx.ExecContext(ctx, `UPDATE "`+t.name+`" SET `+strings.Join(sets, ", ")+`, "GXSJ" = `+now+` WHERE "BM" = ? AND "`+key.name+`" = ?`, append(values[:len(values):len(values)], it.dept, it.body[key.member])...)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO "`+t.name+`" ("BM", `+strings.Join(names, ", ")+`) VALUES (?, `+strings.Join(marks, ", ")+`)`, append([]any{it.dept}, values...)...)
	return err
}

// cell is a member as the database holds it: codes, local times, lists in one
// text.
func (t table) cell(member string, v any) any {
	if table, ok := t.codes[member]; ok {
		if code, known := table[fmt.Sprint(v)]; known {
			return code
		}
		return "99"
	}
	switch v := v.(type) {
	case []any:
		return joined(v)
	case string:
		if len(v) == 25 && v[10] == 'T' { // a moment
			return v[:10] + " " + v[11:19]
		}
	}
	return v
}

// joined is a list as people type it.
func joined(list []any) string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = fmt.Sprint(e)
	}
	return strings.Join(parts, "、")
}
