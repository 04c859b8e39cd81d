package transport

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/ratelimit"
	"github.com/go-kit/kit/transport"
	kithttp "github.com/go-kit/kit/transport/http"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
)

// contextKey keeps this package's context values apart from others'.
type contextKey int

const (
	keyCaller contextKey = iota
	keyRequest
	keyControl
)

// caller returns who was authenticated; the zero Caller is anonymous.
func caller(ctx context.Context) policy.Caller {
	c, _ := ctx.Value(keyCaller).(policy.Caller)
	return c
}

// httpRequest returns the request that ctx belongs to.
func httpRequest(ctx context.Context) *http.Request {
	r, _ := ctx.Value(keyRequest).(*http.Request)
	return r
}

// language is "zh" unless the client asks for English first.
func language(r *http.Request) string {
	if r == nil {
		return "zh"
	}
	accept := r.Header.Get("Accept-Language")
	if len(accept) >= 2 && (accept[0] == 'e' || accept[0] == 'E') && (accept[1] == 'n' || accept[1] == 'N') {
		return "en"
	}
	return "zh"
}

// endpointOf is the only place where requests and answers lose their types:
// go-kit's endpoint takes and gives any. The body is read here, innermost: what
// nobody authenticated is not read, and what decoding refuses is counted like
// every other refusal.
func endpointOf[Req, Resp any](decode func(*http.Request) (Req, error), act func(context.Context, policy.Caller, Req) (Resp, error)) endpoint.Endpoint {
	return func(ctx context.Context, request any) (any, error) {
		in, err := decode(request.(*http.Request))
		if err != nil {
			return nil, err
		}
		return act(ctx, caller(ctx), in)
	}
}

// handle makes a handler of a decoder and an act of the service.
func handle[Req, Resp any](s *Server, r *route, decode func(*http.Request) (Req, error), act func(context.Context, policy.Caller, Req) (Resp, error)) http.Handler {
	chain := endpoint.Chain(s.recovering(r), s.logging(r), s.measuring(r), s.authenticating(r), s.limiting(r))
	return kithttp.NewServer(chain(endpointOf(decode, act)),
		func(_ context.Context, in *http.Request) (any, error) { return in, nil },
		func(ctx context.Context, w http.ResponseWriter, v any) error { return s.encode(ctx, w, v) },
		kithttp.ServerBefore(func(ctx context.Context, in *http.Request) context.Context {
			return context.WithValue(ctx, keyRequest, in)
		}),
		kithttp.ServerErrorEncoder(s.encodeError),
		kithttp.ServerErrorHandler(transport.ErrorHandlerFunc(func(ctx context.Context, err error) {
			s.logInternal(ctx, r, err)
		})),
	)
}

// logInternal logs what callers are not told; refusals are counted, not
// logged.
func (s *Server) logInternal(ctx context.Context, r *route, err error) {
	p := problemOf(err)
	if p.Code != api.CodeInternal {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("route", r.name), slog.Any("error", p.Cause))
}

// recovering turns a panic into an internal problem. It is the last guard:
// a panic here is a fault of ours, and the node must go on.
func (s *Server) recovering(r *route) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in any) (out any, err error) {
			defer func() {
				if v := recover(); v != nil {
					s.metrics.panics.Add(1)
					s.log.LogAttrs(ctx, slog.LevelError, "request panicked", slog.String("route", r.name), slog.String("stack", string(debug.Stack())))
					out, err = nil, api.Internal(errPanic)
				}
			}()
			return next(ctx, in)
		}
	}
}

// logging says at debug level what was asked and how it ended.
func (s *Server) logging(r *route) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in any) (any, error) {
			out, err := next(ctx, in)
			if s.log.Enabled(ctx, slog.LevelDebug) {
				code := ""
				if err != nil {
					code = string(problemOf(err).Code)
				}
				s.log.LogAttrs(ctx, slog.LevelDebug, "request", slog.String("route", r.name), slog.String("code", code))
			}
			return out, err
		}
	}
}

// measuring counts requests and their time by route and outcome.
func (s *Server) measuring(r *route) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in any) (any, error) {
			s.metrics.inFlight.Add(1)
			defer s.metrics.inFlight.Add(-1)
			begin := time.Now()
			out, err := next(ctx, in)
			code := "ok"
			if err != nil {
				code = string(problemOf(err).Code)
			}
			s.metrics.requests.With("route", r.name, "code", code).Add(1)
			s.metrics.seconds.With("route", r.name).Observe(time.Since(begin).Seconds())
			return out, err
		}
	}
}

// authenticating finds out who calls, from the bearer key or the client
// certificate. Public routes take everybody as nobody.
func (s *Server) authenticating(r *route) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in any) (any, error) {
			if r.anonymous {
				return next(ctx, in)
			}
			c, err := s.authenticate(ctx, httpRequest(ctx))
			if err != nil {
				return nil, err
			}
			return next(context.WithValue(ctx, keyCaller, c), in)
		}
	}
}

// limiting refuses when the node is asked for more than its configured rate.
// What anybody may read does not count: a crowd at the portal must not keep
// departments out.
func (s *Server) limiting(r *route) endpoint.Middleware {
	if s.limiter == nil || r.anonymous {
		return func(next endpoint.Endpoint) endpoint.Endpoint { return next }
	}
	inner := ratelimit.NewErroringLimiter(s.limiter)
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		limited := inner(next)
		return func(ctx context.Context, in any) (any, error) {
			out, err := limited(ctx, in)
			if err == ratelimit.ErrLimited { //nolint:errorlint // go-kit returns the bare sentinel
				p := api.Refuse(api.CodeQuotaExceeded, "请求数超过本节点上限,请一秒后再试 / more requests than this node takes; try again in a second")
				p.RetryAfter = 1
				return nil, p
			}
			return out, err
		}
	}
}

// encodeError writes any error as a problem document (RFC 9457).
func (s *Server) encodeError(ctx context.Context, err error, w http.ResponseWriter) {
	p := *problemOf(err)
	r := httpRequest(ctx)
	m := api.Lookup(p.Code)
	p.Status, p.Title, p.Detail = m.Status, m.Zh, api.In(language(r), p.Detail)
	if language(r) == "en" {
		p.Title = m.En
	}
	p.Errors = slices.Clone(p.Errors)
	for i := range p.Errors {
		p.Errors[i].Message = api.In(language(r), p.Errors[i].Message)
	}
	if r != nil {
		p.Instance = r.URL.Path
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json; charset=utf-8")
	h.Set("Content-Language", language(r))
	h.Set("Cache-Control", "no-store")
	switch {
	case p.RetryAfter > 0:
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	case m.Class == api.ClassUnavailable:
		h.Set("Retry-After", "1")
	}
	switch p.Code {
	case api.CodeUnauthenticated:
		h.Set("WWW-Authenticate", `Bearer realm="hutong"`)
	case api.CodeUnsupportedMediaType:
		h.Set("Accept-Post", "application/json, application/x-ndjson")
	}
	w.WriteHeader(p.Status)
	writeJSON(w, &p)
}
