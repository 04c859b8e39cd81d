package transport

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
)

// What anybody may read: feeds, checkpoints and tiles. These go on without a
// leader; Age says how old the state is that they were made from (invariant 5).

func (s *Server) age(h http.Header) {
	h.Set("Age", strconv.FormatInt(int64(s.service.Age().Seconds()), 10))
}

// feed answers /feeds/{resource}.atom and .json.
func (s *Server) feed(_ context.Context, _ policy.Caller, in named) (*reply, error) {
	file := in.path["file"]
	dot := strings.LastIndexByte(file, '.')
	if dot < 0 {
		return nil, api.Refuse(api.CodeNotFound, "订阅源地址以 .atom 或 .json 结尾 / feeds end in .atom or .json")
	}
	doc, err := s.service.Feed(file[:dot], file[dot+1:])
	if err != nil {
		return nil, err
	}
	h := http.Header{"Etag": {doc.ETag}, "Cache-Control": {"no-cache"}, "Access-Control-Allow-Origin": {"*"}}
	s.age(h)
	return &reply{body: doc.Body, contentType: doc.MediaType, header: h}, nil
}

// checkpoint answers the newest cosigned checkpoint.
func (s *Server) checkpoint(_ context.Context, _ policy.Caller, in named) (*reply, error) {
	note, err := s.service.Checkpoint(in.path["log"])
	if err != nil {
		return nil, err
	}
	h := http.Header{"Cache-Control": {"no-cache"}}
	s.age(h)
	return &reply{body: note, contentType: plainText, header: h}, nil
}

// tile answers hash tiles in the paths of C2SP tlog-tiles. Full tiles never
// change.
func (s *Server) tile(_ context.Context, _ policy.Caller, in named) (*reply, error) {
	b, full, err := s.service.Tile(in.path["log"], in.path["level"]+"/"+in.path["rest"])
	if err != nil {
		return nil, err
	}
	h := http.Header{"Cache-Control": {"no-cache"}}
	if full {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	s.age(h)
	return &reply{body: b, contentType: "application/octet-stream", header: h}, nil
}

// health says that the process lives; it is not asked whether it is useful.
func (s *Server) health(context.Context, policy.Caller, named) (*reply, error) {
	return &reply{value: map[string]string{"status": "alive", "version": s.config.VersionString}}, nil
}

// ready says whether the node may be given work.
func (s *Server) ready(context.Context, policy.Caller, named) (*reply, error) {
	if err := s.service.Ready(); err != nil {
		return nil, err
	}
	return &reply{value: map[string]string{"status": "ready"}}, nil
}
