package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// schemaTimeout bounds asking for a schema: offline, the copy on disk serves.
const schemaTimeout = 10 * time.Second

// schemaCache asks the bus and keeps the answer on disk, so that an adapter
// that starts while the bus is away still reads, judges and queues.
type schemaCache struct {
	dir string
	bus Bus
	mu  sync.Mutex // one writer of the files
}

// get returns the bus's schema, or the one on disk where the bus does not
// answer. Errors: ErrNoSchema when there is neither.
func (c *schemaCache) get(ctx context.Context, resource string) (Schema, error) {
	s, err := c.ask(ctx, resource)
	if err == nil {
		return s, c.save(s)
	}
	if ctx.Err() != nil {
		return Schema{}, context.Cause(ctx)
	}
	s, derr := c.saved(resource)
	if derr != nil {
		return Schema{}, fmt.Errorf("schema of %s: %w: %w", resource, ErrNoSchema, errors.Join(err, derr))
	}
	return s, nil
}

// moved reports whether the bus now wants another version than have. It keeps
// the new one on disk.
func (c *schemaCache) moved(ctx context.Context, have Schema) bool {
	s, err := c.ask(ctx, have.Resource)
	if err != nil || s.Version == have.Version {
		return false
	}
	return c.save(s) == nil
}

func (c *schemaCache) ask(ctx context.Context, resource string) (Schema, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, schemaTimeout, errors.New("the bus did not answer in time"))
	defer cancel()
	s, err := c.bus.Schema(ctx, resource)
	if err != nil {
		return Schema{}, fmt.Errorf("ask for the schema of %s: %w", resource, err)
	}
	s.Resource = resource
	return s, nil
}

// CachedSchema reads the copy of a schema that an adapter keeps beside its
// outbox; os.ErrNotExist where there is none.
func CachedSchema(outboxDir, resource string) (Schema, error) {
	return (&schemaCache{dir: filepath.Join(outboxDir, "schemas")}).saved(resource)
}

func (c *schemaCache) saved(resource string) (Schema, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, resource+".json"))
	if err != nil {
		return Schema{}, fmt.Errorf("read cached schema: %w", err)
	}
	var s Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return Schema{}, fmt.Errorf("read cached schema: %w", err)
	}
	return s, nil
}

func (c *schemaCache) save(s Schema) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("cache schema: %w", err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("cache schema: %w", err)
	}
	return writeFile(filepath.Join(c.dir, s.Resource+".json"), raw, true)
}

// writeFile replaces a file whole: a reader sees the old or the new. Where it
// is durable, that holds after a loss of power too.
func writeFile(path string, raw []byte, durable bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(raw)
	if durable {
		err = errors.Join(err, f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
