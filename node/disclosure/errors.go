package disclosure

import "errors"

// The classes of refusal. Every refusal of this package is a *Denial that
// unwraps to one of them.
var (
	// ErrNotGranted is returned when the actor may not take this decision.
	ErrNotGranted = errors.New("not granted")
	// ErrTransition is returned when the publication is not in a state in which
	// this decision can be taken.
	ErrTransition = errors.New("transition refused")
	// ErrInvalid is returned when the decision is incomplete: unknown action, no
	// note where one is needed, or nothing said of what was seen.
	ErrInvalid = errors.New("invalid")
)

// Denial says why a decision is refused: a class to branch on, a stable reason
// code, and one sentence for people in each language. It holds no value of a
// record and no note.
type Denial struct {
	Class  error  // one of the sentinels above
	Reason string // snake_case, stable, e.g. "step_department"
	Zh, En string // sentences, without final line break
}

// Error gives the class, the reason code and the English sentence.
func (d *Denial) Error() string { return d.Class.Error() + ": " + d.Reason + ": " + d.En }

// Unwrap gives the class, so that errors.Is works on it.
func (d *Denial) Unwrap() error { return d.Class }

func deny(class error, reason, zh, en string) *Denial {
	return &Denial{Class: class, Reason: reason, Zh: zh, En: en}
}
