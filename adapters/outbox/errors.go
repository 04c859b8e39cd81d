package outbox

import "errors"

var (
	// ErrClosed is returned when the box was closed.
	ErrClosed = errors.New("outbox is closed")
	// ErrLocked is returned when another process has the outbox open.
	ErrLocked = errors.New("outbox is in use by another process")
	// ErrProducer is returned when the directory belongs to another producer.
	ErrProducer = errors.New("outbox belongs to another producer")
	// ErrCorrupt is returned when the directory held an outbox whose content
	// cannot be read. Nothing was changed; restore it or begin a new directory,
	// which takes a new epoch.
	ErrCorrupt = errors.New("outbox is corrupt")
	// ErrFormat is returned when a newer program wrote the outbox.
	ErrFormat = errors.New("outbox has a format this program does not know")
	// ErrCount is returned when a batch's read count is not what it holds.
	ErrCount = errors.New("batch does not add up")
	// ErrOrder is returned when answers are not dense from the first waiting
	// sequence number.
	ErrOrder = errors.New("answers are out of order")
	// ErrBroken is returned after a commit failed: whether it is on disk is
	// unknown until the outbox is opened again.
	ErrBroken = errors.New("outbox failed to commit and must be opened again")
)
