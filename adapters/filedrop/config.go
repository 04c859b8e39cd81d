package filedrop

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
)

// Config is the `source` part of a stream of kind filedrop.
type Config struct {
	// Kind is "filedrop".
	Kind string `json:"kind"`
	// Dir is the drop folder; its sub-folders are made. One stream per folder.
	Dir string `json:"dir"`
	// Pattern is a glob over names, e.g. "*.csv"; "" takes every file.
	Pattern string `json:"pattern,omitempty"`
	// Format is auto (by content), csv, json (array) or ndjson; default auto.
	Format string `json:"format,omitempty"`
	// Charset is auto, utf-8, utf-8-bom or gb18030; default auto: byte order mark, else strictly UTF-8, else strictly
	// GB18030, else the file is refused.
	Charset string `json:"charset,omitempty"`
	// Delimiter separates CSV cells: one ASCII character, default ",".
	Delimiter string `json:"delimiter,omitempty"`
	// Accept is rename (names are final when they appear), done (NAME.done or NAME.ctl announces a file) or stable
	// (size and time unchanged over stable_polls); default stable. NAME.done counts in every policy.
	Accept string `json:"accept,omitempty"`
	// Poll is the pause between looks into the folder; default 10s, at least 10ms.
	Poll adapters.Duration `json:"poll,omitempty"`
	// StablePolls is how many polls a file must stand still; default 3.
	StablePolls int `json:"stable_polls,omitempty"`
	// FinalNewline makes policy stable wait for a line end at the end of a CSV file.
	FinalNewline bool `json:"final_newline,omitempty"`
	// ExtraColumns says what happens to columns the mapping neither uses nor ignores: refuse (the file) or warn.
	// Default: refuse for CSV, warn for JSON.
	ExtraColumns string `json:"extra_columns,omitempty"`
	// MaxBytes bounds a file, compressed and not; default 256MiB.
	MaxBytes adapters.Size `json:"max_bytes,omitempty"`
	// MaxRows bounds the rows of a file; default 1,000,000.
	MaxRows int `json:"max_rows,omitempty"`
	// MaxRowBytes bounds one row; default 1MiB.
	MaxRowBytes adapters.Size `json:"max_row_bytes,omitempty"`
}

// Accept policies.
const (
	acceptStable = "stable"
	acceptRename = "rename"
	acceptDone   = "done"
)

// Formats.
const (
	formatCSV    = "csv"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
)

const auto = "auto"

// Kind is the entry for the map of kinds.
func Kind() adapters.Kind {
	return adapters.Kind{
		Check: func(raw json.RawMessage) []error {
			c, err := parse(raw)
			if err != nil {
				return []error{err}
			}
			return c.validate()
		},
		New: func(raw json.RawMessage, env adapters.Env) (adapters.Source, error) {
			c, err := parse(raw)
			if err != nil {
				return nil, err
			}
			return New(c, env)
		},
	}
}

func parse(raw json.RawMessage) (Config, error) {
	c := Config{}
	if err := adapters.Strict(raw, &c); err != nil {
		return c, err
	}
	c.defaults()
	return c, nil
}

func (c *Config) defaults() {
	text := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	text(&c.Format, auto)
	text(&c.Charset, auto)
	text(&c.Delimiter, ",")
	text(&c.Accept, acceptStable)
	if c.Poll == 0 {
		c.Poll = adapters.Duration(10 * time.Second)
	}
	if c.StablePolls == 0 {
		c.StablePolls = 3
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxRows == 0 {
		c.MaxRows = 1_000_000
	}
	if c.MaxRowBytes == 0 {
		c.MaxRowBytes = 1 << 20
	}
}

func (c *Config) validate() []error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	oneOf := func(name, value string, values ...string) {
		if !slices.Contains(values, value) {
			add("%s: %q is not one of %v", name, value, values)
		}
	}
	if c.Kind != "filedrop" {
		add("kind: %q is not filedrop", c.Kind)
	}
	if c.Dir == "" {
		faults = append(faults, errors.New("dir: is missing"))
	}
	if _, err := path.Match(c.Pattern, "x"); err != nil {
		add("pattern: %q is not a glob", c.Pattern)
	}
	oneOf("format", c.Format, auto, formatCSV, formatJSON, formatNDJSON)
	if _, err := mapping.ParseCharset(c.Charset); err != nil && c.Charset != auto {
		add("charset: %w, nor auto", err)
	}
	if len(c.Delimiter) != 1 || c.Delimiter[0] >= 0x80 || slices.Contains([]string{"\"", "\r", "\n"}, c.Delimiter) {
		add("delimiter: one ASCII character is needed")
	}
	oneOf("accept", c.Accept, acceptStable, acceptRename, acceptDone)
	oneOf("extra_columns", c.ExtraColumns, "", "refuse", "warn")
	if time.Duration(c.Poll) < 10*time.Millisecond {
		add("poll: at least 10ms is needed")
	}
	if c.StablePolls < 1 {
		add("stable_polls: at least 1 is needed")
	}
	if c.MaxBytes < 1 || c.MaxBytes > 4<<30 {
		add("max_bytes: must be at most 4GiB")
	}
	if c.MaxRows < 1 || c.MaxRows > 10_000_000 {
		add("max_rows: must be from 1 to 10000000")
	}
	if c.MaxRowBytes < 1<<10 || c.MaxRowBytes > 16<<20 {
		add("max_row_bytes: must be from 1KiB to 16MiB")
	}
	return faults
}
