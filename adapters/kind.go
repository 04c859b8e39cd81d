package adapters

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Kind is one kind of source; hutong-adapter holds them in one map literal by name.
type Kind struct {
	// Check reads the `source` part of a stream strictly (see Strict) and returns every fault; it touches nothing
	// outside.
	Check func(raw json.RawMessage) []error
	// New makes a source of it. It allocates only; files and connections are touched by Describe and Open.
	New func(raw json.RawMessage, env Env) (Source, error)
}

// Env is what the host gives a source.
type Env struct {
	// Base is the directory relative paths of the configuration start from: that of the configuration file.
	Base string
	// Stream is the stream the source is made for.
	Stream Stream
	// Judge maps and validates rows as the runner will; nil where the host cannot yet (no schema known). A source
	// that checks whole units then checks less and says so in a Notice.
	Judge Judge
	// Ledger is the stream's ledger; nil means that nothing was ever seen.
	Ledger Ledger
	// Now is the host's clock; nil means time.Now.
	Now func() time.Time
	// Log gets attributes only, never values of rows; nil means discard.
	Log *slog.Logger
}

// WithDefaults fills nil members that have a default.
func (e Env) WithDefaults() Env {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	return e
}
