package transport

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/time/rate"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
)

// Config bounds what the listeners take.
type Config struct {
	RecordBytes   int           // one record, default 256 KiB
	BatchBytes    int64         // one batch, default 16 MiB
	BatchLines    int           // records of one batch, default 10,000
	ObjectBytes   int64         // one administrative object, default 1 MiB
	PageRecords   int           // records of one page, default 1,000
	WaitMax       time.Duration // longest long poll, default 60 s
	BodyTime      time.Duration // a request's body must have come within, default 2 min
	RequestsPerS  float64       // requests a second of this node; 0: no limit
	VersionString string        // of the program, for /healthz
}

// Default returns the limits of CONTRACT §5.
func Default() Config {
	return Config{RecordBytes: 256 << 10, BatchBytes: 16 << 20, BatchLines: 10_000, ObjectBytes: 1 << 20, PageRecords: 1000, WaitMax: 60 * time.Second, BodyTime: 2 * time.Minute}
}

// Server holds the handlers of the two listeners.
type Server struct {
	config  Config
	service *exchange.Service
	log     *slog.Logger
	metrics *metrics
	limiter *rate.Limiter
	api     *http.ServeMux
	public  *http.ServeMux
}

// New makes the handlers. registry receives the room's metrics and is what
// /metrics shows.
func New(config Config, service *exchange.Service, log *slog.Logger, registry *prometheus.Registry) *Server {
	s := &Server{config: config, service: service, log: log, metrics: newMetrics(registry), api: http.NewServeMux(), public: http.NewServeMux()}
	if config.RequestsPerS > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(config.RequestsPerS), int(config.RequestsPerS)+1)
	}
	table := s.routes()
	for i := range table {
		r := &table[i]
		h := r.handler(r)
		if r.public || r.publicOnly {
			s.public.Handle(r.method+" "+r.pattern, h)
		}
		if !r.publicOnly {
			s.api.Handle(r.method+" "+r.pattern, h)
		}
	}
	s.api.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	document := openapi(table)
	s.api.HandleFunc("GET "+openapiPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		writeJSON(w, document)
	})
	return s
}

// API is the handler of the API listener.
func (s *Server) API() http.Handler { return s.guard(s.api) }

// Public is the handler of the public listener.
func (s *Server) Public() http.Handler { return s.guard(s.public) }

// safety are the headers of every answer: none of them is a page, whatever a
// browser takes it for.
var safety = map[string]string{
	"X-Content-Type-Options":  "nosniff",
	"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	"Referrer-Policy":         "no-referrer",
}

// guard bounds the time of every request and answers what no route matched as
// a problem document, as everything else is.
func (s *Server) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k, v := range safety {
			w.Header().Set(k, v)
		}
		control := http.NewResponseController(w)
		r = r.WithContext(context.WithValue(r.Context(), keyControl, control))
		s.bound(control, r)
		_, pattern := mux.Handler(r)
		if pattern != "" && path.Clean(r.URL.EscapedPath()) == r.URL.EscapedPath() {
			mux.ServeHTTP(w, r)
			return
		}
		if allowed := allowedMethods(mux, r); allowed != "" && pattern == "" {
			w.Header().Set("Allow", allowed)
		}
		s.encodeError(context.WithValue(r.Context(), keyRequest, r),
			api.Refuse(api.CodeNotFound, "没有这个地址(%[1]s);见 /openapi.json / no such address for %[1]s; see /openapi.json", r.Method), w)
	})
}

// bound sets the deadlines of one exchange: a peer that sends or reads a byte
// a minute would hold its connection for ever. Long polls send nothing, so only
// requests with a body have one for reading (see body, which lifts it).
// Errors mean that the listener knows no deadlines, as in tests.
func (s *Server) bound(control *http.ResponseController, r *http.Request) {
	now := time.Now()
	_ = control.SetWriteDeadline(now.Add(s.config.WaitMax + 2*s.config.BodyTime))
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		_ = control.SetReadDeadline(now.Add(s.config.BodyTime))
	}
}

// allowedMethods lists the methods that would have matched r's path.
func allowedMethods(mux *http.ServeMux, r *http.Request) string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := mux.Handler(other); pattern != "" {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
}

// authenticate finds out who calls.
func (s *Server) authenticate(ctx context.Context, r *http.Request) (policy.Caller, error) {
	if scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		if !strings.EqualFold(scheme, "Bearer") {
			return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "Authorization 应为 Bearer hk_… / Authorization must be Bearer hk_…")
		}
		return s.service.AuthenticateKey(ctx, strings.TrimSpace(key))
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return s.service.AuthenticateCertificate(ctx, r.TLS.VerifiedChains[0][0])
	}
	return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "请带 Authorization: Bearer hk_… 或客户端证书 / send Authorization: Bearer hk_… or a client certificate")
}
