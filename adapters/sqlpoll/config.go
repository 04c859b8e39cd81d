package sqlpoll

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
)

// Name is the kind's name in a configuration.
const Name = "sqlpoll"

// Drivers.
const (
	DriverSQLite   = "sqlite"
	DriverPostgres = "postgres"
)

// Config is the `source` part of a stream.
type Config struct {
	Kind string `json:"kind"`
	// Driver is sqlite or postgres.
	Driver string `json:"driver"`
	// File is the SQLite database, relative to the configuration file.
	File string `json:"file,omitempty"`
	// DSN is PostgreSQL's connection string (URL or key=value) without a password.
	DSN string `json:"dsn,omitempty"`
	// DSNFile holds the connection string with its password, mode 0600; instead of DSN.
	DSNFile string `json:"dsn_file,omitempty"`
	// Table is the table or view, "name" or "schema.name".
	Table string `json:"table"`
	// Columns are the columns to read; empty: all.
	Columns []string `json:"columns,omitempty"`
	// Where is an SQL condition that rows must meet, written by whoever administers the adapter.
	Where string `json:"where,omitempty"`
	// UpdatedAt is the column that every insert and update sets to the database's present time; with Key.
	UpdatedAt string `json:"updated_at,omitempty"`
	// Key are the columns that tell rows of the same moment apart: the table's key.
	Key []string `json:"key,omitempty"`
	// ID, instead of UpdatedAt and Key, is a column that the database numbers upwards; inserts only are seen.
	ID string `json:"id,omitempty"`
	// Poll is the pause between two looks at a table without news; default 5s.
	Poll adapters.Duration `json:"poll,omitempty"`
	// Overlap is how far each look goes back; needed where the commit horizon cannot be read or where applications
	// set UpdatedAt by their own clocks. Default 0 (PostgreSQL), 10s (SQLite).
	Overlap adapters.Duration `json:"overlap,omitempty"`
	// Settle is how long PostgreSQL may take from a statement's time stamp until the session shows its transaction;
	// nothing younger is read. Default 1s.
	Settle adapters.Duration `json:"settle,omitempty"`
	// TimeZone is the zone in which a column of type timestamp (without zone) is written; default: the server's.
	TimeZone string `json:"time_zone,omitempty"`
	// Layout accepts a changed table: the fingerprint that the drift message names.
	Layout string `json:"layout,omitempty"`
}

const (
	defaultPoll          = 5 * time.Second
	defaultSettle        = time.Second
	defaultSQLiteOverlap = 10 * time.Second
)

// Kind returns the kind for the host's map.
func Kind() adapters.Kind {
	return adapters.Kind{
		Check: func(raw json.RawMessage) []error {
			_, faults := parse(raw)
			return faults
		},
		New: New,
	}
}

// New makes a source; it touches nothing.
func New(raw json.RawMessage, env adapters.Env) (adapters.Source, error) {
	c, faults := parse(raw)
	if len(faults) > 0 {
		return nil, &adapters.FaultsError{Faults: faults}
	}
	env = env.WithDefaults()
	s := &source{conf: c, env: env}
	if c.Driver == DriverSQLite {
		s.db = &sqlite{conf: c, path: absolute(env.Base, c.File)}
	} else {
		s.db = &postgres{conf: c, base: env.Base}
	}
	return s, nil
}

func absolute(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

var nameForm = regexp.MustCompile(`^[^\x00"]{1,63}$`)

func parse(raw json.RawMessage) (Config, []error) {
	var c Config
	if err := adapters.Strict(raw, &c); err != nil {
		return c, []error{err}
	}
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch c.Driver {
	case DriverSQLite:
		if c.File == "" {
			add("file: is missing")
		}
		if c.DSN != "" || c.DSNFile != "" {
			add("dsn: is for postgres; sqlite takes file")
		}
		if c.Overlap == 0 {
			c.Overlap = adapters.Duration(defaultSQLiteOverlap)
		}
	case DriverPostgres:
		if (c.DSN == "") == (c.DSNFile == "") {
			add("dsn, dsn_file: one of the two is needed")
		}
		if hasPassword(c.DSN) {
			add("dsn: holds a password; put the connection string into a file and name it in dsn_file")
		}
		if c.File != "" {
			add("file: is for sqlite; postgres takes dsn_file")
		}
	default:
		add("driver: %q is not one of sqlite, postgres", c.Driver)
	}
	if c.Table == "" || strings.Count(c.Table, ".") > 1 {
		add("table: %q is not a name or schema.name", c.Table)
	}
	switch {
	case c.ID != "" && (c.UpdatedAt != "" || len(c.Key) > 0):
		add("id: stands instead of updated_at and key")
	case c.ID == "" && (c.UpdatedAt == "" || len(c.Key) == 0):
		add("updated_at, key: both are needed (or id for a table that is only added to)")
	}
	for _, n := range append(append([]string{c.UpdatedAt, c.ID}, c.Key...), append(strings.Split(c.Table, "."), c.Columns...)...) {
		if n != "" && !nameForm.MatchString(n) {
			add("%q is not a name of a column or table", n)
		}
	}
	if c.Poll < 0 || c.Overlap < 0 || c.Settle < 0 {
		add("poll, overlap, settle: must not be negative")
	}
	if c.TimeZone != "" {
		if _, err := time.LoadLocation(c.TimeZone); err != nil {
			add("time_zone: %q is not known", c.TimeZone)
		}
	}
	if c.Poll == 0 {
		c.Poll = adapters.Duration(defaultPoll)
	}
	if c.Settle == 0 {
		c.Settle = adapters.Duration(defaultSettle)
	}
	return c, faults
}

var passwordForm = regexp.MustCompile(`(?i)(^|[\s?&])(password|sslpassword)\s*=`)

func hasPassword(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && u.User != nil {
		if _, ok := u.User.Password(); ok {
			return true
		}
	}
	return passwordForm.MatchString(dsn)
}

// dsn is the connection string, read again at each connect so that a new
// password needs no restart.
func (c Config) dsn(base string) (string, error) {
	if c.DSNFile == "" {
		return c.DSN, nil
	}
	raw, err := os.ReadFile(absolute(base, c.DSNFile))
	if err != nil {
		return "", fmt.Errorf("read dsn_file: %w", errors.Join(adapters.ErrReconnect, err))
	}
	return strings.TrimSpace(string(raw)), nil
}

// byID reports whether rows are numbered rather than dated.
func (c Config) byID() bool { return c.ID != "" }

// order are the columns of the keyset: moment and key, or the id alone.
func (c Config) order() []string {
	if c.byID() {
		return []string{c.ID}
	}
	return append([]string{c.UpdatedAt}, c.Key...)
}
