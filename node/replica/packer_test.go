package replica

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

func sectionOf(t *testing.T, node string, epoch, number uint64, size int) []byte {
	t.Helper()
	s, err := record.EncodeCommand(record.Header{Node: node, LinkEpoch: epoch, LinkNumber: number}, make([]byte, size))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testPacker() *packer {
	return newPacker(nil, func() int64 { return 1 }, func() uint64 { return 9 })
}

func TestPackerChecksNumbers(t *testing.T) {
	type step struct {
		node          string
		epoch, number uint64
		want          error
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"dense", []step{{"a", 3, 1, nil}, {"a", 3, 2, nil}, {"a", 3, 3, nil}}},
		{"must begin with 1", []step{{"a", 3, 2, ErrForeignSection}}},
		{"epoch 0 is none", []step{{"a", 0, 1, ErrForeignSection}}},
		{"gap", []step{{"a", 3, 1, nil}, {"a", 3, 3, ErrForeignSection}}},
		{"again", []step{{"a", 3, 1, nil}, {"a", 3, 1, ErrForeignSection}}},
		{"new epoch", []step{{"a", 3, 1, nil}, {"a", 5, 1, nil}, {"a", 5, 2, nil}}},
		{"new epoch in the middle", []step{{"a", 3, 1, nil}, {"a", 5, 2, ErrForeignSection}}},
		{"old epoch", []step{{"a", 3, 1, nil}, {"a", 2, 1, ErrForeignSection}}},
		{"another node's", []step{{"b", 3, 1, ErrForeignSection}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := testPacker()
			p.begin()
			in, err := p.open("a", 1<<20, func() {})
			if err != nil || in.index != 9 {
				t.Fatal(in, err)
			}
			for i, s := range tt.steps {
				if err := p.offer(in, sectionOf(t, s.node, s.epoch, s.number, 10)); !errors.Is(err, s.want) {
					t.Errorf("step %d: %v, want %v", i, err, s.want)
				}
			}
		})
	}
	p := testPacker()
	p.begin()
	in, _ := p.open("a", 1<<20, func() {})
	if err := p.offer(in, []byte("nonsense that is long enough to be one")); !errors.Is(err, ErrForeignSection) {
		t.Errorf("nonsense: %v", err)
	}
}

// What waits of an older epoch would only be answered resend: it is dropped
// before it becomes log.
func TestPackerDropsOlderEpochs(t *testing.T) {
	p := testPacker()
	p.begin()
	a, _ := p.open("a", 1<<20, func() {})
	b, _ := p.open("b", 1<<20, func() {})
	for _, s := range []struct {
		in *inbound
		e  uint64
		n  uint64
	}{{a, 1, 1}, {b, 1, 1}, {a, 1, 2}, {a, 2, 1}, {b, 1, 2}} {
		if err := p.offer(s.in, sectionOf(t, s.in.node, s.e, s.n, 10)); err != nil {
			t.Fatal(err)
		}
	}
	var got [][3]any
	for _, s := range p.take(0) {
		h, err := record.ParseHeader(s)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, [3]any{h.Node, h.LinkEpoch, h.LinkNumber})
	}
	want(t, "packed", got, [][3]any{{"b", uint64(1), uint64(1)}, {"a", uint64(2), uint64(1)}, {"b", uint64(1), uint64(2)}})
	if p.bytes != 0 || a.waiting != 0 || b.waiting != 0 {
		t.Errorf("%d, %d, %d bytes left", p.bytes, a.waiting, b.waiting)
	}
}

func TestPackerClosesEntries(t *testing.T) {
	tests := []struct {
		name   string
		sizes  []int
		flying int
		want   int // sections taken
	}{
		{"nothing waits", nil, 0, 0},
		{"the first waits for nobody", []int{10}, 0, 1},
		{"the second waits for 32 KiB", []int{10}, 1, 0},
		{"the second goes with 32 KiB", []int{20 << 10, 20 << 10}, 1, 2},
		{"no third", []int{100 << 10}, 2, 0},
		{"closed at 256 KiB", []int{100 << 10, 100 << 10, 100 << 10}, 0, 2},
		{"one alone may be larger", []int{1 << 20, 10}, 0, 1},
		{"a large one does not join", []int{10, 1 << 20}, 0, 1},
	}
	for _, tt := range tests {
		p := testPacker()
		p.begin()
		in, _ := p.open("a", 8<<20, func() {})
		for i, n := range tt.sizes {
			if err := p.offer(in, sectionOf(t, "a", 1, uint64(i+1), n)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(p.take(tt.flying)); got != tt.want {
			t.Errorf("%s: %d sections, want %d", tt.name, got, tt.want)
		}
	}
	p := testPacker()
	p.begin()
	in, _ := p.open("a", 100, func() {})
	for i, want := range []error{nil, nil, ErrTooLarge} {
		if err := p.offer(in, sectionOf(t, "a", 1, uint64(i+1), 10)); i == 2 && !errors.Is(err, want) {
			t.Errorf("beyond the window: %v", err)
		}
	}
	if err := p.offer(in, make([]byte, state.MaxEntryBytes)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond an entry: %v", err)
	}
}

func TestPackerLinks(t *testing.T) {
	p := testPacker()
	if _, err := p.open("a", 1, func() {}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("not leading: %v", err)
	}
	p.begin()
	cut := 0
	old, _ := p.open("a", 1<<20, func() { cut++ })
	if err := p.offer(old, sectionOf(t, "a", 1, 1, 10)); err != nil {
		t.Fatal(err)
	}
	neu, _ := p.open("a", 1<<20, func() { cut++ })
	if cut != 1 || len(p.queue) != 0 {
		t.Errorf("the older link of the node was cut %d times, %d sections left", cut, len(p.queue))
	}
	if err := p.offer(old, sectionOf(t, "a", 1, 2, 10)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("on the older link: %v", err)
	}
	if err := p.offer(neu, sectionOf(t, "a", 2, 1, 10)); err != nil {
		t.Error(err)
	}
	p.end()
	if cut != 2 || len(p.queue) != 0 || p.bytes != 0 {
		t.Errorf("end: %d cut, %d queued", cut, len(p.queue))
	}
}

type fakeFuture struct {
	raft.ApplyFuture
	err error
}

func (f fakeFuture) Error() error { return f.err }

// An entry that fails ends all links: their nodes resend.
func TestPackerFailure(t *testing.T) {
	p := newPacker(func(e []byte) raft.ApplyFuture {
		if _, err := state.DecodeEntry(1, e); err != nil {
			t.Error(err)
		}
		return fakeFuture{err: raft.ErrLeadershipLost}
	}, func() int64 { return 5 }, func() uint64 { return 0 })
	p.begin()
	cut := make(chan struct{})
	in, _ := p.open("a", 1<<20, func() { close(cut) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	if err := p.offer(in, sectionOf(t, "a", 1, 1, 10)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-cut:
	case <-time.After(20 * time.Second):
		t.Fatal("link not cut")
	}
	if p.isActive() {
		t.Error("packing goes on")
	}
	cancel()
	<-done
}

func TestFrames(t *testing.T) {
	b := appendFrame(nil, frameCall, []byte("abc"), []byte("de"))
	golden(t, "frame_v1.hex", b)
	kind, body, err := readFrame(bytes.NewReader(b))
	if kind != frameCall || string(body) != "abcde" || err != nil {
		t.Errorf("%d %q %v", kind, body, err)
	}
	for _, bad := range [][]byte{{0, 0, 0, 0, 1}, {0xff, 0, 0, 0, 1}} {
		if _, _, err := readFrame(bytes.NewReader(bad)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("length %v: %v", bad, err)
		}
	}
	if _, _, err := readFrame(bytes.NewReader(b[:len(b)-1])); err == nil {
		t.Error("cut frame read")
	}
}
