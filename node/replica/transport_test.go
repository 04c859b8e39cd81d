package replica

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// stuckPipeline has no room, for ever.
type stuckPipeline struct {
	raft.AppendPipeline
	once   sync.Once
	closed chan struct{}
}

func (s *stuckPipeline) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-s.closed
	return nil, raft.ErrPipelineShutdown
}

func (s *stuckPipeline) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func TestStuckPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{open: map[*pipeline]struct{}{}}
		p, err := tr.watch(&stuckPipeline{closed: make(chan struct{})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := p.AppendEntries(nil, nil); !errors.Is(err, raft.ErrPipelineShutdown) || time.Since(began) != pipelineStuck {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if err := p.Close(); err != nil || len(tr.open) != 0 {
			t.Errorf("%v, %d open", err, len(tr.open))
		}
		// A node that closes does not wait for it.
		if p, err = tr.watch(&stuckPipeline{closed: make(chan struct{})}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.AppendEntries(nil, nil) })
		synctest.Wait()
		began = time.Now()
		tr.cut()
		wg.Wait()
		if time.Since(began) != 0 {
			t.Errorf("cut took %s", time.Since(began))
		}
		late := &stuckPipeline{closed: make(chan struct{})}
		if _, err := tr.watch(late); !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("opened after the cut: %v", err)
		}
		<-late.closed
	})
}
