package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// server counts its calls and answers each by its number, from 1.
type server struct {
	*httptest.Server
	calls atomic.Int32
}

func newServer(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(int(s.calls.Add(1)), w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func answerProblem(w http.ResponseWriter, code Code, retryAfter string) {
	p := Refuse(code, "细节 / detail")
	w.Header().Set("Content-Type", "application/problem+json")
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func answerJSON(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func newClient(t *testing.T, timeout time.Duration, servers ...string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{Server: servers, APIKey: "hk_test", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// gone is the address of a server that no longer listens.
func gone(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}

func TestServersInTurn(t *testing.T) {
	busy := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) { answerProblem(w, CodeNoLeader, "") })
	good := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) { answerJSON(w, Cluster{Leader: "n2"}) })
	c := newClient(t, 20*time.Second, gone(t), busy.URL, good.URL)
	for i := range 3 { // each call begins at the next server
		got, err := Object[Cluster](t.Context(), c, "cluster")
		if err != nil || got.Leader != "n2" {
			t.Fatalf("call %d: %+v, %v", i, got, err)
		}
	}
	if good.calls.Load() != 3 || busy.calls.Load() == 0 {
		t.Errorf("good was asked %d times, busy %d", good.calls.Load(), busy.calls.Load())
	}
}

func TestRefusalsAreFinal(t *testing.T) {
	for code, m := range Codes() {
		t.Run(string(code), func(t *testing.T) {
			s := newServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 1 {
					answerProblem(w, code, "")
					return
				}
				answerJSON(w, Cluster{Leader: "n1"})
			})
			c := newClient(t, 20*time.Second, s.URL, s.URL)
			_, err := Object[Cluster](t.Context(), c, "cluster")
			again := m.Class == ClassUnavailable && code != CodeQuarantineFull
			if want := map[bool]int32{false: 1, true: 2}[again]; s.calls.Load() != want {
				t.Errorf("asked %d times, want %d", s.calls.Load(), want)
			}
			if again {
				if err != nil {
					t.Errorf("after a retry: %v", err)
				}
				return
			}
			var p *Problem
			if !errors.As(err, &p) || p.Code != code || p.Status != m.Status {
				t.Errorf("got %v, want %s %d", err, code, m.Status)
			}
		})
	}
}

func TestUnprovedServerIsNotAskedAgain(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	c := newClient(t, time.Hour, s.URL) // an hour: a retry would hang the test
	_, err := Object[Cluster](t.Context(), c, "cluster")
	if !errors.Is(err, ErrUnreachable) || calls.Load() != 0 {
		t.Errorf("got %v, %d calls", err, calls.Load())
	}
}

func TestPause(t *testing.T) {
	refused := errors.New("connection refused")
	asked := func(seconds int) error { return &Problem{Code: CodePushback, RetryAfter: seconds} }
	for _, tt := range []struct {
		name       string
		n, servers int
		err        error
		left       time.Duration // until the call's end
		want       bool
	}{
		{"an untried server is asked at once", 1, 2, asked(30), time.Second, true},
		{"the first wait is short", 2, 2, refused, time.Second, true},
		{"the server's wish is longer than the call may last", 1, 1, asked(3), 2 * time.Second, false},
		{"a wish is not cut down to the backoff", 1, 1, asked(5), 4 * time.Second, false},
		{"a wish of an hour is bounded", 1, 1, asked(3600), 59 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.left)
			defer cancel()
			if got := pause(ctx, tt.n, tt.servers, tt.err); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if pause(ended, 1, 2, refused) || pause(ended, 5, 2, refused) {
		t.Error("a call that ended goes on")
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	var first atomic.Int64
	var waited atomic.Int64
	s := newServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			first.Store(time.Now().UnixNano())
			answerProblem(w, CodeNotFresh, "1")
			return
		}
		waited.Store(time.Now().UnixNano() - first.Load())
		answerJSON(w, Cluster{Leader: "n1"})
	})
	c := newClient(t, time.Minute, s.URL)
	if _, err := Object[Cluster](t.Context(), c, "cluster"); err != nil {
		t.Fatal(err)
	}
	if d := time.Duration(waited.Load()); d < time.Second {
		t.Errorf("asked again after %s, the server wished for 1 s", d)
	}
}

func TestTheServersLastWordIsTold(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) { answerProblem(w, CodeDiskLow, "30") })
	_, err := Object[Cluster](t.Context(), newClient(t, 5*time.Second, s.URL), "cluster")
	var p *Problem
	if !errors.As(err, &p) || p.Code != CodeDiskLow || p.RetryAfter != 30 || ExitCode(err) != ExitUnreachable {
		t.Errorf("got %#v (%v)", p, err)
	}
	// Nobody answers: the cause is told.
	_, err = Object[Cluster](t.Context(), newClient(t, 300*time.Millisecond, gone(t)), "cluster")
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "refused") || ExitCode(err) != ExitUnreachable {
		t.Errorf("got %v", err)
	}
	// The caller gave up.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Object[Cluster](ctx, newClient(t, time.Minute, s.URL), "cluster"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnswersWithoutDocument(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		code   Code
		class  Class
	}{
		{502, "<html>Bad Gateway</html>", CodeNoLeader, ClassUnavailable},
		{429, "", CodePushback, ClassUnavailable},
		{500, "boom", CodeInternal, ClassInternal},
		{404, "<html>", CodeInternal, ClassInternal},
		{301, "", CodeInternal, ClassInternal},
		{409, `{"code":"from_the_future","status":409}`, "from_the_future", ClassRefused},
		{503, `{"code":"from_the_future","status":503}`, "from_the_future", ClassUnavailable},
		{500, `{"code":"from_the_future","status":500}`, "from_the_future", ClassInternal},
	} {
		t.Run(fmt.Sprint(tt.status, tt.body), func(t *testing.T) {
			s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			_, err := Object[Cluster](t.Context(), newClient(t, 200*time.Millisecond, s.URL), "cluster")
			var p *Problem
			if !errors.As(err, &p) || p.Code != tt.code || p.Class() != tt.class {
				t.Fatalf("got %v", err)
			}
			want := map[Class]int{ClassInternal: ExitInternal, ClassRefused: ExitRefused, ClassUnavailable: ExitUnreachable}[tt.class]
			if ExitCode(err) != want {
				t.Errorf("exit %d, want %d", ExitCode(err), want)
			}
		})
	}
}

// TestRequests compares what the client sends with the contract.
func TestRequests(t *testing.T) {
	type sent struct{ Method, URI, Body, ContentType, Producer, Prefer, IfMatch, IfNoneMatch string }
	var got sent
	var key, language, idempotency string
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h := r.Header
		got = sent{r.Method, r.RequestURI, string(b), h.Get("Content-Type"), h.Get(ProducerHeader), h.Get("Prefer"), h.Get("If-Match"), h.Get("If-None-Match")}
		key, language, idempotency = h.Get("Authorization"), h.Get("Accept-Language"), h.Get("Idempotency-Key")
		answerJSON(w, map[string]any{})
	})
	c := newClient(t, time.Minute, s.URL+"/")
	record := []byte(`{"op":"upsert","data":{"a":"<b> \u4e2d"}}`)
	for _, tt := range []struct {
		name string
		call func(context.Context) error
		want sent
	}{
		{"one record, byte for byte", func(ctx context.Context) error { _, err := c.PublishOne(ctx, "a.b", record); return err },
			sent{Method: "POST", URI: "/v1/resources/a.b/records", Body: string(record), ContentType: "application/json"}},
		{"many", func(ctx context.Context) error {
			_, err := c.Publish(ctx, Publish{Resource: "a.b", Producer: "d.s", Epoch: 3, Strict: true, Lines: [][]byte{record, record}})
			return err
		}, sent{Method: "POST", URI: "/v1/resources/a.b/records", Body: string(record) + "\n" + string(record), ContentType: "application/x-ndjson", Producer: "d.s; epoch=3", Prefer: "handling=strict"}},
		{"a plain key", func(ctx context.Context) error { _, err := c.Record(ctx, "a.b", "甲 1", "g"); return err },
			sent{Method: "GET", URI: "/v1/resources/a.b/records/%E7%94%B2%201?grant=g"}},
		{"a key that proxies take apart", func(ctx context.Context) error { _, err := c.History(ctx, "a.b", "a/b", ""); return err },
			sent{Method: "GET", URI: "/v1/resources/a.b/records/-/history?key=a%2Fb"}},
		{"a dot key", func(ctx context.Context) error { _, err := c.Receipt(ctx, "a.b", ".."); return err },
			sent{Method: "GET", URI: "/v1/resources/a.b/records/-/receipt?key=.."}},
		{"evidence", func(ctx context.Context) error { _, err := c.Evidence(ctx, "a.b", "x%2e", ""); return err },
			sent{Method: "GET", URI: "/v1/resources/a.b/records/-/evidence?key=x%252e"}},
		{"a page", func(ctx context.Context) error {
			_, err := c.Records(ctx, "a.b", ReadOptions{After: 7, Limit: 2, Wait: time.Second})
			return err
		}, sent{Method: "GET", URI: "/v1/resources/a.b/records?after=7&limit=2&wait=1s"}},
		{"new object", func(ctx context.Context) error { _, err := Put(ctx, c, Group{}, 0, "groups", "g"); return err },
			sent{Method: "PUT", URI: "/v1/groups/g", Body: `{"code":"","name":"","departments":[],"revision":0}`, ContentType: "application/json", IfNoneMatch: "*"}},
		{"known object", func(ctx context.Context) error { _, err := Put(ctx, c, Group{}, 5, "groups", "g"); return err },
			sent{Method: "PUT", URI: "/v1/groups/g", Body: `{"code":"","name":"","departments":[],"revision":0}`, ContentType: "application/json", IfMatch: `"5"`}},
		{"verb without body", func(ctx context.Context) error {
			_, err := Post[Grant](ctx, c, nil, "subscriptions", "s/1", "pause")
			return err
		},
			sent{Method: "POST", URI: "/v1/subscriptions/s%2F1/pause"}},
		{"delete", func(ctx context.Context) error { return c.Delete(ctx, "cluster", "members", "n1") },
			sent{Method: "DELETE", URI: "/v1/cluster/members/n1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if key != "Bearer hk_test" || language != "zh" {
				t.Errorf("key %q, language %q", key, language)
			}
			if isPost := got.Method == "POST"; isPost && got.ContentType != "application/x-ndjson" && idempotency == "" {
				t.Error("a POST without Idempotency-Key")
			}
		})
	}
}

// TestRetriesKeepTheRequestID shows that a command sent again is the same command.
func TestRetriesKeepTheRequestID(t *testing.T) {
	var ids []string
	s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("Idempotency-Key"))
		if n < 3 {
			answerProblem(w, CodeNoLeader, "")
			return
		}
		answerJSON(w, Grant{Grant: "g1"})
	})
	c := newClient(t, time.Minute, s.URL)
	if _, err := Post[Grant](t.Context(), c, Grant{}, "grants"); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("request ids %v", ids)
	}
}

func TestListsAreFollowed(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		after := q.Get("after")
		if q.Get("type") != "x" {
			t.Errorf("query %v lost the filter", q)
		}
		switch after {
		case "":
			w.Header().Set("Link", `</v1/audit/events?after=2&type=x>; rel="next"`)
			answerJSON(w, []Event{{Leaf: "2026-1:1"}, {Leaf: "2026-1:2"}})
		case "2":
			w.Header().Add("Link", `</v1/audit/events>; rel="first"`)
			answerJSON(w, []Event{{Leaf: "2026-1:3"}})
		}
	})
	c := newClient(t, time.Minute, s.URL)
	for name, read := range map[string]func() ([]Event, error){
		"events": func() ([]Event, error) { return c.Events(t.Context(), url.Values{"type": {"x"}}) },
		"list": func() ([]Event, error) {
			return List[Event](t.Context(), c, url.Values{"type": {"x"}}, "audit", "events")
		},
	} {
		got, err := read()
		if err != nil || len(got) != 3 || got[2].Leaf != "2026-1:3" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestNewClient(t *testing.T) {
	dir := t.TempDir()
	keyFile, empty := filepath.Join(dir, "key"), filepath.Join(dir, "ca.pem")
	for name, text := range map[string]string{keyFile: " hk_file\n", empty: "no certificate"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, config := range map[string]ClientConfig{
		"no server":        {},
		"no scheme":        {Server: []string{"127.0.0.1:7080"}},
		"bad public":       {Server: []string{"http://a"}, Public: "b"},
		"no key file":      {Server: []string{"http://a"}, CredentialFile: filepath.Join(dir, "none")},
		"no authority":     {Server: []string{"https://a"}, CAFile: filepath.Join(dir, "none")},
		"empty authority":  {Server: []string{"https://a"}, CAFile: empty},
		"half certificate": {Server: []string{"https://a"}, CertFile: keyFile},
	} {
		if _, err := NewClient(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c, err := NewClient(ClientConfig{Server: []string{"http://a"}, CredentialFile: keyFile})
	if err != nil || c.key != "hk_file" {
		t.Errorf("key %q, %v", c.key, err)
	}
	if _, err := c.Public(t.Context(), "/feeds/x.atom"); ExitCode(err) != ExitRefused {
		t.Errorf("public without address: %v", err)
	}
}
