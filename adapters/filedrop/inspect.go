package filedrop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
)

// inspection is what a look at a whole file found.
type inspection struct {
	drift   []adapters.Drift
	notices []adapters.Notice
	// bad are the refused records, kept for the error file of a file that is refused whole.
	bad     []adapters.Verdict
	refused int
	columns *columnSet
	first   map[[16]byte]firstSeen
	marks   map[string]bool
}

// firstSeen is the first record of a key.
type firstSeen struct {
	body [16]byte
	row  int32
}

// Bounds of an inspection: refused records kept for the error file, units one error file may correct, and refused
// records below which a file is never refused whole (in a small file one is soon a tenth).
const (
	maxBadKept     = 20_000
	maxCorrects    = 100
	minBadForWhole = 10
	ctxRows        = 256
)

// inspect reads a staged file to its end without handing anything out. The error is a *refusal where the file is
// refused whole.
func (d *Drop) inspect(ctx context.Context, u *unit) (*inspection, error) {
	look := &inspection{first: map[[16]byte]firstSeen{}, marks: map[string]bool{}, columns: newColumnSet(nil)}
	var err error
	if u.Layout, err = detect(u.data(), &d.c); err != nil {
		return look, err
	}
	rows, closer, err := openRows(u.data(), u.Layout, &d.c)
	if err != nil {
		return look, err
	}
	defer closer.Close()
	if grid, ok := rows.(*csvRows); ok {
		look.columns = newColumnSet(grid.columns)
		if err := d.checkHeader(look, true); err != nil {
			return look, err
		}
	}
	for {
		raw, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return look, err
		}
		if u.Rows++; u.Rows > d.c.MaxRows {
			return look, refuse("too_large", "文件应不超过%d行", "the file must have at most %d rows", d.c.MaxRows)
		}
		if u.Rows%ctxRows == 0 {
			if err := d.ended(ctx); err != nil {
				return look, err
			}
		}
		if err := d.look(u, look, raw); err != nil {
			return look, err
		}
	}
	u.Columns = look.columns.names
	u.Corrects = slices.Sorted(mapKeys(look.marks))
	return look, d.whole(u, look)
}

func mapKeys[K comparable, V any](m map[K]V) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// look judges one row.
func (d *Drop) look(u *unit, look *inspection, raw rawRow) error {
	if raw.corrects != "" && len(look.marks) < maxCorrects {
		look.marks[raw.corrects] = true
	}
	row, err := u.row(raw, look.columns, true)
	if err != nil {
		return err
	}
	if d.env.Judge == nil {
		u.Records++
		return nil
	}
	judged, err := d.env.Judge.Row(look.columns.names, row)
	if err != nil {
		return err
	}
	u.Records += len(judged)
	for _, j := range judged {
		if first, ok := look.double(u, row, j); ok {
			j.Problems = append(j.Problems, d.doubleProblem(look.columns.names, row.Origin, first))
		}
		if len(j.Problems) > 0 {
			look.refused++
			if len(look.bad) < maxBadKept {
				look.bad = append(look.bad, adapters.Verdict{Origin: row.Origin, Index: j.Index, Key: j.Key, Outcome: adapters.Refused, Problems: j.Problems})
			}
		}
	}
	return nil
}

// double finds a second record with a key of the same file and other content, and the row of the first.
func (l *inspection) double(u *unit, row adapters.Row, j adapters.Judged) (first int, found bool) {
	if j.Key == "" {
		return 0, false
	}
	key, body := short(j.Key), short(string(j.Body))
	seen, known := l.first[key]
	if !known {
		l.first[key] = firstSeen{body: body, row: int32(min(row.Origin.Row, 1<<31-1))}
		return 0, false
	}
	if seen.body == body {
		return 0, false
	}
	u.Doubles = append(u.Doubles, double{Row: row.Origin.Row, Index: j.Index, First: int(seen.row)})
	return int(seen.row), true
}

func short(s string) [16]byte {
	sum := sha256.Sum256([]byte(s))
	return [16]byte(sum[:16])
}

// doubleProblem says that a row has the key of an earlier one, at the columns the key is made of where the Judge
// knows them.
func (d *Drop) doubleProblem(columns []string, o adapters.Origin, first int) adapters.Problem {
	zh := fmt.Sprintf("业务主键应在文件内唯一,与第%d行相同而内容不同", first)
	en := fmt.Sprintf("the key must occur once in the file; row %d has it with other content", first)
	const rule, fixZh, fixEn = "duplicate_key", "核对两者,改正主键或删去其一", "compare the two, correct the key or remove one"
	if j, ok := d.env.Judge.(interface {
		KeyProblem(columns []string, o adapters.Origin, rule, shouldZh, fixZh, shouldEn, fixEn string) adapters.Problem
	}); ok {
		return j.KeyProblem(columns, o, rule, zh, fixZh, en, fixEn)
	}
	return mapping.SourceProblem(o, rule, -1, "", zh, fixZh, en, fixEn)
}

// row puts a row under the unit's columns.
func (u *unit) row(raw rawRow, columns *columnSet, grow bool) (adapters.Row, error) {
	row := adapters.Row{Origin: u.origin(raw.number)}
	if raw.fault != nil {
		row.Errs = []adapters.RowError{{Problem: raw.fault.problem(row.Origin)}}
		return row, nil
	}
	cells, ok := columns.align(raw, grow)
	if !ok {
		return row, refuse("columns", "文件的列数超过%d", "the file has more than %d columns", maxColumns)
	}
	row.Fields = cells
	return row, nil
}

// checkHeader holds the columns against the mapping. In a grid missing and unknown columns refuse the file: it is
// another file than the one that was agreed on. In JSON members come and go.
func (d *Drop) checkHeader(look *inspection, grid bool) error {
	if d.env.Judge == nil {
		return nil
	}
	missing, unknown := d.env.Judge.Columns(look.columns.names)
	if grid && len(missing) > 0 {
		return refuse("header", "表头缺少:%s。改法:按约定的表头导出", "the header lacks %s. Remedy: export with the agreed header", strings.Join(missing, "、"))
	}
	policy := d.c.ExtraColumns
	if policy == "" && grid {
		policy = "refuse"
	}
	if policy == "refuse" && len(unknown) > 0 {
		return refuse("header", "表头多出未约定的列:%s。改法:按约定的表头导出,或在映射中使用或忽略该列", "the header has columns nobody agreed on: %s. Remedy: export with the agreed header, or use or ignore the column in the mapping", strings.Join(unknown, "、"))
	}
	for _, name := range unknown {
		look.drift = append(look.drift, adapters.Drift{Kind: "added", Column: name,
			Zh: "新出现的列“" + name + "”未在映射中使用或忽略", En: fmt.Sprintf("new column %q is neither used nor ignored by the mapping", name)})
	}
	return nil
}

// whole applies the rules that concern the file as one.
func (d *Drop) whole(u *unit, look *inspection) error {
	if u.Rows == 0 {
		return refuse("empty", "文件没有数据行", "the file has no rows")
	}
	ctl, _, _ := readControl(d.folder.work(), u.Name)
	if ctl.SHA256 != "" && !strings.EqualFold(ctl.SHA256, u.Digest) {
		return refuse("control", "文件的SHA-256与控制文件不符", "the file's SHA-256 is not the one its control file states")
	}
	if ctl.Rows != nil && *ctl.Rows != u.Rows {
		return refuse("control", "控制文件注明%d行,实有%d行", "the control file states %d rows, the file has %d", *ctl.Rows, u.Rows)
	}
	if u.Layout.Format != formatCSV {
		if err := d.checkHeader(look, false); err != nil {
			return err
		}
	}
	if more, ok := d.env.Judge.(interface{ Unknown() []string }); ok {
		for _, name := range more.Unknown() {
			look.drift = append(look.drift, adapters.Drift{Kind: "added", Column: name,
				Zh: "数组元素中新出现的“" + name + "”未在映射中使用或忽略", En: fmt.Sprintf("new member %q of array elements is neither used nor ignored by the mapping", name)})
		}
	}
	if d.env.Judge == nil {
		look.notices = append(look.notices, adapters.Notice{Code: "file_unjudged", File: u.Name,
			Zh: "尚无模式,文件未经整体检查", En: "no schema yet: the file was not looked at as a whole"})
	}
	limit := d.stream.ErrorThreshold
	if limit == 0 {
		limit = adapters.DefaultErrorThreshold
	}
	if limit < 1 && look.refused > minBadForWhole && float64(look.refused) > limit*float64(u.Records) {
		return refuse("threshold", "%d条中有%d条不合格,超过%.0f%%,整个文件未收。改法:见错误文件,改正后重新投递全部内容", "%d records, %d of them refused, more than %.0f%%: the whole file was not taken. Remedy: see the error file, correct and drop everything again", u.Records, look.refused, limit*100)
	}
	return nil
}
