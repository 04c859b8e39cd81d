package adapters

import (
	"errors"
	"fmt"
	"time"
)

// Sentinels of the Source contract; compare with errors.Is.
var (
	// ErrIdle is returned when there is nothing to read now; see IdleError.
	ErrIdle = errors.New("nothing to read now")
	// ErrEnd is returned when a finite source has handed over everything.
	ErrEnd = errors.New("source has ended")
	// ErrReconnect is returned when the connection was lost; Open with the last durable cursor heals it.
	ErrReconnect = errors.New("connection to the source was lost")
	// ErrDrift is returned when the layout of the source no longer fits; only this stream stops. See DriftError.
	ErrDrift = errors.New("layout of the source has changed")
	// ErrCursor is returned when Open is given a cursor it cannot honour.
	ErrCursor = errors.New("cursor does not belong to this source")
	// ErrConfig is returned when a configuration or mapping file cannot be used; the text lists all faults.
	ErrConfig = errors.New("configuration is not usable")
	// ErrClosed is returned when a source is used after Close.
	ErrClosed = errors.New("source is closed")
)

// IdleError is ErrIdle with the time after which asking again makes sense.
type IdleError struct {
	// Wait is the advised pause; 0 leaves it to the caller.
	Wait time.Duration
}

// Error implements error.
func (e *IdleError) Error() string { return fmt.Sprintf("%v, ask again in %v", ErrIdle, e.Wait) }

// Is makes errors.Is(err, ErrIdle) true.
func (e *IdleError) Is(target error) bool { return target == ErrIdle }

// DriftError is ErrDrift with what changed.
type DriftError struct {
	Drift []Drift
}

// Error implements error.
func (e *DriftError) Error() string {
	s := ErrDrift.Error()
	for _, d := range e.Drift {
		s += "; " + d.En
	}
	return s
}

// Is makes errors.Is(err, ErrDrift) true.
func (e *DriftError) Is(target error) bool { return target == ErrDrift }

// FaultsError is ErrConfig with every fault found.
type FaultsError struct {
	// File is the file the faults are in, "" if unknown.
	File   string
	Faults []error
}

// Error implements error: one fault a line.
func (e *FaultsError) Error() string {
	s := ErrConfig.Error()
	if e.File != "" {
		s = e.File + ": " + s
	}
	for _, f := range e.Faults {
		s += "\n  - " + f.Error()
	}
	return s
}

// Is makes errors.Is(err, ErrConfig) true.
func (e *FaultsError) Is(target error) bool { return target == ErrConfig }

// Unwrap gives access to the single faults.
func (e *FaultsError) Unwrap() []error { return e.Faults }
