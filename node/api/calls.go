package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ProducerHeader is the header that names the producer of a batch.
const ProducerHeader = "Hutong-Producer"

// ProducerValue is the header's value: "<producer>; epoch=<n>".
func ProducerValue(producer string, epoch uint64) string {
	return fmt.Sprintf("%s; epoch=%d", producer, epoch)
}

// Publish describes one batch.
type Publish struct {
	Resource string
	Producer string // empty: records are told apart by id
	Epoch    uint64
	Strict   bool     // all or nothing
	Lines    [][]byte // records in wire form, one each, without line ends
}

// Publish sends many records and returns the answer to each. Records without
// id and seq may be published twice when an answer is lost.
func (c *Client) Publish(ctx context.Context, p Publish) (PublishAnswer, error) {
	var out PublishAnswer
	h := http.Header{"Content-Type": {"application/x-ndjson"}}
	if p.Producer != "" {
		h.Set(ProducerHeader, ProducerValue(p.Producer, p.Epoch))
	}
	if p.Strict {
		h.Set("Prefer", "handling=strict")
	}
	r, err := c.call(ctx, &request{method: http.MethodPost, path: resourcePath(p.Resource, "records"), header: h, body: bytes.Join(p.Lines, []byte("\n"))})
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(r.body, &out); err != nil {
		return out, fmt.Errorf("decode publish answer: %w", err)
	}
	return out, nil
}

// PublishOne sends one record and returns its receipt. A duplicate returns
// the first receipt with Status "duplicate".
func (c *Client) PublishOne(ctx context.Context, resource string, record []byte) (Receipt, error) {
	out, _, err := send[Receipt](ctx, c, http.MethodPost, resourcePath(resource, "records"), json.RawMessage(record), nil)
	return out, err
}

// Validate judges one record without storing it.
func (c *Client) Validate(ctx context.Context, resource string, record []byte) (Verdict, error) {
	out, _, err := send[Verdict](ctx, c, http.MethodPost, resourcePath(resource, "validate"), json.RawMessage(record), nil)
	return out, err
}

// ReadOptions choose a page.
type ReadOptions struct {
	After uint64
	Limit int           // 0: the server's choice
	Wait  time.Duration // long poll
	Grant string        // needed where the caller has several
}

func (o ReadOptions) query() url.Values {
	q := url.Values{}
	if o.After > 0 {
		q.Set("after", strconv.FormatUint(o.After, 10))
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Wait > 0 {
		q.Set("wait", o.Wait.String())
	}
	if o.Grant != "" {
		q.Set("grant", o.Grant)
	}
	return q
}

// Records reads a resource by offset, as far as the caller may.
func (c *Client) Records(ctx context.Context, resource string, o ReadOptions) (Page, error) {
	return get[Page](ctx, c, resourcePath(resource, "records"), o.query())
}

// Record reads the present state of one key.
func (c *Client) Record(ctx context.Context, resource, key, grant string) (Record, error) {
	path, query := keyPath(resource, key, "", grant)
	return get[Record](ctx, c, path, query)
}

// History reads all versions of one key.
func (c *Client) History(ctx context.Context, resource, key, grant string) (Page, error) {
	path, query := keyPath(resource, key, "history", grant)
	return get[Page](ctx, c, path, query)
}

// Evidence fetches the evidence file of one key.
func (c *Client) Evidence(ctx context.Context, resource, key, grant string) ([]byte, error) {
	path, query := keyPath(resource, key, "evidence", grant)
	r, err := c.call(ctx, &request{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// Receipt fetches the signed receipt of one key's current version.
func (c *Client) Receipt(ctx context.Context, resource, key string) ([]byte, error) {
	path, query := keyPath(resource, key, "receipt", "")
	r, err := c.call(ctx, &request{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// Pull hands out the next records of a subscription, from its cursor or from
// what was handed out already.
func (c *Client) Pull(ctx context.Context, subscription string, o ReadOptions) (Page, error) {
	return get[Page](ctx, c, join("subscriptions", subscription, "records"), o.query())
}

// Ack moves a subscription's cursor.
func (c *Client) Ack(ctx context.Context, subscription string, through uint64) error {
	_, _, err := send[json.RawMessage](ctx, c, http.MethodPost, join("subscriptions", subscription, "ack"), Ack{Through: through}, nil)
	return err
}

// Object reads one object of a collection, e.g. ("departments", "fgw").
func Object[T any](ctx context.Context, c *Client, path ...string) (T, error) {
	return get[T](ctx, c, join(path...), nil)
}

// List reads a collection, following its pages to the end.
func List[T any](ctx context.Context, c *Client, query url.Values, path ...string) ([]T, error) {
	return follow[T](ctx, c, join(path...), query)
}

// Put writes one object. revision is what the caller last saw: 0 for an
// object that must not exist yet.
func Put[T any](ctx context.Context, c *Client, object T, revision uint64, path ...string) (T, error) {
	h := http.Header{}
	if revision == 0 {
		h.Set("If-None-Match", "*")
	} else {
		h.Set("If-Match", strconv.Quote(strconv.FormatUint(revision, 10)))
	}
	out, _, err := send[T](ctx, c, http.MethodPut, join(path...), object, h)
	return out, err
}

// Post does one act and returns its answer.
func Post[Out any](ctx context.Context, c *Client, in any, path ...string) (Out, error) {
	out, _, err := send[Out](ctx, c, http.MethodPost, join(path...), in, nil)
	return out, err
}

// PostIf is Post for what was seen in a revision: an act on another one is
// refused. Revision 0 asks for nothing.
func PostIf[Out any](ctx context.Context, c *Client, in any, revision uint64, path ...string) (Out, error) {
	h := http.Header{}
	if revision > 0 {
		h.Set("If-Match", strconv.Quote(strconv.FormatUint(revision, 10)))
	}
	out, _, err := send[Out](ctx, c, http.MethodPost, join(path...), in, h)
	return out, err
}

// Delete removes one object.
func (c *Client) Delete(ctx context.Context, path ...string) error {
	_, err := c.call(ctx, &request{method: http.MethodDelete, path: join(path...)})
	return err
}

// Raw reads an address below /v1 as bytes.
func (c *Client) Raw(ctx context.Context, query url.Values, path ...string) ([]byte, error) {
	r, err := c.call(ctx, &request{method: http.MethodGet, path: join(path...), query: query})
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// PostRaw does one act whose answer is taken as bytes.
func (c *Client) PostRaw(ctx context.Context, in any, path ...string) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	r, err := c.call(ctx, &request{method: http.MethodPost, path: join(path...), body: body, header: http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {uuid.NewString()}}})
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// Events reads the trace that query filters, following it to its end.
func (c *Client) Events(ctx context.Context, query url.Values) ([]Event, error) {
	return follow[Event](ctx, c, join("audit", "events"), query)
}

// Public reads an address of the public listener as bytes.
func (c *Client) Public(ctx context.Context, path string) ([]byte, error) {
	if c.publicEndpoints == nil {
		return nil, Refuse(CodeInvalid, "上下文没有写明公开地址 / the context names no public address")
	}
	r, err := c.callOn(ctx, c.publicEndpoints, &request{method: http.MethodGet, path: path})
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// Ready asks one of the servers whether it is ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.call(ctx, &request{method: http.MethodGet, path: "/readyz"})
	return err
}

// join makes a path below /v1 of escaped segments.
func join(segments ...string) string {
	path := "/v1"
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	return path
}

func resourcePath(resource string, rest ...string) string {
	return join(append([]string{"resources", resource}, rest...)...)
}

// keyPath is the address of one key, or of a view of it. A key that a proxy
// could take apart travels as ?key= (FORMATS §11).
func keyPath(resource, key, view, grant string) (string, url.Values) {
	query := ReadOptions{Grant: grant}.query()
	segments := []string{"records", key}
	if key == "" || key == "." || key == ".." || strings.ContainsAny(key, `/\%`) {
		query.Set("key", key)
		segments[1] = "-"
	}
	if view != "" {
		segments = append(segments, view)
	}
	return resourcePath(resource, segments...), query
}
