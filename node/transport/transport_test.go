package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
)

// do sends a request and reads its answer whole.
func (r *rig) do(q *http.Request) (int, http.Header, []byte) {
	r.t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, b
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBodies(t *testing.T) {
	long := bytes.Repeat([]byte("长度"), 1000)
	for _, tt := range []struct {
		name     string
		body     []byte
		encoding string
		limit    int64
		want     []byte
		code     api.Code
	}{
		{"plain", long, "", 6000, long, ""},
		{"one byte too long", long, "", 5999, nil, api.CodeTooLarge},
		{"packed", packed(t, long), "gzip", 6000, long, ""},
		{"packed, one byte too long", packed(t, long), "gzip", 5999, nil, api.CodeTooLarge},
		{"a bomb within the limit", packed(t, make([]byte, 3<<20)), "gzip", 16 << 20, nil, api.CodeTooLarge},
		{"cut off", packed(t, long)[:20], "gzip", 6000, nil, api.CodeMalformed},
		{"no gzip", long, "gzip", 6000, nil, api.CodeMalformed},
		{"twice", packed(t, packed(t, long)), "gzip, gzip", 6000, nil, api.CodeUnsupportedMediaType},
		{"empty", nil, "identity", 1, []byte{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", bytes.NewReader(tt.body))
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			got, err := body(r, tt.limit)
			var p *api.Problem
			if tt.code == "" && err != nil || tt.code != "" && (!errors.As(err, &p) || p.Code != tt.code) {
				t.Errorf("got %v, want %q", err, tt.code)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, want %d", len(got), len(tt.want))
			}
		})
	}
}

func TestLines(t *testing.T) {
	got, err := lines([]byte("a\r\n\n  b \nc"), 3)
	if err != nil || !cmp.Equal(got, [][]byte{[]byte("a"), []byte("b"), []byte("c")}) {
		t.Errorf("%q, %v", got, err)
	}
	_, err = lines([]byte("a\nb\nc\nd"), 3)
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodeTooLarge {
		t.Errorf("one line too many: %v", err)
	}
}

func TestHeaders(t *testing.T) {
	with := func(name, value string) *http.Request {
		r := httptest.NewRequest("PUT", "/", nil)
		r.Header.Set(name, value)
		return r
	}
	for value, want := range map[string]uint64{`"5"`: 5, `W/"7"`: 7, "9": 9} {
		if rev, has, err := revision(with("If-Match", value)); rev != want || !has || err != nil {
			t.Errorf("If-Match %s: %d, %v, %v", value, rev, has, err)
		}
	}
	for _, value := range []string{"*", `"x"`, `"1", "2"`, `"-1"`} {
		if _, _, err := revision(with("If-Match", value)); err == nil {
			t.Errorf("If-Match %s is taken", value)
		}
	}
	if rev, has, err := revision(with("If-None-Match", "*")); rev != 0 || !has || err != nil {
		t.Errorf("If-None-Match *: %d, %v, %v", rev, has, err)
	}
	if _, has, _ := revision(with("X", "")); has {
		t.Error("a precondition from nothing")
	}
	for value, want := range map[string]string{"": "zh", "en": "en", "EN-gb,zh": "en", "zh-CN,en;q=0.9": "zh", "fr, en": "zh", "e": "zh"} {
		if got := language(with("Accept-Language", value)); got != want {
			t.Errorf("Accept-Language %q: %s, want %s", value, got, want)
		}
	}
	for _, tt := range []struct {
		values []string
		tag    string
		want   bool
	}{
		{[]string{`"a"`}, `"a"`, true}, {[]string{`W/"a"`}, `"a"`, true}, {[]string{`"b", "a"`}, `"a"`, true}, {[]string{`"b"`, `"a"`}, `"a"`, true},
		{[]string{"*"}, `"a"`, true}, {[]string{`"b"`}, `"a"`, false}, {nil, `"a"`, false}, {[]string{"*"}, "", false}, {[]string{`a`}, `"a"`, false},
	} {
		if got := matches(tt.values, tt.tag); got != tt.want {
			t.Errorf("If-None-Match %v for %s: %v", tt.values, tt.tag, got)
		}
	}
	for value, want := range map[string]bool{"handling=strict": true, "return=minimal, handling=strict": true, "handling=lenient": false, "": false, ";;": false} {
		if got := preferStrict(with("Prefer", value)); got != want {
			t.Errorf("Prefer %q: %v", value, got)
		}
	}
	for value, want := range map[string]string{"a.b": "a.b 1", "a.b; epoch=7": "a.b 7", " a.b ;epoch=2 ": "a.b 2"} {
		name, epoch, err := producer(value)
		if got := fmt.Sprintf("%s %d", name, epoch); got != want || err != nil {
			t.Errorf("producer %q: %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"; epoch=1", "a.b; epoch=0", "a.b; epoch=x", "a.b; era=1", "a.b; epoch=1; x=2"} {
		if _, _, err := producer(value); err == nil {
			t.Errorf("producer %q is taken", value)
		}
	}
}

func TestWaitIsBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 0, "30s": 30 * time.Second, "5": 5 * time.Second, "1h": time.Minute, "2147483647": time.Minute, "100000h": time.Minute} {
		r := httptest.NewRequest("GET", "/?wait="+value, nil)
		if got, err := wait(r, time.Minute); got != want || err != nil {
			t.Errorf("wait=%s: %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"-1", "-5s", "x", "99999999999999999999", "9223372036854775807"} {
		r := httptest.NewRequest("GET", "/?wait="+value, nil)
		if got, err := wait(r, time.Minute); err == nil {
			t.Errorf("wait=%s is taken as %s", value, got)
		}
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of somebody unknown was read")
	return 0, io.EOF
}

// TestUnknownCallersAreNotRead sends a body without a key.
func TestUnknownCallersAreNotRead(t *testing.T) {
	r := newRig(t, nil)
	q := httptest.NewRequest("POST", "/v1/resources/approvals.case/records", unread{t})
	q.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.server.API().ServeHTTP(w, q)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("got %d", w.Code)
	}
}

// TestSlowBodyIsCutOff sends a body that never ends.
func TestSlowBodyIsCutOff(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BodyTime = 50 * time.Millisecond })
	address, err := url.Parse(r.api.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/resources/approvals.case/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", r.keys["pub"])
	answer, err := io.ReadAll(c) // ends because the server gives up, or the test hangs
	if err != nil || !bytes.Contains(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("%s, %v", answer, err)
	}
}

// TestReadDeadlineIsLifted keeps a connection beyond the time of its first body.
func TestReadDeadlineIsLifted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BodyTime = 100 * time.Millisecond })
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	ask := func(method, path, body string) int {
		q := r.request("sub", method, path, http.Header{"Content-Type": {"application/json"}}, body)
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	ask("POST", "/v1/grants", `{}`)
	if got := ask("GET", "/v1/subscriptions/none/records?wait=1s", ""); got != http.StatusNotFound {
		t.Errorf("got %d", got)
	}
}

// TestLongPollOutlivesTheBodyTime waits longer than a body may take.
func TestLongPollOutlivesTheBodyTime(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BodyTime = 20 * time.Millisecond })
	status, _, body := r.do(r.request("pub", "GET", "/v1/resources/approvals.case/records?wait=200ms", nil, ""))
	if status != 200 || !bytes.Contains(body, []byte(`"end":true`)) {
		t.Errorf("%d %s", status, body)
	}
}

func TestPanics(t *testing.T) {
	r := newRig(t, nil)
	r.broken.Store(true)
	status, header, text := r.do(r.request("pub", "POST", "/v1/resources/approvals.case/records", http.Header{"Content-Type": {"application/json"}}, `{"op":"withdraw","key":"x","reason":"y"}`))
	if status != 500 || header.Get("Content-Type") != "application/problem+json; charset=utf-8" || bytes.Contains(text, []byte("secret")) {
		t.Errorf("%d %s", status, text)
	}
	if _, _, text := r.do(r.request("nobody", "GET", "/metrics", nil, "")); !bytes.Contains(text, []byte("hutong_transport_panics_total 1")) {
		t.Error("the panic is not counted")
	}
	r.broken.Store(false)
	if status, _, _ := r.do(r.request("pub", "GET", "/readyz", nil, "")); status != 200 {
		t.Errorf("the node does not live on: %d", status)
	}
}

// TestNothingSecretIsLogged looks through what the server logs at debug level.
func TestNothingSecretIsLogged(t *testing.T) {
	r := newRig(t, nil)
	r.do(r.request("pub", "POST", "/v1/resources/approvals.case/records", http.Header{"Content-Type": {"application/json"}}, `{"op":"upsert","data":{"case_no":"GTFG-000001","task_name":"预售许可","dept_code":"GTFG01","status":"受理","applicant_name":"欧阳锦程"}}`))
	r.do(r.request("pub", "GET", "/v1/resources/approvals.case/records/GTFG-000001?grant=欧阳", nil, ""))
	r.do(r.request("nobody", "GET", "/v1/departments", http.Header{"Authorization": {"Bearer hk_0123456789abcdef_geheim"}}, ""))
	log := r.logged.String()
	if !strings.Contains(log, "route=publish") {
		t.Fatalf("nothing was logged: %s", log)
	}
	for _, word := range []string{"欧阳", "GTFG-000001", "geheim", r.keys["pub"], "hk_"} {
		if strings.Contains(log, word) {
			t.Errorf("%s is in the log:\n%s", word, log)
		}
	}
}

// TestReadyIsNotAlive loses touch with the others.
func TestReadyIsNotAlive(t *testing.T) {
	r := newRig(t, nil)
	r.stale.Store(true)
	status, header, _ := r.do(r.request("nobody", "GET", "/readyz", nil, ""))
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("readyz: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if status, _, _ := r.do(r.request("nobody", "GET", "/healthz", nil, "")); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if status, _, _ := r.do(r.request("pub", "GET", "/v1/departments", nil, "")); status != http.StatusServiceUnavailable {
		t.Errorf("granted data of a stale node: %d", status)
	}
	if status, header, _ := r.do(r.request("portal", "GET", "/feeds/org.unit.atom", nil, "")); status != 200 || header.Get("Age") == "" {
		t.Errorf("feed: %d, Age %q", status, header.Get("Age"))
	}
}

// TestRateLimit keeps the portal's readers apart from the departments.
func TestRateLimit(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RequestsPerS = 1 })
	limited := 0
	for range 20 {
		status, header, _ := r.do(r.request("pub", "GET", "/v1/departments", nil, ""))
		if status == http.StatusTooManyRequests {
			limited++
			if header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", header.Get("Retry-After"))
			}
		}
	}
	if limited == 0 {
		t.Error("20 requests at once pass a limit of one a second")
	}
	for _, at := range [][2]string{{"portal", "/audit/checkpoint"}, {"nobody", "/healthz"}, {"nobody", "/readyz"}} {
		if status, _, _ := r.do(r.request(at[0], "GET", at[1], nil, "")); status != 200 {
			t.Errorf("%s is limited with the API: %d", at[1], status)
		}
	}
}

// TestProblemOf says what becomes of errors that are no problems.
func TestProblemOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code api.Code
	}{
		{fmt.Errorf("act: %w", api.Refuse(api.CodeErased, "x")), api.CodeErased},
		{fmt.Errorf("act: %w", context.DeadlineExceeded), api.CodeNoLeader},
		{context.Canceled, api.CodeNoLeader},
		{errors.New("x"), api.CodeInternal},
	} {
		if got := problemOf(tt.err); got.Code != tt.code {
			t.Errorf("%v: %s, want %s", tt.err, got.Code, tt.code)
		}
	}
}

func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{"code":"a","name":"b"}`, `{"Code":"a"}`, `{"code":"a"}{}`, `[]`, `{"code":"a","code":"b"}`, "\ufeff{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var out api.Department
		err := strict(b, &out)
		var p *api.Problem
		if err != nil && (!errors.As(err, &p) || api.Lookup(p.Code).Class != api.ClassRefused) {
			t.Errorf("%q: %v", b, err)
		}
	})
}
