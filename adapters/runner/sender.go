package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/adapters/outbox"
)

// Bounds of one request: far below the bus's own (10,000 lines, 16 MiB), so
// that an answer comes within seconds on a slow line too.
const (
	sendRows  = 500
	sendBytes = 1 << 20
	// sendTimeout bounds one request with its answer.
	sendTimeout = 30 * time.Second
)

// sender sends one resource's records, one request in flight: the next waits
// for the answer, so order needs no care anywhere.
type sender struct {
	r        *Runner
	resource string
	rows     int // lines in the next request; halved when the bus finds a request too large

	mu       sync.Mutex
	halt     Reason
	last     Reason // last trouble, empty when the last request was answered
	since    time.Time
	answered time.Time
}

func newSender(r *Runner, resource string) *sender {
	return &sender{r: r, resource: resource, rows: sendRows}
}

// run returns an error only when the outbox fails or ctx ends.
func (q *sender) run(ctx context.Context) error {
	b := backoff{least: q.r.cfg.backoff}
	for {
		changed := q.r.cfg.Box.Changed()
		lines, err := q.r.cfg.Box.Waiting(q.resource, q.rows, sendBytes)
		if err != nil {
			return fmt.Errorf("send %s: %w", q.resource, err)
		}
		if len(lines) == 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
			}
			continue
		}
		settled, trouble, err := q.send(ctx, lines)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("send %s: %w", q.resource, err)
		case q.isHalted():
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if settled > 0 {
			b.reset()
		}
		if trouble == nil {
			continue
		}
		var be *BusError
		var asked time.Duration
		if errors.As(trouble, &be) {
			asked = be.RetryAfter
		}
		if err := wait(ctx, b.pause(asked)); err != nil {
			return err
		}
	}
}

// send sends lines and settles what was answered. trouble says why it should
// be tried again later; err that the outbox failed.
func (q *sender) send(ctx context.Context, lines []outbox.Line) (settled int, trouble, err error) {
	wire := make([][]byte, len(lines))
	for i, l := range lines {
		wire[i] = l.Wire
	}
	q.r.cfg.mark("send")
	sctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, errors.New("the bus did not answer in time"))
	items, trouble := q.r.cfg.Bus.Publish(sctx, q.resource, q.r.producer, q.r.epoch, wire)
	cancel()
	q.r.cfg.mark("answered")
	if trouble != nil {
		return 0, q.troubled(lines, trouble), nil
	}
	if len(items) != len(lines) {
		return 0, q.note(fmt.Errorf("the bus answered %d of %d records", len(items), len(lines))), nil
	}
	answers, trouble := q.sort(lines, items)
	if err := q.r.cfg.Box.Settle(q.resource, answers); err != nil {
		return 0, nil, err
	}
	q.r.cfg.mark("settled")
	if trouble != nil {
		return len(answers), q.troubled(lines[len(answers):], trouble), nil
	}
	q.rows = min(2*q.rows, sendRows)
	q.mu.Lock()
	q.last, q.answered = Reason{}, q.r.cfg.Now()
	q.mu.Unlock()
	q.r.changed()
	return len(answers), nil, nil
}

// sort takes the final answers up to the first item that consumed nothing,
// which it returns as trouble.
func (q *sender) sort(lines []outbox.Line, items []Item) (answers []outbox.Answer, trouble error) {
	for i, it := range items {
		switch it.Status {
		case outbox.StatusAccepted, outbox.StatusDuplicate, outbox.StatusStale, outbox.StatusRejected:
		default:
			return answers, &BusError{Code: it.Status, Expected: it.Expected}
		}
		a := outbox.Answer{Seq: lines[i].Seq, Status: it.Status, Offset: it.Offset, Version: it.Version, Leaf: it.Leaf}
		rejected := it.Status == outbox.StatusRejected
		if rejected {
			reasons, err := json.Marshal(problemsOf(it))
			if err != nil {
				return answers, fmt.Errorf("store reasons: %w", err)
			}
			a.Reasons = reasons
		}
		for _, s := range q.r.streams {
			if s.conf.Name == lines[i].Stream {
				s.answered(rejected)
			}
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// troubled decides what an answer other than the four means: halt, send less,
// or try again later (nil: at once).
func (q *sender) troubled(lines []outbox.Line, trouble error) error {
	var be *BusError
	if !errors.As(trouble, &be) {
		return q.note(trouble)
	}
	switch be.Code {
	case codeFenced:
		q.stop(Reason{"生产者纪元已被取代:另有一个较新的发件箱以同一名义发送。本发件箱停止发送。改法:确认只有一处在运行;若本处为准,停机后换新的发件箱目录再启动",
			"fenced: a newer outbox sends in this producer's name, so this one stops; make sure that only one runs; if it is to be this one, start it with a new outbox directory"})
	case codeAhead:
		q.stop(Reason{fmt.Sprintf("总线所记序号(%d)超前于发件箱:发件箱是旧备份或副本。为免混淆已停止。改法:停机后换新的发件箱目录再启动,数据会重新读取", be.Expected),
			fmt.Sprintf("ahead: the bus knows up to %d, other records than this outbox has: it is an old backup or a copy; start with a new outbox directory, and everything is read again", be.Expected)})
	case codeSequenceGap:
		return q.rewind(lines, be)
	case codeTooLarge:
		if q.rows = max(len(lines)/2, 1); len(lines) > 1 {
			return nil
		}
		q.stop(Reason{fmt.Sprintf("序号%d的记录超过总线的大小限制。改法:提高总线的记录上限,或截短来源数据后换新的发件箱目录", lines[0].Seq),
			fmt.Sprintf("record %d is larger than the bus takes; raise the limit of the bus, or shorten the source's data and start with a new outbox directory", lines[0].Seq)})
	}
	return q.note(trouble)
}

// rewind answers a gap. Sending always begins at the first unanswered record,
// so a number in between means "begin again there", which happens by itself;
// one below it means that the bus has lost records which it had answered.
func (q *sender) rewind(lines []outbox.Line, be *BusError) error {
	if len(lines) > 0 && be.Expected >= lines[0].Seq {
		return q.note(be)
	}
	q.stop(Reason{fmt.Sprintf("总线要求从序号%d重发,但这些记录已得到回执并已清除:总线可能由旧备份恢复。改法:联系总线管理员;换新的发件箱目录可全部重发", be.Expected),
		fmt.Sprintf("the bus asks for record %d, which it had answered and which is no longer here: it may have been restored from an old backup; ask its administrator; a new outbox directory sends everything again", be.Expected)})
	return be
}

// note remembers trouble for the status and returns it.
func (q *sender) note(err error) error {
	q.mu.Lock()
	if q.last.Empty() {
		q.since = q.r.cfg.Now()
		q.r.cfg.Log.Warn("bus not reached, records wait", "resource", q.resource, "error", err)
	}
	q.last = Reason{"暂未送达,正在重试:" + err.Error(), err.Error()}
	q.mu.Unlock()
	q.r.changed()
	return err
}

// stop halts the resource until a person has looked, and with it the streams
// that feed it: what they read would only wait here.
func (q *sender) stop(why Reason) {
	q.mu.Lock()
	q.halt = why
	q.mu.Unlock()
	q.r.cfg.Log.Error("resource halted", "resource", q.resource, "reason", why.En)
	for _, s := range q.r.streams {
		if s.conf.Resource == q.resource {
			s.stop(&stopError{Reason: why})
		}
	}
	q.r.changed()
}

func (q *sender) isHalted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.halt.Empty()
}
