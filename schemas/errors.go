package schemas

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrProfile is returned when a schema breaks the profile; the error is a *ProfileError with every finding.
	ErrProfile = errors.New("schemas: schema breaks the profile")
	// ErrResource is returned when a catalogue entry is not valid; each fault is an *EntryFault.
	ErrResource = errors.New("schemas: catalogue entry is not valid")
	// ErrViolations is returned when a stored list of violations cannot be read.
	ErrViolations = errors.New("schemas: stored violations cannot be read")
)

// ProfileError carries what the linter found in a refused schema. It wraps ErrProfile.
type ProfileError struct{ Findings Findings }

// Error names the first three findings.
func (e *ProfileError) Error() string {
	var b strings.Builder
	b.WriteString(ErrProfile.Error())
	for i, f := range e.Findings {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Findings)-i)
			break
		}
		fmt.Fprintf(&b, "; %s: %s", f.Place(), f.En)
	}
	return b.String()
}

// Unwrap returns ErrProfile.
func (e *ProfileError) Unwrap() error { return ErrProfile }

// EntryFault is one fault of a catalogue entry. It wraps ErrResource.
type EntryFault struct {
	// Member is the path in the entry, such as "disclosure.steps[0].name".
	Member string
	// Zh and En say what is wrong and what to write instead.
	Zh, En string
}

// Error returns the English sentence behind the member's name.
func (e *EntryFault) Error() string { return e.Member + ": " + e.En }

// Unwrap returns ErrResource.
func (e *EntryFault) Unwrap() error { return ErrResource }
