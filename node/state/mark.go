package state

import (
	"fmt"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// mark compares the tree head and running hash that the proposer had after an
// entry with those kept here (invariant 6). Another value than here is
// ErrDiverged: this replica must not go on.
func (w *work) mark(s []byte, res *Result) {
	_, m, err := record.DecodeMark(s)
	if err != nil {
		w.unreadable(res, err)
		return
	}
	b, ok := w.get(ringKey(m.Index))
	var kept standing
	if ok {
		kept, err = decodeStanding(b)
		w.fail(err)
	}
	if !ok || kept.index != m.Index || m.Index >= w.index {
		res.Err = &Refusal{Code: CodeNotFound, Detail: "the marked entry is not among the last 4,096"}
		return
	}
	if kept.size != m.Size || kept.running != m.Running {
		w.fail(fmt.Errorf("%w: after entry %d this replica has %d leaves and running hash %x, the mark says %d and %x",
			ErrDiverged, m.Index, kept.size, kept.running, m.Size, m.Running))
		return
	}
	root, err := tlog.TreeHash(int64(m.Size), tlog.HashReaderFunc(w.readEdge))
	w.fail(err)
	if w.err == nil && root != m.Root {
		w.fail(fmt.Errorf("%w: the root of %d leaves is %s here, the mark says %s", ErrDiverged, m.Size, root, tlog.Hash(m.Root)))
		return
	}
	w.set(metaKey(metaMark), encodeMark(MarkState{Index: m.Index, Size: m.Size, Root: root, Running: m.Running, Time: w.time}))
	res.Code = Applied
}
