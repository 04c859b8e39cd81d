package transport

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
)

// strictBatchBytes bounds an all-or-nothing batch: it is one section.
const strictBatchBytes = 1 << 20

// decodePublish reads one record (application/json) or many (NDJSON).
func (s *Server) decodePublish(r *http.Request) (exchange.PublishRequest, error) {
	out, err := published(r)
	if err != nil {
		return out, err
	}
	switch mediaType(r) {
	case "application/json":
		b, err := body(r, int64(s.config.RecordBytes)+4096)
		if err != nil {
			return out, err
		}
		out.Single, out.Lines = true, [][]byte{b}
		return out, nil
	case "application/x-ndjson":
		out.Strict = preferStrict(r)
		limit := s.config.BatchBytes
		if out.Strict {
			limit = strictBatchBytes
		}
		b, err := body(r, limit)
		if err != nil {
			return out, err
		}
		out.Lines, err = lines(b, s.config.BatchLines)
		return out, err
	}
	return out, api.Refuse(api.CodeUnsupportedMediaType, "请以 UTF-8 发送:一条用 application/json,多条用 application/x-ndjson / send one record as application/json or many as application/x-ndjson, in UTF-8")
}

// published reads what publishing and validating share.
func published(r *http.Request) (exchange.PublishRequest, error) {
	out := exchange.PublishRequest{Resource: r.PathValue("resource"), Language: language(r)}
	var err error
	if v := r.Header.Get(api.ProducerHeader); v != "" {
		out.Producer, out.Epoch, err = producer(v)
	}
	return out, err
}

// decodeValidate reads the one record that is to be judged.
func (s *Server) decodeValidate(r *http.Request) (exchange.PublishRequest, error) {
	out, err := published(r)
	if err != nil {
		return out, err
	}
	if mediaType(r) != "application/json" {
		return out, api.Refuse(api.CodeUnsupportedMediaType, "请以 application/json 发送一条记录 / send one record as application/json")
	}
	b, err := body(r, int64(s.config.RecordBytes)+4096)
	out.Single, out.Lines = true, [][]byte{b}
	return out, err
}

// producer reads "<producer>; epoch=<n>".
func producer(v string) (string, uint64, error) {
	name, rest, _ := strings.Cut(v, ";")
	name = strings.TrimSpace(name)
	epoch := uint64(1)
	if rest = strings.TrimSpace(rest); rest != "" {
		digits, ok := strings.CutPrefix(rest, "epoch=")
		n, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil || n == 0 {
			return "", 0, api.Refuse(api.CodeMalformed, "%[1]s 应写作 <producer>; epoch=<n> / %[1]s must be <producer>; epoch=<n>", api.ProducerHeader)
		}
		epoch = n
	}
	if name == "" {
		return "", 0, api.Refuse(api.CodeMalformed, "%[1]s 应写作 <producer>; epoch=<n> / %[1]s must be <producer>; epoch=<n>", api.ProducerHeader)
	}
	return name, epoch, nil
}

// preferStrict is true for Prefer: handling=strict (RFC 7240).
func preferStrict(r *http.Request) bool {
	for _, v := range r.Header.Values("Prefer") {
		for _, p := range strings.Split(v, ",") {
			if _, params, err := mime.ParseMediaType("x/x; " + strings.TrimSpace(p)); err == nil && params["handling"] == "strict" {
				return true
			}
		}
	}
	return false
}

// publish answers one record with its receipt (201, or 200 for a duplicate),
// many always with 200 and a line each.
func (s *Server) publish(ctx context.Context, c policy.Caller, in exchange.PublishRequest) (*reply, error) {
	if in.Single {
		receipt, err := s.service.PublishOne(ctx, c, in)
		if err != nil {
			return nil, err
		}
		status := http.StatusCreated
		if receipt.Status != api.StatusAccepted {
			status = http.StatusOK
		}
		return &reply{status: status, value: receipt}, nil
	}
	answer, err := s.service.Publish(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return &reply{value: answer}, nil
}
