package runner

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
)

// reportRows is how many verdicts one call of Report gets.
const reportRows = 200

// report carries verdicts home for as long as ctx lasts. What Report did not
// take is offered again.
func (s *stream) report(ctx context.Context) error {
	b := backoff{least: s.r.cfg.backoff}
	for {
		s.mu.Lock()
		src, opened := s.source, s.opened
		s.mu.Unlock()
		changed := s.r.cfg.Box.Changed()
		fb, ok := src.(adapters.Feedback)
		if src == nil || !ok {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-opened:
			}
			continue
		}
		list, err := s.r.cfg.Box.Verdicts(s.conf.Name, reportRows)
		if err != nil {
			return fmt.Errorf("report of %s: %w", s.conf.Name, err)
		}
		if len(list) == 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
			}
			continue
		}
		if err := s.carry(ctx, fb, list); err != nil {
			s.r.cfg.Log.Warn("verdicts not taken, offered again", "stream", s.conf.Name, "error", err)
			if err := wait(ctx, b.pause(0)); err != nil {
				return err
			}
			continue
		}
		b.reset()
		s.r.cfg.mark("reported")
		if err := s.r.cfg.Box.Reported(s.conf.Name, list[len(list)-1].N); err != nil {
			return fmt.Errorf("report of %s: %w", s.conf.Name, err)
		}
	}
}

func (s *stream) carry(ctx context.Context, fb adapters.Feedback, list []outbox.Verdict) error {
	out := make([]adapters.Verdict, 0, len(list))
	for _, v := range list {
		a, err := verdictOf(v)
		if err != nil {
			return err
		}
		out = append(out, a)
	}
	if err := fb.Report(ctx, out); err != nil {
		return fmt.Errorf("report %d verdicts: %w", len(out), err)
	}
	return nil
}

func verdictOf(v outbox.Verdict) (adapters.Verdict, error) {
	a := adapters.Verdict{Key: v.Key, Outcome: adapters.Outcome(v.Status), At: v.At}
	if n := v.Counts; n != nil {
		a.Origin.Unit = v.Unit
		a.Counts = &adapters.Counts{Read: int(n.Read), Filtered: int(n.Filtered), Refused: int(n.Refused), Unchanged: int(n.Unchanged),
			Accepted: int(n.Accepted), Duplicate: int(n.Duplicate), Stale: int(n.Stale), Rejected: int(n.Rejected)}
		return a, nil
	}
	var h home
	if err := json.Unmarshal(v.Origin, &h); err != nil {
		return a, fmt.Errorf("read origin of a verdict: %w", err)
	}
	a.Origin, a.Index = h.Origin, h.Index
	if len(v.Reasons) > 0 {
		if err := json.Unmarshal(v.Reasons, &a.Problems); err != nil {
			return a, fmt.Errorf("read reasons of a verdict: %w", err)
		}
	}
	if a.Outcome == adapters.Rejected {
		place := placeOf(a.Origin)
		for i := range a.Problems {
			a.Problems[i].Zh = place.Zh + ":" + a.Problems[i].Zh
			a.Problems[i].En = place.En + ": " + a.Problems[i].En
		}
	}
	return a, nil
}

// problemsOf puts the bus's reasons into the form in which the adapter keeps
// its own. The bus writes its sentences in the language asked for; Chinese is
// asked for, and code and pointer say the same in English.
func problemsOf(it Item) []adapters.Problem {
	out := make([]adapters.Problem, 0, len(it.Errors)+1)
	for _, f := range it.Errors {
		rule := f.Keyword
		if rule == "" {
			rule = f.Code
		}
		zh := f.Message
		if zh == "" {
			zh = "总线退回:" + rule
		}
		out = append(out, adapters.Problem{Pointer: f.Pointer, Rule: rule, Zh: zh, En: fmt.Sprintf("the bus rejected %s: %s", f.Pointer, f.Code)})
	}
	if it.More > 0 {
		out = append(out, adapters.Problem{Rule: "more", Zh: fmt.Sprintf("另有%d处错误", it.More), En: fmt.Sprintf("%d more errors", it.More)})
	}
	if len(out) == 0 {
		out = append(out, adapters.Problem{Rule: "rejected", Zh: "总线已退回,原因见隔离区", En: "rejected by the bus; the quarantine says why"})
	}
	return out
}

// unreported reports whether verdicts are left that the open source will take.
func (s *stream) unreported() (bool, error) {
	s.mu.Lock()
	_, ok := s.source.(adapters.Feedback)
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	list, err := s.r.cfg.Box.Verdicts(s.conf.Name, 1)
	if err != nil {
		return false, fmt.Errorf("look for verdicts: %w", err)
	}
	return len(list) > 0, nil
}
