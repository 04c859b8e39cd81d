package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
	"github.com/hutong-bus/hutong/adapters/runner"
	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// callTimeout bounds one call with the client's own retries on other nodes.
const callTimeout = 20 * time.Second

// askTimeout is callTimeout for check and preview, where a person waits.
const askTimeout = 5 * time.Second

// bus makes the client of a node into what the runner needs.
type bus struct {
	client             *api.Client
	department, system string
}

func newBus(conf *adapters.Config, timeout time.Duration) (*bus, error) {
	c, err := api.NewClient(api.ClientConfig{Server: conf.Bus, CredentialFile: conf.Path(conf.CredentialFile), CAFile: conf.Path(conf.CAFile),
		Language: "zh", Timeout: timeout})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", adapters.ErrConfig, err)
	}
	return &bus{client: c, department: conf.Department, system: conf.System}, nil
}

// Publish implements runner.Bus.
func (b *bus) Publish(ctx context.Context, resource, producer string, epoch uint64, lines [][]byte) ([]runner.Item, error) {
	answer, err := b.client.Publish(ctx, api.Publish{Resource: resource, Producer: producer, Epoch: epoch, Lines: lines})
	if err != nil {
		return nil, busError(err)
	}
	items := make([]runner.Item, len(answer.Items))
	for i, it := range answer.Items {
		if it.Index != i {
			return nil, fmt.Errorf("answer %d stands for record %d", i, it.Index)
		}
		items[i] = runner.Item{Status: it.Status, Offset: it.Offset, Version: it.Version, Leaf: it.Leaf, Expected: it.Expected, More: it.More}
		for _, f := range it.Errors {
			items[i].Errors = append(items[i].Errors, runner.Fault{Pointer: f.Pointer, Keyword: f.Keyword, Code: f.Code, Message: f.Message})
		}
	}
	return items, nil
}

// Schema implements runner.Bus: the version pinned for this system, else the
// newest accepted.
func (b *bus) Schema(ctx context.Context, resource string) (runner.Schema, error) {
	r, err := api.Object[api.Resource](ctx, b.client, "resources", resource)
	if err != nil {
		return runner.Schema{}, busError(err)
	}
	version := r.SchemaVersion
	if s, err := api.Object[api.System](ctx, b.client, "departments", b.department, "systems", b.system); err == nil && s.Pinned[resource] > 0 {
		version = s.Pinned[resource]
	}
	if version == 0 {
		return runner.Schema{}, fmt.Errorf("%s has no schema yet", resource)
	}
	raw, err := b.client.Raw(ctx, nil, "resources", resource, "schemas", fmt.Sprint(version))
	if err != nil {
		return runner.Schema{}, busError(err)
	}
	return runner.Schema{Resource: resource, Version: version, Key: r.Key, Raw: raw}, nil
}

// busError turns a problem document into the runner's error.
func busError(err error) error {
	var p *api.Problem
	if !errors.As(err, &p) {
		return err
	}
	return &runner.BusError{Code: string(p.Code), Detail: p.Detail, Expected: p.Expected, RetryAfter: time.Duration(p.RetryAfter) * time.Second}
}

// judge loads a stream's mapping and sets it against schema.
func judge(conf *adapters.Config, stream adapters.StreamConfig, schema runner.Schema) (adapters.Judge, error) {
	m, err := mapping.Load(conf.Path(stream.Mapping))
	if err != nil {
		return nil, err
	}
	if m.Resource() != stream.Resource {
		return nil, fmt.Errorf("%w: mapping %s is for resource %s, the stream's is %s", adapters.ErrConfig, stream.Mapping, m.Resource(), stream.Resource)
	}
	if err := sameKey(m.Key(), schema.Key); err != nil {
		return nil, fmt.Errorf("%w: mapping %s: %w", adapters.ErrConfig, stream.Mapping, err)
	}
	s, err := schemas.Compile(stream.Resource, schema.Version, schema.Raw)
	if err != nil {
		return nil, fmt.Errorf("compile schema %s version %d: %w", stream.Resource, schema.Version, err)
	}
	return mapping.NewJudge(m, s)
}

// sameKey refuses a mapping whose key is not the resource's: every record
// would come back. A resource without key fields takes any key.
func sameKey(mapped, resource []string) error {
	if len(resource) == 0 {
		return nil
	}
	a, errA := json.Marshal(mapped)
	b, errB := json.Marshal(resource)
	if errors.Join(errA, errB) == nil && string(a) == string(b) {
		return nil
	}
	return fmt.Errorf("key 应为 %s,实为 %s / the key is %s, the resource's is %s", b, a, a, b)
}
