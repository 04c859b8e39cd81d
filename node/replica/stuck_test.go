package replica

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// farewellConn says farewell before it closes, as TLS does, and waits for room to say it.
type farewellConn struct{ net.Conn }

func (c farewellConn) NetConn() net.Conn { return c.Conn }

func (c farewellConn) Close() error {
	if c.SetWriteDeadline(time.Time{}) == nil { // not closed yet, and there is no room
		time.Sleep(5 * time.Second) // the bubble's
	}
	return c.Conn.Close()
}

// A host that loses power takes nothing and says nothing. A send to it must not
// keep the link from the next leader, nor the node from its end. Time is the bubble's.
func TestLinkLeavesALeaderThatTakesNothing(t *testing.T) {
	tests := []struct {
		name string
		next string // who leads then, "" the node ends instead
		want time.Duration
	}{
		{"another leads", "n3", 2 * linkTick},
		{"the node ends", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer there.Close()
				go func() {
					grant := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 1<<20), 0)
					_, _ = there.Write(appendFrame(nil, frameGrant, grant)) // then the power fails
				}()
				var leads atomic.Value
				leads.Store("n2")
				reached := make(chan struct{}, 100)
				l := &link{
					node: "n1", waitingBytes: 1 << 20, leader: func() string { return leads.Load().(string) },
					open: func(ctx context.Context, id string) (*outbound, error) {
						if id != "n2" {
							reached <- struct{}{}
							return nil, ErrUnreachable
						}
						return openRemote(ctx, func(context.Context, string) (net.Conn, error) { return farewellConn{here}, nil }, id)
					},
					epochOf: func() (uint64, error) { return 0, nil }, keepEpoch: func(uint64) error { return nil },
					applied: func() uint64 { return 0 }, waitIndex: func(context.Context, uint64) error { return nil },
					fail: func(err error) { t.Error(err) }, resendAfter: resendAfter, noLeader: noLeaderAfter, patience: resendAfter,
					kick: make(chan struct{}, 1), leaderAt: time.Now(), progress: time.Now(),
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { l.run(ctx); close(ended) }()
				n := &node{t: t, id: "n1"}
				if _, err := l.add([][]byte{n.section(strings.Repeat("x", 1000), 0)}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the send waits for room
				began := time.Now()
				if tt.next != "" {
					leads.Store(tt.next)
					<-reached
				} else {
					stop()
					<-ended
				}
				if took := time.Since(began); took > tt.want {
					t.Errorf("took %s, want at most %s", took, tt.want)
				}
				stop()
				<-ended
			})
		})
	}
}
