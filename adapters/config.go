package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Config is the configuration file of hutong-adapter (YAML, strict: an unknown key is a fault).
type Config struct {
	// Department is the code of the department in whose name records are published.
	Department string `json:"department"`
	// System is the code of the system whose credential is used; `<department>.<system>` is the producer.
	System string `json:"system"`
	// Instance tells several adapters of one system apart: the producer is then `<department>.<system>.<n>`. 0 = none.
	Instance int `json:"instance,omitempty"`
	// Bus lists base addresses of nodes (http or https); any of them will do.
	Bus []string `json:"bus"`
	// CredentialFile holds the API key, mode 0600; relative to the configuration file.
	CredentialFile string `json:"credential_file"`
	// CAFile holds PEM certificates the nodes' certificates are checked against; "" = the system's.
	CAFile string `json:"ca_file,omitempty"`
	// Outbox is the durable queue.
	Outbox OutboxConfig `json:"outbox"`
	// Streams are what is read; at least one.
	Streams []StreamConfig `json:"streams"`

	// base is the directory relative paths start from.
	base string
}

// OutboxConfig is the durable queue on disk.
type OutboxConfig struct {
	// Dir is the directory; relative to the configuration file. One process at a time.
	Dir string `json:"dir"`
	// MaxBytes is the size at which reading stops (never drops); default 2GiB, warned of at 80 %.
	MaxBytes Size `json:"max_bytes,omitempty"`
	// MaxAge is the age of the oldest unsent record at which an alarm is raised; default 72h.
	MaxAge Duration `json:"max_age,omitempty"`
}

// StreamConfig is one stream.
type StreamConfig struct {
	// Name is unique, a slug.
	Name string `json:"name"`
	// Resource is `<domain>.<name>`.
	Resource string `json:"resource"`
	// Source is {kind: …} and the kind's own keys.
	Source json.RawMessage `json:"source"`
	// Mapping is the mapping file; relative to the configuration file.
	Mapping string `json:"mapping"`
	// Batch bounds one outbox batch; defaults 500 rows, 1MiB, 1s.
	Batch BatchConfig `json:"batch,omitempty"`
	// ErrorThreshold is the share of refused records above which a whole file is refused; default 0.10, 1 = never.
	ErrorThreshold float64 `json:"error_threshold,omitempty"`
}

// BatchConfig is Limits in a configuration file.
type BatchConfig struct {
	Rows  int      `json:"rows,omitempty"`
	Bytes Size     `json:"bytes,omitempty"`
	Age   Duration `json:"age,omitempty"`
}

// Limits returns the batch limits with defaults filled in.
func (b BatchConfig) Limits() Limits {
	return Limits{Rows: b.Rows, Bytes: int(b.Bytes), Age: time.Duration(b.Age)}.OrDefault()
}

// Defaults of OutboxConfig.
const (
	DefaultOutboxBytes = Size(2 << 30)
	DefaultOutboxAge   = Duration(72 * time.Hour)
)

// Producer is `<department>.<system>` or, with an instance, `<department>.<system>.<n>`.
func (c *Config) Producer() string {
	p := c.Department + "." + c.System
	if c.Instance > 0 {
		p += "." + strconv.Itoa(c.Instance)
	}
	return p
}

// Base is the directory relative paths start from.
func (c *Config) Base() string { return c.base }

// Path makes a path of the configuration absolute to its file.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.base, p)
}

// Stream returns what a source is told of the stream.
func (s StreamConfig) Stream() Stream {
	return Stream{Name: s.Name, Resource: s.Resource, ErrorThreshold: s.ErrorThreshold}
}

// KindName returns the `kind` of the source part, "" if there is none.
func (s StreamConfig) KindName() string {
	var k struct {
		Kind string `json:"kind"`
	}
	_ = json.Unmarshal(s.Source, &k) // malformed raw has no kind; Validate names it
	return k.Kind
}

// LoadConfig reads and checks a configuration file; all faults come at once in a *FaultsError.
// Mapping files are looked for but not read: that is the mapping package's business.
func LoadConfig(file string, kinds map[string]Kind) (*Config, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := ParseConfig(raw, filepath.Dir(file), kinds)
	var faults *FaultsError
	if errors.As(err, &faults) {
		faults.File = file
	}
	return c, err
}

// ParseConfig is LoadConfig on bytes; base is the directory relative paths start from.
func ParseConfig(raw []byte, base string, kinds map[string]Kind) (*Config, error) {
	abs, err := filepath.Abs(base)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", base, err)
	}
	c := &Config{base: abs}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		return nil, &FaultsError{Faults: []error{err}}
	}
	if c.Outbox.MaxBytes == 0 {
		c.Outbox.MaxBytes = DefaultOutboxBytes
	}
	if c.Outbox.MaxAge == 0 {
		c.Outbox.MaxAge = DefaultOutboxAge
	}
	if faults := c.validate(kinds); len(faults) > 0 {
		return nil, &FaultsError{Faults: faults}
	}
	return c, nil
}

var (
	slugForm     = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$`)
	resourceForm = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)
)

func (c *Config) validate(kinds map[string]Kind) []error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !slugForm.MatchString(c.Department) {
		add("department: %q is not a code (lower-case letters, digits, - and _)", c.Department)
	}
	if !slugForm.MatchString(c.System) {
		add("system: %q is not a code (lower-case letters, digits, - and _)", c.System)
	}
	if c.Instance < 0 {
		add("instance: must not be negative")
	}
	if len(c.Bus) == 0 {
		add("bus: at least one address is needed")
	}
	for i, b := range c.Bus {
		u, err := url.Parse(b)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			add("bus[%d]: %q is not an http or https address", i, b)
		}
	}
	if c.CredentialFile == "" {
		add("credential_file: is missing")
	}
	if c.Outbox.Dir == "" {
		add("outbox.dir: is missing")
	}
	if c.Outbox.MaxBytes < 16<<20 {
		add("outbox.max_bytes: at least 16MiB is needed")
	}
	if len(c.Streams) == 0 {
		add("streams: at least one is needed")
	}
	names := map[string]bool{}
	for i, s := range c.Streams {
		if names[s.Name] {
			add("streams[%d]: the name %q is used twice", i, s.Name)
		}
		names[s.Name] = true
		for _, err := range s.validate(kinds) {
			add("streams[%d]: %w", i, err)
		}
	}
	return faults
}

func (s StreamConfig) validate(kinds map[string]Kind) []error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !slugForm.MatchString(s.Name) {
		add("name: %q is not a code (lower-case letters, digits, - and _)", s.Name)
	}
	if !resourceForm.MatchString(s.Resource) {
		add("resource: %q is not of the form domain.name", s.Resource)
	}
	if s.Mapping == "" {
		add("mapping: is missing")
	}
	if s.ErrorThreshold < 0 || s.ErrorThreshold > 1 {
		add("error_threshold: must be from 0 to 1")
	}
	if s.Batch.Rows < 0 || s.Batch.Rows > 10_000 {
		add("batch.rows: must be from 1 to 10000")
	}
	if s.Batch.Bytes < 0 || s.Batch.Bytes > 16<<20 {
		add("batch.bytes: must be at most 16MiB")
	}
	if s.Batch.Age < 0 {
		add("batch.age: must not be negative")
	}
	kind, known := kinds[s.KindName()]
	switch {
	case len(s.Source) == 0:
		add("source: is missing")
	case !known:
		add("source.kind: %q is not known", s.KindName())
	default:
		for _, err := range kind.Check(s.Source) {
			add("source: %w", err)
		}
	}
	return faults
}

// Strict decodes the `source` part of a stream into a kind's own Config; an unknown key is a fault. The target needs
// a member for `kind`.
func Strict(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// Duration is a time.Duration written as in "1.5s", "30m", "72h".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is written in quotes with its unit, as in \"10s\": %w", err)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 10s, 5m, 72h", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Size is a number of bytes, written as a number or as in "64KiB", "16MiB", "2GiB".
type Size int64

// UnmarshalJSON implements json.Unmarshaler.
func (z *Size) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	unit := int64(1)
	for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), factor
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%s is not a size such as 1048576, 64KiB, 16MiB, 2GiB", b)
	}
	*z = Size(n * unit)
	return nil
}
