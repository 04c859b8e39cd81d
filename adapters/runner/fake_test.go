package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/schemas/record"
)

// fakeBus answers as FORMATS §2 says of the producer form.
type fakeBus struct {
	// before may answer in the bus's place; nil, nil lets the bus answer.
	before func(lines [][]byte) ([]Item, error)
	// reject says why a record is rejected; nil means that it is not.
	reject func(r record.Record) []Fault
	// schema is what Schema answers.
	schema func() (Schema, error)

	mu       sync.Mutex
	calls    int
	epochs   map[string]uint64     // producer → newest epoch
	answered map[string][]answered // producer, epoch and resource → what each number from 1 got
	offsets  map[string]uint64
}

type answered struct {
	key, same string // same is what tells two records of one number apart
	item      Item
}

func newFakeBus() *fakeBus {
	return &fakeBus{epochs: map[string]uint64{}, answered: map[string][]answered{}, offsets: map[string]uint64{},
		schema: func() (Schema, error) { return Schema{Version: 1, Raw: []byte(`{}`)}, nil }}
}

func (f *fakeBus) Schema(context.Context, string) (Schema, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.schema()
}

func (f *fakeBus) Publish(ctx context.Context, resource, producer string, epoch uint64, lines [][]byte) ([]Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.before != nil {
		if items, err := f.before(lines); items != nil || err != nil {
			return items, err
		}
	}
	known := f.epochs[producer]
	if epoch < known {
		return nil, &BusError{Code: "fenced"}
	}
	f.epochs[producer] = epoch
	key := fmt.Sprintf("%s-%d-%s", producer, epoch, resource)
	var items []Item
	for _, line := range lines {
		items = append(items, f.one(key, resource, line))
	}
	return items, nil
}

// one answers one record; a number that is not next changes nothing.
func (f *fakeBus) one(run, resource string, line []byte) Item {
	r, err := record.DecodeRecord(line, record.DefaultLimits())
	if err != nil || r.Seq == 0 {
		panic(fmt.Sprintf("line %s: %v", line, err))
	}
	had := f.answered[run]
	last := uint64(len(had))
	same := fmt.Sprintf("%d|%s|%s|%s", r.Op, r.Key, r.Reason, r.Data)
	switch {
	case r.Seq > last+1:
		return Item{Status: "sequence_gap", Expected: last + 1}
	case r.Seq <= last && had[r.Seq-1].same != same:
		return Item{Status: "ahead", Expected: last}
	case r.Seq <= last:
		item := had[r.Seq-1].item
		if item.Status == outbox.StatusAccepted {
			item.Status = outbox.StatusDuplicate
		}
		return item
	}
	item := Item{Status: outbox.StatusAccepted}
	if f.reject != nil {
		if item.Errors = f.reject(r); len(item.Errors) > 0 {
			item.Status = outbox.StatusRejected
		}
	}
	if item.Status == outbox.StatusAccepted {
		f.offsets[resource]++
		item.Offset = f.offsets[resource]
	}
	f.answered[run] = append(had, answered{r.Key, same, item})
	return item
}

// keys lists the keys accepted of a resource by one producer, in order.
func (f *fakeBus) keys(producer, resource string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, a := range f.answered[fmt.Sprintf("%s-%d-%s", producer, f.epochs[producer], resource)] {
		if a.item.Status == outbox.StatusAccepted {
			out = append(out, a.key)
		}
	}
	return out
}

func (f *fakeBus) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// listSource gives rows of a list: [key, body]; its cursor is how many it gave.
type listSource struct {
	rows *rowList
	at   int
}

// rowList is a table that grows; it outlives the sources that read it.
type rowList struct {
	mu       sync.Mutex
	rows     [][2]string
	unit     string
	fail     error // what Next returns in place of rows
	verdicts []adapters.Verdict
	opened   int
	commits  []string
	end      bool
}

func (l *rowList) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *rowList) add(pairs ...string) *rowList {
	l.set(func() {
		for i := 0; i < len(pairs); i += 2 {
			l.rows = append(l.rows, [2]string{pairs[i], pairs[i+1]})
		}
	})
	return l
}

func (s *listSource) Describe(context.Context) (adapters.Discovery, error) {
	return adapters.Discovery{}, nil
}

func (s *listSource) Open(_ context.Context, _ adapters.Stream, c adapters.Cursor) error {
	s.rows.set(func() { s.rows.opened++ })
	if len(c) == 0 {
		return nil
	}
	var err error
	s.at, err = strconv.Atoi(string(c))
	return err
}

func (s *listSource) Next(ctx context.Context, limits adapters.Limits) (adapters.Batch, error) {
	s.rows.mu.Lock()
	defer s.rows.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return adapters.Batch{}, err
	}
	if err := s.rows.fail; err != nil {
		s.rows.fail = nil
		return adapters.Batch{}, err
	}
	if s.at >= len(s.rows.rows) {
		if s.rows.end {
			return adapters.Batch{}, adapters.ErrEnd
		}
		return adapters.Batch{}, &adapters.IdleError{Wait: time.Millisecond}
	}
	to := min(s.at+limits.Rows, len(s.rows.rows))
	b := adapters.Batch{Columns: []string{"key", "body"}, Unit: s.rows.unit, Cursor: adapters.Cursor(strconv.Itoa(to))}
	for i, r := range s.rows.rows[s.at:to] {
		b.Rows = append(b.Rows, adapters.Row{Fields: []adapters.Value{adapters.Text(r[0]), adapters.Text(r[1])},
			Origin: adapters.Origin{Unit: s.rows.unit, File: "list", Row: s.at + i + 1}})
	}
	s.at = to
	b.UnitEnd = s.rows.unit != "" && s.at == len(s.rows.rows)
	return b, nil
}

func (s *listSource) Commit(_ context.Context, c adapters.Cursor) error {
	s.rows.set(func() { s.rows.commits = append(s.rows.commits, string(c)) })
	return nil
}

func (s *listSource) Close() error { return nil }

// reportingSource is a listSource that takes verdicts.
type reportingSource struct{ listSource }

func (s *reportingSource) Report(_ context.Context, v []adapters.Verdict) error {
	s.rows.set(func() { s.rows.verdicts = append(s.rows.verdicts, v...) })
	return nil
}

// listJudge makes one record of a row; the body "bad" is refused, "none"
// makes no record.
type listJudge struct{ missing []string }

func (j listJudge) Columns([]string) (missing, unknown []string) { return j.missing, nil }

func (j listJudge) Row(_ []string, row adapters.Row) ([]adapters.Judged, error) {
	key, body := row.Fields[0].Raw(), row.Fields[1].Raw()
	if body == "none" {
		return nil, nil
	}
	out := adapters.Judged{Op: record.Upsert, Key: key, At: 1}
	if body == "bad" {
		out.Problems = []adapters.Problem{{Rule: "test", Zh: "第1行:不合格", En: "row 1: bad"}}
		return []adapters.Judged{out}, nil
	}
	raw, err := json.Marshal(map[string]string{"body": body})
	out.Body = raw
	return []adapters.Judged{out}, err
}

// bench is one adapter under test.
type bench struct {
	t     *testing.T
	bus   *fakeBus
	lists map[string]*rowList // by stream
	conf  *adapters.Config
	judge listJudge
	opt   outbox.Options
	box   *outbox.Box
	once  bool
	mark  func(string)
}

// newBench makes an adapter with one stream "s" of resource test.row and an
// outbox in dir.
func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{t: t, bus: newFakeBus(), lists: map[string]*rowList{"s": {}}, once: true}
	b.conf = &adapters.Config{Department: "dept", System: "sys", Outbox: adapters.OutboxConfig{Dir: dir, MaxAge: adapters.DefaultOutboxAge},
		Streams: []adapters.StreamConfig{b.stream("s", "test.row", "list")}}
	b.opt = outbox.Options{Dir: dir, Producer: b.conf.Producer(), Rand: zeros{}}
	return b
}

func (b *bench) stream(name, resource, kind string) adapters.StreamConfig {
	return adapters.StreamConfig{Name: name, Resource: resource, Source: json.RawMessage(fmt.Sprintf(`{"kind":%q}`, kind)), Batch: adapters.BatchConfig{Rows: 10}}
}

// zeros is a source of no randomness: the row secret does not matter here.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (b *bench) open() *outbox.Box {
	b.t.Helper()
	box, err := outbox.Open(b.opt)
	if err != nil {
		b.t.Fatal(err)
	}
	b.box = box
	return box
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.box.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) runner() *Runner {
	return New(Config{Adapter: b.conf, Bus: b.bus, Box: b.box, Once: b.once, mark: b.mark, backoff: time.Millisecond,
		Judge: func(adapters.StreamConfig, Schema) (adapters.Judge, error) { return b.judge, nil },
		Kinds: map[string]adapters.Kind{
			"list": {New: func(_ json.RawMessage, e adapters.Env) (adapters.Source, error) {
				return &listSource{rows: b.lists[e.Stream.Name]}, nil
			}},
			"reporting": {New: func(_ json.RawMessage, e adapters.Env) (adapters.Source, error) {
				return &reportingSource{listSource{rows: b.lists[e.Stream.Name]}}, nil
			}},
		}})
}

// run opens the outbox, runs once to the end and returns the last status.
func (b *bench) run() (Status, error) {
	b.t.Helper()
	b.open()
	defer b.close()
	r := b.runner()
	err := r.Run(b.t.Context())
	st, serr := r.Status()
	if serr != nil {
		b.t.Fatal(serr)
	}
	for _, s := range st.Streams {
		if !s.Counts.Balanced() {
			b.t.Errorf("counts of %s do not add up: %+v", s.Name, s.Counts)
		}
	}
	return st, err
}

func (b *bench) mustRun() Status {
	b.t.Helper()
	st, err := b.run()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, st.Text())
	}
	return st
}

func dense(n int) []string {
	var out []string
	for i := 1; i <= n; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func numbered(from, to int, body string) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i), body)
	}
	return out
}

func problemCodes(v []adapters.Verdict) []string {
	var out []string
	for _, x := range v {
		s := fmt.Sprintf("%s row %d", x.Outcome, x.Origin.Row)
		for _, p := range x.Problems {
			s += " " + p.Rule
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var errTest = errors.New("something else")
