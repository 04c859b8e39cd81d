package filedrop

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Report implements adapters.Feedback.
func (d *Drop) Report(ctx context.Context, verdicts []adapters.Verdict) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed.Load() {
		return adapters.ErrClosed
	}
	byUnit := map[string][]adapters.Verdict{}
	for _, v := range verdicts {
		byUnit[v.Origin.Unit] = append(byUnit[v.Origin.Unit], v)
	}
	var errs []error
	for _, u := range d.sorted() {
		mine := byUnit[u.ID]
		if len(mine) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := u.record(mine); err != nil {
			errs = append(errs, fmt.Errorf("keep verdicts of %s: %w", u.Name, err))
			continue
		}
		if u.Handed || u.counts != nil {
			d.afterwards(u, d.handOver(u)) // the verdicts are durable; the files can be written again later
		}
	}
	return errors.Join(errs...)
}

// handOver does what follows once a unit's rows are durable, and again after each news: the original moves to done,
// the feedback files are written, and once all is answered the unit goes. Every part may be repeated. The caller
// holds mu.
func (d *Drop) handOver(u *unit) error {
	if !u.Handed {
		u.Handed = true
		if err := u.saveMeta(); err != nil {
			u.Handed = false
			return fmt.Errorf("note that %s is handed over: %w", u.Name, err)
		}
	}
	if err := d.moveOriginal(u.Name, "done"); err != nil {
		return fmt.Errorf("move %s to done: %w", u.Name, err)
	}
	if u.stale {
		if err := d.writeFeedback(u); err != nil {
			return fmt.Errorf("write feedback for %s: %w", u.Name, err)
		}
		u.stale = false
	}
	if u.counts == nil {
		return nil
	}
	delete(d.units, u.ID)
	if err := errors.Join(u.close(), os.RemoveAll(u.dir)); err != nil {
		return fmt.Errorf("clear %s away: %w", u.Name, err)
	}
	return nil
}

// receipt is NAME.回执.json.
type receipt struct {
	File string `json:"file"`
	// Outcome is received (handed over, answers may be outstanding), finished, received_before or refused (whole).
	Outcome string `json:"outcome"`
	Rule    string `json:"rule,omitempty"`
	Zh      string `json:"zh"`
	En      string `json:"en"`
	Digest  string `json:"sha256,omitempty"`
	Unit    string `json:"unit,omitempty"`
	Stream  string `json:"stream"`
	// Resource is where the records went.
	Resource string           `json:"resource"`
	Charset  string           `json:"charset,omitempty"`
	Format   string           `json:"format,omitempty"`
	At       string           `json:"at"`
	Rows     int              `json:"rows"`
	Records  int              `json:"records,omitempty"`
	Counts   *adapters.Counts `json:"counts,omitempty"`
	// Errors is the name of the error file, "" if nothing has to be corrected.
	Errors string `json:"errors,omitempty"`
}

func (d *Drop) writeReceipt(u *unit, r receipt) error {
	r.File, r.Digest, r.Unit = u.Name, u.Digest, u.ID
	r.Stream, r.Resource = d.stream.Name, d.stream.Resource
	r.Charset, r.Format = u.Layout.Charset, u.Layout.Format
	r.At = d.env.Now().Format(time.RFC3339)
	if len(u.bad) > 0 {
		r.Errors = filepath.Base(d.errorFile(u))
	}
	return writeAtomic(filepath.Join(d.folder.feedback(), u.Feedback+".回执.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	})
}

func (d *Drop) writeFeedback(u *unit) error {
	refused, rejected := 0, 0
	for _, v := range u.bad {
		if v.Outcome == adapters.Rejected {
			rejected++
		} else {
			refused++
		}
	}
	r := receipt{Outcome: "received", Rows: u.Rows, Records: u.Records, Counts: &adapters.Counts{Read: u.Records, Refused: refused, Rejected: rejected}}
	r.Zh = fmt.Sprintf("已收%d行(%d条),其中%d条须改正,其余已进入发送队列", u.Rows, u.Records, refused+rejected)
	r.En = fmt.Sprintf("%d rows (%d records) received, %d to be corrected, the others are queued", u.Rows, u.Records, refused+rejected)
	if u.counts != nil {
		c := *u.counts
		r.Outcome, r.Counts = "finished", &c
		r.Zh = fmt.Sprintf("已办结:新收%d条,重复%d条,旧版%d条,未变%d条,适配器拒收%d条,总线退回%d条", c.Accepted, c.Duplicate, c.Stale, c.Unchanged, c.Refused, c.Rejected)
		r.En = fmt.Sprintf("finished: %d accepted, %d duplicate, %d stale, %d unchanged, %d refused by the adapter, %d rejected by the bus", c.Accepted, c.Duplicate, c.Stale, c.Unchanged, c.Refused, c.Rejected)
	}
	var err error
	switch {
	case len(u.bad) > 0:
		err = d.writeErrorFile(u)
	case len(u.Corrects) > 0:
		if err = os.Remove(d.errorFile(u)); errors.Is(err, fs.ErrNotExist) {
			err = nil // nothing is left to correct
		}
	}
	return errors.Join(err, d.writeReceipt(u, r))
}

// errorMark is in the name of every error file.
const errorMark = ".错误"

// errorFile is the name under which the rows to correct come back. That of a corrected error file is the same again.
func (d *Drop) errorFile(u *unit) string {
	name := u.Feedback
	if ext := filepath.Ext(name); strings.EqualFold(ext, ".gz") {
		name = strings.TrimSuffix(name, ext)
	}
	ext := filepath.Ext(name)
	switch strings.ToLower(ext) {
	case ".csv", ".txt", ".json", ".ndjson", ".jsonl":
		name = strings.TrimSuffix(name, ext)
	default:
		ext = "." + u.Layout.Format
	}
	return filepath.Join(d.folder.feedback(), strings.TrimSuffix(name, errorMark)+errorMark+ext)
}

// annotation is what an error file adds to a row.
type annotation struct{ row, result, field, reason, advice string }

func (a annotation) cells() []string { return []string{a.row, a.result, a.field, a.reason, a.advice} }

// annotations puts the verdicts of each row into words, and marks rows that others collide with.
func (u *unit) annotations() map[int]annotation {
	out := map[int]annotation{}
	for _, v := range u.badInOrder() {
		a, more := out[v.Origin.Row]
		a.row = strconv.Itoa(v.Origin.Row)
		a.result = "拒收#" + u.ID
		if v.Outcome == adapters.Rejected {
			a.result = "退回#" + u.ID
		}
		for _, p := range v.Problems {
			reason, advice := p.Reason()
			if v.Index > 0 {
				reason = fmt.Sprintf("第%d项 %s", v.Index, reason)
			}
			a.reason = joinText(a.reason, reason, "; ")
			if !more || !strings.Contains(a.advice, advice) {
				a.advice = joinText(a.advice, advice, "; ")
			}
			if !strings.Contains(a.field, p.Title) {
				a.field = joinText(a.field, p.Title, "、")
			}
		}
		out[v.Origin.Row] = a
	}
	for _, x := range u.Doubles {
		if _, bad := out[x.Row]; !bad {
			continue
		}
		if _, bad := out[x.First]; !bad {
			out[x.First] = annotation{row: strconv.Itoa(x.First), result: "对照#" + u.ID, reason: fmt.Sprintf("此行未退回,供与第%d行对照", x.Row)}
		}
	}
	return out
}

func joinText(a, b, sep string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + sep + b
}

// rowWriter writes rows of an error file.
type rowWriter interface {
	write(raw rawRow, a annotation) error
	end() error
}

// writeErrorFile writes the rows to correct, with reasons, in the charset and format they came in. CSV in UTF-8 gets a
// byte order mark, without which spreadsheets misread it.
func (d *Drop) writeErrorFile(u *unit) error {
	notes := u.annotations()
	rows, closer, err := openRows(u.data(), u.Layout, &d.c)
	if err != nil {
		return err
	}
	defer closer.Close()
	charset, err := mapping.ParseCharset(u.Layout.Charset)
	if err != nil {
		return err
	}
	if charset == mapping.UTF8 && u.Layout.Format == formatCSV {
		charset = mapping.UTF8BOM
	}
	return writeAtomic(d.errorFile(u), func(file io.Writer) error {
		buffered := bufio.NewWriter(file)
		text, err := mapping.NewWriter(buffered, charset)
		if err != nil {
			return err
		}
		out, err := newRowWriter(text, rows, u.Layout.Format, d.c.Delimiter[0])
		if err != nil {
			return err
		}
		for left := len(notes); left > 0; {
			raw, err := rows.next()
			if err != nil {
				var no *refusal // the file was refused whole because it cannot be read further
				if errors.Is(err, io.EOF) || errors.As(err, &no) {
					break
				}
				return err
			}
			a, ok := notes[raw.number]
			if !ok {
				continue
			}
			left--
			if err := out.write(raw, a); err != nil {
				return err
			}
		}
		return errors.Join(out.end(), text.Close(), buffered.Flush())
	})
}

func newRowWriter(w io.Writer, rows rowReader, format string, comma byte) (rowWriter, error) {
	grid, ok := rows.(*csvRows)
	if !ok {
		return &objectWriter{w: w, array: format == formatJSON}, nil
	}
	c := csv.NewWriter(w)
	c.Comma, c.UseCRLF = rune(comma), true
	return &gridWriter{w: c, width: len(grid.columns)}, c.Write(append(append([]string{}, grid.columns...), addedColumns...))
}

type gridWriter struct {
	w     *csv.Writer
	width int
}

func (g *gridWriter) write(raw rawRow, a annotation) error {
	cells := make([]string, g.width, g.width+len(addedColumns))
	for i, v := range raw.cells {
		cells[i] = v.Raw()
	}
	if raw.fault != nil {
		cells[0] = raw.text
	}
	return g.w.Write(append(cells, a.cells()...))
}

func (g *gridWriter) end() error {
	g.w.Flush()
	return g.w.Error()
}

type objectWriter struct {
	w     io.Writer
	array bool
	n     int
}

func (o *objectWriter) write(raw rawRow, a annotation) error {
	line := []byte{'{'}
	add := func(name string, value []byte) {
		if len(line) > 1 {
			line = append(line, ',')
		}
		line = append(append(record.AppendString(line, name), ':'), value...)
	}
	if raw.fault != nil {
		add(addedRawText, record.AppendString(nil, raw.text))
	} else if err := record.Members(raw.object, func(name string, value []byte) error {
		if !isAdded(name) {
			add(name, value)
		}
		return nil
	}); err != nil {
		return err
	}
	for i, cell := range a.cells() {
		add(addedColumns[i], record.AppendString(nil, cell))
	}
	line = append(line, '}')
	lead := ""
	if o.array {
		if lead = ",\n"; o.n == 0 {
			lead = "[\n"
		}
	} else {
		line = append(line, '\n')
	}
	o.n++
	_, err := io.WriteString(o.w, lead+string(line))
	return err
}

func (o *objectWriter) end() error {
	if !o.array {
		return nil
	}
	tail := "\n]\n"
	if o.n == 0 {
		tail = "[]\n"
	}
	_, err := io.WriteString(o.w, tail)
	return err
}
