package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/api"
)

// TestScripts plays the files of testdata: requests as they go over the wire and
// what the answers must be.
//
//	who METHOD /path        pub sub admin audit nobody, or portal: the public listener
//	Name: value             request headers
//	                        an empty line, then the body
//	--
//	200                     the answer's status
//	Name: pattern           a header that matches, "Name:" alone: a header that is absent
//	+ text                  the body holds it
//	- text                  the body does not
//	@name pattern           the group of pattern in header lines and body becomes $name
//	====
//
// Every answer of 400 and more is checked to be a whole problem document.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, newRig(t, nil), string(text))
		})
	}
}

func play(t *testing.T, r *rig, text string) {
	t.Helper()
	vars := map[string]string{}
	line := 1
	for _, block := range strings.Split(text, "====\n") {
		at := line
		line += strings.Count(block, "\n") + 1
		for strings.HasPrefix(block, "#") || strings.HasPrefix(block, "\n") {
			_, block, _ = strings.Cut(block, "\n")
			at++
		}
		if block == "" {
			continue
		}
		for name, v := range vars {
			block = strings.ReplaceAll(block, "$"+name, v)
		}
		step(t, r, at, block, vars)
	}
}

// step plays one request and judges its answer.
func step(t *testing.T, r *rig, at int, block string, vars map[string]string) {
	t.Helper()
	asked, want, ok := strings.Cut(block, "--\n")
	head, body, _ := strings.Cut(asked, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	words := strings.Fields(lines[0])
	if !ok || len(words) != 3 {
		t.Fatalf("line %d: not a step: %q", at, lines[0])
	}
	header := http.Header{}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		header.Add(name, strings.TrimSpace(value))
	}
	answer, err := http.DefaultTransport.RoundTrip(r.request(words[0], words[1], words[2], header, strings.TrimSuffix(body, "\n")))
	if err != nil {
		t.Fatalf("line %d: %v", at, err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("line %d: %v", at, err)
	}
	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf("line %d: %s: %s\nanswer %d %v\n%s", at, lines[0], fmt.Sprintf(format, args...), answer.StatusCode, answer.Header, got)
	}
	wants := strings.Split(strings.TrimRight(want, "\n"), "\n")
	if status, err := strconv.Atoi(wants[0]); err != nil || answer.StatusCode != status {
		fault("want %s", wants[0])
		return
	}
	checkSafety(answer, fault)
	if answer.StatusCode >= 400 {
		checkProblem(answer, got, words[2], fault)
	}
	for _, w := range wants[1:] {
		expect(w, answer, got, vars, fault)
	}
}

func expect(w string, answer *http.Response, body []byte, vars map[string]string, fault func(string, ...any)) {
	switch {
	case strings.HasPrefix(w, "+ "):
		if !bytes.Contains(body, []byte(w[2:])) {
			fault("the body lacks %s", w[2:])
		}
	case strings.HasPrefix(w, "- "):
		if bytes.Contains(body, []byte(w[2:])) {
			fault("the body holds %s", w[2:])
		}
	case strings.HasPrefix(w, "@"):
		name, pattern, _ := strings.Cut(w[1:], " ")
		var all bytes.Buffer
		_ = answer.Header.Write(&all)
		all.Write(body)
		m := regexp.MustCompile(pattern).FindSubmatch(all.Bytes())
		if m == nil {
			fault("nothing matches %s", pattern)
			return
		}
		vars[name] = string(m[1])
	default:
		name, pattern, _ := strings.Cut(w, ":")
		value, pattern := answer.Header.Get(name), strings.TrimSpace(pattern)
		if pattern == "" && value != "" || !regexp.MustCompile("^(?:"+pattern+")$").MatchString(value) {
			fault("header %s is %q, want %q", name, value, pattern)
		}
	}
}

// checkSafety wants the headers that keep browsers from taking an answer for a
// page.
func checkSafety(answer *http.Response, fault func(string, ...any)) {
	for k, v := range safety {
		if answer.Header.Get(k) != v {
			fault("header %s is %q", k, answer.Header.Get(k))
		}
	}
}

// checkProblem wants a whole problem document (RFC 9457).
func checkProblem(answer *http.Response, body []byte, _ string, fault func(string, ...any)) {
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		fault("no problem document: %v", err)
		return
	}
	m := api.Lookup(p.Code)
	switch {
	case answer.Header.Get("Content-Type") != "application/problem+json; charset=utf-8":
		fault("content type %s", answer.Header.Get("Content-Type"))
	case p.Status != answer.StatusCode || m.Status != p.Status:
		fault("status %d of code %s", p.Status, p.Code)
	case p.Type != "urn:hutong:problem:"+string(p.Code) || p.Title != m.Zh && p.Title != m.En || p.Detail == "" || p.Instance == "":
		fault("incomplete problem")
	case answer.Header.Get("Cache-Control") != "no-store":
		fault("a problem may be cached")
	}
}
