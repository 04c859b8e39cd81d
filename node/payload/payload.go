// Package payload says where the bodies of accepted records lie. In the embedded
// plane, the only one built, they lie in the state's own segments: putting is
// empty, because node/state writes the segment in the batch that accepts the
// record, and getting reads it from there.
//
// # Invariant
//
// Accepted means kept (1): a plane's PutAll returns only when the bodies are as
// safe as the receipt will say. For the embedded plane that is the log's
// majority fsync, which the proposal waits for anyway.
//
// # Concurrency
//
// A Plane is safe for concurrent use. What GetAll returns may share memory
// between positions and must not be changed.
//
// # Never
//
// It never decides who may see a body, never projects, and never caches.
package payload

import (
	"context"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

var (
	// ErrNotFound is returned when no accepted record has the position.
	ErrNotFound = errors.New("payload: no record there")
	// ErrCorrupt is returned when the segment at a position is not what was
	// written.
	ErrCorrupt = errors.New("payload: corrupt segment")
)

// Position names the body of an accepted record.
type Position struct {
	Resource uint32 // resource number
	Offset   uint64
}

// Plane puts bodies where they are kept and gets them back.
type Plane interface {
	// PutAll keeps the bodies of sections before they are proposed. The embedded
	// plane has nothing to do.
	PutAll(ctx context.Context, sections [][]byte) error
	// GetAll gives the bodies at positions, in their order; that of a withdrawal is
	// empty. It returns ErrNotFound, ErrCorrupt, ctx's cause or a store error.
	GetAll(ctx context.Context, at []Position) ([][]byte, error)
}

// Embedded is the plane in which bodies lie in the state. Its zero value is not
// usable.
type Embedded struct {
	// Read opens a picture of the state; release is called when it was read.
	Read func() (r store.Reader, release func(), err error)
}

var _ Plane = Embedded{}

// PutAll does nothing: the section is the segment.
func (Embedded) PutAll(context.Context, [][]byte) error { return nil }

// GetAll reads each segment once for all neighbouring positions in it.
func (e Embedded) GetAll(ctx context.Context, at []Position) ([][]byte, error) {
	r, release, err := e.Read()
	if err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	defer release()
	bodies := make([][]byte, len(at))
	var seg opened
	for i, p := range at {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !seg.holds(p) {
			if seg, err = open(r, p); err != nil {
				return nil, fmt.Errorf("body %d of resource %d: %w", p.Offset, p.Resource, err)
			}
		}
		place := seg.rows[p.Offset-seg.first].Place
		if place >= len(seg.recs) {
			return nil, fmt.Errorf("body %d of resource %d: %w", p.Offset, p.Resource, ErrCorrupt)
		}
		bodies[i] = seg.recs[place].Body
	}
	return bodies, nil
}

// opened is a decoded segment.
type opened struct {
	resource uint32
	first    uint64
	rows     []store.SegmentRow
	recs     []record.SectionRecord
}

func (o *opened) holds(p Position) bool {
	return p.Resource == o.resource && p.Offset >= o.first && p.Offset-o.first < uint64(len(o.rows))
}

func open(r store.Reader, p Position) (opened, error) {
	first, seg, err := store.SegmentAt(r, p.Resource, p.Offset)
	if errors.Is(err, store.ErrNotFound) {
		return opened{}, ErrNotFound
	}
	if err != nil {
		return opened{}, err
	}
	_, recs, err := record.DecodeRecords(seg.Section)
	if err != nil {
		return opened{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return opened{resource: p.Resource, first: first, rows: seg.Rows, recs: recs}, nil
}
