package runner

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrHalted is returned by Run with Once when a stream stopped or a resource
	// halted; Status says which and why.
	ErrHalted = errors.New("a stream stopped or a resource halted")
	// ErrNoSchema is returned when neither the bus nor the cache on disk has the
	// resource's schema.
	ErrNoSchema = errors.New("schema is not known yet")

	// errMoved is returned inside when the schema on the bus has moved on and
	// the stream must begin a new session.
	errMoved = errors.New("schema has moved")
)

// BusError is what the bus answered instead of an answer to the records.
// A Bus returns it for every problem document it gets; any other error counts
// as "not reached".
type BusError struct {
	Code       string        // problem code of CONTRACT §1
	Detail     string        // for people
	Expected   uint64        // sequence_gap and ahead
	RetryAfter time.Duration // 0: not said
}

// Error implements error.
func (e *BusError) Error() string {
	if e.Detail == "" {
		return "bus: " + e.Code
	}
	return fmt.Sprintf("bus: %s: %s", e.Code, e.Detail)
}

// Reason is a sentence for people in both languages.
type Reason struct {
	Zh string `json:"zh"`
	En string `json:"en"`
}

// Empty reports whether there is nothing to say.
func (r Reason) Empty() bool { return r.Zh == "" && r.En == "" }

// stopError stops one stream and says why.
type stopError struct {
	Reason
	cause error
}

func (e *stopError) Error() string { return e.En }

func (e *stopError) Unwrap() error { return e.cause }
