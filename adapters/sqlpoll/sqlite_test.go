package sqlpoll

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
)

func newSQLite(t *testing.T, statements ...string) (*sql.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "办件 库.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec(t, db, append([]string{"PRAGMA journal_mode=WAL"}, statements...)...)
	return db, path
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func sqliteConf(path string) map[string]any {
	return map[string]any{"driver": "sqlite", "file": path, "table": "cases", "updated_at": "changed", "key": []string{"no"}}
}

const casesTable = `CREATE TABLE cases (no TEXT PRIMARY KEY, title TEXT, changed TEXT NOT NULL)`

func TestSQLiteReadsInOrderAndResumesAtEveryBatch(t *testing.T) {
	db, path := newSQLite(t, casesTable,
		`INSERT INTO cases VALUES ('A3','丙','2025-03-01 08:00:02'), ('A1','甲','2025-03-01 08:00:00'), ('A2','乙','2025-03-01 08:00:00'), ('A4','丁','2025-03-01 08:01:00')`)
	conf := sqliteConf(path)
	src := open(t, conf, nil)
	d := once(t, src, adapters.Limits{Rows: 2})
	if diff := cmp.Diff([]string{"A1", "A2", "A3", "A4"}, d.fields(t, "no")); diff != "" {
		t.Error(diff)
	}
	// Every prefix of batches, then a new start: nothing is missed.
	for n := 1; n <= 4; n++ {
		src := open(t, conf, nil)
		seen := map[string]bool{}
		var cursor adapters.Cursor
		for range n {
			b, err := src.Next(t.Context(), adapters.Limits{Rows: 1})
			if err != nil {
				t.Fatal(err)
			}
			cursor = b.Cursor
			seen[b.Rows[0].Fields[0].String()] = true
		}
		for _, no := range once(t, open(t, conf, cursor), adapters.Limits{Rows: 1}).fields(t, "no") {
			seen[no] = true
		}
		if len(seen) != 4 {
			t.Errorf("after %d batches and a new start %v was seen", n, seen)
		}
	}
	exec(t, db, `UPDATE cases SET title = '甲甲', changed = '2025-03-01 09:00:00' WHERE no = 'A1'`)
	if diff := cmp.Diff([]string{"A1"}, once(t, src, adapters.Limits{}).fields(t, "no")); diff != "" {
		t.Error(diff)
	}
}

// A row of the same second with a smaller key, and one dated before the last
// row seen because its writer waited for the lock: "> last" would lose both.
func TestSQLiteRowsBehindTheLastOneSeen(t *testing.T) {
	db, path := newSQLite(t, casesTable, `INSERT INTO cases VALUES ('M','中','2025-03-01 08:00:05')`)
	src := open(t, sqliteConf(path), nil)
	d := once(t, src, adapters.Limits{})
	exec(t, db, `INSERT INTO cases VALUES ('A','先','2025-03-01 08:00:05'), ('B','迟','2025-03-01 08:00:01')`)
	bare := 0
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM cases WHERE (changed, no) > ('2025-03-01 08:00:05', 'M')`).Scan(&bare); err != nil || bare != 0 {
		t.Fatalf("the bare query finds %d rows, %v: the test proves nothing", bare, err)
	}
	if diff := cmp.Diff([]string{"B", "A"}, once(t, src, adapters.Limits{Rows: 1}).fields(t, "no")); diff != "" {
		t.Error(diff)
	}
	// The same after a restart from the cursor before.
	if diff := cmp.Diff([]string{"B", "A"}, once(t, open(t, sqliteConf(path), d.cursor), adapters.Limits{}).fields(t, "no")); diff != "" {
		t.Error(diff)
	}
}

// A bulk load dates everything alike: far more rows than a cursor remembers.
// Cut off in the middle, the reading goes on there, and what came in behind it
// meanwhile is found as well.
func TestSQLiteBulkLoadCutOff(t *testing.T) {
	db, path := newSQLite(t, casesTable, `WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 2000)
		INSERT INTO cases SELECT printf('B%05d', v), 'x', '2025-03-01 08:00:00' FROM n`)
	src := open(t, sqliteConf(path), nil)
	var cursor adapters.Cursor
	for range 3 {
		b, err := src.Next(t.Context(), adapters.Limits{Rows: 400})
		if err != nil {
			t.Fatal(err)
		}
		cursor = b.Cursor
	}
	exec(t, db, `INSERT INTO cases VALUES ('A', 'behind', '2025-03-01 08:00:00')`)
	src = open(t, sqliteConf(path), cursor)
	b, err := src.Next(t.Context(), adapters.Limits{Rows: 400})
	if err != nil || b.Rows[0].Fields[0].String() != "B01201" {
		t.Fatalf("after the cut the reading goes on at %v, %v", b.Rows[0].Fields, err)
	}
	for _, no := range once(t, src, adapters.Limits{Rows: 400}).fields(t, "no") {
		if no == "A" {
			return
		}
	}
	t.Error("the row behind the cut was never read")
}

func TestSQLiteIdleCostsNoReading(t *testing.T) {
	db, path := newSQLite(t, casesTable, `INSERT INTO cases VALUES ('M','中','2025-03-01 08:00:05')`)
	src := open(t, sqliteConf(path), nil)
	once(t, src, adapters.Limits{})
	b, err := src.(*source).db.bound(t.Context())
	if err != nil || !b.quiet {
		t.Errorf("bound without news: %+v, %v, want quiet", b, err)
	}
	exec(t, db, `INSERT INTO cases VALUES ('N','末','2025-03-01 08:00:06')`)
	if got := once(t, src, adapters.Limits{}).fields(t, "no"); len(got) != 1 {
		t.Errorf("after news: %v", got)
	}
}

func TestSQLiteByID(t *testing.T) {
	db, path := newSQLite(t, `CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT)`, `INSERT INTO log(note) VALUES ('一'), ('二')`)
	conf := map[string]any{"driver": "sqlite", "file": path, "table": "log", "id": "id"}
	src := open(t, conf, nil)
	d := once(t, src, adapters.Limits{Rows: 1})
	exec(t, db, `INSERT INTO log(note) VALUES ('三')`)
	if got := once(t, open(t, conf, d.cursor), adapters.Limits{}).fields(t, "note"); !cmp.Equal(got, []string{"三"}) {
		t.Errorf("after the cursor: %v", got)
	}
}

func TestSQLiteDrift(t *testing.T) {
	db, path := newSQLite(t, casesTable, `INSERT INTO cases VALUES ('M','中','2025-03-01 08:00:05')`)
	src := open(t, sqliteConf(path), nil)
	once(t, src, adapters.Limits{})
	exec(t, db, `ALTER TABLE cases ADD COLUMN phone TEXT`)
	d := once(t, src, adapters.Limits{})
	if len(d.drift) != 1 || d.drift[0].Kind != "added" || d.drift[0].Column != "phone" {
		t.Fatalf("a new column: %+v", d.drift)
	}
	exec(t, db, `ALTER TABLE cases DROP COLUMN title`, `INSERT INTO cases VALUES ('N','2025-03-01 08:00:06','1')`)
	_, err := src.Next(t.Context(), adapters.Limits{})
	var drift *adapters.DriftError
	if !errors.As(err, &drift) || drift.Drift[0].Kind != "missing" || drift.Drift[0].Column != "title" {
		t.Fatalf("a column that is gone: %v", err)
	}
	if _, err := tryOpen(t, sqliteConf(path), d.cursor); !errors.As(err, &drift) {
		t.Fatalf("start with the cursor of the old layout: %v", err)
	}
	zh := drift.Drift[0].Zh
	at := strings.Index(zh, `layout: "`)
	if at < 0 {
		t.Fatalf("the reason names no way out: %s", zh)
	}
	conf := sqliteConf(path)
	conf["layout"] = zh[at+len(`layout: "`):][:8]
	if got := once(t, open(t, conf, d.cursor), adapters.Limits{}).fields(t, "no"); !cmp.Equal(got, []string{"M", "N"}) { // without its title, M is another row
		t.Errorf("after the layout was accepted: %v", got)
	}
}

func TestSQLiteValues(t *testing.T) {
	_, path := newSQLite(t, `CREATE TABLE v (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c BOOLEAN, d TEXT, e BLOB, f DATETIME, g DATE, h TEXT)`,
		`INSERT INTO v VALUES (1, 9007199254740993, 0.1, 1, ' 全角　', x'00ff', '2025-03-01 08:00:05', '2025-03-01', NULL)`,
		`INSERT INTO v VALUES (2, 1, 1e21, 0, CAST(x'c4e3' AS TEXT), NULL, 1740787205, '民國114年3月1日', '')`)
	d := once(t, open(t, map[string]any{"driver": "sqlite", "file": path, "table": "v", "id": "id"}, nil), adapters.Limits{})
	want := [][]adapters.Value{
		{adapters.Int(1), adapters.Int(9007199254740993), adapters.Decimal("0.1"), adapters.Bool(true), adapters.Text(" 全角　"), adapters.Bytes([]byte{0, 255}), adapters.Text("2025-03-01 08:00:05"), adapters.Text("2025-03-01"), adapters.Null()},
		{adapters.Int(2), adapters.Int(1), adapters.Decimal("1e+21"), adapters.Bool(false), {}, adapters.Null(), adapters.Int(1740787205), adapters.Text("民國114年3月1日"), adapters.Text("")},
	}
	for i, r := range d.rows {
		if diff := cmp.Diff(want[i], r.Fields, cmp.Comparer(func(a, b adapters.Value) bool { return a == b })); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
	if e := d.rows[1].Errs; len(e) != 1 || e[0].Rule != "charset" || e[0].Column != "d" {
		t.Errorf("text that is not UTF-8: %+v", e)
	}
}

func TestSQLiteMissingFileIsTriedAgain(t *testing.T) {
	_, err := tryOpen(t, sqliteConf(filepath.Join(t.TempDir(), "none.db")), nil)
	if !errors.Is(err, adapters.ErrReconnect) {
		t.Errorf("open of a missing file: %v, want ErrReconnect", err)
	}
}

func TestSQLiteCheckAndPreview(t *testing.T) {
	_, path := newSQLite(t, `CREATE TABLE cases (no TEXT, title TEXT, changed TEXT)`, `INSERT INTO cases VALUES ('A','x','2025-03-01'), ('B','y',NULL)`)
	src := open(t, sqliteConf(path), nil)
	codes := map[string]string{}
	for _, f := range src.(adapters.Preflighter).Check(t.Context()) {
		codes[f.Code] = f.Level
	}
	if diff := cmp.Diff(map[string]string{"layout": "ok", "nulls": "warn", "nullable": "warn"}, codes); diff != "" {
		t.Error(diff)
	}
	b, err := src.(adapters.Previewer).Preview(t.Context(), 5)
	if err != nil || len(b.Rows) != 1 {
		t.Errorf("preview: %d rows, %v", len(b.Rows), err)
	}
	if got := once(t, src, adapters.Limits{}).fields(t, "no"); len(got) != 1 {
		t.Errorf("after a preview: %v", got)
	}
}
