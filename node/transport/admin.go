package transport

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
)

// Administrative requests. Each is decoded here into one of three shapes:
// named (path only), put (an object with its precondition) and act (a body
// for one verb).

// named is a request that its address describes whole.
type named struct {
	path     map[string]string
	query    map[string]string
	language string
}

// decodeNamed takes the path values and query parameters that are listed.
func decodeNamed(path, query []string) func(*http.Request) (named, error) {
	return func(r *http.Request) (named, error) {
		out := named{path: map[string]string{}, query: map[string]string{}, language: language(r)}
		for _, p := range path {
			out.path[p] = r.PathValue(p)
		}
		for _, q := range query {
			out.query[q] = r.URL.Query().Get(q)
		}
		return out, nil
	}
}

// decodePut reads an object of type T with If-Match. It is idempotent by itself:
// Idempotency-Key is for POST.
func decodePut[T any](s *Server, path ...string) func(*http.Request) (exchange.Put[T], error) {
	return func(r *http.Request) (exchange.Put[T], error) {
		out := exchange.Put[T]{Path: map[string]string{}}
		for _, p := range path {
			out.Path[p] = r.PathValue(p)
		}
		var err error
		if out.Revision, out.HasRevision, err = revision(r); err != nil {
			return out, err
		}
		out.Object, err = jsonBody[T](r, s.config.ObjectBytes)
		return out, err
	}
}

// requestKey reads Idempotency-Key.
func requestKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 128 {
		return "", api.Refuse(api.CodeMalformed, "Idempotency-Key 超过128字节 / Idempotency-Key is longer than 128 bytes")
	}
	return key, nil
}

// decodeAct reads the body of a verb, with If-Match where the caller decides on
// what it has seen. An empty body is the zero T.
func decodeAct[T any](s *Server, path ...string) func(*http.Request) (exchange.Put[T], error) {
	return func(r *http.Request) (exchange.Put[T], error) {
		out := exchange.Put[T]{Path: map[string]string{}}
		for _, p := range path {
			out.Path[p] = r.PathValue(p)
		}
		var err error
		if out.Request, err = requestKey(r); err != nil {
			return out, err
		}
		if out.Revision, out.HasRevision, err = revision(r); err != nil {
			return out, err
		}
		if r.ContentLength == 0 {
			return out, nil
		}
		out.Object, err = jsonBody[T](r, s.config.ObjectBytes)
		return out, err
	}
}

// revised adds the ETag that the next If-Match names.
func revised(v any, revision uint64) *reply {
	return &reply{value: v, header: http.Header{"Etag": {strconv.Quote(strconv.FormatUint(revision, 10))}}}
}

func (s *Server) putDepartment(ctx context.Context, c policy.Caller, in exchange.Put[api.Department]) (*reply, error) {
	v, err := s.service.PutDepartment(ctx, c, in)
	return revised(v, v.Revision), err
}

func (s *Server) putGroup(ctx context.Context, c policy.Caller, in exchange.Put[api.Group]) (*reply, error) {
	v, err := s.service.PutGroup(ctx, c, in)
	return revised(v, v.Revision), err
}

func (s *Server) putSystem(ctx context.Context, c policy.Caller, in exchange.Put[api.System]) (*reply, error) {
	v, err := s.service.PutSystem(ctx, c, in)
	return revised(v, v.Revision), err
}

func (s *Server) putResource(ctx context.Context, c policy.Caller, in exchange.Put[api.Resource]) (*reply, error) {
	v, err := s.service.PutResource(ctx, c, in)
	return revised(v, v.Revision), err
}

func (s *Server) getDepartment(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.Department(ctx, c, in.path["department"])
	return revised(v, v.Revision), err
}

func (s *Server) getGroup(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.Group(ctx, c, in.path["group"])
	return revised(v, v.Revision), err
}

func (s *Server) getSystem(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.System(ctx, c, in.path["department"], in.path["system"])
	return revised(v, v.Revision), err
}

func (s *Server) getResource(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.Resource(ctx, c, in.path["resource"])
	return revised(v, v.Revision), err
}

// schemaRequest carries a schema's own bytes.
type schemaRequest struct {
	resource, request string
	raw               json.RawMessage
}

func (s *Server) decodeSchema(r *http.Request) (schemaRequest, error) {
	key, err := requestKey(r)
	if err != nil {
		return schemaRequest{}, err
	}
	raw, err := s.schemaBody(r)
	return schemaRequest{resource: r.PathValue("resource"), request: key, raw: raw}, err
}

func (s *Server) registerSchema(ctx context.Context, c policy.Caller, in schemaRequest) (*reply, error) {
	v, err := s.service.RegisterSchema(ctx, c, in.resource, in.raw, in.request)
	return &reply{status: http.StatusCreated, value: v}, err
}

func (s *Server) schema(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	version, err := strconv.ParseUint(in.path["version"], 10, 32)
	if err != nil {
		return nil, api.Refuse(api.CodeNotFound, "模式版本是从1起的数 / a schema version is a number from 1")
	}
	raw, err := s.service.Schema(ctx, c, in.path["resource"], uint32(version))
	return &reply{body: raw, contentType: schemaType}, err
}

// decideGrant makes the handler of one verb on a grant.
func (s *Server) decideGrant(action string) func(context.Context, policy.Caller, exchange.Put[api.Decision]) (api.Grant, error) {
	return func(ctx context.Context, c policy.Caller, in exchange.Put[api.Decision]) (api.Grant, error) {
		return s.service.DecideGrant(ctx, c, action, in)
	}
}

// decidePublication makes the handler of one verb on a publication.
func (s *Server) decidePublication(action string) func(context.Context, policy.Caller, exchange.Put[api.Decision]) (api.Publication, error) {
	return func(ctx context.Context, c policy.Caller, in exchange.Put[api.Decision]) (api.Publication, error) {
		return s.service.DecidePublication(ctx, c, action, in)
	}
}

func (s *Server) setSubscription(state string) func(context.Context, policy.Caller, exchange.Put[struct{}]) (api.Subscription, error) {
	return func(ctx context.Context, c policy.Caller, in exchange.Put[struct{}]) (api.Subscription, error) {
		return s.service.SetSubscription(ctx, c, in.Path["subscription"], state, in.Request)
	}
}

// ignoring is an act that its caller describes whole.
func ignoring[Resp any](act func(context.Context, policy.Caller) (Resp, error)) func(context.Context, policy.Caller, named) (Resp, error) {
	return func(ctx context.Context, c policy.Caller, _ named) (Resp, error) { return act(ctx, c) }
}

// created is an answer with status 201.
func created[Req, Resp any](act func(context.Context, policy.Caller, Req) (Resp, error)) func(context.Context, policy.Caller, Req) (*reply, error) {
	return func(ctx context.Context, c policy.Caller, in Req) (*reply, error) {
		v, err := act(ctx, c, in)
		return &reply{status: http.StatusCreated, value: v}, err
	}
}

// done is an answer without content.
func done[Req any](act func(context.Context, policy.Caller, Req) error) func(context.Context, policy.Caller, Req) (*reply, error) {
	return func(ctx context.Context, c policy.Caller, in Req) (*reply, error) {
		return &reply{status: http.StatusNoContent}, act(ctx, c, in)
	}
}

// decodeList reads a list that is given page by page.
func (s *Server) decodeList(r *http.Request) (exchange.ListRequest, error) {
	q := r.URL.Query()
	limit, err := number(r, "limit", uint64(s.config.PageRecords))
	if err == nil && (limit == 0 || limit > uint64(s.config.PageRecords)) {
		err = api.Refuse(api.CodeMalformed, "参数 limit 应为1至%[1]d / parameter limit is from 1 to %[1]d", s.config.PageRecords)
	}
	return exchange.ListRequest{Resource: q.Get("resource"), State: q.Get("state"), After: q.Get("after"), Limit: int(limit), Language: language(r)}, err
}

// listed is a page of a list with the address of the next one.
func listed[T any](act func(context.Context, policy.Caller, exchange.ListRequest) ([]T, string, error)) func(context.Context, policy.Caller, exchange.ListRequest) (*reply, error) {
	return func(ctx context.Context, c policy.Caller, in exchange.ListRequest) (*reply, error) {
		list, after, err := act(ctx, c, in)
		out := &reply{value: list}
		if after != "" {
			out.next(httpRequest(ctx), after)
		}
		return out, err
	}
}

func (s *Server) getGrant(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.Grant(ctx, c, in.path["grant"])
	return revised(v, v.Revision), err
}

func (s *Server) getPublication(ctx context.Context, c policy.Caller, in named) (*reply, error) {
	v, err := s.service.Publication(ctx, c, in.path["publication"])
	return revised(v, v.Revision), err
}
