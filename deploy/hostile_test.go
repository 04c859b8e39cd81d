package deploy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/api"
)

// memoryMaxBytes bounds what the node may hold after all of the hostile input:
// a node that took one of the bombs apart would be far above it.
const memoryMaxBytes = 400 << 20

// TestHostileInput sends what should not be sent. Each gets a clear problem,
// nothing is stored, the node lives and stays small.
func TestHostileInput(t *testing.T) {
	c := startCluster(t, 1)
	ctx := context.Background()
	publisher := c.join(t, "jw", "approvals", "publisher")
	c.resource(t, `{resource: approvals.case, title: {zh: 办件}, owner: jw, key: [case_no], sharing: conditional, erasable: true, disclosure: {route: none}}`, "approvals.case")
	key := contextFile(t, c, "jw.approvals")
	const address = "/v1/resources/approvals.case/records"
	data := func(inner string) string { return `{"op":"upsert","data":` + inner + `}` }
	for _, h := range []struct {
		name, media string
		body        string
		header      http.Header
		status      int
		code        api.Code
	}{
		{name: "exponent bomb", media: "application/json", body: data(`{"n":1e10000000}`), status: 400, code: api.CodeMalformed},
		{name: "negative exponent bomb", media: "application/json", body: data(`{"n":1e-10000000}`), status: 400, code: api.CodeMalformed},
		{name: "a million digits", media: "application/json", body: data(`{"n":` + strings.Repeat("9", 200<<10) + `}`), status: 400, code: api.CodeMalformed},
		{name: "200k-deep arrays", media: "application/json", body: data(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), status: 400, code: api.CodeMalformed},
		{name: "10 MiB record", media: "application/json", body: data(`{"s":"` + strings.Repeat("x", 10<<20) + `"}`), status: 413, code: api.CodeTooLarge},
		{name: "duplicate names", media: "application/json", body: data(`{"case_no":"A-00001","case_no":"B-00001"}`), status: 400, code: api.CodeMalformed},
		{name: "broken UTF-8", media: "application/json", body: data("{\"case_no\":\"\xff\xfe\"}"), status: 400, code: api.CodeMalformed},
		{name: "lone surrogate", media: "application/json", body: data(`{"case_no":"\ud800"}`), status: 400, code: api.CodeMalformed},
		{name: "truncated", media: "application/json", body: `{"op":"upsert","data":{"case_no":"A-0`, status: 400, code: api.CodeMalformed},
		{name: "trailing", media: "application/json", body: data(`{}`) + "{}", status: 400, code: api.CodeMalformed},
		{name: "unknown member", media: "application/json", body: `{"op":"upsert","dta":{}}`, status: 400, code: api.CodeUnknownMember},
		{name: "not an object", media: "application/json", body: `[1,2]`, status: 400, code: api.CodeMalformed},
		{name: "empty", media: "application/json", body: ``, status: 400, code: api.CodeMalformed},
		{name: "wrong media type", media: "text/xml", body: `<a/>`, status: 415, code: api.CodeUnsupportedMediaType},
		{name: "other charset", media: "application/json; charset=gb18030", body: data(`{}`), status: 415, code: api.CodeUnsupportedMediaType},
		{name: "too many lines", media: "application/x-ndjson", body: strings.Repeat("{}\n", 10_001), status: 413, code: api.CodeTooLarge},
		{name: "no gzip", media: "application/json", body: "hello", header: http.Header{"Content-Encoding": {"gzip"}}, status: 400, code: api.CodeMalformed},
		{name: "gzip bomb", media: "application/x-ndjson", body: bomb(t, 200<<20), header: http.Header{"Content-Encoding": {"gzip"}}, status: 413, code: api.CodeTooLarge},
		{name: "bad producer", media: "application/x-ndjson", body: "{}", header: http.Header{api.ProducerHeader: {"x; epoch=-1"}}, status: 400, code: api.CodeMalformed},
		{name: "forged producer", media: "application/x-ndjson", body: "{}", header: http.Header{api.ProducerHeader: {"gtfg.approvals; epoch=1"}}, status: 403, code: api.CodeNotGranted},
	} {
		t.Run(h.name, func(t *testing.T) {
			header := http.Header{"Content-Type": {h.media}, "Authorization": {"Bearer " + key}}
			for k, v := range h.header {
				header[k] = v
			}
			status, p := send(t, http.MethodPost, c.apis[0]+address, header, strings.NewReader(h.body))
			if status != h.status || p.Code != h.code {
				t.Errorf("got %d %s (%s), want %d %s", status, p.Code, p.Detail, h.status, h.code)
			}
		})
	}
	hostileAddresses(t, c, key)
	randomBytes(t, c, key)
	page, err := publisher.Records(ctx, "approvals.case", api.ReadOptions{})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("something hostile was stored: %+v, %v", page, err)
	}
	if err := publisher.Ready(ctx); err != nil {
		t.Errorf("the node does not live: %v", err)
	}
	if got := residentBytes(t, c.nodes[0].cmd.Process.Pid); got > memoryMaxBytes {
		t.Errorf("the node holds %d MiB", got>>20)
	}
}

// hostileAddresses asks for what is not there and without who asks.
func hostileAddresses(t *testing.T, c *cluster, key string) {
	t.Helper()
	bearer := http.Header{"Authorization": {"Bearer " + key}}
	for _, h := range []struct {
		method, path string
		header       http.Header
		status       int
	}{
		{"GET", "/v1/resources", nil, 401},
		{"GET", "/v1/resources", http.Header{"Authorization": {"Basic eDp5"}}, 401},
		{"GET", "/v1/resources", http.Header{"Authorization": {"Bearer hk_no_such"}}, 401},
		{"GET", "/v1/nowhere", bearer, 404},
		{"DELETE", "/v1/resources", bearer, 404},
		{"GET", "/v1/resources/..%2f..%2fetc/records", bearer, 404},
		{"GET", "/v1/resources/approvals.case/records?after=-1", bearer, 400},
		{"GET", "/v1/resources/approvals.case/records?limit=100000", bearer, 400},
		{"GET", "/v1/resources/approvals.case/records?wait=-3s", bearer, 400},
		{"GET", "/v1/resources/approvals.case/records/%00", bearer, 404},
		{"GET", "/v1/cluster", bearer, 403},
		{"PUT", "/v1/departments/jw", http.Header{"Authorization": bearer["Authorization"], "Content-Type": {"application/json"}}, 403},
		{"POST", "/v1/grants", http.Header{"Authorization": bearer["Authorization"], "Content-Type": {"application/json"}}, 400},
	} {
		var body io.Reader
		if h.method != "GET" {
			body = strings.NewReader(`{"code":"jw","code":"x"}`)
			if h.method == "PUT" {
				body = strings.NewReader(`{"code":"jw","name":"x","kind":"government","level":"county","region":"500154","legacy_codes":[],"revision":0}`)
			}
		}
		status, p := send(t, h.method, c.apis[0]+h.path, h.header, body)
		if status != h.status || p.Code == "" {
			t.Errorf("%s %s: got %d %+v, want %d with a problem", h.method, h.path, status, p, h.status)
		}
	}
	for _, path := range []string{"/v1/resources", "/metrics", "/feeds/approvals.case.atom", "/feeds/approvals.case", "/audit/9999-1/checkpoint", "/audit/2026-1/tile/0/x999", "/audit/2026-1/tile/entries/000"} {
		if status, _ := send(t, "GET", c.public[0]+path, bearer, nil); status != 404 {
			t.Errorf("public listener %s: got %d, want 404", path, status)
		}
	}
}

// randomBytes sends noise of a fixed seed to every kind of address.
func randomBytes(t *testing.T, c *cluster, key string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		noise := make([]byte, random.IntN(4096))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		for _, media := range []string{"application/json", "application/x-ndjson"} {
			status, _ := send(t, http.MethodPost, c.apis[0]+"/v1/resources/approvals.case/records", http.Header{"Content-Type": {media}, "Authorization": {"Bearer " + key}}, bytes.NewReader(noise))
			if status >= 500 {
				t.Fatalf("noise was answered %d", status)
			}
		}
	}
}

// send does one request and decodes the problem it is answered with.
func send(t *testing.T, method, address string, header http.Header, body io.Reader) (int, api.Problem) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		// A body over the limit may be cut off before it is read whole.
		return http.StatusRequestEntityTooLarge, api.Problem{Code: api.CodeTooLarge}
	}
	defer w.Body.Close()
	b, err := io.ReadAll(io.LimitReader(w.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	var p api.Problem
	if w.StatusCode >= 400 {
		if err := json.Unmarshal(b, &p); err != nil {
			t.Errorf("%s %s: %d without a problem document: %s", method, address, w.StatusCode, tail(b, 200))
		}
		if p.Status != w.StatusCode {
			t.Errorf("%s: problem says %d, answer %d", address, p.Status, w.StatusCode)
		}
	}
	return w.StatusCode, p
}

// bomb is n zero bytes in gzip.
func bomb(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	chunk := make([]byte, 1<<20)
	for range n >> 20 {
		if _, err := z.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func contextFile(t *testing.T, c *cluster, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// residentBytes is the memory that a process holds.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
