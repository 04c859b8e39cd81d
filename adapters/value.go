package adapters

import (
	"fmt"
	"strconv"
	"time"
)

// ValueKind says what a Value holds. The zero value is KindAbsent.
type ValueKind uint8

// The kinds of value a source may hand over. Absent is not null: an absent column was not read (an empty CSV cell,
// a member that is not there, an unchanged TOAST value), a null column was read and is null.
const (
	KindAbsent  ValueKind = iota
	KindNull              // read, and null
	KindText              // text as it stands in the source
	KindInt               // int64
	KindDecimal           // exact decimal number in its text form, without exponent unless the source wrote one
	KindBool              // true or false
	KindDate              // calendar date, 2006-01-02
	KindLocal             // date and time without zone, 2006-01-02T15:04:05[.999999]
	KindInstant           // a moment, Unix milliseconds UTC
	KindBytes             // raw bytes
	KindJSON              // a JSON array or object, compact, already read by record.Decode
)

var kindNames = [...]string{"absent", "null", "text", "int", "decimal", "bool", "date", "local", "instant", "bytes", "json"}

// String names the kind in lower case.
func (k ValueKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one cell of a row. The zero Value is absent. Values are comparable with ==.
type Value struct {
	kind ValueKind
	n    int64
	s    string
}

// Null is a value that was read and is null.
func Null() Value { return Value{kind: KindNull} }

// Text is text as it stands in the source, valid UTF-8.
func Text(s string) Value { return Value{kind: KindText, s: s} }

// Int is a whole number.
func Int(n int64) Value { return Value{kind: KindInt, n: n} }

// Decimal is an exact number in its text form, which must be a JSON number.
func Decimal(text string) Value { return Value{kind: KindDecimal, s: text} }

// Bool is a truth value.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.n = 1
	}
	return v
}

// Date is a calendar date in the form 2006-01-02.
func Date(iso string) Value { return Value{kind: KindDate, s: iso} }

// Local is a date and time without zone in the form 2006-01-02T15:04:05.
func Local(iso string) Value { return Value{kind: KindLocal, s: iso} }

// Instant is a moment in Unix milliseconds UTC.
func Instant(unixMs int64) Value { return Value{kind: KindInstant, n: unixMs} }

// Bytes is raw bytes; mapping writes them as base64.
func Bytes(b []byte) Value { return Value{kind: KindBytes, s: string(b)} }

// JSON is a compact JSON array or object that was read strictly (record.Decode).
func JSON(compact []byte) Value { return Value{kind: KindJSON, s: string(compact)} }

// Kind says what the value holds.
func (v Value) Kind() ValueKind { return v.kind }

// IsNone reports whether the value is absent or null.
func (v Value) IsNone() bool { return v.kind == KindAbsent || v.kind == KindNull }

// Int64 returns the number of KindInt, the milliseconds of KindInstant, 0 or 1 of KindBool, else 0.
func (v Value) Int64() int64 { return v.n }

// Raw returns the text of KindText, KindDecimal, KindDate, KindLocal, KindBytes and KindJSON unchanged, else "".
func (v Value) Raw() string { return v.s }

// String is the text form of any value: what a clerk would see in the cell. Absent and null are "".
// Instants are written in RFC 3339 UTC with milliseconds.
func (v Value) String() string {
	switch v.kind {
	case KindInt:
		return strconv.FormatInt(v.n, 10)
	case KindBool:
		return strconv.FormatBool(v.n != 0)
	case KindInstant:
		return time.UnixMilli(v.n).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	case KindBytes:
		return fmt.Sprintf("%x", v.s)
	default:
		return v.s
	}
}
