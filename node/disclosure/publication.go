package disclosure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/schemas"
)

// States of a publication. The zero state belongs to the zero Publication only:
// there is nothing to publish (route none).
const (
	Pending   = "pending"   // waits for its first open step
	Published = "published" // Version is on the portal
	Returned  = "returned"  // sent back to the publisher with a note; an edit starts it again
	Withdrawn = "withdrawn" // off the portal; an edit starts it again
)

// Decisions, as they are asked for and as a step keeps them.
const (
	Approve  = "approve"
	Return   = "return"
	Withdraw = "withdraw"
)

// Publication is one key's way through the route of its resource.
type Publication struct {
	ID               string      `json:"id"`
	Resource         string      `json:"resource"`
	Key              string      `json:"key"`
	Version          uint64      `json:"version"` // version of the key under review, or published
	State            string      `json:"state"`
	Steps            []StepState `json:"steps"`                       // in the order of the route
	PublishedVersion uint64      `json:"published_version,omitempty"` // what the portal shows; 0: nothing
	Decided          bool        `json:"decided,omitempty"`           // what the portal shows was approved by every step of a route with steps
	Withdrawal       *StepState  `json:"withdrawal,omitempty"`        // who withdrew it, when and why
	Revision         uint64      `json:"revision"`
}

// StepState is one step and the decision taken on it, empty while it is open.
type StepState struct {
	Name     string // of the step
	By       string // full name of the system that decided
	At       int64  // log time in milliseconds; RFC 3339 on the wire
	Decision string // approve or return; withdraw in a Withdrawal
	Note     string // what the decider wrote
	Seen     string // commitment of what the decider saw
}

// Actor is who decides. It holds no more than the route asks for.
type Actor struct {
	Department string   // code
	System     string   // full name
	Roles      []string // roles the system acts in
}

// Change is what a step of the machine does to the portal.
type Change uint8

// What becomes of the portal.
const (
	None      Change = iota // nothing changes there
	Publish                 // PublishedVersion is now shown
	Tombstone               // what was shown is gone and leaves a tombstone
)

// String names the change in lower case.
func (c Change) String() string {
	switch c {
	case Publish:
		return "publish"
	case Tombstone:
		return "tombstone"
	}
	return "none"
}

// Routed tells whether records of the resource have a way to the portal at all.
func Routed(r schemas.Resource) bool {
	switch r.Disclosure.Route {
	case schemas.RouteSelf:
		return true
	case schemas.RouteReviewed:
		return len(r.Disclosure.Steps) > 0
	}
	return false
}

// Open is the first step without a decision, -1 when there is none or the
// publication is not pending.
func (p Publication) Open() int {
	if p.State != Pending {
		return -1
	}
	for i, s := range p.Steps {
		if s.Decision == "" {
			return i
		}
	}
	return -1
}

// stepWire is StepState on the wire.
type stepWire struct {
	Name     string `json:"name"`
	By       string `json:"by,omitempty"`
	At       string `json:"at,omitempty"`
	Decision string `json:"decision,omitempty"`
	Note     string `json:"note,omitempty"`
	Seen     string `json:"seen,omitempty"`
}

// timeLayout is RFC 3339 in UTC with milliseconds, the resolution of log time.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes the time as RFC 3339 and leaves out what is empty.
func (s StepState) MarshalJSON() ([]byte, error) {
	w := stepWire{Name: s.Name, By: s.By, Decision: s.Decision, Note: s.Note, Seen: s.Seen}
	if s.At != 0 {
		w.At = time.UnixMilli(s.At).UTC().Format(timeLayout)
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes and refuses unknown members.
func (s *StepState) UnmarshalJSON(b []byte) error {
	var w stepWire
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return fmt.Errorf("read step: %w", err)
	}
	*s = StepState{Name: w.Name, By: w.By, Decision: w.Decision, Note: w.Note, Seen: w.Seen}
	if w.At == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, w.At)
	if err != nil {
		return fmt.Errorf("read time of step %q: %w", w.Name, ErrInvalid)
	}
	s.At = t.UnixMilli()
	return nil
}
