package replica

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipelineStuck is how long a pipeline may hold up its sender: as long as the
// transport waits for an answer.
const pipelineStuck = 10 * time.Second

// transport is raft's network transport with pipelines that cannot stay stuck.
// In raft v1.8.0 a pipeline's decoder ends at a newer term or a refusal without
// taking the answers that still come; the sender then waits for ever for room in
// the pipeline, and Shutdown waits for the sender.
type transport struct {
	*raft.NetworkTransport

	mu   sync.Mutex
	open map[*pipeline]struct{}
	shut bool
}

var _ raft.WithPreVote = (*transport)(nil)

// AppendEntriesPipeline opens a pipeline. It returns raft.ErrPipelineShutdown after cut.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return t.watch(inner)
}

func (t *transport) watch(inner raft.AppendPipeline) (raft.AppendPipeline, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		_ = inner.Close()
		return nil, raft.ErrPipelineShutdown
	}
	p := &pipeline{AppendPipeline: inner, t: t}
	t.open[p] = struct{}{}
	return p, nil
}

// cut ends all pipelines, so that who waits in one returns, and lets none open any more.
func (t *transport) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	for p := range t.open {
		_ = p.AppendPipeline.Close()
	}
}

// pipeline ends itself when it holds up its sender for too long.
type pipeline struct {
	raft.AppendPipeline
	t *transport
}

// AppendEntries sends a request; one that finds no room in time ends the pipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	watchdog := time.AfterFunc(pipelineStuck, func() { _ = p.AppendPipeline.Close() })
	defer watchdog.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close ends the pipeline.
func (p *pipeline) Close() error {
	p.t.mu.Lock()
	delete(p.t.open, p)
	p.t.mu.Unlock()
	return p.AppendPipeline.Close()
}
