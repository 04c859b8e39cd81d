package adapters_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/adapters"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// kinds knows one kind with one key of its own.
func kinds() map[string]adapters.Kind {
	return map[string]adapters.Kind{"fake": {Check: func(raw json.RawMessage) []error {
		var c struct {
			Kind  string `json:"kind"`
			Speed int    `json:"speed"`
		}
		if err := adapters.Strict(raw, &c); err != nil {
			return []error{err}
		}
		if c.Speed == 0 {
			return []error{errors.New("speed: is missing")}
		}
		return nil
	}}}
}

const good = `
department: water
system: works
bus: [https://a.example:7080, "http://127.0.0.1:7090"]
credential_file: key
outbox: {dir: outbox, max_bytes: 64MiB, max_age: 30m}
streams:
- name: items
  resource: approvals.service_item
  source: {kind: fake, speed: 3}
  mapping: maps/items.yaml
  batch: {rows: 10, bytes: 2KiB, age: 5s}
  error_threshold: 0.5
`

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "adapter.yaml")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := adapters.LoadConfig(file, kinds())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Producer(); got != "water.works" {
		t.Errorf("producer %s", got)
	}
	c.Instance = 2
	if got := c.Producer(); got != "water.works.2" {
		t.Errorf("producer %s", got)
	}
	if got := c.Path("maps/items.yaml"); got != filepath.Join(dir, "maps", "items.yaml") {
		t.Errorf("path %s", got)
	}
	if got := c.Path("/etc/x"); got != "/etc/x" {
		t.Errorf("path %s", got)
	}
	s := c.Streams[0]
	if diff := cmp.Diff(adapters.Limits{Rows: 10, Bytes: 2048, Age: 5 * time.Second}, s.Batch.Limits()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(adapters.Stream{Name: "items", Resource: "approvals.service_item", ErrorThreshold: 0.5}, s.Stream()); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	if c.Outbox.MaxBytes != 64<<20 || time.Duration(c.Outbox.MaxAge) != 30*time.Minute {
		t.Errorf("outbox %+v", c.Outbox)
	}
	c, err = adapters.ParseConfig([]byte(strings.Replace(good, ", max_bytes: 64MiB, max_age: 30m", "", 1)), dir, kinds())
	if err != nil || c.Outbox.MaxBytes != adapters.DefaultOutboxBytes || c.Outbox.MaxAge != adapters.DefaultOutboxAge {
		t.Errorf("defaults: %+v, %v", c.Outbox, err)
	}
	if diff := cmp.Diff(adapters.DefaultLimits(), adapters.BatchConfig{}.Limits()); diff != "" {
		t.Errorf("default limits (-want +got):\n%s", diff)
	}
}

// TestConfigFaults: all faults of a file at once, each with its place.
func TestConfigFaults(t *testing.T) {
	bad := map[string]string{
		"everything": `
department: Wasser Werk
system: ""
instance: -1
bus: [ftp://x, "::"]
outbox: {max_bytes: 1KiB}
streams:
- {name: a, resource: x, source: {kind: fake}, error_threshold: 2, batch: {rows: 20000, bytes: 17MiB, age: -1s}}
- {name: a, resource: a.b, mapping: m, source: {kind: other}}
- {name: B, resource: a.b, mapping: m}
- {name: c, resource: a.b, mapping: m, source: {kind: fake, speed: 1, colour: red}}
`,
		"unknown key":  strings.Replace(good, "system:", "colour: red\nsystem:", 1),
		"key twice":    good + "system: x\n",
		"size":         strings.Replace(good, "64MiB", "64MB", 1),
		"duration":     strings.Replace(good, "30m", "30", 1),
		"nothing":      "",
		"not yaml":     "\t",
		"huge size":    strings.Replace(good, "64MiB", "9223372036854775807GiB", 1),
		"secret in it": good + "api_key: hk_x\n",
	}
	var out strings.Builder
	for _, name := range []string{"everything", "unknown key", "key twice", "size", "duration", "nothing", "not yaml", "huge size", "secret in it"} {
		_, err := adapters.ParseConfig([]byte(bad[name]), t.TempDir(), kinds())
		if !errors.Is(err, adapters.ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", name, err)
			continue
		}
		out.WriteString("== " + name + "\n" + err.Error() + "\n")
	}
	file := filepath.Join("testdata", "faults.golden")
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct{ err, is error }{
		{&adapters.IdleError{Wait: time.Second}, adapters.ErrIdle},
		{&adapters.DriftError{Drift: []adapters.Drift{{En: "x"}}}, adapters.ErrDrift},
		{&adapters.FaultsError{Faults: []error{os.ErrClosed}}, adapters.ErrConfig},
		{&adapters.FaultsError{Faults: []error{os.ErrClosed}}, os.ErrClosed},
	} {
		if !errors.Is(tc.err, tc.is) {
			t.Errorf("%v is not %v", tc.err, tc.is)
		}
	}
	if _, err := adapters.LoadConfig(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestValues(t *testing.T) {
	for _, tc := range []struct {
		v    adapters.Value
		kind string
		text string
		none bool
	}{
		{adapters.Value{}, "absent", "", true},
		{adapters.Null(), "null", "", true},
		{adapters.Text(""), "text", "", false},
		{adapters.Int(-3), "int", "-3", false},
		{adapters.Decimal("1.50"), "decimal", "1.50", false},
		{adapters.Bool(true), "bool", "true", false},
		{adapters.Bool(false), "bool", "false", false},
		{adapters.Date("2012-08-01"), "date", "2012-08-01", false},
		{adapters.Local("2012-08-01T08:00:00"), "local", "2012-08-01T08:00:00", false},
		{adapters.Instant(1343779200000), "instant", "2012-08-01T00:00:00.000Z", false},
		{adapters.Bytes([]byte{1, 255}), "bytes", "01ff", false},
		{adapters.JSON([]byte(`[1]`)), "json", "[1]", false},
	} {
		if tc.v.Kind().String() != tc.kind || tc.v.String() != tc.text || tc.v.IsNone() != tc.none {
			t.Errorf("got %s %q %v, want %s %q %v", tc.v.Kind(), tc.v, tc.v.IsNone(), tc.kind, tc.text, tc.none)
		}
	}
	if adapters.Null() == (adapters.Value{}) {
		t.Error("null equals absent")
	}
}

func TestReason(t *testing.T) {
	for zh, want := range map[string][2]string{
		"第1行:应为数字。改法:填数字": {"第1行:应为数字", "填数字"},
		"第1行:应为数字。改法：填数字": {"第1行:应为数字", "填数字"},
		"只有原因": {"只有原因", ""},
	} {
		reason, remedy := adapters.Problem{Zh: zh}.Reason()
		if got := [2]string{reason, remedy}; got != want {
			t.Errorf("%s: got %q, want %q", zh, got, want)
		}
	}
}
