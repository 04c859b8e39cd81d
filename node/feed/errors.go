package feed

import (
	"errors"
	"fmt"
)

var (
	// ErrConfig is returned when a Builder cannot be made of its Config.
	ErrConfig = errors.New("feed not configured")
	// ErrTemplate is returned when a template of a resource cannot be used.
	ErrTemplate = errors.New("feed template refused")
	// ErrTooMany is returned when more than MaxEntries entries are to be written.
	ErrTooMany = errors.New("too many feed entries")
	// errBody is returned when a body is not harmless XHTML; the entry then falls back.
	errBody = errors.New("body refused")
	// errWork is returned when a template costs more than it may.
	errWork = errors.New("template runs too long")
	// errValue is returned when a template reads or writes a value that has no text, or too long a one.
	errValue = errors.New("value has no text a template may read")
	// errOutput is returned when a template writes more than it may.
	errOutput = errors.New("template output too long")
)

// TemplateError says which template is refused and why. It unwraps to ErrTemplate.
type TemplateError struct {
	Member string // title, summary, body or link
	Zh, En string // sentences
}

// Error gives the member and the English sentence.
func (e *TemplateError) Error() string {
	return fmt.Sprintf("%v: feed.%s: %s", ErrTemplate, e.Member, e.En)
}

// Unwrap gives ErrTemplate.
func (e *TemplateError) Unwrap() error { return ErrTemplate }
