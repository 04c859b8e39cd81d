package sqlpoll

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// open makes a source of a configuration and opens it at cursor.
func open(t *testing.T, conf map[string]any, cursor adapters.Cursor) adapters.Source {
	t.Helper()
	src, err := tryOpen(t, conf, cursor)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func tryOpen(t *testing.T, conf map[string]any, cursor adapters.Cursor) (adapters.Source, error) {
	t.Helper()
	conf["kind"] = Name
	raw, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	if faults := Kind().Check(raw); len(faults) > 0 {
		t.Fatal(faults)
	}
	src, err := New(raw, adapters.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	return src, src.Open(t.Context(), adapters.Stream{Name: "s"}, cursor)
}

// drained is what drain found.
type drained struct {
	columns []string
	rows    []adapters.Row
	cursor  adapters.Cursor
	notices []adapters.Notice
	drift   []adapters.Drift
}

func (d drained) field(t *testing.T, r adapters.Row, name string) string {
	t.Helper()
	for i, c := range d.columns {
		if c == name {
			return r.Fields[i].String()
		}
	}
	t.Fatalf("no column %s in %v", name, d.columns)
	return ""
}

func (d drained) fields(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, r := range d.rows {
		out = append(out, d.field(t, r, name))
	}
	return out
}

// once reads until the source is idle.
func once(t *testing.T, src adapters.Source, limits adapters.Limits) drained {
	t.Helper()
	var d drained
	for {
		b, err := src.Next(t.Context(), limits)
		if errors.Is(err, adapters.ErrIdle) {
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		d.add(b)
	}
}

func (d *drained) add(b adapters.Batch) {
	d.rows = append(d.rows, b.Rows...)
	d.notices = append(d.notices, b.Notices...)
	d.drift = append(d.drift, b.Drift...)
	if len(b.Columns) > 0 {
		d.columns = b.Columns
	}
	if len(b.Cursor) > 0 {
		d.cursor = b.Cursor
	}
}

// settled reads until the source is idle and holds nothing back.
func settled(t *testing.T, src adapters.Source) drained {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var d drained
	for {
		b, err := src.Next(ctx, adapters.Limits{})
		var idle *adapters.IdleError
		if errors.As(err, &idle) {
			if !src.(interface{ Pending() bool }).Pending() {
				return d
			}
			select {
			case <-ctx.Done():
				t.Fatal("rows are held back for ever")
			case <-time.After(idle.Wait):
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		d.add(b)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		faults    int
	}{
		{"unknown key", `{"kind":"sqlpoll","driver":"sqlite","colour":"red"}`, 1},
		{"all missing", `{"kind":"sqlpoll"}`, 3},
		{"password in dsn", `{"kind":"sqlpoll","driver":"postgres","dsn":"postgres://u:p@h/d","table":"t","id":"id"}`, 1},
		{"password as key", `{"kind":"sqlpoll","driver":"postgres","dsn":"host=h password=x","table":"t","id":"id"}`, 1},
		{"bare updated_at", `{"kind":"sqlpoll","driver":"sqlite","file":"f","table":"t","updated_at":"u"}`, 1},
		{"id and key", `{"kind":"sqlpoll","driver":"sqlite","file":"f","table":"t","id":"i","key":["k"]}`, 1},
		{"quote in a name", `{"kind":"sqlpoll","driver":"sqlite","file":"f","table":"t\"; drop","id":"i"}`, 1},
		{"zone", `{"kind":"sqlpoll","driver":"sqlite","file":"f","table":"t","id":"i","time_zone":"Mars"}`, 1},
		{"good", `{"kind":"sqlpoll","driver":"postgres","dsn_file":"f","table":"s.t","updated_at":"u","key":["k"],"poll":"2s"}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Kind().Check(json.RawMessage(tt.raw)); len(got) != tt.faults {
				t.Errorf("faults %v, want %d", got, tt.faults)
			}
		})
	}
}

func TestCursorOfAnotherSource(t *testing.T) {
	conf := Config{Driver: DriverSQLite, Table: "t", UpdatedAt: "u", Key: []string{"k"}}
	for _, raw := range []string{
		`nonsense`, `{"v":9,"driver":"sqlite","table":"t","order":["u","k"]}`,
		`{"v":1,"driver":"postgres","table":"t","order":["u","k"]}`, `{"v":1,"driver":"sqlite","table":"other","order":["u","k"]}`,
		`{"v":1,"driver":"sqlite","table":"t","order":["u","id"]}`, `{"v":1,"driver":"sqlite","table":"t","order":["u","k"],"place":["x"]}`,
	} {
		if _, err := decodeCursor(adapters.Cursor(raw), conf); !errors.Is(err, adapters.ErrCursor) {
			t.Errorf("%s: %v, want ErrCursor", raw, err)
		}
	}
	c, err := decodeCursor(adapters.Cursor(`{"v":1,"driver":"sqlite","table":"t","order":["u","k"],"place":["t:1","i:2"],"high":"t:1","columns":[{"n":"u","t":"TEXT"}]}`), conf)
	if err != nil || c.High != "t:1" || len(c.Columns) != 1 {
		t.Errorf("cursor of the first version: %+v, %v", c, err)
	}
}

func TestAtoms(t *testing.T) {
	for _, tt := range []struct{ in, back string }{
		{"t:2025-03-01 08:00:05", "t:2025-03-01 07:59:55"},
		{"t:2025-03-01T08:00:05Z", "t:2025-03-01T07:59:55Z"},
		{"t:2025-03-01 08:00:05.120", "t:2025-03-01 07:59:55.120"},
		{"t:2025-03-01T08:00:05.5+08:00", "t:2025-03-01T07:59:55.5+08:00"},
		{"i:1740787205", "i:1740787195"},
		{"i:1740787205000", "i:1740787195000"},
		{"t:第一天", "t:第一天"},
	} {
		if got := parseAtom(tt.in).back(10 * time.Second).text(); got != tt.back {
			t.Errorf("%s back 10 s: %s, want %s", tt.in, got, tt.back)
		}
		if got := parseAtom(tt.in).text(); got != tt.in {
			t.Errorf("%s comes back as %s", tt.in, got)
		}
	}
	order := []string{"i:9", "i:10", "t:10", "t:9", "b:00"}
	for i := range order[1:] {
		if !parseAtom(order[i]).less(parseAtom(order[i+1])) || parseAtom(order[i+1]).less(parseAtom(order[i])) {
			t.Errorf("%s and %s are not in SQLite's order", order[i], order[i+1])
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"v":1,"driver":"sqlite","table":"t","order":["u","k"],"place":["t:2025-03-01 08:00:05","i:2"],"high":"r:2460000.5"}`))
	f.Add([]byte(`{"place":["b:zz"]}`))
	conf := Config{Driver: DriverSQLite, Table: "t", UpdatedAt: "u", Key: []string{"k"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := decodeCursor(raw, conf)
		if err != nil {
			return
		}
		for _, p := range append(c.Place, c.High) {
			a := parseAtom(p)
			if again := parseAtom(a.text()); again.text() != a.text() {
				t.Fatalf("%q reads as %q and then %q", p, a.text(), again.text())
			}
			_ = a.back(time.Hour).unixMs("Asia/Shanghai")
		}
	})
}
