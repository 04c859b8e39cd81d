package policy

import "errors"

// The classes of refusal. Every refusal of this package is a *Denial that
// unwraps to one of them.
var (
	// ErrUnauthenticated is returned when the caller is nobody the bus knows.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrNotGranted is returned when the caller is known and may not do this.
	ErrNotGranted = errors.New("not granted")
	// ErrWithheld is returned when a resource or field may be granted to nobody.
	ErrWithheld = errors.New("withheld")
	// ErrInvalid is returned when an object of the catalogue is not well formed
	// or asks for what does not exist.
	ErrInvalid = errors.New("invalid")
	// ErrTransition is returned when a grant is not in the state from which the
	// asked step may be taken.
	ErrTransition = errors.New("transition refused")
	// ErrRule is returned when a schema or resource carries a sharing class,
	// portal rule or mask that this version does not know: the view does not load.
	ErrRule = errors.New("unknown rule")
	// ErrRecord is returned when the bytes to project are not the compact form of
	// one JSON value.
	ErrRecord = errors.New("not a compact record")
)

// Denial says why something is refused: a class to branch on, a stable reason
// code for counters and audit leaves, and one sentence for people in each
// language. It never holds a value of a record.
type Denial struct {
	Class  error  // one of the sentinels above
	Reason string // snake_case, stable, e.g. "grant_expired"
	Member string // member of the object at fault, empty where there is none
	Zh, En string // sentences, without final line break
}

// Error gives the class, the reason code and the English sentence.
func (d *Denial) Error() string { return d.Class.Error() + ": " + d.Reason + ": " + d.En }

// Unwrap gives the class, so that errors.Is works on it.
func (d *Denial) Unwrap() error { return d.Class }

// Explain finds the Denial in err. ok is false when there is none.
func Explain(err error) (d *Denial, ok bool) {
	ok = errors.As(err, &d)
	return d, ok
}

// Denials finds every Denial in err, in order, joined errors included.
func Denials(err error) []*Denial {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here: each node is looked at itself
	case nil:
		return nil
	case *Denial:
		return []*Denial{e}
	case interface{ Unwrap() []error }:
		var all []*Denial
		for _, inner := range e.Unwrap() {
			all = append(all, Denials(inner)...)
		}
		return all
	}
	return Denials(errors.Unwrap(err))
}

// deny makes a Denial without a member.
func deny(class error, reason, zh, en string) *Denial {
	return &Denial{Class: class, Reason: reason, Zh: zh, En: en}
}

// fault makes a Denial about one member of an object that is not well formed.
func fault(member, reason, zh, en string) error {
	return &Denial{Class: ErrInvalid, Reason: reason, Member: member, Zh: zh, En: en}
}
