package policy

import (
	"slices"
)

// Roles of a system. A credential's scopes narrow them (see Caller.HasRole).
const (
	RolePublisher     = "publisher"
	RoleSubscriber    = "subscriber"
	RoleReviewer      = "reviewer"
	RoleAdministrator = "administrator"
	RoleAuditor       = "auditor"
)

// States of a grant. Expired is never stored: it is what an approved grant is
// called once log time has reached its NotAfter (see Grant.StateAt).
const (
	GrantRequested = "requested"
	GrantApproved  = "approved"
	GrantRefused   = "refused"
	GrantRevoked   = "revoked"
	GrantExpired   = "expired"
)

// States of a subscription.
const (
	SubscriptionActive = "active"
	SubscriptionPaused = "paused"
)

// Kinds of credential.
const (
	CredentialAPIKey      = "api_key"
	CredentialCertificate = "certificate"
)

// SinkPull is the kind of the sink that waits to be asked.
const SinkPull = "pull"

// Department is an organisation that publishes, subscribes or reviews.
type Department struct {
	Code        string `json:"code"`
	Name        string `json:"name"`
	ShortName   string `json:"short_name,omitempty"`
	USCC        string `json:"uscc,omitempty"` // 统一社会信用代码, 18 characters with check digit
	Kind        string `json:"kind"`           // party government npc cppcc court procuratorate other enterprise institution
	Level       string `json:"level"`          // county town village city
	Region      string `json:"region"`         // GB/T 2260: 6, 9 or 12 digits
	Parent      string `json:"parent,omitempty"`
	LegacyCodes List   `json:"legacy_codes"`
	Revision    uint64 `json:"revision"`
}

// Group is a named set of departments, written group:<code> where it is used.
type Group struct {
	Code        string `json:"code"`
	Name        string `json:"name"`
	Departments List   `json:"departments"`
	Revision    uint64 `json:"revision"`
}

// System is a department's program. Its full name is <department>.<code>.
type System struct {
	Code       string            `json:"code"`
	Department string            `json:"department"`
	Name       string            `json:"name"`
	Roles      List              `json:"roles"`
	Resources  List              `json:"resources"`        // globs; a publisher needs one that matches, for a subscriber they narrow its grants
	Pinned     map[string]uint32 `json:"pinned,omitempty"` // resource → schema version used when a record names none
	Revision   uint64            `json:"revision"`
}

// FullName is <department>.<code>, unique on the bus; empty for the zero System.
func (s System) FullName() string {
	if s.Code == "" {
		return ""
	}
	return s.Department + "." + s.Code
}

// Credential is what state keeps of an API key or certificate: never the secret.
// On the wire not_after is RFC 3339; in Go it is milliseconds (0: no end).
type Credential struct {
	ID          string `json:"id"`
	System      string `json:"system"`                // full name
	Kind        string `json:"kind"`                  // api_key certificate
	Hash        string `json:"hash,omitempty"`        // hex SHA-256 of the secret; only in the log and state, see Public
	Fingerprint string `json:"fingerprint,omitempty"` // hex SHA-256 of the certificate
	Scopes      List   `json:"scopes"`                // roles it is narrowed to; empty: all roles of the system
	NotAfter    int64  `json:"-"`
	Revoked     bool   `json:"revoked,omitempty"`
	Revision    uint64 `json:"revision"`
}

// Public is the credential as it may be shown: without the hash of its secret.
func (c Credential) Public() Credential {
	c.Hash = ""
	return c
}

// ValidAt tells whether the credential may be used at log time now (ms).
func (c Credential) ValidAt(now int64) bool {
	return c.ID != "" && !c.Revoked && (c.NotAfter == 0 || now < c.NotAfter)
}

// LegalBasis names the instrument and article that let a department have data.
type LegalBasis struct {
	Instrument string `json:"instrument"`
	Article    string `json:"article"`
}

// Grant says who may receive which fields of a resource, for which purpose and
// legal basis, until when.
type Grant struct {
	Grant      string     `json:"grant"`
	Resource   string     `json:"resource"`
	Subscriber string     `json:"subscriber"` // department code or group:<code>
	Fields     Fields     `json:"fields"`
	Filter     string     `json:"filter,omitempty"` // row filter; refused while the bus cannot evaluate one
	Purpose    string     `json:"purpose"`
	Scenario   string     `json:"scenario,omitempty"`
	LegalBasis LegalBasis `json:"legal_basis"`
	NotAfter   string     `json:"not_after"` // RFC 3339
	State      string     `json:"state"`
	DecidedBy  string     `json:"decided_by,omitempty"` // full name of the system that decided last
	Reason     string     `json:"reason,omitempty"`
	Revision   uint64     `json:"revision"`
}

// StateAt is the state at log time now (ms): an approved grant whose end has come
// is expired, and so is one whose end cannot be read.
func (g Grant) StateAt(now int64) string {
	if g.State != GrantApproved {
		return g.State
	}
	end, err := ParseTime(g.NotAfter)
	if err != nil || now >= end {
		return GrantExpired
	}
	return GrantApproved
}

// Sink is where a subscription's batches go.
type Sink struct {
	Kind string `json:"kind"` // pull
}

// Subscription is a subscriber's standing order under a grant.
type Subscription struct {
	Subscription string `json:"subscription"`
	Resource     string `json:"resource"`
	Grant        string `json:"grant"`
	Sink         Sink   `json:"sink"`
	Start        Start  `json:"start"`
	Filter       string `json:"filter,omitempty"` // refused while the bus cannot evaluate one
	System       string `json:"system"`           // full name of the system it belongs to
	State        string `json:"state"`            // active paused
	Cursor       uint64 `json:"cursor"`           // highest acknowledged offset
	Handed       uint64 `json:"handed,omitempty"` // highest offset handed out
	LagRecords   uint64 `json:"lag_records"`      // filled when it is shown
	LagSeconds   int64  `json:"lag_seconds"`      // filled when it is shown
	LastError    string `json:"last_error,omitempty"`
	Revision     uint64 `json:"revision"`
}

// Caller is who asks. The zero Caller is nobody (Anonymous).
type Caller struct {
	System     System
	Department Department
	Groups     []string // codes of the groups that the department is in
	Credential string   // id of the credential it came with
	Scopes     []string // scopes of that credential; empty: all roles of the system
}

// Anonymous tells whether the caller is nobody the bus knows. A caller whose
// system does not belong to its department is nobody either.
func (c Caller) Anonymous() bool {
	return c.System.Code == "" || c.Department.Code == "" || c.System.Department != c.Department.Code
}

// HasRole tells whether the caller acts in the role: the system has it and the
// credential is not narrowed away from it.
func (c Caller) HasRole(role string) bool {
	if c.Anonymous() || !slices.Contains(c.System.Roles, role) {
		return false
	}
	return len(c.Scopes) == 0 || slices.Contains(c.Scopes, role)
}

// Roles lists the roles the caller acts in, in the order of its system.
func (c Caller) Roles() []string {
	var roles []string
	for _, r := range c.System.Roles {
		if c.HasRole(r) {
			roles = append(roles, r)
		}
	}
	return roles
}
