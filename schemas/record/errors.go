package record

import (
	"errors"
	"fmt"
	"strconv"
)

// Sentinels of the package; all others are [*SyntaxError] and [*MemberError].
var (
	// ErrSection is returned when bytes are not a section this program can
	// read, or values cannot be written as one.
	ErrSection = errors.New("record: bad section")
	// ErrFormat is returned when a section has a format byte this program does
	// not know: the program is older than the log. It is an ErrSection.
	ErrFormat = fmt.Errorf("%w: unknown format, a newer program is needed", ErrSection)
	// ErrSectionTooLarge is returned when a section would exceed MaxRawBytes,
	// MaxHeaderBytes or MaxCount. It is an ErrSection.
	ErrSectionTooLarge = fmt.Errorf("%w: too large", ErrSection)
	// ErrKey is returned when a text cannot be the key of a record.
	ErrKey = errors.New("record: bad key")
	// ErrID is returned when a text cannot be the id of a record.
	ErrID = errors.New("record: bad id")
	// ErrOp is returned when a text names no operation.
	ErrOp = errors.New("record: unknown operation")
)

// Rules a SyntaxError names.
const (
	RuleSyntax        = "syntax"         // not the JSON grammar of RFC 8259
	RuleDuplicateName = "duplicate_name" // a member name occurs twice in one object
	RuleDepth         = "depth"          // nested deeper than Limits.Depth
	RuleUTF8          = "utf8"           // bad UTF-8, a lone surrogate, or U+FFFD: characters were lost
	RuleNumber        = "number"         // a number literal beyond Limits.NumberBytes or Limits.Exponent
	RuleMembers       = "members"        // more members and elements than Limits.Members
	RuleTrailing      = "trailing"       // something follows the value
	RuleTooLarge      = "too_large"      // longer than Limits.RecordBytes
)

// Rules a MemberError names.
const (
	RuleUnknownMember = "unknown_member" // the envelope has no such member
	RuleMissing       = "missing"        // the member is needed here
	RuleWrongType     = "wrong_type"     // the JSON type is not the member's
	RuleMalformed     = "malformed"      // right type, but not a legal value
	RuleNotAllowed    = "not_allowed"    // the member exists but not beside the others (data with withdraw)
)

// SyntaxError says where and by which rule bytes are not strict JSON. It never
// carries a value; member names appear in Pointer, which is cut at about
// 1 KiB.
type SyntaxError struct {
	Offset  int64  // bytes from the start of the input
	Pointer string // JSON Pointer (RFC 6901) of the value being read
	Rule    string // one of the Rule constants
}

// Error names offset, pointer and rule.
func (e *SyntaxError) Error() string {
	return "record: json: " + e.Rule + " at byte " + strconv.FormatInt(e.Offset, 10) + " " + strconv.Quote(e.Pointer)
}

// MemberError says which member of a record envelope, or which key field,
// breaks which rule. Member is cut at 64 bytes.
type MemberError struct {
	Member string
	Rule   string
}

// Error names member and rule.
func (e *MemberError) Error() string {
	return "record: member " + strconv.Quote(e.Member) + ": " + e.Rule
}
