package replica

import (
	"context"

	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// machine is what replica needs of the state machine; see state.Machine for the
// meaning of each method.
type machine interface {
	Apply(entries []state.Entry) ([][]state.Result, error)
	Applied() (index uint64, timeMs int64, running [32]byte)
	Link(node string) (epoch, number uint64)
	WaitApplied(ctx context.Context, index uint64) error
	Flush() (index uint64, err error)
	Checkpoint(dir string) error
	Swap(db *store.DB) (drained <-chan struct{}, err error)
	// head is the tree head and the running hash after one index.
	head() (record.Mark, error)
}

// stateMachine is the real one.
type stateMachine struct{ *state.Machine }

func (m stateMachine) head() (record.Mark, error) {
	v, err := m.View()
	if err != nil {
		return record.Mark{}, err
	}
	defer v.Close()
	index, _, running := v.Applied()
	root, err := v.Root()
	if err != nil {
		return record.Mark{}, err
	}
	return record.Mark{Index: index, Size: v.TreeSize(), Root: root, Running: running}, nil
}
