package filedrop

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/adapters"
)

// FuzzFile reads any bytes as a dropped file: a refusal or rows, never a panic; cells are text, and what is shown of a
// bad row is too.
func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"", "编码,名称\nK1,一\n", bomMark + "a,b\n1,\"2\n\"\n", gb(f, "编码,名称\nK1,一\n"), zipped(f, "a,b\n1,2\n"), zipped(f, "a,b\n1,2\n")[:20],
		`[{"a":1,"b":[1,{"c":null}],"_结果":"拒收#0123456789abcdef0123456789abcdef"},2]`, "{\"a\":1}\n{\"a\":\n[1]\n", `[{"a":1,"a":2}]`, "[", "[{}]x", "PK\x03\x04",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		file := filepath.Join(dir, "data")
		if err := os.WriteFile(file, in, 0o600); err != nil {
			t.Fatal(err)
		}
		c := Config{Kind: "filedrop", Dir: dir, MaxBytes: 1 << 20, MaxRowBytes: 1 << 12}
		c.defaults()
		var no *refusal
		if err := closes(file, &c, func() error { return nil }); err != nil && !errors.Is(err, errUnfinished) {
			t.Fatalf("closes: %v", err)
		}
		l, err := detect(file, &c)
		if err != nil {
			if !errors.As(err, &no) {
				t.Fatalf("detect: %v", err)
			}
			return
		}
		rows, closer, err := openRows(file, l, &c)
		if err != nil {
			if !errors.As(err, &no) {
				t.Fatalf("open: %v", err)
			}
			return
		}
		defer closer.Close()
		columns, last := newColumnSet(nil), 0
		if grid, ok := rows.(*csvRows); ok {
			columns = newColumnSet(grid.columns)
		}
		u := &unit{meta: meta{Layout: l, Name: "data"}}
		for {
			raw, err := rows.next()
			if errors.Is(err, io.EOF) || errors.As(err, &no) {
				return
			}
			if err != nil {
				t.Fatalf("next: %v", err)
			}
			if raw.number <= last {
				t.Fatalf("row %d after row %d", raw.number, last)
			}
			last = raw.number
			row, err := u.row(raw, columns, true)
			if err != nil && !errors.As(err, &no) {
				t.Fatalf("row: %v", err)
			}
			if len(row.Fields) != len(columns.names) && len(row.Errs) == 0 && err == nil {
				t.Fatalf("%d fields, %d columns", len(row.Fields), len(columns.names))
			}
			for _, v := range row.Fields {
				if v.Kind() == adapters.KindText && !utf8.ValidString(v.Raw()) {
					t.Fatalf("cell %q is not text", v.Raw())
				}
			}
			if !utf8.ValidString(raw.text) {
				t.Fatalf("bad row %q is not text", raw.text)
			}
		}
	})
}
