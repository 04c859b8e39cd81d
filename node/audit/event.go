package audit

import (
	"strings"
	"time"
)

// Event is one line of GET /audit/events (CONTRACT §2 "event").
type Event struct {
	Leaf        string   `json:"leaf"` // "<year>-<n>:<index>"
	At          string   `json:"at"`   // RFC 3339, milliseconds, UTC
	Type        string   `json:"type"`
	Resource    string   `json:"resource,omitempty"`
	Key         string   `json:"key,omitempty"` // filled by the caller that may show it; leaves hold none
	Offset      uint64   `json:"offset,omitempty"`
	Version     uint64   `json:"version,omitempty"`
	Department  string   `json:"department,omitempty"`
	System      string   `json:"system,omitempty"`
	Outcome     string   `json:"outcome,omitempty"`
	ReasonCodes []string `json:"reason_codes,omitempty"`
	Grant       string   `json:"grant,omitempty"`
}

// EventOf turns a leaf of log (its long or short name) into the event auditors read. With the item of one accepted
// record the event is about that record: offset, version, system and department are its own. Without one, the system
// is that of the leaf if it names exactly one.
func EventOf(log string, l Leaf, item *Item) Event {
	e := Event{
		Leaf: Address(log, l.I), At: FormatTime(l.T), Type: l.Type, Resource: l.Resource,
		Offset: l.Offset, Version: l.Version, Outcome: l.Outcome, ReasonCodes: l.Reasons, Grant: l.Grant,
	}
	if len(l.Systems) == 1 {
		e.System = l.Systems[0]
	}
	if item != nil {
		e.Offset, e.Version = item.Offset, item.Version
		if l.Type == SubmissionAccepted {
			e.System = item.System
		}
	}
	e.Department, _, _ = strings.Cut(e.System, ".")
	if e.Outcome == "" {
		e.Outcome = OutcomeOK
	}
	return e
}

// FormatTime writes log time (Unix milliseconds) as RFC 3339 in UTC with milliseconds.
func FormatTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
