package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Environment of a child: where its files are, where the bus is, and at which
// call of which mark it kills itself ("" = never).
const (
	envDir  = "HUTONG_TEST_DIR"
	envBus  = "HUTONG_TEST_BUS"
	envKill = "HUTONG_TEST_KILL"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(child(dir, os.Getenv(envBus), os.Getenv(envKill)))
	}
	goleak.VerifyTestMain(m)
}

// killRows is how many rows the kill test moves; every 97th is refused here,
// every 89th by the bus.
const (
	killRows   = 10_000
	killTimes  = 20
	killUnit   = "unit"
	killStream = "s"
)

func bodyOf(n int) string {
	if n%97 == 0 {
		return "bad"
	}
	return fmt.Sprint("row ", n)
}

// child is one life of the adapter.
func child(dir, bus, kill string) int {
	point, count, _ := strings.Cut(kill, ":")
	left, _ := strconv.Atoi(count) // "" has no point to reach
	var mu sync.Mutex
	mark := func(at string) {
		mu.Lock()
		defer mu.Unlock()
		if at != point {
			return
		}
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
	box, err := outbox.Open(outbox.Options{Dir: filepath.Join(dir, "outbox"), Producer: "dept.sys", Rand: zeros{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	list := &rowList{unit: killUnit}
	for n := 1; n <= killRows; n++ {
		list.rows = append(list.rows, [2]string{strconv.Itoa(n), bodyOf(n)})
	}
	r := New(Config{Box: box, Bus: &httpBus{base: bus}, Once: true, mark: mark, backoff: time.Millisecond,
		Adapter: &adapters.Config{Department: "dept", System: "sys", Outbox: adapters.OutboxConfig{Dir: filepath.Join(dir, "outbox")},
			Streams: []adapters.StreamConfig{{Name: killStream, Resource: "test.row", Source: json.RawMessage(`{"kind":"file"}`), Batch: adapters.BatchConfig{Rows: 20}}}},
		Judge: func(adapters.StreamConfig, Schema) (adapters.Judge, error) { return listJudge{}, nil },
		Kinds: map[string]adapters.Kind{"file": {New: func(json.RawMessage, adapters.Env) (adapters.Source, error) {
			return &fileSource{listSource{rows: list}, filepath.Join(dir, "verdicts")}, nil
		}}}})
	fmt.Println("running")
	if err := r.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := box.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// fileSource keeps the verdicts it got in a file.
type fileSource struct {
	listSource
	path string
}

func (s *fileSource) Report(_ context.Context, list []adapters.Verdict) error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, v := range list {
		line := fmt.Sprintf("%s %d\n", v.Outcome, v.Origin.Row)
		if v.Counts != nil {
			line = fmt.Sprintf("%s %+v\n", v.Outcome, *v.Counts)
		}
		if _, err := f.WriteString(line); err != nil {
			return err
		}
	}
	return f.Close()
}

// httpBus is a Bus over the wire.
type httpBus struct{ base string }

func (h *httpBus) Schema(context.Context, string) (Schema, error) {
	return Schema{Version: 1, Raw: []byte(`{}`)}, nil
}

func (h *httpBus) Publish(ctx context.Context, resource, producer string, epoch uint64, lines [][]byte) ([]Item, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+"/v1/resources/"+resource+"/records", bytes.NewReader(bytes.Join(lines, []byte("\n"))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Hutong-Producer", fmt.Sprintf("%s; epoch=%d", producer, epoch))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &BusError{Code: strings.TrimSpace(string(raw))}
	}
	var items []Item
	return items, json.Unmarshal(raw, &items)
}

// serve puts a fakeBus behind HTTP and loses every tenth answer after the
// fact.
func serve(t *testing.T, bus *fakeBus, lost *rand.Rand) *httptest.Server {
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var producer string
		var epoch uint64
		head := strings.NewReplacer(";", " ", "epoch=", "").Replace(r.Header.Get("Hutong-Producer"))
		if _, err := fmt.Sscan(head, &producer, &epoch); err != nil {
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return // a killed child: what came in half is no request
		}
		resource := strings.Split(r.URL.Path, "/")[3]
		items, err := bus.Publish(context.Background(), resource, producer, epoch, bytes.Split(raw, []byte("\n")))
		mu.Lock()
		lose := lost.IntN(10) == 0
		mu.Unlock()
		if lose {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		_ = json.NewEncoder(w).Encode(items)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestKills takes the adapter's life twenty times, half of them at marked
// points and half at any, while every tenth answer of the bus is lost.
func TestKills(t *testing.T) {
	const seed = 20250301
	r := rand.New(rand.NewPCG(seed, 1))
	bus := newFakeBus()
	bus.reject = func(rec record.Record) []Fault {
		if n, err := strconv.Atoi(rec.Key); err == nil && n%89 == 0 {
			return []Fault{{Code: "rule"}}
		}
		return nil
	}
	srv := serve(t, bus, rand.New(rand.NewPCG(seed, 2)))
	dir := t.TempDir()
	points := []string{"store", "stored", "send", "answered", "settled", "reported"}
	kills := 0
	for life := 0; ; life++ {
		kill, after := "", time.Duration(-1)
		switch {
		case kills >= killTimes:
		case life%2 == 0:
			kill = fmt.Sprintf("%s:%d", points[r.IntN(len(points))], 1+r.IntN(6))
		default:
			after = time.Duration(r.IntN(60)) * time.Millisecond
		}
		killed := live(t, dir, srv.URL, kill, after)
		if killed {
			kills++
			continue
		}
		if kills >= killTimes {
			break
		}
		if life > 20*killTimes {
			t.Fatalf("%d kills in %d lives", kills, life)
		}
		if life > 0 && !killed {
			// All is done before the twentieth kill: more would prove nothing.
			t.Fatalf("everything was done after %d kills; give the test more rows", kills)
		}
	}
	checkKills(t, bus, dir, kills)
}

// live runs a child to its end or kills it; it reports whether it was killed.
func live(t *testing.T, dir, bus, kill string, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envBus+"="+bus, envKill+"="+kill)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after >= 0 {
		if _, err := io.ReadFull(out, make([]byte, len("running"))); err != nil {
			t.Fatalf("the child did not start: %v\n%s", err, errs.String())
		}
		time.Sleep(after) // any moment will do
		_ = cmd.Process.Kill()
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v\n%s", err, errs.String())
	}
	return false
}

func checkKills(t *testing.T, bus *fakeBus, dir string, kills int) {
	t.Helper()
	var accepted, verdicts []string
	for n := 1; n <= killRows; n++ {
		switch {
		case n%97 == 0:
			verdicts = append(verdicts, fmt.Sprintf("refused %d", n))
		case n%89 == 0:
			verdicts = append(verdicts, fmt.Sprintf("rejected %d", n))
		default:
			accepted = append(accepted, strconv.Itoa(n))
		}
	}
	if diff := cmp.Diff(accepted, bus.keys("dept.sys", "test.row")); diff != "" {
		t.Errorf("after %d kills the bus differs (-want +got):\n%s", kills, diff)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "verdicts"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	finished := ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "finished") {
			finished = line
			continue
		}
		seen[line] = true
	}
	for _, v := range verdicts {
		if !seen[v] {
			t.Errorf("verdict %q never came home", v)
		}
		delete(seen, v)
	}
	if len(seen) > 0 {
		t.Errorf("verdicts that nobody gave: %v", seen)
	}
	box, err := outbox.Open(outbox.Options{Dir: filepath.Join(dir, "outbox"), Producer: "dept.sys"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	n := box.Totals(killStream)
	t.Logf("%d kills: %+v; %s", kills, n, finished)
	if !n.Balanced() || n.Read != killRows || n.Waiting() != 0 || n.Accepted+n.Duplicate != uint64(len(accepted)) {
		t.Errorf("counts %+v", n)
	}
	if finished == "" {
		t.Error("the unit's summary never came home")
	}
}
