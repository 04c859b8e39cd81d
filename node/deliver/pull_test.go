package deliver

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas/record"
)

// plumbing is Reader and Proposer of funcs.
type plumbing struct {
	read    func(limit int) (Batch, error)
	check   func(Batch) error
	propose func(record.CursorMove) error
}

func (p plumbing) Read(_ context.Context, _ string, limit int) (Batch, error) { return p.read(limit) }
func (p plumbing) Check(_ context.Context, b Batch) error                     { return p.check(b) }
func (p plumbing) Propose(_ context.Context, m record.CursorMove) error       { return p.propose(m) }

// TestPull: a batch leaves only after its move is in the log, and only if the
// right to it still stands then.
func TestPull(t *testing.T) {
	revoked, noLeader, stale := errors.New("revoked"), errors.New("no leader"), errors.New("not fresh")
	full, err := Make(order(0, 0, 3), run(1, 3), true, views(t))
	if err != nil {
		t.Fatal(err)
	}
	idle, err := Make(order(3, 3, 3), nil, true, views(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name                           string
		batch                          Batch
		readErr, proposeErr, checkErr  error
		wantCalls                      []string
		wantErr                        error
		limit, wantLimit, wantReceived int
	}{
		{name: "handed out", batch: full, wantCalls: []string{"read", "propose", "check"}, limit: 10, wantLimit: 10, wantReceived: 3},
		{name: "no limit", batch: full, wantCalls: []string{"read", "propose", "check"}, limit: 0, wantLimit: MaxRecords, wantReceived: 3},
		{name: "greedy", batch: full, wantCalls: []string{"read", "propose", "check"}, limit: 1 << 20, wantLimit: MaxRecords, wantReceived: 3},
		{name: "nothing there", batch: idle, wantCalls: []string{"read"}, limit: 1, wantLimit: 1},
		{name: "not fresh", readErr: stale, wantCalls: []string{"read"}, wantErr: stale, limit: 1, wantLimit: 1},
		{name: "not in the log", batch: full, proposeErr: noLeader, wantCalls: []string{"read", "propose"}, wantErr: noLeader, limit: 1, wantLimit: 1},
		{name: "revoked in between", batch: full, checkErr: revoked, wantCalls: []string{"read", "propose", "check"}, wantErr: revoked, limit: 1, wantLimit: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls []string
			p := plumbing{
				read: func(limit int) (Batch, error) {
					if calls = append(calls, "read"); limit != tt.wantLimit {
						t.Errorf("asked for %d records, want %d", limit, tt.wantLimit)
					}
					return tt.batch, tt.readErr
				},
				propose: func(m record.CursorMove) error {
					if calls = append(calls, "propose"); m != tt.batch.Move {
						t.Errorf("proposed %+v", m)
					}
					return tt.proposeErr
				},
				check: func(b Batch) error {
					if calls = append(calls, "check"); b.Move != tt.batch.Move {
						t.Errorf("checked another batch")
					}
					return tt.checkErr
				},
			}
			b, err := Pull(t.Context(), p, p, "s", tt.limit)
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("got %v, want %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.wantCalls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if len(b.Records) != tt.wantReceived {
				t.Errorf("received %d records", len(b.Records))
			}
		})
	}
}

func TestAck(t *testing.T) {
	noLeader := errors.New("no leader")
	for _, tt := range []struct {
		name       string
		through    uint64
		proposeErr error
		want       *record.CursorMove
		wantErr    error
	}{
		{"part", 4, nil, &record.CursorMove{Subscription: "s", Action: record.ActionAck, From: 3, Through: 4, GrantRevision: 4, System: "fgw.s"}, nil},
		{"all", 7, nil, &record.CursorMove{Subscription: "s", Action: record.ActionAck, From: 3, Through: 7, GrantRevision: 4, System: "fgw.s"}, nil},
		{"again", 2, nil, nil, nil},
		{"nothing", 0, nil, nil, nil},
		{"more than was handed out", 8, nil, nil, ErrAhead},
		{"no leader", 7, noLeader, &record.CursorMove{Subscription: "s", Action: record.ActionAck, From: 3, Through: 7, GrantRevision: 4, System: "fgw.s"}, noLeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got *record.CursorMove
			p := plumbing{propose: func(m record.CursorMove) error { got = &m; return tt.proposeErr }}
			if err := Ack(t.Context(), p, order(2, 7, 9), tt.through); !errors.Is(err, tt.wantErr) {
				t.Errorf("got %v, want %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("proposed (-want +got):\n%s", diff)
			}
		})
	}
}
