package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble"
)

var (
	// ErrNotFound is returned when a key is absent. Its text is exactly
	// "not found": hashicorp/raft compares the text of its stable store's error.
	ErrNotFound = errors.New("not found")
	// ErrCorrupt is returned when stored bytes fail a checksum or do not have
	// the form that was written. The node must stop and name the cause.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrMissing is returned when Options.MustExist is set and the directory
	// holds no database.
	ErrMissing = errors.New("store: no database there")
	// ErrUpgrade is returned when stored bytes carry a format byte this program
	// does not know: a newer program wrote them.
	ErrUpgrade = errors.New("store: unknown format, upgrade me")
	// ErrClosed is returned when the database was closed.
	ErrClosed = errors.New("store: closed")
)

// wrap names the act once and gives Pebble's classes our sentinels.
func wrap(act string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return ErrNotFound
	case pebble.IsCorruptionError(err): // marked, which the standard errors.Is does not see
		return fmt.Errorf("%s: %w: %w", act, ErrCorrupt, err)
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return fmt.Errorf("%s: %w: %w", act, ErrMissing, err)
	case errors.Is(err, pebble.ErrClosed):
		return fmt.Errorf("%s: %w", act, ErrClosed)
	}
	return fmt.Errorf("%s: %w", act, err)
}
