package record

// SectionFormat is the format byte of the sections this program writes.
const SectionFormat = 1

// Bounds of a section (FORMATS §3). Writers are refused beyond them and
// readers refuse what claims to be beyond them before allocating for it.
const (
	MaxRawBytes     = 5 << 18  // payload before compression: 1.25 MiB, the hard limit of a log entry
	MaxHeaderBytes  = 64 << 10 // header with its lists of systems and producers
	MaxCount        = 10_000   // records, refusals or cursor moves: the longest batch
	MaxRefusedBytes = 64 << 10 // body, and likewise the list of errors, of one refusal
)

// Codecs of a section's payload.
const (
	CodecNone uint8 = 0 // as it is
	CodecS2   uint8 = 1 // one s2 block
)

// Kind says what a section carries.
type Kind uint8

// Kinds of section.
const (
	KindRecords  Kind = 1 // records of one resource
	KindRefusals Kind = 2 // refused records, for quarantine
	KindCursors  Kind = 3 // moves of subscriptions' cursors
	KindCommand  Kind = 4 // one administrative command, strict JSON
	KindMark     Kind = 5 // tree head and running hash to compare
)

// String gives the word for the kind.
func (k Kind) String() string {
	switch k {
	case KindRecords:
		return "records"
	case KindRefusals:
		return "refusals"
	case KindCursors:
		return "cursors"
	case KindCommand:
		return "command"
	case KindMark:
		return "mark"
	default:
		return "unknown"
	}
}

// Producer is one adapter's outbox at one epoch.
type Producer struct {
	ID    string // <department>.<system>[.<n>]
	Epoch uint64
}

// Header is what a section says about itself. Encoders set Kind, Count and
// RawBytes; on the way in Codec is a wish (s2 is given up where it does not
// shrink the payload), on the way out it is what was used.
type Header struct {
	Kind       Kind
	Strict     bool   // all or nothing
	Resource   uint32 // resource number; 0 where the kind has none
	Revision   uint64 // catalogue revision the records were judged by
	Node       string // accepting node
	LinkEpoch  uint64 // with LinkNumber the place in the node's order (FORMATS §4)
	LinkNumber uint64
	Codec      uint8      // CodecNone or CodecS2
	Dictionary uint32     // compression dictionary; 0 none
	KeyEpoch   uint32     // epoch of sealing keys; 0 unsealed
	Count      int        // entries in the payload
	RawBytes   int        // payload before compression
	Secret     [32]byte   // section secret, random bytes of the accepting node
	Systems    []string   // full names "<department>.<system>", indexed by SectionRecord.System
	Producers  []Producer // indexed by SectionRecord.Producer
}

// SectionRecord is a record in a section. Its place is its index.
type SectionRecord struct {
	Op            Op
	System        int    // index in Header.Systems
	Producer      int    // index in Header.Producers; -1 in the id form
	Seq           uint64 // producer form: dense per (producer, resource), from 1
	Source, ID    string // id form; in the producer form both are empty (see Header.RecordID)
	Key           string
	OccurredAt    int64 // Unix milliseconds; 0 absent
	SchemaVersion uint32
	SourceVersion *int64 // nil absent
	Reason        string
	Secret        []byte // 32 bytes sent by the publisher; nil: RecordSecret
	Traceparent   string
	Body          []byte // compact form; empty for a withdrawal
}

// Refusal is a refused record on its way to quarantine.
type Refusal struct {
	System        int    // index in Header.Systems
	Producer      int    // index in Header.Producers; -1 in the id form
	Seq           uint64 // producer form
	ID, Key       string // as far as they were known
	Op            Op     // 0 where it could not be read
	SchemaVersion uint32
	Errors        []byte // JSON array of violations, at most MaxRefusedBytes
	More          int    // violations left out
	Body          []byte // data as received, cut at MaxRefusedBytes
}

// Actions of a CursorMove.
const (
	ActionHanded uint8 = 1 // a batch was handed to the subscriber
	ActionAck    uint8 = 2 // the subscriber acknowledged
)

// CursorMove says that a subscription was handed, or acknowledged, a range of
// offsets.
type CursorMove struct {
	Subscription  string
	Action        uint8 // ActionHanded or ActionAck
	From, Through uint64
	Delivered     int // records handed out within the range
	Filtered      int // records withheld within the range
	GrantRevision uint64
	Root          [32]byte // inner root over the delivery items
	System        string   // full name of the acting system
}

// Mark is the tree head and running hash that replicas compare.
type Mark struct {
	Index   uint64 // log index the running hash stands after
	Size    uint64 // leaves in the tree
	Root    [32]byte
	Running [32]byte
}
