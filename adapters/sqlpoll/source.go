package sqlpoll

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// database is what the source needs of a driver. Order texts (place, high)
// are the driver's own; nobody else reads them.
type database interface {
	connect(ctx context.Context) error
	close() error
	// columns is the layout of the table.
	columns(ctx context.Context) ([]column, error)
	// bound says what may be read now. It is asked before the rows are read.
	bound(ctx context.Context) (bound, error)
	// back is the order text of high less the overlap.
	back(high string, overlap time.Duration) string
	// less orders two texts of the first order column.
	less(a, b string) bool
	// rows reads at most limit.Rows rows after from, in order.
	rows(ctx context.Context, from start, b bound, cols []column, limit adapters.Limits) (found []row, more bool, err error)
	// held reports whether rows past b are there.
	held(ctx context.Context, b bound) (bool, error)
	// kind is the kind of a column's values.
	kind(typ string) adapters.ValueKind
	check(ctx context.Context, cols []column) []adapters.Finding
}

// bound is the commit horizon at one moment.
type bound struct {
	upper   string // order text of the first column: rows below it (or, by id, up to it) are complete; "" = no bound
	none    bool   // nothing may be read
	quiet   bool   // nothing was committed since the last look
	overlap bool   // the horizon is unknown: the overlap stands in
	notice  *adapters.Notice
}

// start is where a look begins: after place, or at moment (inclusive).
type start struct {
	place  []string
	moment string
}

// row is one row with its order texts.
type row struct {
	fields []adapters.Value
	place  []string
	at     int64 // ms, 0 unknown
	errs   []adapters.RowError
}

// source implements adapters.Source, adapters.Preflighter and
// adapters.Previewer.
type source struct {
	conf Config
	env  adapters.Env
	db   database

	// The fields below belong to the goroutine that drives the source.
	at      cursor
	cols    []column
	looking bool // inside a look: rows may follow
	cut     bool // this look began in the middle: the next one is not skipped
	bound   bound
	drift   []adapters.Drift
	said    string // last notice, so that it is said once
	pending bool

	mu     sync.Mutex
	opened bool
	closed bool
}

var (
	_ adapters.Source      = (*source)(nil)
	_ adapters.Preflighter = (*source)(nil)
	_ adapters.Previewer   = (*source)(nil)
)

// Open implements adapters.Source.
func (s *source) Open(ctx context.Context, _ adapters.Stream, raw adapters.Cursor) error {
	at, err := decodeCursor(raw, s.conf)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.conf.Table, err)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.at, s.looking, s.cut = at, false, false
	if err := s.layout(ctx); err != nil { // the horizon is told in the column's type
		return err
	}
	if at.Inside { // the last look was cut off: go on inside it, and look once more after it
		if s.bound, err = s.db.bound(ctx); err != nil {
			return fmt.Errorf("open %s: %w", s.conf.Table, err)
		}
		s.looking, s.cut = !s.bound.none, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = true
	return nil
}

func (s *source) connect(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return adapters.ErrClosed
	}
	if err := s.db.connect(ctx); err != nil {
		return fmt.Errorf("connect to %s: %w", s.conf.Driver, err)
	}
	return nil
}

// layout reads the columns and holds them against the cursor's.
func (s *source) layout(ctx context.Context) error {
	all, err := s.db.columns(ctx)
	if err != nil {
		return fmt.Errorf("read layout of %s: %w", s.conf.Table, err)
	}
	cols, err := s.choose(all)
	if err != nil {
		return err
	}
	added, broken := compare(s.at.Columns, cols)
	if len(broken) > 0 && s.conf.Layout != layout(cols) {
		return &adapters.DriftError{Drift: broken}
	}
	if len(s.at.Columns) > 0 {
		s.drift = append(s.drift, added...)
	}
	s.cols, s.at.Columns = cols, cols
	return nil
}

// choose takes the configured columns, in the table's order; order columns
// that are missing are a fault of the configuration.
func (s *source) choose(all []column) ([]column, error) {
	byName := map[string]column{}
	for _, c := range all {
		byName[c.Name] = c
	}
	var drift []adapters.Drift
	for _, n := range append(s.conf.order(), s.conf.Columns...) {
		if _, ok := byName[n]; !ok {
			drift = append(drift, adapters.Drift{Kind: "missing", Column: n, Zh: fmt.Sprintf("表%s中没有列“%s”。改法:核对source中的列名或恢复该列", s.conf.Table, n),
				En: fmt.Sprintf("table %s has no column %q; look at the names in source or restore it", s.conf.Table, n)})
		}
	}
	if len(drift) > 0 {
		return nil, &adapters.DriftError{Drift: drift}
	}
	if len(s.conf.Columns) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, n := range s.conf.Columns {
		wanted[n] = true
	}
	var out []column
	for _, c := range all {
		if wanted[c.Name] {
			out = append(out, c)
		}
	}
	return out, nil
}

// Next implements adapters.Source: the next page of the look, or the first of
// a new one.
func (s *source) Next(ctx context.Context, limits adapters.Limits) (adapters.Batch, error) {
	s.mu.Lock()
	ready := s.opened && !s.closed
	s.mu.Unlock()
	if !ready {
		return adapters.Batch{}, adapters.ErrClosed
	}
	limits = limits.OrDefault()
	from := start{place: s.at.Place}
	if !s.looking {
		if err := s.layout(ctx); err != nil {
			return adapters.Batch{}, err
		}
		b, err := s.db.bound(ctx)
		if err != nil {
			return adapters.Batch{}, fmt.Errorf("read horizon: %w", err)
		}
		if notice := s.notice(b); notice != nil {
			return adapters.Batch{Notices: []adapters.Notice{*notice}, Drift: s.takeDrift()}, nil
		}
		s.pending = b.none
		if b.none || b.quiet && !s.cut {
			return s.idle()
		}
		s.bound, s.looking, s.cut = b, true, false
		if s.goesBack() && s.at.High != "" {
			from = start{moment: s.db.back(s.at.High, time.Duration(s.conf.Overlap))}
			s.forget(from.moment)
		}
	}
	return s.page(ctx, from, limits)
}

// goesBack reports whether a look begins before the last row handed over.
func (s *source) goesBack() bool {
	return !s.conf.byID() && (s.bound.overlap || s.conf.Overlap > 0)
}

// page reads one page; where it was the last of the look and empty, the
// source is idle.
func (s *source) page(ctx context.Context, from start, limits adapters.Limits) (adapters.Batch, error) {
	for {
		found, more, err := s.db.rows(ctx, from, s.bound, s.cols, limits)
		if err != nil {
			return adapters.Batch{}, fmt.Errorf("read %s: %w", s.conf.Table, err)
		}
		out := adapters.Batch{Columns: names(s.cols), Drift: s.takeDrift()}
		for _, r := range found {
			s.advance(r)
			if s.again(r) {
				continue
			}
			out.Rows = append(out.Rows, adapters.Row{Fields: r.fields, At: r.at, Errs: r.errs, Origin: adapters.Origin{File: s.conf.Table}})
		}
		s.at.Inside = more
		if !more {
			s.looking = false
			if s.pending, err = s.db.held(ctx, s.bound); err != nil {
				return adapters.Batch{}, fmt.Errorf("read %s: %w", s.conf.Table, err)
			}
		}
		if len(out.Rows) > 0 || len(out.Drift) > 0 {
			out.Cursor, err = s.at.encode()
			return out, err
		}
		if !more && s.cut {
			return s.Next(ctx, limits)
		}
		if !more {
			return s.idle()
		}
		from = start{place: s.at.Place}
	}
}

func (s *source) advance(r row) {
	s.at.Place = r.place
	if s.at.High == "" || s.db.less(s.at.High, r.place[0]) {
		s.at.High = r.place[0]
	}
}

// again reports whether this very row was handed over before; it is durable by
// now, for Next is called only after that.
func (s *source) again(r row) bool {
	if !s.goesBack() {
		return false
	}
	if len(s.at.Seen) > 2*seenCarried {
		s.forget(s.db.back(s.at.High, time.Duration(s.conf.Overlap)))
	}
	key := fmt.Sprintf("%q", r.place[1:])
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", append(texts(r.fields), r.place[0])))
	now := seenRow{At: r.place[0], Hash: hex.EncodeToString(sum[:8])}
	if s.at.Seen[key] == now {
		return true
	}
	if s.at.Seen == nil {
		s.at.Seen = map[string]seenRow{}
	}
	if len(s.at.Seen) < seenRows {
		s.at.Seen[key] = now
	}
	return false
}

// forget drops what lies before the overlap.
func (s *source) forget(before string) {
	for k, r := range s.at.Seen {
		if s.db.less(r.At, before) {
			delete(s.at.Seen, k)
		}
	}
}

func texts(fields []adapters.Value) []string {
	out := make([]string, 0, len(fields)+1)
	for _, f := range fields {
		out = append(out, f.Kind().String()+f.String())
	}
	return out
}

func (s *source) idle() (adapters.Batch, error) {
	if len(s.drift) > 0 { // the new layout goes into the cursor with the message
		at, err := s.at.encode()
		return adapters.Batch{Drift: s.takeDrift(), Cursor: at}, err
	}
	pause := time.Duration(s.conf.Poll)
	if s.pending {
		pause = min(pause, time.Duration(s.conf.Settle))
	}
	return adapters.Batch{}, &adapters.IdleError{Wait: pause}
}

// notice returns b's notice when it has not just been said.
func (s *source) notice(b bound) *adapters.Notice {
	said := ""
	if b.notice != nil {
		said = b.notice.Code
	}
	fresh := said != "" && said != s.said
	s.said = said
	if !fresh {
		return nil
	}
	return b.notice
}

func (s *source) takeDrift() []adapters.Drift {
	d := s.drift
	s.drift = nil
	return d
}

func names(cols []column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// Pending reports whether rows are there that may not be read yet.
func (s *source) Pending() bool { return s.pending }

// Commit implements adapters.Source; there is nothing to prune.
func (s *source) Commit(context.Context, adapters.Cursor) error { return nil }

// Close implements adapters.Source.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.db.close(); err != nil {
		return fmt.Errorf("close %s: %w", s.conf.Driver, err)
	}
	return nil
}
