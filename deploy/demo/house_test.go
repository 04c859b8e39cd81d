package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// helper in the environment makes the test binary a process that waits to be
// ended.
const helper = "DEMO_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		select {}
	}
	os.Exit(m.Run())
}

func processesOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "processes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name string
		PID  int
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, p := range list {
		out[p.Name] = p.PID
	}
	return out
}

// TestSupervisor: what is killed runs again under another id, and stop leaves
// nothing behind, in processes.json neither.
func TestSupervisor(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(dir, append(os.Environ(), helper+"=1"))
	defer s.stop()
	for name, tier := range map[string]int{"node": tierNode, "receiver": tierReceiver} {
		if err := s.start(process{name: name, tier: tier, args: []string{self}}); err != nil {
			t.Fatal(err)
		}
	}
	before := processesOf(t, dir)
	p, err := os.FindProcess(before["node"])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := until(ctx, 10*time.Millisecond, func() (bool, error) {
		now := processesOf(t, dir)
		return now["node"] != before["node"] && now["node"] != 0, nil
	}); err != nil {
		t.Fatalf("the killed process does not run again: %v", err)
	}
	if n, names := s.restarts(); n != 1 || !slices.Equal(names, []string{"node"}) {
		t.Errorf("restarts: %d of %v, want 1 of node", n, names)
	}
	s.stop()
	s.stop() // twice does no harm
	if diff := cmp.Diff(map[string]int{"node": 0, "receiver": 0}, processesOf(t, dir)); diff != "" {
		t.Errorf("processes.json after stop (-want +got):\n%s", diff)
	}
	if err := s.start(process{name: "missing", args: []string{filepath.Join(dir, "no-such-program")}}); err == nil {
		t.Error("a program that is not there starts")
	}
}

// TestReceivedFile: a torn line is passed over, and its record counts when it
// came again behind a line end of its own.
func TestReceivedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "dept", "r.ndjson")
	write := func(text string) {
		f, err := openWhole(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"offset":1,"version":1,"key":"a"}` + "\n" + `{"offset":2,"ver`)
	first, at, err := readReceived(name, 0)
	if err != nil || len(first) != 1 {
		t.Fatalf("got %v, %v, want one record", first, err)
	}
	write(`{"offset":2,"version":1,"key":"b"}` + "\n")
	more, _, err := readReceived(name, at)
	if err != nil || len(more) != 1 || more[0].Offset != 2 {
		t.Errorf("behind the torn line: got %v, %v, want offset 2", more, err)
	}
	if none, at, err := readReceived(name+".absent", 7); none != nil || at != 7 || err != nil {
		t.Errorf("a file that is not there yet: %v, %d, %v", none, at, err)
	}
}

// TestExamine: the promises of the bus are really looked at.
func TestExamine(t *testing.T) {
	at := func(offset, version uint64, key string) received {
		return received{Offset: offset, Version: version, Key: key, Data: body{"x": key}}
	}
	for _, c := range []struct {
		name                   string
		in                     []received
		records, again, faults int
	}{
		{"in order", []received{at(1, 1, "a"), at(2, 1, "b"), at(3, 2, "a")}, 3, 0, 0},
		{"again after a crash", []received{at(1, 1, "a"), at(2, 1, "b"), at(1, 1, "a"), at(2, 1, "b"), at(3, 1, "c")}, 3, 2, 0},
		{"one is missing", []received{at(1, 1, "a"), at(3, 1, "c")}, 2, 0, 1},
		{"out of order", []received{at(2, 1, "b"), at(1, 1, "a")}, 2, 0, 2},
		{"a version is missing", []received{at(1, 1, "a"), at(2, 3, "a")}, 2, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := examine(c.in)
			if in.records != c.records || in.again != c.again || len(in.faults) != c.faults {
				t.Errorf("got %d records, %d again, faults %v; want %d, %d, %d", in.records, in.again, in.faults, c.records, c.again, c.faults)
			}
		})
	}
}

// TestSummaryFindsFaults: a count, a body or a field that is not right is a
// disagreement.
func TestSummaryFindsFaults(t *testing.T) {
	d := newDemo(options{dir: t.TempDir()}, io.Discard)
	const resource = "motions.handling"
	whole := func() line {
		want := d.story.expect(resource, true)
		box := inbox{records: want.records, last: map[string]body{}, fields: map[string]bool{"unit": true}}
		for key, b := range want.last {
			box.last[key] = plain(b)
		}
		part := box
		part.last = nil
		return line{resource: resource, sent: counts{Accepted: want.records}, bus: uint64(want.records), want: want, boxes: map[string]inbox{"xzf": box, "zxta": part, "rdb": part}}
	}
	if got := whole().faults(d); len(got) != 0 {
		t.Fatalf("all is right, found %v", got)
	}
	for _, c := range []struct {
		name  string
		spoil func(*line)
	}{
		{"a sender counts less", func(l *line) { l.sent.Accepted-- }},
		{"the bus has more", func(l *line) { l.bus++ }},
		{"a receiver lacks one", func(l *line) { b := l.boxes["zxta"]; b.records--; l.boxes["zxta"] = b }},
		{"a body differs", func(l *line) {
			for key := range l.boxes["xzf"].last {
				l.boxes["xzf"].last[key] = body{}
				return
			}
		}},
		{"a field past the grant", func(l *line) { l.boxes["rdb"].fields["reply_text"] = true }},
	} {
		l := whole()
		c.spoil(&l)
		if len(l.faults(d)) == 0 {
			t.Errorf("%s, and nothing is found", c.name)
		}
	}
}

// TestMendedMotions: what goes back to the drop folder is GB18030, holds the
// corrected rows only, and leaves the columns that were added.
func TestMendedMotions(t *testing.T) {
	s := newStory()
	all := of("zxta", s.first["motions.motion"])
	raw, err := motionsCSV(all[len(all)-4:], true)
	if err != nil {
		t.Fatal(err)
	}
	annotated := bytes.ReplaceAll(raw, []byte("\r\n"), []byte(",why\r\n"))
	mended, n, err := mendCSV(annotated, s.corrections("motions.motion"))
	if err != nil || n != 2 {
		t.Fatalf("%d rows, %v, want 2", n, err)
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(mended)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][len(rows[0])-1] != "why" {
		t.Fatalf("mended file: %v, %v", rows, err)
	}
	if !strings.Contains(string(text), "2026年2月27日") || strings.Contains(string(text), "2026年2月30日") || strings.Contains(string(text), "已转交") {
		t.Errorf("the rows are not corrected:\n%s", text)
	}
}

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		args string
		want options
		ok   bool
	}{
		{"", options{host: "127.0.0.1", port: 7080, nodes: 3}, true},
		{"-once -nodes 1 -http localhost:9000 -dir d", options{dir: "d", host: "localhost", port: 9000, nodes: 1, once: true}, true},
		{"-nodes 2", options{}, false}, {"-nodes 9", options{}, false}, {"-http 127.0.0.1", options{}, false}, {"-http :x", options{}, false},
		{"-http 127.0.0.1:65530", options{}, false}, {"more", options{}, false}, {"-departments 5", options{}, false},
	} {
		got, err := parseOptions(strings.Fields(c.args), io.Discard)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepareDir(full); err == nil {
		t.Error("a folder that holds something is taken")
	}
}

// TestAligned: Chinese characters take two columns.
func TestAligned(t *testing.T) {
	got := aligned([][]string{{"办件 case", "7"}, {"unit", "1234"}})
	want := "  办件 case     7\n  unit       1234\n"
	if got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
