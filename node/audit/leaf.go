package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/tlog"
)

// FormatVersion is the value of V in every leaf this code writes.
const FormatVersion = 1

// MaxLeafBytes is the greatest length of a leaf: entry bundles have a uint16 length (C2SP tlog-tiles).
const MaxLeafBytes = 65535

// Types of leaves: one exchange event each.
const (
	SubmissionAccepted   = "submission.accepted"
	SubmissionRejected   = "submission.rejected"
	DeliveryDelivered    = "delivery.delivered"
	DeliveryAcknowledged = "delivery.acknowledged"

	PublicationStarted   = "publication.started"
	PublicationApproved  = "publication.approved"
	PublicationReturned  = "publication.returned"
	PublicationPublished = "publication.published"
	PublicationWithdrawn = "publication.withdrawn"

	DepartmentPut     = "department.put"
	GroupPut          = "group.put"
	SystemPut         = "system.put"
	SystemFenced      = "system.fenced"
	CredentialIssued  = "credential.issued"
	CredentialRevoked = "credential.revoked"
	ResourcePut       = "resource.put"
	SchemaRegistered  = "schema.registered"

	GrantRequested = "grant.requested"
	GrantApproved  = "grant.approved"
	GrantRefused   = "grant.refused"
	GrantRevoked   = "grant.revoked"
	GrantExpired   = "grant.expired"

	SubscriptionCreated = "subscription.created"
	SubscriptionPaused  = "subscription.paused"
	SubscriptionResumed = "subscription.resumed"
	SubscriptionDeleted = "subscription.deleted"

	QuarantineDiscarded = "quarantine.discarded"

	MemberAdded   = "member.added"
	MemberRemoved = "member.removed"
	LogOpened     = "log.opened"
	ClusterClock  = "cluster.clock"
	PolicyRefused = "policy.refused"
)

// Outcomes of events.
const (
	OutcomeOK      = "ok"
	OutcomeRefused = "refused"
)

// Leaf is one entry of the audit log. Zero fields are left out of the bytes; each type uses those that apply to it.
// A leaf never holds a key, an id or a value of a record in clear: only salted commitments, offsets and
// counts (DESIGN §4 no. 8).
type Leaf struct {
	V    int    // v: FormatVersion
	I    uint64 // i: own index in the log, from 0
	T    int64  // t: log time, Unix milliseconds UTC, never less than that of the leaf before
	Type string // ty: what happened, one of the constants above

	Resource string   // r: resource
	Revision uint64   // rv: revision of the resource the records were judged by, or of the object after the change
	Systems  []string // sy: acting systems "<department>.<system>", in order of appearance

	First     uint64 // f: first offset of an acceptance, from of a delivery or acknowledgement, first quarantine number of a refusal
	Count     uint64 // n: records accepted or refused; for other types what they count
	Through   uint64 // th: last offset of a delivery or acknowledgement
	Delivered uint64 // dl: records handed out within First..Through
	Filtered  uint64 // fl: records passed over within First..Through

	Offset  uint64 // of: the one record an event is about (publication)
	Version uint64 // ver: its version; of schema.registered the schema version

	Subscription  string // sub: subscription
	Grant         string // g: grant
	GrantRevision uint64 // gv: revision of the grant a delivery was made under

	Object string // ob: code, name or id of the object an administrative event is about; never a record's key or id
	Step   string // st: step of a disclosure route, or state after the change

	Outcome string   // o: outcome code
	Reasons []string // rc: reason codes, enumerated, never free text

	Digest tlog.Hash // d: SHA-256 of the object's JSON after the change; never of a record's body, key or id
	Root   tlog.Hash // rt: inner root over the items (InnerRoot)

	Previous string // pv: of log.opened: the last checkpoint of the log before, "<log> <size> <root in base64>"
	VKey     string // vk: of member.added: the node's verifier key

	Salt []byte // z: 16 random bytes of the command or section, so that the public leaf hash confirms no guess
}

// Encode returns the bytes of the leaf: one JSON object without white space, members in the order of the fields
// above. They are what is hashed, stored and never written anew.
func (l Leaf) Encode() []byte {
	o := newObject(384)
	o.alwaysInt("v", int64(l.V))
	o.alwaysUint("i", l.I)
	o.alwaysInt("t", l.T)
	o.alwaysString("ty", l.Type)
	o.string("r", l.Resource)
	o.uint("rv", l.Revision)
	o.strings("sy", l.Systems)
	o.uint("f", l.First)
	o.uint("n", l.Count)
	o.uint("th", l.Through)
	o.uint("dl", l.Delivered)
	o.uint("fl", l.Filtered)
	o.uint("of", l.Offset)
	o.uint("ver", l.Version)
	o.string("sub", l.Subscription)
	o.string("g", l.Grant)
	o.uint("gv", l.GrantRevision)
	o.string("ob", l.Object)
	o.string("st", l.Step)
	o.string("o", l.Outcome)
	o.strings("rc", l.Reasons)
	o.hash("d", l.Digest)
	o.hash("rt", l.Root)
	o.string("pv", l.Previous)
	o.string("vk", l.VKey)
	o.bytes("z", l.Salt)
	return o.done()
}

// leafWire is the leaf as encoding/json reads it; ParseLeaf compares what it understood with the bytes.
type leafWire struct {
	V             int      `json:"v"`
	I             uint64   `json:"i"`
	T             int64    `json:"t"`
	Type          string   `json:"ty"`
	Resource      string   `json:"r"`
	Revision      uint64   `json:"rv"`
	Systems       []string `json:"sy"`
	First         uint64   `json:"f"`
	Count         uint64   `json:"n"`
	Through       uint64   `json:"th"`
	Delivered     uint64   `json:"dl"`
	Filtered      uint64   `json:"fl"`
	Offset        uint64   `json:"of"`
	Version       uint64   `json:"ver"`
	Subscription  string   `json:"sub"`
	Grant         string   `json:"g"`
	GrantRevision uint64   `json:"gv"`
	Object        string   `json:"ob"`
	Step          string   `json:"st"`
	Outcome       string   `json:"o"`
	Reasons       []string `json:"rc"`
	Digest        string   `json:"d"`
	Root          string   `json:"rt"`
	Previous      string   `json:"pv"`
	VKey          string   `json:"vk"`
	Salt          string   `json:"z"`
}

// ParseLeaf reads the bytes of a leaf. It accepts exactly what Encode writes, of format FormatVersion, at most
// MaxLeafBytes long; anything else is ErrLeaf. Unknown types are accepted: a verifier proves also what it cannot
// name.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) > MaxLeafBytes {
		return Leaf{}, fmt.Errorf("parse leaf of %d bytes: %w", len(b), ErrLeaf)
	}
	var w leafWire
	if err := json.Unmarshal(b, &w); err != nil {
		return Leaf{}, fmt.Errorf("parse leaf: not a JSON object of ours: %w", ErrLeaf)
	}
	if w.V != FormatVersion {
		return Leaf{}, fmt.Errorf("parse leaf: format %d, not %d: %w", w.V, FormatVersion, ErrLeaf)
	}
	digest, ok1 := hexHash(w.Digest)
	root, ok2 := hexHash(w.Root)
	salt, err := hex.DecodeString(w.Salt)
	if !ok1 || !ok2 || err != nil {
		return Leaf{}, fmt.Errorf("parse leaf: bad hex: %w", ErrLeaf)
	}
	if len(salt) == 0 {
		salt = nil
	}
	l := Leaf{
		V: w.V, I: w.I, T: w.T, Type: w.Type,
		Resource: w.Resource, Revision: w.Revision, Systems: w.Systems,
		First: w.First, Count: w.Count, Through: w.Through, Delivered: w.Delivered, Filtered: w.Filtered,
		Offset: w.Offset, Version: w.Version,
		Subscription: w.Subscription, Grant: w.Grant, GrantRevision: w.GrantRevision,
		Object: w.Object, Step: w.Step, Outcome: w.Outcome, Reasons: w.Reasons,
		Digest: digest, Root: root, Previous: w.Previous, VKey: w.VKey, Salt: salt,
	}
	if !bytes.Equal(l.Encode(), b) {
		return Leaf{}, fmt.Errorf("parse leaf: not in the frozen form: %w", ErrLeaf)
	}
	return l, nil
}

// Address is how a leaf is written for people and receipts: "<year>-<n>:<index>", for log the name of its log, long
// (`<origin>/<year>-<n>`) or short.
func Address(log string, index uint64) string {
	return log[strings.LastIndexByte(log, '/')+1:] + ":" + strconv.FormatUint(index, 10)
}

// ParseAddress reads what Address writes. It returns ErrLeaf for anything else.
func ParseAddress(s string) (log string, index uint64, err error) {
	log, digits, ok := strings.Cut(s, ":")
	index, nerr := strconv.ParseUint(digits, 10, 64)
	if !ok || nerr != nil || !tlog.IsShortLogName(log) || strconv.FormatUint(index, 10) != digits {
		return "", 0, fmt.Errorf("leaf address is not <year>-<n>:<index>: %w", ErrLeaf)
	}
	return log, index, nil
}
