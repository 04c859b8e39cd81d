package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, in, format string
		records          []string
		lines            []int
	}{
		{"one line", `{"a":1}`, "", []string{`{"a":1}`}, []int{1}},
		{"one object over lines", "\n\n{\n\"a\":\r\n1}\n", "", []string{`{ "a":  1}`}, []int{3}},
		{"lines", "{\"a\":1}\n\n  {\"b\":2}\r\n", "", []string{`{"a":1}`, `{"b":2}`}, []int{1, 3}},
		{"a byte order mark", "\xef\xbb\xbf{\"a\":1}\n{\"b\":2}", "", []string{`{"a":1}`, `{"b":2}`}, []int{1, 2}},
		{"an array", "[\n{\"a\":1},\n\n{\"b\":\n2}]", "", []string{`{"a":1}`, `{"b": 2}`}, []int{2, 4}},
		{"an array on one line", `[{"a":1},{"b":2}]`, "json", []string{`{"a":1}`, `{"b":2}`}, []int{1, 1}},
		{"a broken line is left to the bus", "{\"a\":1}\n{\"b\":", "", []string{`{"a":1}`, `{"b":`}, []int{1, 2}},
		{"broken characters are not mended", "{\"a\":\"\xff\"}\n{}", "ndjson", []string{"{\"a\":\"\xff\"}", "{}"}, []int{1, 2}},
		{"broken characters over lines", "{\"a\":\n\"\xff\"}", "json", []string{"{\"a\": \"\xff\"}"}, []int{1}},
		{"nothing", "", "", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records, lines, err := split([]byte(tt.in), tt.format)
			var got []string
			for _, r := range records {
				got = append(got, string(r))
			}
			if err != nil || !cmp.Equal(got, tt.records) || !cmp.Equal(lines, tt.lines) {
				t.Errorf("%q at %v, %v; want %q at %v", got, lines, err, tt.records, tt.lines)
			}
		})
	}
	for _, format := range []string{"xml", "JSON"} {
		if _, _, err := split([]byte("{}"), format); err == nil {
			t.Errorf("format %s is taken", format)
		}
	}
	if _, _, err := split([]byte("[1,"), "json"); err == nil {
		t.Error("half an array is taken")
	}
}

// bus answers publishing as a test wants it.
func bus(t *testing.T, publish func(n int, lines []string, w http.ResponseWriter)) func(args ...string) (string, string, int) {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		publish(n, strings.Split(string(b), "\n"), w)
	}))
	t.Cleanup(s.Close)
	contexts := filepath.Join(t.TempDir(), "contexts.yaml")
	if err := os.WriteFile(contexts, fmt.Appendf(nil, "current: a\ncontexts: {a: {server: [%q]}}\n", s.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		code := Exec(context.Background(), Options{Contexts: contexts}, args, strings.NewReader(""), &out, &errs)
		return out.String(), errs.String(), code
	}
}

func accepted(w http.ResponseWriter, lines []string) {
	answer := api.PublishAnswer{Accepted: len(lines)}
	for i := range lines {
		answer.Items = append(answer.Items, api.PublishItem{Index: i, Status: api.StatusAccepted})
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func records(t *testing.T, n, bytes int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "records.ndjson")
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"r%d","op":"upsert","data":{"s":"%s"}}`+"\n", i, strings.Repeat("x", bytes))
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPublishBatches closes a request by records and by bytes: the bus takes no
// more than 16 MiB.
func TestPublishBatches(t *testing.T) {
	for _, tt := range []struct {
		name           string
		n, bytes, size int
		want           []int
	}{
		{"by records", 5, 10, 2, []int{2, 2, 1}},
		{"by bytes", 90, 200 << 10, 500, []int{40, 40, 10}},
		{"one", 1, 10, 500, []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			run := bus(t, func(_ int, lines []string, w http.ResponseWriter) {
				got = append(got, len(lines))
				accepted(w, lines)
			})
			out, errs, code := run("record", "publish", "a.b", "-f", records(t, tt.n, tt.bytes), "--batch", fmt.Sprint(tt.size))
			if code != 0 || !strings.Contains(out, fmt.Sprintf("accepted %d\n", tt.n)) || !cmp.Equal(got, tt.want) {
				t.Errorf("exit %d, batches %v, want %v\n%s%s", code, got, tt.want, out, errs)
			}
		})
	}
}

// TestPublishBrokenOff fails in the middle: what was answered is counted, and the
// first line without an answer is named.
func TestPublishBrokenOff(t *testing.T) {
	for code, exit := range map[api.Code]int{api.CodeNotGranted: api.ExitRefused, api.CodeInternal: api.ExitInternal} {
		run := bus(t, func(n int, lines []string, w http.ResponseWriter) {
			if n < 3 {
				accepted(w, lines)
				return
			}
			p := api.Refuse(code, "细节 / detail")
			w.WriteHeader(p.Status)
			_ = json.NewEncoder(w).Encode(p)
		})
		out, errs, got := run("record", "publish", "a.b", "-f", records(t, 10, 10), "--batch", "3")
		if got != exit || !strings.Contains(out, "accepted 6\n") || !strings.Contains(errs, "第7行") || !strings.Contains(errs, string(code)) {
			t.Errorf("%s: exit %d, want %d\n%s%s", code, got, exit, out, errs)
		}
	}
}

// TestPublishCountsWhatConsumedNothing: a record that must be sent again was not
// accepted.
func TestPublishCountsWhatConsumedNothing(t *testing.T) {
	run := bus(t, func(_ int, _ []string, w http.ResponseWriter) {
		_ = json.NewEncoder(w).Encode(api.PublishAnswer{Accepted: 1, Items: []api.PublishItem{
			{Index: 0, Status: api.StatusAccepted}, {Index: 1, Status: "quarantine_full", Errors: []api.FieldError{{Code: "quarantine_full", Message: "隔离区已满"}}}}})
	})
	out, errs, code := run("record", "publish", "a.b", "-f", records(t, 2, 10))
	if code != api.ExitRefused || !strings.Contains(out, "rejected 1\n") || !strings.Contains(errs, "line 2: 隔离区已满") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestPullEndsWhenInterrupted waits for records and is told to stop.
func TestPullEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	polls := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/ack"):
			_, _ = io.WriteString(w, "{}")
		case polls == 0:
			polls++
			_, _ = io.WriteString(w, `{"records":[{"offset":1,"version":1,"key":"k","data":{"a":"<b>"}}],"through":1,"end":true}`)
		default:
			cancel()
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	contexts := filepath.Join(t.TempDir(), "contexts.yaml")
	if err := os.WriteFile(contexts, fmt.Appendf(nil, "current: a\ncontexts: {a: {server: [%q]}}\n", s.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Exec(ctx, Options{Contexts: contexts}, []string{"record", "pull", "s", "--ack", "--follow"}, strings.NewReader(""), &out, &errs)
	if code != 0 || !strings.Contains(out.String(), `"data":{"a":"<b>"}`) || strings.Count(out.String(), "\n") != 1 || errs.Len() > 0 {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
}

// TestPublishGivesIDs: a record without an id would be published again when an
// answer is lost and the request sent anew.
func TestPublishGivesIDs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.ndjson")
	const own = `{"id":"own","op":"upsert","data":{}}`
	if err := os.WriteFile(file, []byte(own+"\n{\"op\":\"upsert\",\"data\":{\"a\":1}}\n{\"op\":\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var first, second []string
	run := bus(t, func(n int, lines []string, w http.ResponseWriter) {
		if n == 1 {
			first = lines
			p := api.Refuse(api.CodeNoLeader, "x")
			w.WriteHeader(p.Status)
			_ = json.NewEncoder(w).Encode(p)
			return
		}
		second = lines
		accepted(w, lines)
	})
	if _, errs, code := run("record", "publish", "a.b", "-f", file, "--format", "ndjson"); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var got struct{ ID string }
	if len(second) != 3 || second[0] != own || json.Unmarshal([]byte(second[1]), &got) != nil || got.ID == "" || second[2] != `{"op":` {
		t.Errorf("sent %q", second)
	}
	if !cmp.Equal(first, second) {
		t.Errorf("sent again with other ids: %q, %q", first, second)
	}
}

// TestVerifyNotCovered reads evidence that no checkpoint covers yet.
func TestVerifyNotCovered(t *testing.T) {
	b := newBench(t)
	builder, err := audit.NewBuilder("log.example", "a.b", "fgw.sys", 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	facts := audit.Facts{Offset: 1, Version: 1, System: "fgw.sys", Counter: 1, ID: "r1", Key: "k", Body: []byte(`{"a":"1"}`), SchemaVersion: 1}
	item := audit.NewItem(facts).Encode()
	leaf := audit.Leaf{V: audit.FormatVersion, I: 7, T: 1, Type: audit.SubmissionAccepted, Resource: "a.b", Revision: 1, Systems: []string{"fgw.sys"}, First: 1, Count: 1, Outcome: audit.OutcomeOK, Root: audit.InnerRoot([][]byte{item})}
	if err := builder.AddLeaf(leaf.Encode()); err != nil {
		t.Fatal(err)
	}
	if err := builder.AddRecord(7, [][]byte{item}, 0, audit.OpenRecord(facts, true, true, true)); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := audit.Write(&file, builder.Evidence()); err != nil {
		t.Fatal(err)
	}
	b.write("pending.hev", file.String())
	for _, output := range []string{"table", "json"} {
		out, errs, code := b.run("audit", "verify", "@pending.hev", "--trust", "@trust", "-o", output)
		if code != api.ExitNotCovered || out == "" || len(b.asked) > 0 {
			t.Errorf("exit %d, asked %v\n%s%s", code, b.asked, out, errs)
		}
	}
}
