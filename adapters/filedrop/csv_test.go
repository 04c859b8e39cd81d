package filedrop

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rowsOf reads everything; faults stand as one cell.
func rowsOf(in string, maxRow int) (rows [][]string, numbers []int, err error) {
	c := newCSVReader(strings.NewReader(in), ',', maxRow)
	for {
		cells, _, err := c.read()
		switch {
		case errors.Is(err, io.EOF):
			return rows, numbers, nil
		case errors.Is(err, errQuote), errors.Is(err, errTooLong):
			cells = []string{"!" + err.Error()}
		case err != nil:
			return rows, numbers, err
		}
		rows, numbers = append(rows, cells), append(numbers, c.row)
	}
}

func TestCSV(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     [][]string
		numbers  []int
		refused  bool
	}{
		{"plain", "a,b\nc,d\n", [][]string{{"a", "b"}, {"c", "d"}}, []int{1, 2}, false},
		{"no last line end, crlf", "a,b\r\nc,", [][]string{{"a", "b"}, {"c", ""}}, []int{1, 2}, false},
		{"blank rows count", "a,b\n\n,\n \t\nc,d\n\n", [][]string{{"a", "b"}, {"c", "d"}}, []int{1, 5}, false},
		{"a cell over lines is one row", "a,\"b\r\nb\"\nc,d", [][]string{{"a", "b\nb"}, {"c", "d"}}, []int{1, 2}, false},
		{"quoted", `"a,""b""",c` + "\n" + `"",""`, [][]string{{`a,"b"`, "c"}, {"", ""}}, []int{1, 2}, false},
		{"mark inside a cell", "a,b\nc\"c,d\ne,f\n", [][]string{{"a", "b"}, {"!" + errQuote.Error()}, {"e", "f"}}, []int{1, 2, 3}, false},
		{"text after a mark", "a,\"b\"b\ne,f\n", [][]string{{"!" + errQuote.Error()}, {"e", "f"}}, []int{1, 2}, false},
		{"row too long", "a,b\n" + strings.Repeat("x", 70_000) + "\nc,d\n", [][]string{{"a", "b"}, {"!" + errTooLong.Error()}, {"c", "d"}}, []int{1, 2, 3}, false},
		{"never closed", "a,b\n\"c,d\ne,f\n", [][]string{{"a", "b"}}, []int{1}, true},
		{"closed beyond the longest row", "a,b\n\"" + strings.Repeat("x\n", 40_000) + "\"\n", [][]string{{"a", "b"}}, []int{1}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, numbers, err := rowsOf(tc.in, 66_000)
			var no *refusal
			if errors.As(err, &no) != tc.refused || err != nil && no == nil {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.numbers, numbers); diff != "" {
				t.Errorf("numbers (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzCSV holds the reader against encoding/csv wherever that reads a file without complaint: same cells, blank rows
// apart.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\nc,d\n", "\"a\r\nb\",c\r\n", "a\"b\n", "\"\"\"\",\n\n,,\n", "\"a", "部门,\"事\"\"项\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, _, err := rowsOf(in, 1<<20)
		r := csv.NewReader(strings.NewReader(in))
		r.FieldsPerRecord = -1
		want, theirErr := r.ReadAll()
		if theirErr != nil || strings.Contains(in, "\r\r") {
			return // they stop where we go on; and they normalise line ends differently there
		}
		if err != nil {
			t.Fatalf("refused what encoding/csv reads: %v", err)
		}
		kept := [][]string{}
		for _, row := range want {
			if strings.Trim(strings.Join(row, ""), " \t") != "" || len(row) == 1 && row[0] != strings.Trim(row[0], " \t") {
				kept = append(kept, row)
			}
		}
		ours := [][]string{}
		for _, row := range got {
			if strings.Trim(strings.Join(row, ""), " \t") != "" {
				ours = append(ours, row)
			}
		}
		theirs := [][]string{}
		for _, row := range kept {
			if strings.Trim(strings.Join(row, ""), " \t") != "" {
				theirs = append(theirs, row)
			}
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Fatalf("(-encoding/csv +ours):\n%s", diff)
		}
	})
}
