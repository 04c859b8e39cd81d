package state

import (
	"container/list"
	"sync"
)

// segmentCache keeps decoded segments for readers, newest use first, bounded by
// bytes. Many subscribers read the same new segment within moments.
type segmentCache struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	order *list.List // of *cachedSegment, most recently used first
	at    map[segmentID]*list.Element
}

type segmentID struct {
	resource uint32
	first    uint64
}

type cachedSegment struct {
	id    segmentID
	seg   *Segment
	bytes int64
}

func newSegmentCache(limit int64) *segmentCache {
	return &segmentCache{limit: limit, order: list.New(), at: make(map[segmentID]*list.Element)}
}

func (c *segmentCache) get(id segmentID) *Segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.at[id]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedSegment).seg
}

func (c *segmentCache) put(id segmentID, seg *Segment, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[id] != nil || bytes > c.limit/4 {
		return
	}
	c.at[id] = c.order.PushFront(&cachedSegment{id, seg, bytes})
	c.bytes += bytes
	for c.bytes > c.limit {
		last := c.order.Back()
		old := c.order.Remove(last).(*cachedSegment)
		delete(c.at, old.id)
		c.bytes -= old.bytes
	}
}
