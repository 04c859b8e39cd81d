package state

import (
	"errors"

	"github.com/hutong-bus/hutong/node/store"
)

var (
	// ErrDiverged is returned when a mark says that this replica's state is not
	// that of the others. The machine refuses Apply and View from then on.
	ErrDiverged = errors.New("state: this replica differs from the others")
	// ErrUpgrade is returned when an entry, a section or a stored value has a
	// format byte that this program does not know: upgrade me.
	ErrUpgrade = store.ErrUpgrade
	// ErrCorrupt is returned when stored bytes do not have the form that was
	// written. The node must stop and name the cause.
	ErrCorrupt = store.ErrCorrupt
	// ErrEntry is returned when the bytes of an entry are not an entry.
	ErrEntry = errors.New("state: malformed entry")
	// ErrCommand is returned when bytes are not an administrative command.
	ErrCommand = errors.New("state: malformed command")
	// ErrForeign is returned when a database belongs to another cluster.
	ErrForeign = errors.New("state: database of another cluster")
	// ErrClosed is returned when the machine was closed.
	ErrClosed = errors.New("state: closed")
	// ErrNotFound is returned when what is asked for does not exist.
	ErrNotFound = errors.New("state: not found")
)
