package state

import (
	"github.com/hutong-bus/hutong/schemas/record"
)

// Code says what became of a section.
type Code uint8

// Codes. Only Applied and Refused take the section's link number.
const (
	// Applied: judged in full; Records (or Answer) say what became of each part.
	Applied Code = iota + 1
	// Resend: the section came out of its node's order, or a newer link epoch
	// began with something else than 1. Nothing changed; the node resends
	// everything unanswered in a new link epoch.
	Resend
	// Superseded: of an older link epoch, or its number was applied already.
	// Nothing changed; the answer comes, or came, with the section's newer copy.
	Superseded
	// Revalidate: the catalogue moved since the node judged. Nothing changed and
	// the number is not taken; judge again and resend.
	Revalidate
	// Refused: the whole section changed nothing but took its number; Err says why.
	// A strict section with any answer but accepted and duplicate is Refused, and
	// Records says which ones.
	Refused
)

// String gives the word for the code.
func (c Code) String() string {
	switch c {
	case Applied:
		return "applied"
	case Resend:
		return "resend"
	case Superseded:
		return "superseded"
	case Revalidate:
		return "revalidate"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

// Result is the answer to one section. The same on every replica.
type Result struct {
	Code       Code
	Kind       record.Kind
	Node       string // with LinkEpoch and LinkNumber the section's place in its node's order
	LinkEpoch  uint64
	LinkNumber uint64
	// Records has one answer for each record, refusal or cursor move of the
	// section, in its order. Empty unless Code is Applied, or Refused for a strict
	// section.
	Records []RecordResult
	// Leaf is the index of the section's leaf, when it made exactly one or more
	// (then the first); see HasLeaf.
	Leaf    uint64
	HasLeaf bool
	// Answer is the JSON answer of a command, also of one that was remembered.
	Answer []byte
	// Err says why a section was refused.
	Err *Refusal
	// Time is the log time the section was applied at, Unix milliseconds.
	Time int64
	// Index is the log index of the entry.
	Index uint64
}

// Status says what became of one record, refusal or cursor move.
type Status uint8

// Statuses. Those up to StatusKeyOwned, and StatusNotFound, are final and, in
// the producer form, consume their sequence number.
const (
	StatusAccepted  Status = iota + 1 // record: stored; cursor move: the cursor moved
	StatusDuplicate                   // answered before: the first values stand in the result; the node compares with the record at Known
	StatusStale                       // source_version not newer than the key's: counted, not stored
	StatusRejected                    // refused: in quarantine under Quarantine, or no longer (0)
	StatusKeyOwned                    // another department owns the key

	StatusNotGranted     // system, credential or publisher right is missing; cursor: no such right now
	StatusSequenceGap    // a higher seq than Expected
	StatusFenced         // an older producer epoch than Expected
	StatusQuarantineFull // the system's quarantine is full
	StatusUnapplied      // fine by itself, but its strict section was refused
	// StatusNotFound: a cursor move of a subscription that does not exist; a
	// withdrawal of a key that was never published, which is final and consumes its
	// seq like those above.
	StatusNotFound

	// StatusAhead: a cursor move beyond what may be (ack past Expected = highest
	// handed offset; handed beyond the resource's last offset). For records the
	// answering node says it, after comparing a StatusDuplicate in the producer form
	// or a StatusRejected with Refused; state itself only when two records of one
	// strict section share a seq and differ.
	StatusAhead
	// StatusConflict: the node says it after comparing a StatusDuplicate in the id
	// form; state itself only when two records of one strict section share an id
	// and differ in op, key, reason or body.
	StatusConflict
	// StatusOverlap: a handed range that neither continues the last one nor lies
	// within what was handed; Expected is the offset it must begin at.
	StatusOverlap
	// StatusMalformed: a producer epoch above MaxEpoch. Consumes nothing.
	StatusMalformed
)

var statusWords = [...]string{
	StatusAccepted: "accepted", StatusDuplicate: "duplicate", StatusStale: "stale", StatusRejected: "rejected",
	StatusKeyOwned: "key_owned", StatusNotGranted: "not_granted", StatusSequenceGap: "sequence_gap",
	StatusFenced: "fenced", StatusQuarantineFull: "quarantine_full", StatusUnapplied: "unapplied",
	StatusNotFound: "not_found", StatusAhead: "ahead", StatusConflict: "conflict", StatusOverlap: "overlap",
	StatusMalformed: "malformed",
}

// String gives the word for the status; where CONTRACT §1 has a code it is that code.
func (s Status) String() string {
	if int(s) < len(statusWords) && statusWords[s] != "" {
		return statusWords[s]
	}
	return "unknown"
}

// RecordResult is the answer to one record, refusal or cursor move.
type RecordResult struct {
	Status  Status
	Offset  uint64 // accepted: its offset; duplicate: the first one's
	Version uint64 // accepted, duplicate: version of its key
	Leaf    uint64 // accepted, duplicate, rejected, cursor move that moved: leaf index (see HasLeaf)
	HasLeaf bool
	Ordinal int // accepted, duplicate: place among the section's accepted records
	// Expected is the next seq (sequence_gap), the least allowed epoch (fenced), the
	// last seq known (duplicate, and every answer to a seq taken before, in the
	// producer form), the highest handed offset (ahead) or the offset to begin at
	// (overlap).
	Expected uint64
	// Refused: StatusRejected in the producer form, and the seq was consumed by a
	// refusal earlier on (Expected is the last seq taken). State does not compare;
	// the answering node does, and says
	//   - ahead (last Expected), for a record it found valid, that is, in a section
	//     of records: whatever was refused, this is not it;
	//   - for one it refused itself, in a section of refusals: with Quarantine, op,
	//     key and body compared with View.QuarantineItem, rejected with the reasons
	//     kept there when they are the same and ahead when not; without Quarantine
	//     (expired, discarded, or its key was corrected), rejected without reasons.
	// False: this record or refusal was itself the first to be rejected.
	Refused bool
	// Quarantine is the number in the system's quarantine; 0 when it has gone, or
	// for a duplicate that was not refused. An item goes when a record with its id
	// (id form), or a record in the producer form with its key, is accepted from the
	// same system on the same resource; else by discard or after QuarantineMs.
	Quarantine uint64
	// Known is the offset of the known record of a duplicate that was accepted; the
	// answering node compares the record there with the one sent.
	Known uint64
}

// Refusal says why a section or command changed nothing.
type Refusal struct {
	Code     string `json:"code"`   // problem code of CONTRACT §1
	Detail   string `json:"detail"` // for people, in English; no payload
	DetailZh string `json:"detail_zh,omitempty"`
	Reason   string `json:"reason,omitempty"` // finer code for counters, snake_case
}

// Error gives code and detail.
func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

// Problem codes state answers with (CONTRACT §1).
const (
	CodeMalformed            = "malformed"
	CodeNotFound             = "not_found"
	CodeNotGranted           = "not_granted"
	CodeConflict             = "conflict" // not in this state; idempotency key reused
	CodeRevisionConflict     = "revision_conflict"
	CodePreconditionRequired = "precondition_required"
	CodeIDConflict           = "id_conflict"
	CodeSchemaRefused        = "schema_refused"
	CodeSchemaUnknown        = "schema_unknown"
	CodeFenced               = "fenced"
	CodeStrict               = "strict_refused" // a strict section of which a record was not accepted
	CodeInvalid              = "invalid"        // a decision or number that breaks a rule: no note, no reason
)

// ReasonRequestReused is the Reason of the CodeConflict that answers a request
// id whose first command had other content.
const ReasonRequestReused = "idempotency_key_reused"
