package schemas

import (
	"container/list"
	"fmt"
	"sync"
)

// DefaultCacheBytes holds about a thousand schemas of thirty fields.
const DefaultCacheBytes = 96 << 20

// Cache keeps compiled schemas, the least recently used leaving first when their estimated
// memory passes the budget. A schema version is immutable, so an entry is never stale. It is
// safe for concurrent use; a schema wanted by several callers at once is compiled once.
type Cache struct {
	budgetBytes int64

	mu      sync.Mutex
	entries map[versionKey]*list.Element // of *cached
	order   *list.List                   // most recently used first
	bytes   int64
	pending map[versionKey]*pending
}

type versionKey struct {
	resource string
	version  uint32
}

type cached struct {
	key    versionKey
	schema *Schema
}

// pending is a compilation under way; done is closed when schema and err are set.
type pending struct {
	done   chan struct{}
	schema *Schema
	err    error
}

// NewCache returns a cache that holds up to budgetBytes; a budget of 0 or less is DefaultCacheBytes.
// The schema used last stays even where it alone is larger.
func NewCache(budgetBytes int64) *Cache {
	if budgetBytes <= 0 {
		budgetBytes = DefaultCacheBytes
	}
	return &Cache{budgetBytes: budgetBytes, entries: map[versionKey]*list.Element{}, order: list.New(), pending: map[versionKey]*pending{}}
}

// Get returns the compiled schema version, calling load for its bytes where it is not held. An
// error of load comes back wrapped, one of Compile as it is (*ProfileError); errors are not kept.
func (c *Cache) Get(resource string, version uint32, load func() ([]byte, error)) (*Schema, error) {
	key := versionKey{resource, version}
	c.mu.Lock()
	if e, ok := c.entries[key]; ok {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(*cached).schema, nil
	}
	if p, ok := c.pending[key]; ok {
		c.mu.Unlock()
		<-p.done
		return p.schema, p.err
	}
	p := &pending{done: make(chan struct{}), err: fmt.Errorf("load schema %s version %d: interrupted", resource, version)}
	c.pending[key] = p
	c.mu.Unlock()

	defer func() {
		c.mu.Lock()
		delete(c.pending, key)
		if p.err == nil {
			c.keep(key, p.schema)
		}
		c.mu.Unlock()
		close(p.done)
	}()
	raw, err := load()
	if err != nil {
		p.err = fmt.Errorf("load schema %s version %d: %w", resource, version, err)
		return nil, p.err
	}
	p.schema, p.err = Compile(resource, version, raw)
	return p.schema, p.err
}

// keep adds a schema and drops the oldest over the budget; c.mu is held.
func (c *Cache) keep(key versionKey, s *Schema) {
	c.entries[key] = c.order.PushFront(&cached{key, s})
	c.bytes += s.Size()
	for c.bytes > c.budgetBytes && c.order.Len() > 1 {
		oldest := c.order.Remove(c.order.Back()).(*cached)
		delete(c.entries, oldest.key)
		c.bytes -= oldest.schema.Size()
	}
}

// Bytes returns the estimated memory of what is held, and how many schemas there are.
func (c *Cache) Bytes() (bytes int64, schemas int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, c.order.Len()
}
