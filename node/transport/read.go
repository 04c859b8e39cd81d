package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
)

// Media types of answers that are files.
const (
	evidenceType = "application/vnd.hutong.evidence+zip"
	schemaType   = "application/schema+json"
)

// decodeRead reads the parameters of every reading address.
func (s *Server) decodeRead(r *http.Request) (exchange.ReadRequest, error) {
	q := r.URL.Query()
	out := exchange.ReadRequest{Resource: r.PathValue("resource"), Key: r.PathValue("key"), Subscription: r.PathValue("subscription"), Grant: q.Get("grant"), Strong: q.Get("consistency") == "strong"}
	if key := q.Get("key"); key != "" {
		out.Key = key
	}
	var err error
	if out.After, err = number(r, "after", 0); err != nil {
		return out, err
	}
	limit, err := number(r, "limit", 100)
	if err != nil {
		return out, err
	}
	if limit == 0 || limit > uint64(s.config.PageRecords) {
		return out, api.Refuse(api.CodeMalformed, "参数 limit 应为1至%[1]d / parameter limit is from 1 to %[1]d", s.config.PageRecords)
	}
	out.Limit = int(limit)
	if out.Wait, err = wait(r, s.config.WaitMax); err != nil {
		return out, err
	}
	if v := r.Header.Get("Hutong-Min-Index"); v != "" {
		if out.MinIndex, err = strconv.ParseUint(v, 10, 63); err != nil {
			return out, api.Refuse(api.CodeMalformed, "Hutong-Min-Index 不是数 / Hutong-Min-Index is not a number")
		}
	}
	if v := q.Get("epoch"); v != "" {
		if out.Epoch, err = strconv.ParseUint(v, 10, 63); err != nil {
			return out, api.Refuse(api.CodeMalformed, "参数 epoch 不是数 / parameter epoch is not a number")
		}
	}
	return out, nil
}

// records answers a page of a resource, or the state of ?key=.
func (s *Server) records(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	if in.Key != "" {
		return s.record(ctx, c, in)
	}
	page, err := s.service.Records(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := pageReply(httpRequest(ctx), page)
	if !page.End {
		out.next(httpRequest(ctx), strconv.FormatUint(page.Through, 10))
	}
	return out, nil
}

// byKey answers records/{key}. With ?key= the segment does not name the key: it
// may name a view of it.
func (s *Server) byKey(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	if r := httpRequest(ctx); r.URL.Query().Has("key") {
		switch r.PathValue("key") {
		case "history":
			return s.history(ctx, c, in)
		case "evidence":
			return s.evidence(ctx, c, in)
		case "receipt":
			return s.receipt(ctx, c, in)
		}
	}
	return s.record(ctx, c, in)
}

func (s *Server) history(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	page, err := s.service.History(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return pageReply(httpRequest(ctx), page), nil
}

// pull has no next address: what follows is handed out once this page is
// acknowledged.
func (s *Server) pull(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	page, err := s.service.Pull(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return pageReply(httpRequest(ctx), page), nil
}

// next adds the address of the next page (RFC 8288): this one, after a place.
func (rep *reply) next(r *http.Request, after string) {
	q := r.URL.Query()
	q.Set("after", after)
	if rep.header == nil {
		rep.header = http.Header{}
	}
	rep.header.Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}).String()))
}

// pageReply is the page as JSON, or as NDJSON where the caller asked for it:
// one record a line, then {"through","end"}.
func pageReply(r *http.Request, page api.Page) *reply {
	out := &reply{value: page}
	if !strings.Contains(r.Header.Get("Accept"), "application/x-ndjson") {
		return out
	}
	var b bytes.Buffer
	for i := range page.Records {
		writeJSON(&b, &page.Records[i])
	}
	writeJSON(&b, struct {
		Through uint64 `json:"through"`
		End     bool   `json:"end"`
	}{page.Through, page.End})
	out.body, out.contentType = b.Bytes(), "application/x-ndjson; charset=utf-8"
	return out
}

func (s *Server) record(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	record, tag, err := s.service.Current(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return &reply{value: record, header: http.Header{"Etag": {strconv.Quote(tag)}}}, nil
}

func (s *Server) evidence(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	b, err := s.service.Evidence(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return &reply{body: b, contentType: evidenceType, header: http.Header{"Content-Disposition": {`attachment; filename="evidence.hev"`}}}, nil
}

func (s *Server) receipt(ctx context.Context, c policy.Caller, in exchange.ReadRequest) (*reply, error) {
	b, err := s.service.Receipt(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return &reply{body: b, contentType: plainText}, nil
}

// ack moves a subscription's cursor.
func (s *Server) ack(ctx context.Context, c policy.Caller, in ackRequest) (*reply, error) {
	sub, err := s.service.Ack(ctx, c, in.subscription, in.Through)
	if err != nil {
		return nil, err
	}
	return &reply{value: sub}, nil
}

type ackRequest struct {
	subscription string
	api.Ack
}

func (s *Server) decodeAck(r *http.Request) (ackRequest, error) {
	in, err := jsonBody[api.Ack](r, s.config.ObjectBytes)
	return ackRequest{subscription: r.PathValue("subscription"), Ack: in}, err
}

// eventsMax bounds the events of one answer.
const eventsMax = 10_000

// decodeEvents reads the filter of the trace. after names the last leaf seen;
// without it the trace begins at leaf 0.
func (s *Server) decodeEvents(r *http.Request) (exchange.EventFilter, error) {
	q := r.URL.Query()
	out := exchange.EventFilter{Resource: q.Get("resource"), Key: q.Get("key"), Department: q.Get("department"), Type: q.Get("type"), From: q.Get("from"), To: q.Get("to")}
	if q.Get("after") != "" {
		after, err := number(r, "after", 0)
		if err != nil {
			return out, err
		}
		out.Begin = after + 1
	}
	limit, err := number(r, "limit", 1000)
	if err != nil {
		return out, err
	}
	if limit == 0 || limit > eventsMax {
		return out, api.Refuse(api.CodeMalformed, "参数 limit 应为1至%[1]d / parameter limit is from 1 to %[1]d", eventsMax)
	}
	out.Limit = int(limit)
	return out, nil
}

// events answers the trace as NDJSON, or as an array of JSON where asked.
func (s *Server) events(ctx context.Context, c policy.Caller, in exchange.EventFilter) (*reply, error) {
	page, err := s.service.Events(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := &reply{value: page.Events}
	if !strings.Contains(httpRequest(ctx).Header.Get("Accept"), "application/json") {
		var b bytes.Buffer
		for i := range page.Events {
			writeJSON(&b, &page.Events[i])
		}
		out.body, out.contentType = append([]byte{}, b.Bytes()...), "application/x-ndjson; charset=utf-8"
	}
	if !page.End {
		out.next(httpRequest(ctx), strconv.FormatUint(page.Through, 10))
	}
	return out, nil
}

// schemaBody reads a JSON Schema as it is: its bytes are kept.
func (s *Server) schemaBody(r *http.Request) (json.RawMessage, error) {
	if t := mediaType(r); t != "application/json" && t != schemaType {
		return nil, api.Refuse(api.CodeUnsupportedMediaType, "请用 application/schema+json / send application/schema+json")
	}
	return body(r, s.config.ObjectBytes)
}
