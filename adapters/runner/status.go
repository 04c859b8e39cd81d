package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
)

// Status is what an operator sees of an adapter; status.json beside the outbox
// holds it in JSON while the adapter runs.
type Status struct {
	Producer  string           `json:"producer"`
	Epoch     uint64           `json:"epoch"`
	At        time.Time        `json:"at"`
	Running   bool             `json:"running"`
	Outbox    outbox.Usage     `json:"outbox"`
	Streams   []StreamStatus   `json:"streams"`
	Resources []ResourceStatus `json:"resources"`
}

// StreamStatus is one stream.
type StreamStatus struct {
	Name         string            `json:"name"`
	Resource     string            `json:"resource"`
	Kind         string            `json:"kind"`
	State        string            `json:"state"`
	Reason       Reason            `json:"reason,omitzero"`
	LastRead     time.Time         `json:"last_read,omitzero"`
	Counts       outbox.Counts     `json:"counts"`
	Waiting      uint64            `json:"waiting"`
	Today        outbox.Counts     `json:"today"`
	OpenRefusals int               `json:"open_refusals"`
	Refusals     []RefusalStatus   `json:"refusals,omitempty"` // the newest
	Notices      []adapters.Notice `json:"notices,omitempty"`
}

// RefusalStatus is one open refusal of the adapter.
type RefusalStatus struct {
	At       time.Time          `json:"at"`
	Key      string             `json:"key,omitempty"`
	Problems []adapters.Problem `json:"problems"`
}

// ResourceStatus is one queue.
type ResourceStatus struct {
	Resource string `json:"resource"`
	outbox.Backlog
	Late     bool      `json:"late"`            // the oldest waits longer than outbox.max_age
	Halted   Reason    `json:"halted,omitzero"` // waits for a person
	Trouble  Reason    `json:"trouble,omitzero"`
	Since    time.Time `json:"since,omitzero"` // of Trouble
	Answered time.Time `json:"answered,omitzero"`
}

// refusalsShown is how many open refusals of a stream its status shows.
const refusalsShown = 10

// statusPause bounds how often status.json is written.
const statusPause = 500 * time.Millisecond

// statusEvery renews it when nothing changes, so that its age tells whether
// the adapter lives.
const statusEvery = 5 * time.Second

// Status says how everything stands.
func (r *Runner) Status() (Status, error) {
	st, err := BoxStatus(r.cfg.Adapter, r.cfg.Box, r.cfg.Now())
	if err != nil {
		return st, err
	}
	st.Running = true
	for i, s := range r.streams {
		s.mu.Lock()
		out := &st.Streams[i]
		out.State, out.Reason, out.LastRead, out.Notices = s.state, s.reason, s.lastRead, slices.Clone(s.notices)
		s.mu.Unlock()
	}
	for i := range st.Resources {
		q := r.senders[st.Resources[i].Resource]
		if q == nil {
			continue
		}
		q.mu.Lock()
		st.Resources[i].Halted, st.Resources[i].Trouble, st.Resources[i].Answered = q.halt, q.last, q.answered
		if !q.last.Empty() {
			st.Resources[i].Since = q.since
		}
		q.mu.Unlock()
	}
	return st, nil
}

// BoxStatus is the part of a Status that the outbox alone knows.
func BoxStatus(conf *adapters.Config, box *outbox.Box, now time.Time) (Status, error) {
	st := Status{At: now, Outbox: box.Usage()}
	st.Producer, st.Epoch = box.Producer()
	resources := box.Resources()
	for _, sc := range conf.Streams {
		s, err := boxStream(sc, box, now)
		if err != nil {
			return st, err
		}
		st.Streams = append(st.Streams, s)
		resources = append(resources, sc.Resource)
	}
	slices.Sort(resources)
	for _, res := range slices.Compact(resources) {
		b, err := box.Backlog(res)
		if err != nil {
			return st, fmt.Errorf("status of %s: %w", res, err)
		}
		late := !b.Oldest.IsZero() && now.Sub(b.Oldest) > time.Duration(conf.Outbox.MaxAge)
		st.Resources = append(st.Resources, ResourceStatus{Resource: res, Backlog: b, Late: late})
	}
	return st, nil
}

func boxStream(sc adapters.StreamConfig, box *outbox.Box, now time.Time) (StreamStatus, error) {
	s := StreamStatus{Name: sc.Name, Resource: sc.Resource, Kind: sc.KindName(), State: "not running", Counts: box.Totals(sc.Name)}
	s.Waiting = s.Counts.Waiting()
	var err error
	if s.Today, err = box.Day(sc.Name, outbox.DayOf(now)); err != nil {
		return s, fmt.Errorf("status of %s: %w", sc.Name, err)
	}
	list, open, err := box.Refusals(sc.Name, refusalsShown)
	if err != nil {
		return s, fmt.Errorf("status of %s: %w", sc.Name, err)
	}
	s.OpenRefusals = open
	for _, f := range list {
		rs := RefusalStatus{At: time.UnixMilli(f.At), Key: f.Key}
		if err := json.Unmarshal(f.Reasons, &rs.Problems); err != nil {
			return s, fmt.Errorf("status of %s: %w", sc.Name, err)
		}
		s.Refusals = append(s.Refusals, rs)
	}
	return s, nil
}

// Remember adds to a status of an adapter that does not run what the last run
// said: why a stream had stopped or a resource halted.
func (st *Status) Remember(last Status) {
	for i := range st.Streams {
		for _, l := range last.Streams {
			if s := &st.Streams[i]; s.Name == l.Name {
				s.Reason, s.LastRead, s.Notices = l.Reason, l.LastRead, l.Notices
			}
		}
	}
	for i := range st.Resources {
		for _, l := range last.Resources {
			if q := &st.Resources[i]; q.Resource == l.Resource {
				q.Halted, q.Trouble, q.Since, q.Answered = l.Halted, l.Trouble, l.Since, l.Answered
			}
		}
	}
}

// Text is the status in words.
func (st Status) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "生产者 producer %s  纪元 epoch %d  %s\n", st.Producer, st.Epoch, st.At.Format(time.RFC3339))
	fmt.Fprintf(&b, "发件箱 outbox %d / %d bytes", st.Outbox.Bytes, st.Outbox.MaxBytes)
	if st.Outbox.Blocked {
		b.WriteString("  已满,暂停读取 full, reading waits")
	}
	b.WriteString("\n")
	for _, s := range st.Streams {
		n := s.Counts
		fmt.Fprintf(&b, "\n流 stream %s → %s  [%s]\n", s.Name, s.Resource, s.State)
		if !s.Reason.Empty() {
			fmt.Fprintf(&b, "  %s\n  %s\n", s.Reason.Zh, s.Reason.En)
		}
		fmt.Fprintf(&b, "  读取 read %d = 过滤 filtered %d + 退回 refused %d + 未变 unchanged %d + 入队 queued %d\n", n.Read, n.Filtered, n.Refused, n.Unchanged, n.Queued)
		fmt.Fprintf(&b, "  入队 queued %d = 接收 accepted %d + 重复 duplicate %d + 过时 stale %d + 总线退回 rejected %d + 等待 waiting %d\n",
			n.Queued, n.Accepted, n.Duplicate, n.Stale, n.Rejected, s.Waiting)
		fmt.Fprintf(&b, "  质量提示 warnings %d  待更正 open refusals %d\n", n.Warnings, s.OpenRefusals)
		for _, f := range s.Refusals {
			for _, p := range f.Problems {
				fmt.Fprintf(&b, "    %s\n    %s\n", p.Zh, p.En)
			}
		}
		for _, notice := range s.Notices {
			fmt.Fprintf(&b, "  · %s\n    %s\n", notice.Zh, notice.En)
		}
	}
	for _, q := range st.Resources {
		fmt.Fprintf(&b, "\n队列 queue %s  等待 waiting %d", q.Resource, q.Waiting)
		if q.Late {
			fmt.Fprintf(&b, "  最早一条等待过久 the oldest has waited since %s", q.Oldest.Format(time.RFC3339))
		}
		b.WriteString("\n")
		for _, why := range []Reason{q.Halted, q.Trouble} {
			if !why.Empty() {
				fmt.Fprintf(&b, "  %s\n  %s\n", why.Zh, why.En)
			}
		}
	}
	return b.String()
}

// statusPath is where a running adapter keeps its status.
func statusPath(conf *adapters.Config) string {
	return filepath.Join(conf.Path(conf.Outbox.Dir), "status.json")
}

// ReadStatus reads what the adapter that has the outbox open wrote last.
func ReadStatus(conf *adapters.Config) (Status, error) {
	var st Status
	raw, err := os.ReadFile(statusPath(conf))
	if err != nil {
		return st, fmt.Errorf("read status: %w", err)
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("read status: %w", err)
	}
	return st, nil
}

// writeStatus is the last word when Run ends, and keepStatus's every one.
func (r *Runner) writeStatus(running bool) error {
	st, err := r.Status()
	st.Running = running
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return writeFile(statusPath(r.cfg.Adapter), raw, false)
}

func (r *Runner) keepStatus(ctx context.Context) error {
	late := map[string]bool{}
	for {
		if err := r.writeStatus(true); err != nil {
			r.cfg.Log.Warn("status not written", "error", err)
		}
		r.alarmLate(late)
		if err := wait(ctx, statusPause); err != nil {
			return err
		}
		t := time.NewTimer(statusEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-r.notify:
		}
		t.Stop()
	}
}

// alarmLate says once, for each resource, that its oldest record waits longer
// than outbox.max_age, and again after it had caught up.
func (r *Runner) alarmLate(late map[string]bool) {
	for resource := range r.senders {
		b, err := r.cfg.Box.Backlog(resource)
		if err != nil {
			continue
		}
		is := !b.Oldest.IsZero() && r.cfg.Now().Sub(b.Oldest) > time.Duration(r.cfg.Adapter.Outbox.MaxAge)
		if is && !late[resource] {
			r.cfg.Log.Error("records wait longer than outbox.max_age", "resource", resource, "waiting", b.Waiting, "oldest", b.Oldest)
		}
		late[resource] = is
	}
}
