package record

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Op is what a record says about its key.
type Op uint8

// Operations. The zero Op is none.
const (
	Upsert   Op = 1 // the key now has this body
	Withdraw Op = 2 // the key is withdrawn, for a reason
)

// String gives the word of the contract, or "unknown".
func (o Op) String() string {
	switch o {
	case Upsert:
		return "upsert"
	case Withdraw:
		return "withdraw"
	default:
		return "unknown"
	}
}

// ParseOp reads the word of the contract; it returns ErrOp for any other.
func ParseOp(word string) (Op, error) {
	switch word {
	case "upsert":
		return Upsert, nil
	case "withdraw":
		return Withdraw, nil
	default:
		return 0, ErrOp
	}
}

// Record is one record on the wire (CONTRACT §1).
type Record struct {
	ID            string // "" absent
	Key           string // "" absent: made from the key fields
	Op            Op
	OccurredAt    int64  // Unix milliseconds; 0 absent
	Data          []byte // compact form; nil for a withdrawal
	Value         any    // Data as Decode gives it
	Reason        string // needed with Withdraw
	SchemaVersion uint32 // 0 absent
	SourceVersion *int64 // nil absent
	Secret        []byte // 32 bytes; nil absent
	Traceparent   string // W3C Trace Context; "" absent
	Seq           uint64 // sequence of the producer form; 0 absent
}

// The closed envelope. A setter answers the rule the value breaks.
var envelope = [...]struct {
	name string
	set  func(r *Record, v any) (rule string)
}{
	{"id", func(r *Record, v any) string {
		return setText(&r.ID, v, func(s string) bool { return s != "" && len(s) <= maxIDBytes })
	}},
	{"key", func(r *Record, v any) string {
		return setText(&r.Key, v, func(s string) bool { return CheckKey(s) == nil })
	}},
	{"op", setOp},
	{"occurred_at", setOccurredAt},
	{"data", func(r *Record, v any) string { r.Value = v; return "" }},
	{"reason", func(r *Record, v any) string {
		return setText(&r.Reason, v, func(s string) bool { return strings.TrimSpace(s) != "" })
	}},
	{"schema_version", func(r *Record, v any) string {
		n, rule := unsigned(v, 32)
		r.SchemaVersion = uint32(n)
		return rule
	}},
	{"source_version", setSourceVersion},
	{"secret", setSecret},
	{"traceparent", func(r *Record, v any) string { return setText(&r.Traceparent, v, traceparentForm) }},
	{"seq", func(r *Record, v any) string {
		n, rule := unsigned(v, 64)
		r.Seq = n
		return rule
	}},
}

func lookup(name string) int {
	for i := range envelope {
		if envelope[i].name == name {
			return i
		}
	}
	return -1
}

// DecodeRecord reads one record envelope strictly: closed, with the form of
// every member checked. lim.RecordBytes bounds the whole envelope, the other
// limits its data alone, so that a body which Decode takes is taken here too.
// With seq an id may be left out or be the one the sequence makes (only its
// last part is compared; producer and epoch are the caller's to compare);
// without seq it passes CheckID. An occurred_at finer than a millisecond is
// cut; the instant 1970-01-01T00:00:00Z is refused, it is how programs write
// "no date".
//
// The error is a *SyntaxError or a *MemberError.
func DecodeRecord(raw []byte, lim Limits) (Record, error) {
	s, fault := newScanner(raw, lim)
	if fault != nil {
		return Record{}, fault
	}
	defer s.release()
	var r Record
	if len(raw) > s.pos && raw[s.pos] != '{' {
		if _, fault := s.value(); fault != nil {
			return Record{}, fault
		}
		return Record{}, &MemberError{Rule: RuleWrongType}
	}
	seen, from, to, err := r.readEnvelope(s)
	if err != nil {
		return Record{}, err
	}
	if fault := s.end(); fault != nil {
		return Record{}, fault
	}
	if err := r.check(seen); err != nil {
		return Record{}, err
	}
	if r.Op == Upsert {
		r.Data = s.compact()[from:to:to]
	}
	return r, nil
}

// readEnvelope reads the members; seen has a bit for each, and data lies at
// from:to in the compact form.
func (r *Record) readEnvelope(s *scanner) (seen uint, from, to int, err error) {
	if fault := s.next('{'); fault != nil {
		return 0, 0, 0, fault
	}
	s.space()
	if s.pos < len(s.raw) && s.raw[s.pos] == '}' {
		s.pos++
		return 0, 0, 0, nil
	}
	for more := true; more; {
		at := s.pos
		name, fault := s.name()
		if fault != nil {
			return 0, 0, 0, fault
		}
		m := lookup(name)
		if m < 0 {
			return 0, 0, 0, &MemberError{Member: cut(name), Rule: RuleUnknownMember}
		}
		if seen&(1<<m) != 0 {
			return 0, 0, 0, s.fail(at, RuleDuplicateName).within(name)
		}
		seen |= 1 << m
		begin := s.mark()
		v, fault := s.value()
		if fault != nil {
			return 0, 0, 0, fault.within(name)
		}
		if name == "data" {
			from, to = begin, s.mark()
		}
		if rule := envelope[m].set(r, v); rule != "" {
			return 0, 0, 0, &MemberError{Member: name, Rule: rule}
		}
		if more, fault = s.more('}'); fault != nil {
			return 0, 0, 0, fault
		}
	}
	return seen, from, to, nil
}

// check holds the rules between members.
func (r *Record) check(seen uint) error {
	hasData := seen&(1<<lookup("data")) != 0
	switch {
	case r.Op == 0:
		return &MemberError{Member: "op", Rule: RuleMissing}
	case r.Op == Upsert && !hasData:
		return &MemberError{Member: "data", Rule: RuleMissing}
	case r.Op == Withdraw && hasData:
		return &MemberError{Member: "data", Rule: RuleNotAllowed}
	case r.Op == Withdraw && r.Reason == "":
		return &MemberError{Member: "reason", Rule: RuleMissing}
	case r.ID != "" && r.Seq == 0 && CheckID(r.ID) != nil:
		return &MemberError{Member: "id", Rule: RuleMalformed}
	case r.ID != "" && r.Seq != 0:
		if _, _, seq, ok := SplitProducerID(r.ID); !ok || seq != r.Seq {
			return &MemberError{Member: "id", Rule: RuleMalformed}
		}
	}
	return nil
}

func setText(to *string, v any, legal func(string) bool) (rule string) {
	t, ok := v.(string)
	if !ok {
		return RuleWrongType
	}
	if !legal(t) {
		return RuleMalformed
	}
	*to = t
	return ""
}

func setOp(r *Record, v any) (rule string) {
	return setText(new(string), v, func(word string) (ok bool) {
		var err error
		r.Op, err = ParseOp(word)
		return err == nil
	})
}

func setOccurredAt(r *Record, v any) (rule string) {
	return setText(new(string), v, func(t string) bool {
		at, err := time.Parse(time.RFC3339, t)
		if err != nil || !rfc3339Form(t) {
			return false
		}
		r.OccurredAt = at.UnixMilli()
		return r.OccurredAt != 0
	})
}

// rfc3339Form refuses what time.Parse takes beyond RFC 3339: an hour of one
// digit, a comma before the fraction, a zone of 24 hours and more.
func rfc3339Form(t string) bool {
	if len(t) < len("2006-01-02T15:04:05Z") || t[13] != ':' || t[19] == ',' {
		return false
	}
	if zone := t[len(t)-len("+07:00"):]; t[len(t)-1] != 'Z' {
		return zone[1:3] < "24" && zone[4:] < "60"
	}
	return true
}

func setSourceVersion(r *Record, v any) (rule string) {
	lit, ok := v.(json.Number)
	if !ok {
		return RuleWrongType
	}
	n, err := strconv.ParseInt(string(lit), 10, 64)
	if err != nil {
		return RuleMalformed
	}
	r.SourceVersion = &n
	return ""
}

func setSecret(r *Record, v any) (rule string) {
	return setText(new(string), v, func(t string) bool {
		b, err := base64.StdEncoding.Strict().DecodeString(t)
		r.Secret = b
		return err == nil && len(b) == 32 && len(t) == 44
	})
}

// unsigned reads a whole number from 1.
func unsigned(v any, bits int) (n uint64, rule string) {
	lit, ok := v.(json.Number)
	if !ok {
		return 0, RuleWrongType
	}
	n, err := strconv.ParseUint(string(lit), 10, bits)
	if err != nil || n == 0 {
		return 0, RuleMalformed
	}
	return n, ""
}

// traceparentForm checks the form of W3C Trace Context, version 00, lower
// case: version, trace id, parent id, flags; neither id all zero.
func traceparentForm(t string) bool {
	if len(t) != 55 || t[:3] != "00-" || t[35] != '-' || t[52] != '-' {
		return false
	}
	if strings.Trim(t[3:35], "0") == "" || strings.Trim(t[36:52], "0") == "" {
		return false
	}
	return strings.Trim(t[3:35]+t[36:52]+t[53:], "0123456789abcdef") == ""
}

// Encode gives the wire form, one line without its end; members in the order
// of the contract, absent ones left out. Data MUST be in compact form.
func (r *Record) Encode() []byte {
	b := make([]byte, 0, 256+len(r.Data)+len(r.Reason))
	text := func(name, s string) {
		if s != "" {
			b = AppendString(append(append(append(b, '"'), name...), `":`...), s)
			b = append(b, ',')
		}
	}
	whole := func(name string, n uint64) {
		if n != 0 {
			b = append(append(append(b, '"'), name...), `":`...)
			b = append(strconv.AppendUint(b, n, 10), ',')
		}
	}
	b = append(b, '{')
	text("id", r.ID)
	text("key", r.Key)
	text("op", r.Op.String())
	if r.OccurredAt != 0 {
		text("occurred_at", time.UnixMilli(r.OccurredAt).UTC().Format("2006-01-02T15:04:05.999Z07:00"))
	}
	if len(r.Data) != 0 {
		b = append(append(append(b, `"data":`...), r.Data...), ',')
	}
	text("reason", r.Reason)
	whole("schema_version", uint64(r.SchemaVersion))
	if r.SourceVersion != nil {
		b = append(strconv.AppendInt(append(b, `"source_version":`...), *r.SourceVersion, 10), ',')
	}
	if len(r.Secret) != 0 {
		text("secret", base64.StdEncoding.EncodeToString(r.Secret))
	}
	text("traceparent", r.Traceparent)
	whole("seq", r.Seq)
	b[len(b)-1] = '}'
	return b
}
