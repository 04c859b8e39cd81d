package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
)

// reply is an answer that is more than a JSON value with status 200.
type reply struct {
	status      int         // 0: 200
	header      http.Header // added to the answer's
	value       any         // encoded as JSON unless body is set
	body        []byte      // with contentType
	contentType string
}

// encode writes v: a *reply as it says, everything else as JSON.
func (s *Server) encode(ctx context.Context, w http.ResponseWriter, v any) error {
	rep, ok := v.(*reply)
	if !ok {
		rep = &reply{value: v}
	}
	h := w.Header()
	for k, vs := range rep.header {
		h[k] = vs
	}
	index, epoch := s.service.Position()
	h.Set("Hutong-Index", strconv.FormatUint(index, 10))
	h.Set("Hutong-Epoch", strconv.FormatUint(epoch, 10))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if r := httpRequest(ctx); r.Method == http.MethodGet && matches(r.Header.Values("If-None-Match"), h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	status := rep.status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case rep.body != nil:
		h.Set("Content-Type", rep.contentType)
		w.WriteHeader(status)
		if _, err := w.Write(rep.body); err != nil {
			return clientGone(err)
		}
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	default:
		h.Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		writeJSON(w, rep.value)
	}
	return nil
}

// matches compares an entity tag with those of If-None-Match (RFC 9110
// §13.1.2: weakly, and * is any).
func matches(header []string, tag string) bool {
	if tag == "" {
		return false
	}
	for _, line := range header {
		for _, t := range strings.Split(line, ",") {
			if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}

// errPanic is returned when a handler panicked; the stack is in the log.
var errPanic = errors.New("the handler panicked")

// errClientGone is returned when the caller went away while the answer was
// written; nobody is left to tell.
var errClientGone = errors.New("client went away")

func clientGone(err error) error { return errors.Join(errClientGone, err) }

// writeJSON writes v and a line end. HTML characters stay as they are: the
// answers are not pages.
func writeJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	// The status is sent: an error here means that the client went away.
	if err := e.Encode(v); err != nil {
		return
	}
}

// problemOf finds the problem in err. What is not a problem is internal.
func problemOf(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return api.Refuse(api.CodeNoLeader, "请求在总线答复之前结束,结果未知;请以同一标识重发 / the request ended before the bus answered; its outcome is unknown, send it again with the same id")
	}
	return api.Internal(err)
}
