package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	kithttp "github.com/go-kit/kit/transport/http"
	"github.com/google/uuid"
)

// Limits of the client.
const (
	// answerBytesMax bounds one answer.
	answerBytesMax = 256 << 20
	// defaultTimeout bounds one call with its retries, long polls apart.
	defaultTimeout = 30 * time.Second
	// backoffFirst doubles with each try, up to backoffMax.
	backoffFirst = 50 * time.Millisecond
	backoffMax   = 2 * time.Second
	// retryAfterMax bounds how long a server may ask to wait.
	retryAfterMax = time.Minute
	// pagesMax bounds how many pages of one list are followed.
	pagesMax = 10_000
)

// ClientConfig says where the bus is and who is calling. It is also one
// context of contexts.yaml.
type ClientConfig struct {
	Server         []string `json:"server"`                    // base addresses, e.g. http://127.0.0.1:7080
	Public         string   `json:"public,omitempty"`          // base address of the public listener
	APIKey         string   `json:"api_key,omitempty"`         // hk_…
	CredentialFile string   `json:"credential_file,omitempty"` // file that holds the API key, instead of api_key
	CAFile         string   `json:"ca_file,omitempty"`         // PEM file of the authority to trust
	CertFile       string   `json:"cert_file,omitempty"`       // PEM client certificate, instead of an API key
	KeyFile        string   `json:"key_file,omitempty"`

	Language string        `json:"-"` // zh or en; empty: zh
	Timeout  time.Duration `json:"-"` // for one call with its retries; 0: 30 s
}

// Client calls the bus. It tries the servers in turn, and again, for as long
// as the call's time lasts, but stops at once at a refusal.
type Client struct {
	config ClientConfig
	key    string
	http   *http.Client
	// endpoints has one entry per server; publicEndpoints the public listener.
	endpoints       sd.FixedEndpointer
	publicEndpoints sd.FixedEndpointer
}

// request is one call before a server is chosen.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
}

// response is an answer that is not a problem.
type response struct {
	status int
	header http.Header
	body   []byte
}

// NewClient reads the key and authority files that config names.
func NewClient(config ClientConfig) (*Client, error) {
	if len(config.Server) == 0 {
		return nil, errors.New("client: no server given")
	}
	c := &Client{config: config, key: config.APIKey}
	if config.CredentialFile != "" {
		b, err := os.ReadFile(config.CredentialFile)
		if err != nil {
			return nil, fmt.Errorf("read credential file: %w", err)
		}
		c.key = strings.TrimSpace(string(b))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 64
	tlsConfig, err := config.tls()
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = tlsConfig
	// An address that moved is a fault of the configuration: following it could
	// carry the key elsewhere.
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, s := range config.Server {
		e, err := c.endpoint(s)
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
	}
	if config.Public != "" {
		e, err := c.endpoint(config.Public)
		if err != nil {
			return nil, err
		}
		c.publicEndpoints = sd.FixedEndpointer{e}
	}
	return c, nil
}

func (config ClientConfig) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.CAFile != "" {
		pem, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authority file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority file %s holds no certificate", config.CAFile)
		}
	}
	if config.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// endpoint is one server as a go-kit endpoint of request and response.
func (c *Client) endpoint(server string) (endpoint.Endpoint, error) {
	base, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("server address %q is not a URL with scheme and host", server)
	}
	create := func(ctx context.Context, v any) (*http.Request, error) {
		in := v.(*request)
		target := base.String() + in.path
		if len(in.query) > 0 {
			target += "?" + in.query.Encode()
		}
		out, err := http.NewRequestWithContext(ctx, in.method, target, bytes.NewReader(in.body))
		if err != nil {
			return nil, fmt.Errorf("make request: %w", err)
		}
		for k, vs := range in.header {
			out.Header[k] = vs
		}
		if c.key != "" && out.Header.Get("Authorization") == "" {
			out.Header.Set("Authorization", "Bearer "+c.key)
		}
		language := c.config.Language
		if language == "" {
			language = "zh"
		}
		out.Header.Set("Accept-Language", language)
		return out, nil
	}
	return kithttp.NewExplicitClient(create, decodeAnswer, kithttp.SetClient(c.http)).Endpoint(), nil
}

// decodeAnswer turns error statuses into problems.
func decodeAnswer(_ context.Context, r *http.Response) (any, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, answerBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > answerBytesMax {
		return nil, Refuse(CodeTooLarge, "the answer is longer than %d bytes", answerBytesMax)
	}
	if r.StatusCode < 300 {
		return &response{status: r.StatusCode, header: r.Header, body: body}, nil
	}
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		p = withoutDocument(r)
	}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		p.RetryAfter = s
	}
	return nil, p
}

// withoutDocument is the problem of an error answer that carries none: a proxy
// spoke, or this is no bus.
func withoutDocument(r *http.Response) *Problem {
	code := CodeInternal
	switch r.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = CodeNoLeader
	case http.StatusTooManyRequests:
		code = CodePushback
	}
	p := Refuse(code, "服务器答复 %[1]s,未附问题说明,地址可能不是总线 / the server answered %[1]s without a problem document; the address may not be a bus", r.Status)
	p.Status = r.StatusCode
	return p
}

// call does one request against the servers in turn.
func (c *Client) call(ctx context.Context, in *request) (*response, error) {
	return c.callOn(ctx, c.endpoints, in)
}

func (c *Client) callOn(ctx context.Context, endpoints sd.FixedEndpointer, in *request) (*response, error) {
	timeout := c.config.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	if wait, err := time.ParseDuration(in.query.Get("wait")); err == nil {
		timeout += wait
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	again := func(n int, err error) (bool, error) {
		last = err
		return retryable(err) && pause(ctx, n, len(endpoints), err), nil
	}
	v, err := lb.RetryWithCallback(timeout, lb.NewRoundRobin(endpoints), again)(ctx, in)
	if err == nil {
		return v.(*response), nil
	}
	var p *Problem
	if errors.As(last, &p) {
		return nil, p
	}
	if last == nil {
		last = err
	}
	if ended := context.Cause(ctx); ended != nil && !errors.Is(last, ended) {
		last = errors.Join(last, ended)
	}
	return nil, fmt.Errorf("%w: %s %s: %w", ErrUnreachable, in.method, in.path, last)
}

// retryable is true for what another server, or a later moment, may do
// better. A refusal is final, and so is a server that does not prove who it is.
func retryable(err error) bool {
	var p *Problem
	var unproved *tls.CertificateVerificationError
	switch {
	case errors.As(err, &p):
		return p.Class() == ClassUnavailable && p.Code != CodeQuarantineFull
	case errors.As(err, &unproved):
		return false
	}
	return !errors.Is(err, context.Canceled)
}

// pause waits before try n+1: not at all while untried servers are left, then
// longer each time, and at least as long as the server asked for. It is false
// when ctx would end before, so that the caller hears the server's answer at
// once.
func pause(ctx context.Context, n, servers int, err error) bool {
	if n < servers {
		return ctx.Err() == nil
	}
	wait := min(backoffFirst<<min(n-servers, 10), backoffMax)
	var p *Problem
	if errors.As(err, &p) && p.RetryAfter > 0 {
		wait = max(wait, min(time.Duration(p.RetryAfter)*time.Second, retryAfterMax))
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send encodes in as JSON, calls, and decodes the answer into an Out.
func send[Out any](ctx context.Context, c *Client, method, path string, in any, header http.Header) (Out, *response, error) {
	var out Out
	req := &request{method: method, path: path, header: http.Header{}}
	for k, v := range header {
		req.header[k] = v
	}
	if in != nil {
		// What is JSON already travels byte for byte: a record's escapes count.
		if raw, ok := in.(json.RawMessage); ok {
			req.body = raw
		} else if body, err := json.Marshal(in); err == nil {
			req.body = body
		} else {
			return out, nil, fmt.Errorf("encode request: %w", err)
		}
		req.header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost && req.header.Get("Idempotency-Key") == "" {
		req.header.Set("Idempotency-Key", uuid.NewString())
	}
	r, err := c.call(ctx, req)
	if err != nil {
		return out, nil, err
	}
	if len(r.body) == 0 {
		return out, r, nil
	}
	if err := json.Unmarshal(r.body, &out); err != nil {
		return out, r, fmt.Errorf("decode answer of %s %s: %w", method, path, err)
	}
	return out, r, nil
}

// get is send for reading, with a query.
func get[Out any](ctx context.Context, c *Client, path string, query url.Values) (Out, error) {
	out, _, err := getPage[Out](ctx, c, path, query)
	return out, err
}

// getPage is get that also gives the address of the next page, nil on the last.
func getPage[Out any](ctx context.Context, c *Client, path string, query url.Values) (out Out, next *url.URL, err error) {
	r, err := c.call(ctx, &request{method: http.MethodGet, path: path, query: query, header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return out, nil, err
	}
	if err := json.Unmarshal(r.body, &out); err != nil {
		return out, nil, fmt.Errorf("decode answer of GET %s: %w", path, err)
	}
	return out, nextPage(r.header), nil
}

// follow reads a list page by page to its end.
func follow[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	var all []T
	for range pagesMax {
		page, next, err := getPage[[]T](ctx, c, path, query)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == nil {
			return all, nil
		}
		query = next.Query()
	}
	return nil, Refuse(CodeTooLarge, "列表超过%[1]d页;请缩小范围 / the list is longer than %[1]d pages; narrow it", pagesMax)
}

// nextPage finds rel="next" among the links (RFC 8288) that a bus gives.
func nextPage(h http.Header) *url.URL {
	for _, link := range h.Values("Link") {
		target, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
		if !ok || !strings.Contains(rest, `rel="next"`) {
			continue
		}
		if u, err := url.Parse(target); err == nil {
			return u
		}
	}
	return nil
}
