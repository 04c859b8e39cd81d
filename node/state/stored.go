package state

import (
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// StoredRecord is an accepted record as state keeps it. Byte slices may share
// memory with the other records of its segment and must not be changed.
type StoredRecord struct {
	Resource      uint32 // resource number
	Offset        uint64
	Version       uint64
	Previous      uint64 // offset of the key's version before, 0 for version 1
	Key           string
	Op            record.Op
	ID            string // also in the producer form: <producer>-<epoch>-<seq>
	Source        string
	System        string // full name of the publisher
	Department    string // the publisher's department
	Counter       uint64 // publisher's dense counter
	OccurredAt    int64  // ms; log time where the record named none
	AcceptedAt    int64  // log time, ms
	SchemaVersion uint32
	SourceVersion *int64
	Reason        string // of a withdrawal
	Traceparent   string
	Secret        [32]byte // commitment secret; leaves only in evidence and to its publisher
	Body          []byte   // compact form; empty for a withdrawal
	Leaf          uint64   // leaf index of its section
	Ordinal       int      // place among the accepted records of its section
}

// Committed is what the body commitment is over: the compact form, or the
// reason of a withdrawal.
func (r *StoredRecord) Committed() []byte {
	if r.Op == record.Withdraw {
		return []byte(r.Reason)
	}
	return r.Body
}

// Facts are what the record's item commits to; openings are made from them.
func (r *StoredRecord) Facts() audit.Facts {
	return audit.Facts{
		Offset: r.Offset, Version: r.Version, Previous: r.Previous, Withdraw: r.Op == record.Withdraw,
		System: r.System, Counter: r.Counter, ID: r.ID, Key: r.Key, Body: r.Committed(),
		Secret: r.Secret, SchemaVersion: r.SchemaVersion,
	}
}

// Item is the record's line in its acceptance leaf.
func (r *StoredRecord) Item() audit.Item { return audit.NewItem(r.Facts()) }

// Commitment is the body commitment that stands in the record's item and
// receipt.
func (r *StoredRecord) Commitment() [32]byte {
	return record.Commitment(record.TagBody, r.Secret, r.Committed())
}

// Segment is a section as state keeps it: all records it brought, and its leaf.
type Segment struct {
	Resource uint32
	First    uint64 // first offset
	Leaf     uint64 // leaf index
	Time     int64  // log time, ms
	Revision uint64 // of the resource, by which it was judged
	Records  []StoredRecord
}

// Items are the encoded items of the segment's leaf, in order: what inner paths
// are made from.
func (s *Segment) Items() [][]byte {
	items := make([][]byte, len(s.Records))
	for i := range s.Records {
		items[i] = s.Records[i].Item().Encode()
	}
	return items
}

// QuarantineItem is a refused record that waits for its publisher.
type QuarantineItem struct {
	System        string // full name
	Number        uint64 // dense per system, from 1
	Resource      string
	RecordID      string
	Key           string
	Op            record.Op // 0: unreadable
	SchemaVersion uint32
	Errors        []byte // JSON array of violations, no values in it
	More          int    // violations left out
	Body          []byte // as received, cut at 64 KiB; for the owner only
	At            int64  // log time, ms
	Leaf          uint64 // leaf of its section
	Producer      string // producer form
	Epoch, Seq    uint64
}

// FeedEntry is one event of a resource's public feed.
type FeedEntry struct {
	Seq         uint64 // dense per resource, from 1
	Key         string
	Version     uint64 // published version; of a tombstone the last one that was public
	Offset      uint64 // its offset
	Tombstone   bool   // withdrawn: must disappear from every channel
	At          int64  // log time, ms
	Publication string // id
}

// Delivery is one logged delivery range of a subscription.
type Delivery struct {
	Subscription string
	From         uint64 // first offset
	Through      uint64 // last offset
	Leaf         uint64
}

// MarkState is the newest mark that this replica agreed with.
type MarkState struct {
	Index   uint64 // log index the running hash stands after
	Size    uint64 // leaves
	Root    tlog.Hash
	Running [32]byte
	Time    int64 // log time of the entry that carried the mark, ms
}

// GrantFilter narrows View.Grants; empty members do not.
type GrantFilter struct {
	Resource   string
	Subscriber string // department code or group:x, as written in the grant
	State      string // by StateAt at the view's time
}

// PublicationFilter narrows View.Publications; empty members do not.
type PublicationFilter struct {
	Resource string
	State    string
	After    string // id of the last one seen
	Limit    int    // 0: 1,000
}

// SchemaInfo names one schema version of a resource.
type SchemaInfo struct {
	Resource string
	Version  uint32
	Title    string
	At       int64 // log time it was registered at, ms
}

// Subject says whose leaves View.LeavesOf lists.
type Subject struct {
	Kind SubjectKind
	Name string // resource name, subscription, publication, grant, system full name, department or group code
}

// SubjectKind is the kind of a Subject.
type SubjectKind uint8

// Kinds of subject. A resource's leaves are all that name it: acceptances,
// refusals, deliveries, grants, publications, schemas.
const (
	SubjectResource     SubjectKind = 'r'
	SubjectSubscription SubjectKind = 's'
	SubjectPublication  SubjectKind = 'p'
	SubjectGrant        SubjectKind = 'g'
	SubjectSystem       SubjectKind = 'y'
	SubjectDepartment   SubjectKind = 'd'
	SubjectGroup        SubjectKind = 'o'
	SubjectMember       SubjectKind = 'm'
)
