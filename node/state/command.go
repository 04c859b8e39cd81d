package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// CommandVersion is the member v of the commands this program writes.
const CommandVersion = 1

// Types of administrative commands.
const (
	TypeBootstrap          = "bootstrap"
	TypeDepartmentPut      = "department.put"
	TypeGroupPut           = "group.put"
	TypeSystemPut          = "system.put"
	TypeSystemFence        = "system.fence"
	TypeCredentialIssue    = "credential.issue"
	TypeCredentialRevoke   = "credential.revoke"
	TypeResourcePut        = "resource.put"
	TypeSchemaRegister     = "schema.register"
	TypeGrantRequest       = "grant.request"
	TypeGrantDecide        = "grant.decide"
	TypeSubscriptionCreate = "subscription.create"
	TypeSubscriptionDelete = "subscription.delete"
	TypeSubscriptionPause  = "subscription.pause"
	TypeSubscriptionResume = "subscription.resume"
	TypePublicationDecide  = "publication.decide"
	TypeQuarantineDiscard  = "quarantine.discard"
	TypeMemberNote         = "member.note"
)

// By is the system in whose name a command is given; state checks its roles and
// that the credential it came with still stands. All empty: the bus itself,
// which may give bootstrap and member.note only.
type By struct {
	System     string `json:"system"`               // full name "<department>.<system>"
	Department string `json:"department"`           // its department
	Credential string `json:"credential,omitempty"` // id; empty: not checked
}

// Head is what all commands share. Encode sets Type and V.
type Head struct {
	Type string `json:"type"`
	V    int    `json:"v"`
	// Request makes the command idempotent: for 24 h the same request id of the
	// same system with the same content (all but Request, At, By and the hash of an
	// issued secret) is answered with the first answer, with other content with
	// CodeConflict and ReasonRequestReused. Required, 1–128 bytes.
	Request string `json:"request"`
	By      By     `json:"by"`
	// At is when the caller asked, Unix milliseconds, for people only; log time
	// decides everything.
	At int64 `json:"at,omitempty"`
}

func (h *Head) head() *Head { return h }

// Command is an administrative command: a pointer to one of the types below.
type Command interface {
	head() *Head
	kind() string
	apply(x *execution) (answer any, err error)
}

// Put answers with the object, its revision included. IfRevision is the
// revision the caller read (If-Match): absent while the object exists is
// precondition_required, another one is revision_conflict, 0 means that it must
// not exist. Content equal to what is there changes nothing and answers what is
// there.
type (
	// DepartmentPut makes or changes a department. Administrators.
	DepartmentPut struct {
		Head
		IfRevision *uint64           `json:"if_revision,omitempty"`
		Object     policy.Department `json:"object"`
	}
	// GroupPut makes or changes a group; it moves the revision of every resource
	// that names the group. Administrators.
	GroupPut struct {
		Head
		IfRevision *uint64      `json:"if_revision,omitempty"`
		Object     policy.Group `json:"object"`
	}
	// SystemPut makes or changes a system. Administrators.
	SystemPut struct {
		Head
		IfRevision *uint64       `json:"if_revision,omitempty"`
		Object     policy.System `json:"object"`
	}
	// ResourcePut makes or changes a catalogue entry; SchemaVersion in it is
	// ignored. Administrators.
	ResourcePut struct {
		Head
		IfRevision *uint64          `json:"if_revision,omitempty"`
		Object     schemas.Resource `json:"object"`
	}
)

// Commands about systems and their credentials.
type (
	// SystemFence fences every producer epoch of the system below Epoch; 0 means
	// all that were seen so far. At most MaxEpoch + 1, which ends the producer form
	// for the system; higher is CodeInvalid. Answer: FenceAnswer. Administrators.
	SystemFence struct {
		Head
		System string `json:"system"` // full name
		Epoch  uint64 `json:"epoch,omitempty"`
	}
	// CredentialIssue stores what is kept of a credential (id, hash or fingerprint;
	// the secret never comes here). Answer: the credential without its hash.
	// Administrators.
	CredentialIssue struct {
		Head
		Object policy.Credential `json:"object"`
	}
	// CredentialRevoke ends a credential. Answer: the credential. Administrators.
	CredentialRevoke struct {
		Head
		Credential string `json:"credential"`
	}
)

// FenceAnswer is the answer to SystemFence.
type FenceAnswer struct {
	System string `json:"system"`
	Epoch  uint64 `json:"epoch"` // least epoch accepted from now on
}

// SchemaRegister adds the next schema version of a resource. The exchange has
// linted it; here it is only kept. The text equal to the newest version's
// answers that version and changes nothing. Answer: SchemaAnswer.
// Administrators.
type SchemaRegister struct {
	Head
	Resource string `json:"resource"`
	Version  uint32 `json:"version,omitempty"` // 0: the next one; else must be the next one
	Schema   string `json:"schema"`            // the text of the schema, byte for byte
	Title    string `json:"title,omitempty"`   // shown in lists
}

// SchemaAnswer is the answer to SchemaRegister.
type SchemaAnswer struct {
	Resource string `json:"resource"`
	Version  uint32 `json:"version"`
	Revision uint64 `json:"revision"` // of the resource
}

// Commands about grants. Answer: the grant.
type (
	// GrantRequest asks for a grant; an empty id is filled in ("g<n>"). A system of
	// the subscriber department (for a group: of one of its members), or an
	// administrator.
	GrantRequest struct {
		Head
		Object policy.Grant `json:"object"`
	}
	// GrantDecide takes a grant to its next state; policy.Decide says who may.
	GrantDecide struct {
		Head
		Grant      string  `json:"grant"`
		Action     string  `json:"action"` // approve refuse revoke
		Reason     string  `json:"reason,omitempty"`
		IfRevision *uint64 `json:"if_revision,omitempty"`
	}
)

// Commands about subscriptions. Answer: the subscription.
type (
	// SubscriptionCreate makes a subscription under an approved grant of the
	// caller; an empty id is filled in ("s<n>"), an empty System is the caller.
	SubscriptionCreate struct {
		Head
		Object policy.Subscription `json:"object"`
	}
	// SubscriptionDelete ends a subscription and its cursor.
	SubscriptionDelete struct {
		Head
		Subscription string `json:"subscription"`
	}
	// SubscriptionPause stops handing out; SubscriptionResume goes on at the cursor.
	SubscriptionPause struct {
		Head
		Subscription string `json:"subscription"`
	}
	// SubscriptionResume see SubscriptionPause.
	SubscriptionResume struct {
		Head
		Subscription string `json:"subscription"`
	}
)

// PublicationDecide takes a publication along its disclosure route;
// disclosure.Decide says who may. Answer: the publication.
type PublicationDecide struct {
	Head
	Publication string  `json:"publication"`
	Action      string  `json:"action"` // approve return withdraw
	Note        string  `json:"note,omitempty"`
	Seen        string  `json:"seen,omitempty"` // what the reviewer had before them
	IfRevision  *uint64 `json:"if_revision,omitempty"`
}

// QuarantineDiscard drops one refused record. Answer: DiscardAnswer. A system of
// the department that it belongs to, or an administrator.
type QuarantineDiscard struct {
	Head
	System string `json:"system"` // full name
	Number uint64 `json:"number"`
}

// DiscardAnswer is the answer to QuarantineDiscard.
type DiscardAnswer struct {
	ID string `json:"id"` // "<department>.<system>:<n>"
}

// Member is one node as the log knows it. The running state of a node is
// replica's to say.
type Member struct {
	ID        string            `json:"id"`
	Addresses map[string]string `json:"addresses"`      // api, node, public → host:port
	VKey      string            `json:"vkey,omitempty"` // verifier key of its cosignatures
	Voter     bool              `json:"voter"`
	AddedAt   int64             `json:"added_at"` // log time, ms
}

// Actions of a MemberNote.
const (
	MemberAdded   = "added"
	MemberRemoved = "removed"
)

// MemberNote notes a membership event. Answer: the member. The bus itself or an
// administrator.
type MemberNote struct {
	Head
	Action string `json:"action"` // added removed
	Member Member `json:"member"`
}

// Bootstrap is the first command of a cluster and is refused afterwards. Answer:
// BootstrapAnswer.
type Bootstrap struct {
	Head
	Cluster     string              `json:"cluster"`            // cluster id, must be Config.ClusterID where that is set
	Log         string              `json:"log"`                // long name of the audit log "<origin>/<year>-<n>"
	Previous    string              `json:"previous,omitempty"` // last checkpoint of the log before, after a restore
	Epoch       uint64              `json:"epoch"`              // cluster epoch, from 1
	Members     []Member            `json:"members"`
	Departments []policy.Department `json:"departments,omitempty"`
	Groups      []policy.Group      `json:"groups,omitempty"`
	Systems     []policy.System     `json:"systems,omitempty"`
	Credentials []policy.Credential `json:"credentials,omitempty"`
	Resources   []schemas.Resource  `json:"resources,omitempty"`
	Schemas     []SchemaText        `json:"schemas,omitempty"`
}

// SchemaText is one schema version in a Bootstrap.
type SchemaText struct {
	Resource string `json:"resource"`
	Schema   string `json:"schema"`
	Title    string `json:"title,omitempty"`
}

// BootstrapAnswer is the answer to Bootstrap.
type BootstrapAnswer struct {
	Cluster string `json:"cluster"`
	Log     string `json:"log"`
	Epoch   uint64 `json:"epoch"`
}

func (*Bootstrap) kind() string          { return TypeBootstrap }
func (*DepartmentPut) kind() string      { return TypeDepartmentPut }
func (*GroupPut) kind() string           { return TypeGroupPut }
func (*SystemPut) kind() string          { return TypeSystemPut }
func (*SystemFence) kind() string        { return TypeSystemFence }
func (*CredentialIssue) kind() string    { return TypeCredentialIssue }
func (*CredentialRevoke) kind() string   { return TypeCredentialRevoke }
func (*ResourcePut) kind() string        { return TypeResourcePut }
func (*SchemaRegister) kind() string     { return TypeSchemaRegister }
func (*GrantRequest) kind() string       { return TypeGrantRequest }
func (*GrantDecide) kind() string        { return TypeGrantDecide }
func (*SubscriptionCreate) kind() string { return TypeSubscriptionCreate }
func (*SubscriptionDelete) kind() string { return TypeSubscriptionDelete }
func (*SubscriptionPause) kind() string  { return TypeSubscriptionPause }
func (*SubscriptionResume) kind() string { return TypeSubscriptionResume }
func (*PublicationDecide) kind() string  { return TypePublicationDecide }
func (*QuarantineDiscard) kind() string  { return TypeQuarantineDiscard }
func (*MemberNote) kind() string         { return TypeMemberNote }

func newCommand(kind string) Command {
	switch kind {
	case TypeBootstrap:
		return new(Bootstrap)
	case TypeDepartmentPut:
		return new(DepartmentPut)
	case TypeGroupPut:
		return new(GroupPut)
	case TypeSystemPut:
		return new(SystemPut)
	case TypeSystemFence:
		return new(SystemFence)
	case TypeCredentialIssue:
		return new(CredentialIssue)
	case TypeCredentialRevoke:
		return new(CredentialRevoke)
	case TypeResourcePut:
		return new(ResourcePut)
	case TypeSchemaRegister:
		return new(SchemaRegister)
	case TypeGrantRequest:
		return new(GrantRequest)
	case TypeGrantDecide:
		return new(GrantDecide)
	case TypeSubscriptionCreate:
		return new(SubscriptionCreate)
	case TypeSubscriptionDelete:
		return new(SubscriptionDelete)
	case TypeSubscriptionPause:
		return new(SubscriptionPause)
	case TypeSubscriptionResume:
		return new(SubscriptionResume)
	case TypePublicationDecide:
		return new(PublicationDecide)
	case TypeQuarantineDiscard:
		return new(QuarantineDiscard)
	case TypeMemberNote:
		return new(MemberNote)
	}
	return nil
}

// EncodeCommand gives the JSON that goes into a section of kind command.
func EncodeCommand(c Command) ([]byte, error) {
	c.head().Type, c.head().V = c.kind(), CommandVersion
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.kind(), err)
	}
	return b, nil
}

// commandLimits bounds a command: a bootstrap with all shared schemas fits.
var commandLimits = record.Limits{RecordBytes: 1 << 20, Depth: 32, Members: 200_000, NumberBytes: 24, Exponent: 4}

// DecodeCommand reads a command strictly: one JSON value, no name twice, no
// unknown member. It returns ErrUpgrade for an unknown type or version (a newer
// program wrote it) and ErrCommand for anything else.
func DecodeCommand(b []byte) (Command, error) {
	if _, _, err := record.Decode(b, commandLimits); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	var h struct {
		Type string `json:"type"`
		V    int    `json:"v"`
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fmt.Errorf("%w: no type and v", ErrCommand)
	}
	c := newCommand(h.Type)
	if h.V > CommandVersion || c == nil && h.Type != "" && h.V >= CommandVersion {
		return nil, fmt.Errorf("command of type %.40q v %d: %w", h.Type, h.V, ErrUpgrade)
	}
	if c == nil || h.V != CommandVersion {
		return nil, fmt.Errorf("%w: type %.40q v %d", ErrCommand, h.Type, h.V)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: %s: member unknown or of wrong type", ErrCommand, h.Type)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: %s: something follows", ErrCommand, h.Type)
	}
	if r := c.head().Request; r == "" || len(r) > 128 || len(c.head().By.System) > 512 {
		return nil, fmt.Errorf("%w: %s: request id must have 1 to 128 bytes", ErrCommand, h.Type)
	}
	return c, nil
}
