package api

import (
	"encoding/json"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
)

// Objects of the catalogue and of the organisation, under the names that
// people use on the wire.
type (
	// Resource is a catalogue entry.
	Resource = schemas.Resource
	// Department is an organisation that publishes, subscribes or reviews.
	Department = policy.Department
	// Group is a named set of departments.
	Group = policy.Group
	// System is a department's program with a credential.
	System = policy.System
	// Grant says who may receive which fields of a resource, and why.
	Grant = policy.Grant
	// Subscription is a subscriber's standing order under a grant.
	Subscription = policy.Subscription
	// Publication is one record's way through its disclosure route.
	Publication = disclosure.Publication
	// Event is one line of a record's life.
	Event = audit.Event
)

// Statuses of one published record. The first four are final. The others
// (see the codes of the same name) consumed nothing: the publisher sends the
// record again after it did what the code asks for.
const (
	StatusAccepted  = "accepted"
	StatusDuplicate = "duplicate"
	StatusStale     = "stale"
	StatusRejected  = "rejected"
)

// FieldError is one reason why something was refused. It names the place and
// the rule and never holds a value of the refused thing.
type FieldError struct {
	Pointer string `json:"pointer"`           // JSON Pointer (RFC 6901) into the request or the record's data
	Keyword string `json:"keyword,omitempty"` // schema keyword or rule
	Code    string `json:"code,omitempty"`    // stable code for programs
	Message string `json:"message,omitempty"` // sentence for people, in the language asked for
}

// PublishItem is the answer to one record of a batch.
type PublishItem struct {
	Index      int          `json:"index"` // place in the request, from 0
	ID         string       `json:"id,omitempty"`
	Key        string       `json:"key,omitempty"`
	Seq        uint64       `json:"seq,omitempty"`
	Status     string       `json:"status"`
	Offset     uint64       `json:"offset,omitempty"`
	Version    uint64       `json:"version,omitempty"`
	Leaf       string       `json:"leaf,omitempty"` // "log:index"
	Ordinal    int          `json:"ordinal"`
	Quarantine uint64       `json:"quarantine,omitempty"` // number in the publisher's quarantine
	Expected   uint64       `json:"expected,omitempty"`   // sequence_gap: the next number; ahead: the last one known
	Errors     []FieldError `json:"errors,omitempty"`
	More       int          `json:"more,omitempty"`     // errors left out of Errors
	Warnings   []string     `json:"warnings,omitempty"` // expected members that are missing
}

// PublishAnswer is the answer to many records. Accepted + Duplicate + Stale +
// Rejected is less than the number of items only where an item consumed
// nothing.
type PublishAnswer struct {
	Accepted  int           `json:"accepted"`
	Duplicate int           `json:"duplicate"`
	Stale     int           `json:"stale"`
	Rejected  int           `json:"rejected"`
	Items     []PublishItem `json:"items"`
}

// Receipt answers the publisher of one record.
type Receipt struct {
	Resource   string   `json:"resource"`
	Key        string   `json:"key"`
	ID         string   `json:"id"`
	Offset     uint64   `json:"offset"`
	Version    uint64   `json:"version"`
	Leaf       string   `json:"leaf"`
	Ordinal    int      `json:"ordinal"`
	Commitment string   `json:"commitment,omitempty"` // hex, salted
	Epoch      uint64   `json:"epoch"`
	Status     string   `json:"status,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

// PublicationView is a publication with what it would put on the portal: the
// portal's view of the version under review, for those who decide on it.
type PublicationView struct {
	Publication
	Preview json.RawMessage `json:"preview,omitempty"`
}

// Verdict answers a validation without publishing.
type Verdict struct {
	Valid    bool         `json:"valid"`
	Errors   []FieldError `json:"errors,omitempty"`
	More     int          `json:"more,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
}

// Record is one record as a recipient sees it.
type Record struct {
	Offset        uint64          `json:"offset"`
	Version       uint64          `json:"version"`
	Key           string          `json:"key"`
	Op            string          `json:"op"`
	OccurredAt    string          `json:"occurred_at"`
	AcceptedAt    string          `json:"accepted_at"`
	Department    string          `json:"department"`
	SchemaVersion uint32          `json:"schema_version"`
	Data          json.RawMessage `json:"data,omitempty"`
	Reason        string          `json:"reason,omitempty"`
}

// Page is a run of records. Through is the last offset looked at, filtered
// ones included; the next page begins after it.
type Page struct {
	Records []Record `json:"records"`
	Through uint64   `json:"through"`
	End     bool     `json:"end"` // nothing later existed when the page was made
}

// Ack moves a subscription's cursor.
type Ack struct {
	Through uint64 `json:"through"`
}

// SchemaInfo names one schema version of a resource.
type SchemaInfo struct {
	Resource string `json:"resource"`
	Version  uint32 `json:"version"`
	Title    string `json:"title,omitempty"`
}

// CredentialRequest asks for a credential of a system.
type CredentialRequest struct {
	Kind     string   `json:"kind"`                // api_key or certificate
	Scopes   []string `json:"scopes,omitempty"`    // empty: all that the system's roles allow
	NotAfter string   `json:"not_after,omitempty"` // RFC 3339; empty: one year
}

// Credential is shown with its secret exactly once, when it is issued.
type Credential struct {
	ID          string   `json:"id"`
	System      string   `json:"system,omitempty"`
	Kind        string   `json:"kind"`
	Secret      string   `json:"secret,omitempty"`
	Certificate string   `json:"certificate,omitempty"` // PEM
	Key         string   `json:"key,omitempty"`         // PEM
	Scopes      []string `json:"scopes,omitempty"`
	NotAfter    string   `json:"not_after"`
	Revoked     bool     `json:"revoked,omitempty"`
}

// Decision is the body of approve, refuse, revoke, return and withdraw.
type Decision struct {
	Reason string `json:"reason,omitempty"`
	Note   string `json:"note,omitempty"`
}

// QuarantineItem is one refused record that waits for its publisher.
type QuarantineItem struct {
	ID       string          `json:"id"` // "<department>.<system>:<n>"
	System   string          `json:"system"`
	Resource string          `json:"resource"`
	RecordID string          `json:"record_id,omitempty"`
	Key      string          `json:"key,omitempty"`
	Op       string          `json:"op,omitempty"`
	At       string          `json:"at"`
	Errors   []FieldError    `json:"errors"`
	More     int             `json:"more,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"` // for the owner only
}

// Addresses are where a node answers, as host:port.
type Addresses struct {
	API    string `json:"api,omitempty"`
	Node   string `json:"node,omitempty"`
	Public string `json:"public,omitempty"`
}

// Member is one node as the cluster sees it.
type Member struct {
	ID          string    `json:"id"`
	Addresses   Addresses `json:"addresses"`
	Voter       bool      `json:"voter"`
	State       string    `json:"state"` // leader follower candidate unreachable
	Applied     uint64    `json:"applied"`
	RunningHash string    `json:"running_hash"`
	Size        uint64    `json:"size"`
	Root        string    `json:"root"`
	Fresh       bool      `json:"fresh"`
	FreeBytes   uint64    `json:"free_bytes"`
	Version     string    `json:"version"`
}

// Cluster is the state of the bus.
type Cluster struct {
	Cluster string   `json:"cluster"`
	Epoch   uint64   `json:"epoch"`
	Leader  string   `json:"leader"`
	Nodes   []Member `json:"nodes"`
}

// MemberRequest asks to add a node.
type MemberRequest struct {
	ID      string    `json:"id"`
	Address Addresses `json:"address"`
}
