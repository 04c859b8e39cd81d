package filedrop

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
	"github.com/hutong-bus/hutong/schemas"
)

// ledger is a stream's ledger in memory.
type ledger map[string]adapters.LedgerEntry

func (l ledger) Seen(_ context.Context, digest string) (adapters.LedgerEntry, bool, error) {
	e, ok := l[digest]
	return e, ok, nil
}

// house plays the runner over one drop folder: rows, cursor, refusals and ledger that it keeps are durable.
type house struct {
	t      testing.TB
	dir    string
	config Config
	stream adapters.Stream
	judge  adapters.Judge
	now    time.Time
	drop   *Drop
	cursor adapters.Cursor
	ledger ledger
	sent   map[string]string // last body per key: what makes the next one unchanged
	total  adapters.Counts
	unit   map[string]*adapters.Counts
	notes  []adapters.Notice
	drift  []adapters.Drift
	bad    []adapters.Verdict
	warned int // quality warnings
}

func newHouse(t testing.TB, c Config, judge adapters.Judge) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), config: c, judge: judge, now: time.Date(2012, 8, 1, 9, 0, 0, 0, time.UTC),
		ledger: ledger{}, sent: map[string]string{}, unit: map[string]*adapters.Counts{},
		stream: adapters.Stream{Name: "test", Resource: "approvals.service_item"}}
	h.config.Kind = "filedrop"
	if h.config.Dir == "" {
		h.config.Dir = h.dir
	}
	if h.config.Accept == "" {
		h.config.Accept = acceptRename
	}
	h.start()
	t.Cleanup(func() { _ = h.drop.Close() })
	return h
}

// start opens a source after the durable cursor, as after a crash.
func (h *house) start() {
	h.t.Helper()
	if err := h.open(); err != nil {
		h.t.Fatalf("Open: %v", err)
	}
}

func (h *house) open() error {
	if h.drop != nil {
		_ = h.drop.Close() // a crash closes nothing; the lock and the files are freed all the same
	}
	drop, err := New(h.config, adapters.Env{Stream: h.stream, Judge: h.judge, Ledger: h.ledger, Now: func() time.Time { return h.now }})
	if err != nil {
		h.t.Fatal(err)
	}
	h.drop = drop
	return drop.Open(h.t.Context(), h.stream, h.cursor)
}

// put drops a file under its final name.
func (h *house) put(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "in", name), []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(path ...string) string {
	h.t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{h.dir}, path...)...))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(raw)
}

// names lists a folder, one level deep into dates.
func (h *house) names(dir string) []string {
	h.t.Helper()
	var out []string
	root := filepath.Join(h.dir, dir)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, ".units") {
			out = append(out, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *house) receipt(name string) receipt {
	h.t.Helper()
	var r receipt
	if err := json.Unmarshal([]byte(h.read("feedback", name+".回执.json")), &r); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// next asks once, letting time pass while the source is idle.
func (h *house) next(limits adapters.Limits) (adapters.Batch, bool) {
	h.t.Helper()
	for range 8 {
		b, err := h.drop.Next(h.t.Context(), limits)
		if errors.Is(err, adapters.ErrIdle) {
			h.now = h.now.Add(time.Minute)
			continue
		}
		if err != nil {
			h.t.Fatalf("Next: %v", err)
		}
		return b, true
	}
	return adapters.Batch{}, false
}

// keep judges a batch and makes it durable; it returns the verdicts that go home.
func (h *house) keep(b adapters.Batch) []adapters.Verdict {
	h.t.Helper()
	h.notes = append(h.notes, b.Notices...)
	h.drift = append(h.drift, b.Drift...)
	if b.Unit == "" {
		return nil
	}
	n := h.unit[b.Unit]
	if n == nil {
		n = &adapters.Counts{}
		h.unit[b.Unit] = n
	}
	var verdicts []adapters.Verdict
	for _, row := range b.Rows {
		judged, err := h.judge.Row(b.Columns, row)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, j := range judged {
			n.Read++
			switch {
			case len(j.Problems) > 0:
				n.Refused++
				verdicts = append(verdicts, adapters.Verdict{Origin: row.Origin, Index: j.Index, Key: j.Key, Outcome: adapters.Refused, Problems: j.Problems})
			case h.sent[j.Key] == string(j.Body):
				n.Unchanged++
			default:
				n.Accepted++
				h.warned += len(j.Warnings)
				h.sent[j.Key] = string(j.Body)
			}
		}
	}
	h.bad = append(h.bad, verdicts...)
	h.cursor = b.Cursor
	if b.UnitEnd {
		h.ledger[b.Ledger.Digest] = *b.Ledger
		verdicts = append(verdicts, adapters.Verdict{Origin: adapters.Origin{Unit: b.Unit}, Outcome: adapters.Finished, Counts: n})
		h.total.Read += n.Read
		h.total.Refused += n.Refused
		h.total.Unchanged += n.Unchanged
		h.total.Accepted += n.Accepted
	}
	return verdicts
}

// run reads until the source is idle and reports everything.
func (h *house) run() {
	h.t.Helper()
	h.total, h.bad, h.notes, h.drift, h.warned = adapters.Counts{}, nil, nil, nil, 0
	for {
		b, ok := h.next(adapters.Limits{})
		if !ok {
			return
		}
		verdicts := h.keep(b)
		if b.Unit == "" {
			continue
		}
		if err := h.drop.Commit(h.t.Context(), b.Cursor); err != nil {
			h.t.Fatalf("Commit: %v", err)
		}
		if err := h.drop.Report(h.t.Context(), verdicts); err != nil {
			h.t.Fatalf("Report: %v", err)
		}
	}
}

func (h *house) codes() []string {
	var out []string
	for _, n := range h.notes {
		out = append(out, n.Code)
	}
	return out
}

// items judges rows of a small list of service items.
func items(t testing.TB) adapters.Judge {
	t.Helper()
	return judge(t, `
resource: approvals.service_item
key: [task_code]
fields:
  task_code: {from: 编码, steps: [text, trim]}
  task_name: {from: 名称, steps: [trim, drop_if_empty]}
  task_type: {const: "01"}
  dept_code: {const: TEST}
  region: {const: "511602000000"}
ignore: [备注]
`)
}

func judge(t testing.TB, text string) *mapping.Judge {
	t.Helper()
	m, err := mapping.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return judgeOf(t, m)
}

func judgeOf(t testing.TB, m *mapping.Mapping) *mapping.Judge {
	t.Helper()
	raw, ok := schemas.EmbeddedSchema(m.Resource(), 1)
	if !ok {
		t.Fatalf("no schema of %s", m.Resource())
	}
	s, err := schemas.Compile(m.Resource(), 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	j, err := mapping.NewJudge(m, s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func gb(t testing.TB, s string) string {
	t.Helper()
	var out strings.Builder
	w, err := mapping.NewWriter(&out, mapping.GB18030)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func zipped(t testing.TB, s string) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
