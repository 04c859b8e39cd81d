package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
)

// States of a stream.
const (
	StateStarting = "starting" // no schema yet, or the source is being opened
	StateReading  = "reading"
	StateIdle     = "idle"
	StateRetrying = "retrying" // source or schema cannot be reached; tried again
	StateBlocked  = "blocked"  // the outbox is full
	StateStopped  = "stopped"  // waits for a person
	StateEnded    = "ended"    // a finite source gave everything
)

// noticesKept is how many of a stream's last notices its status shows.
const noticesKept = 20

// schemaAge is how old a stream's schema may be before an idle stream asks
// the bus whether it has moved.
const schemaAge = 5 * time.Minute

// pending is a capability of sources that hold rows back for a while (a file
// that is still being written, rows past the commit horizon): idle does not
// mean done then.
type pending interface{ Pending() bool }

// stream pumps one source into the outbox.
type stream struct {
	r       *Runner
	conf    adapters.StreamConfig
	refused window   // of the source's records; the pump's goroutine only
	columns []string // last columns compared with the mapping; the pump's goroutine only

	mu       sync.Mutex
	source   adapters.Source // nil unless open
	opened   chan struct{}   // closed and replaced when source is set
	state    string
	held     bool // idle, but the source holds rows back
	reason   Reason
	lastRead time.Time
	batches  int
	notices  []adapters.Notice
	rejected window // of the bus's answers
	stopped  *stopError
	cancel   context.CancelCauseFunc // of the pump; nil when it does not run
}

func newStream(r *Runner, conf adapters.StreamConfig) *stream {
	over := conf.ErrorThreshold
	if over == 0 {
		over = adapters.DefaultErrorThreshold
	}
	return &stream{r: r, conf: conf, state: StateStarting, refused: window{over: over}, rejected: window{over: over},
		opened: make(chan struct{})}
}

// run returns an error only when the whole adapter must end.
func (s *stream) run(ctx context.Context) error {
	b := backoff{least: s.r.cfg.backoff}
	for {
		before := s.reads()
		err := s.session(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, outbox.ErrBroken), errors.Is(err, outbox.ErrClosed), errors.Is(err, outbox.ErrCorrupt):
			return fmt.Errorf("stream %s: %w", s.conf.Name, err)
		case errors.Is(err, errMoved):
		case errors.Is(err, adapters.ErrReconnect), errors.Is(err, ErrNoSchema):
			if s.reads() != before {
				b.reset()
			}
			s.set(StateRetrying, reasonOf(err))
			if err := wait(ctx, b.pause(0)); err != nil {
				return err
			}
		default:
			s.set(StateStopped, reasonOf(err))
			s.r.cfg.Log.Error("stream stopped", "stream", s.conf.Name, "error", err)
			return nil
		}
	}
}

// session opens the source and pumps until something ends it. When the pump
// stops or the source has ended, the source stays open for its verdicts.
func (s *stream) session(ctx context.Context) error {
	schema, err := s.r.schemas.get(ctx, s.conf.Resource)
	if err != nil {
		return err
	}
	judge, err := s.r.cfg.Judge(s.conf, schema)
	if err != nil {
		return fmt.Errorf("load mapping of %s: %w", s.conf.Name, err)
	}
	src, err := s.open(ctx, judge)
	if err != nil {
		return err
	}
	defer s.shut(src)
	pctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.setCancel(cancel)
	defer s.setCancel(nil)
	err = s.pump(pctx, src, judge, schema)
	var stop *stopError
	if !errors.As(err, &stop) {
		errors.As(context.Cause(pctx), &stop)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case stop != nil:
		s.set(StateStopped, stop.Reason)
		s.r.cfg.Log.Error("stream stopped", "stream", s.conf.Name, "reason", stop.En)
	case errors.Is(err, adapters.ErrEnd):
		s.set(StateEnded, Reason{})
	default:
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *stream) open(ctx context.Context, judge adapters.Judge) (adapters.Source, error) {
	cursor, err := s.r.cfg.Box.Cursor(s.conf.Name)
	if err != nil {
		return nil, fmt.Errorf("read cursor: %w", err)
	}
	src, err := s.r.cfg.Kinds[s.conf.KindName()].New(s.conf.Source, adapters.Env{Base: s.r.cfg.Adapter.Base(), Stream: s.conf.Stream(),
		Judge: judge, Ledger: s.r.cfg.Box.Ledger(s.conf.Name), Now: s.r.cfg.Now, Log: s.r.cfg.Log.With("stream", s.conf.Name)})
	if err != nil {
		return nil, fmt.Errorf("make source %s: %w", s.conf.Name, err)
	}
	if err := src.Open(ctx, s.conf.Stream(), cursor); err != nil {
		return nil, errors.Join(fmt.Errorf("open source %s: %w", s.conf.Name, err), src.Close())
	}
	s.mu.Lock()
	s.source = src
	close(s.opened)
	s.opened = make(chan struct{})
	s.mu.Unlock()
	s.set(StateReading, Reason{})
	return src, nil
}

func (s *stream) shut(src adapters.Source) {
	s.mu.Lock()
	s.source = nil
	s.mu.Unlock()
	if err := src.Close(); err != nil {
		s.r.cfg.Log.Warn("close source", "stream", s.conf.Name, "error", err)
	}
}

// pump moves batch after batch until an error; it never returns nil.
func (s *stream) pump(ctx context.Context, src adapters.Source, judge adapters.Judge, schema Schema) error {
	_, feedback := src.(adapters.Feedback)
	s.columns = nil
	fetched := s.r.cfg.Now()
	for {
		in, err := src.Next(ctx, s.conf.Batch.Limits())
		if errors.Is(err, adapters.ErrIdle) {
			if err := s.idle(ctx, src, err); err != nil {
				return err
			}
			if s.r.cfg.Now().Sub(fetched) > schemaAge {
				if fetched = s.r.cfg.Now(); s.r.schemas.moved(ctx, schema) {
					return errMoved
				}
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		s.note(in)
		out, err := s.convert(in, judge, schema, feedback)
		if err != nil {
			return err
		}
		if err := s.store(ctx, out); err != nil {
			return err
		}
		s.r.cfg.mark("stored")
		if len(in.Cursor) == 0 {
			continue
		}
		if err := src.Commit(ctx, in.Cursor); err != nil {
			s.r.cfg.Log.Warn("commit to source", "stream", s.conf.Name, "error", err)
		}
	}
}

// store makes the batch durable; a full outbox blocks it here.
func (s *stream) store(ctx context.Context, out outbox.Batch) error {
	if out.Read == 0 && out.Cursor == nil && out.Ledger == nil && !out.UnitEnd && len(out.Corrects) == 0 {
		return nil // notices only
	}
	if s.r.cfg.Box.Usage().Blocked {
		s.set(StateBlocked, Reason{"发件箱已满,暂停读取,等待总线回执", "the outbox is full; reading waits for the bus"})
	}
	s.r.cfg.mark("store")
	if _, err := s.r.cfg.Box.Append(ctx, out); err != nil {
		return fmt.Errorf("store batch: %w", err)
	}
	s.mu.Lock()
	s.batches++
	s.lastRead = s.r.cfg.Now()
	s.mu.Unlock()
	s.set(StateReading, Reason{})
	return nil
}

func (s *stream) idle(ctx context.Context, src adapters.Source, idle error) error {
	held := false
	if p, ok := src.(pending); ok {
		held = p.Pending()
	}
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	s.set(StateIdle, Reason{})
	pause := idlePause
	var ie *adapters.IdleError
	if errors.As(idle, &ie) && ie.Wait > 0 {
		pause = ie.Wait
	}
	return wait(ctx, pause)
}

// note keeps what an operator should see.
func (s *stream) note(in adapters.Batch) {
	for _, d := range in.Drift {
		in.Notices = append(in.Notices, adapters.Notice{Code: "drift_" + d.Kind, Zh: d.Zh, En: d.En})
	}
	s.notice(in.Notices...)
}

func (s *stream) notice(notices ...adapters.Notice) {
	if len(notices) == 0 {
		return
	}
	for _, n := range notices {
		s.r.cfg.Log.Info("notice of the source", "stream", s.conf.Name, "code", n.Code)
	}
	s.mu.Lock()
	s.notices = append(s.notices, notices...)
	s.notices = slices.Clone(s.notices[max(0, len(s.notices)-noticesKept):])
	s.mu.Unlock()
	s.r.changed()
}

func (s *stream) set(state string, why Reason) {
	s.mu.Lock()
	same := s.state == state && s.reason == why
	s.state, s.reason = state, why
	s.mu.Unlock()
	if !same || state == StateReading {
		s.r.changed()
	}
}

func (s *stream) setCancel(cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if cancel != nil && s.stopped != nil {
		cancel(s.stopped)
	}
}

// stop ends the pump from outside; the source stays open for its verdicts.
func (s *stream) stop(why *stopError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return
	}
	s.stopped = why
	if s.cancel != nil {
		s.cancel(why)
	}
}

// answered notes what the bus said of one record and stops the stream when
// it refuses too many: more of the same would only fill the quarantine.
func (s *stream) answered(rejected bool) {
	s.mu.Lock()
	s.rejected.add(rejected)
	trip := rejected && s.rejected.tripped()
	n, sum := min(s.rejected.n, windowRecords), s.rejected.sum
	s.mu.Unlock()
	if trip {
		s.stop(&stopError{Reason: Reason{
			fmt.Sprintf("总线退回过多:最近%d条中退回%d条,超过阈值%.0f%%。改法:查看退回原因,修正数据或映射后重新启动", n, sum, s.rejected.over*100),
			fmt.Sprintf("the bus rejected %d of the last %d records, above the threshold of %.0f %%; see the reasons, correct data or mapping, then start again", sum, n, s.rejected.over*100),
		}})
	}
}

func (s *stream) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// quiet reports whether nothing more is to be expected of the source now.
func (s *stream) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateIdle && !s.held || s.state == StateEnded || s.state == StateStopped
}

func (s *stream) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateStopped
}

// reasonOf puts an error of a source into words for people. What it says of
// drift and configuration is the source's own sentence.
func reasonOf(err error) Reason {
	var stop *stopError
	if errors.As(err, &stop) {
		return stop.Reason
	}
	var drift *adapters.DriftError
	if errors.As(err, &drift) {
		var zh string
		for _, d := range drift.Drift {
			zh += ";" + d.Zh
		}
		return Reason{"来源结构已变" + zh, err.Error()}
	}
	zh := "已停止:" + err.Error()
	switch {
	case errors.Is(err, ErrNoSchema):
		zh = "尚未取得数据资源的模式,正在重试:" + err.Error()
	case errors.Is(err, adapters.ErrReconnect):
		zh = "来源暂时连不上,正在重试:" + err.Error()
	case errors.Is(err, adapters.ErrCursor):
		zh = "记录的读取位置不属于这个来源:" + err.Error()
	case errors.Is(err, adapters.ErrConfig):
		zh = "配置不可用:" + err.Error()
	}
	return Reason{zh, err.Error()}
}
