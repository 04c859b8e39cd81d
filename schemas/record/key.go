package record

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxKeyBytes = 512
	maxIDBytes  = 128
)

// CheckKey says whether key can be a record's key (FORMATS §11): 1 to 512
// bytes of UTF-8 in Unicode normal form C, without control characters and
// U+FFFD, and neither "." nor "..". It returns ErrKey otherwise.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: empty", ErrKey)
	case len(key) > maxKeyBytes:
		return fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKeyBytes)
	case key == "." || key == "..":
		return fmt.Errorf("%w: a path segment of its own meaning", ErrKey)
	case !cleanText(key):
		return fmt.Errorf("%w: control character, or not UTF-8", ErrKey)
	case !norm.NFC.IsNormalString(key):
		return fmt.Errorf("%w: not in normal form C", ErrKey)
	}
	return nil
}

// cleanText refuses control characters, U+FFFD and bytes that are not UTF-8.
func cleanText(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

var keyPart = strings.NewReplacer("%", "%25", "|", "%7C")

// JoinKey makes a key of its parts: one part stands as it is; several are
// joined by "|", with "|" and "%" inside them percent-escaped, so that
// different parts never make the same key.
func JoinKey(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = keyPart.Replace(p)
	}
	return strings.Join(escaped, "|")
}

// KeyOf makes the key of a body, value as Decode gives it, from the members
// named by fields. Texts are brought into normal form C; numbers are written
// without exponent and needless zeros, so that 1, 1.0 and 1e0 are one key.
// Anything else, an absent member and an empty text are refused: blank parts
// would let unrelated records replace each other.
//
// It returns a *MemberError naming the field, or ErrKey where only the whole
// is wrong.
func KeyOf(value any, fields []string) (string, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return "", &MemberError{Rule: RuleWrongType}
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		v, ok := object[f]
		if !ok {
			return "", &MemberError{Member: cut(f), Rule: RuleMissing}
		}
		switch v := v.(type) {
		case string:
			parts[i], ok = norm.NFC.String(v), v != "" && cleanText(v)
		case json.Number:
			parts[i], ok = plainNumber(string(v))
		default:
			return "", &MemberError{Member: cut(f), Rule: RuleWrongType}
		}
		if !ok {
			return "", &MemberError{Member: cut(f), Rule: RuleMalformed}
		}
	}
	key := JoinKey(parts)
	if err := CheckKey(key); err != nil {
		return "", err
	}
	return key, nil
}

// plainNumber writes a number literal without exponent and needless zeros.
func plainNumber(lit string) (string, bool) {
	n, magnitude, ok := scanNumber([]byte(lit))
	if !ok || n != len(lit) || magnitude > maxKeyBytes {
		return "", false
	}
	lit, negative := strings.CutPrefix(lit, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(lit), "e")
	if strings.HasPrefix(power, "-") {
		magnitude = -magnitude
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	point := len(whole) + magnitude // of the decimal point in digits
	digits := whole + fraction
	if trimmed := strings.TrimLeft(digits, "0"); len(trimmed) < len(digits) {
		point -= len(digits) - len(trimmed)
		digits = trimmed
	}
	digits = strings.TrimRight(digits, "0")
	switch {
	case digits == "":
		return "0", true
	case point <= 0:
		digits = "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		digits += strings.Repeat("0", point-len(digits))
	default:
		digits = digits[:point] + "." + digits[point:]
	}
	if negative {
		digits = "-" + digits
	}
	return digits, true
}

// CheckID says whether id can be a record's id in the id form (FORMATS §2): 1
// to 128 bytes of printable UTF-8, spaces included, not of the shape that
// producers' sequences make. It returns ErrID otherwise.
func CheckID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: empty", ErrID)
	case len(id) > maxIDBytes:
		return fmt.Errorf("%w: longer than %d bytes", ErrID, maxIDBytes)
	}
	for _, r := range id {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return fmt.Errorf("%w: a character that does not print", ErrID)
		}
	}
	if _, _, _, ok := SplitProducerID(id); ok {
		return fmt.Errorf("%w: of the shape kept for producers", ErrID)
	}
	return nil
}

// ProducerID makes the id of a record in the producer form:
// "<producer>-<epoch>-<seq>".
func ProducerID(producer string, epoch, seq uint64) string {
	return producer + "-" + strconv.FormatUint(epoch, 10) + "-" + strconv.FormatUint(seq, 10)
}

// SplitProducerID takes apart what ProducerID made. ok is false for ids of any
// other shape: a producer has a dot in its name, epoch and seq are decimal
// without leading zeros.
func SplitProducerID(id string) (producer string, epoch, seq uint64, ok bool) {
	rest, seq, ok := cutNumber(id)
	if !ok {
		return "", 0, 0, false
	}
	producer, epoch, ok = cutNumber(rest)
	if !ok || !strings.Contains(producer, ".") {
		return "", 0, 0, false
	}
	return producer, epoch, seq, true
}

// cutNumber cuts "-<n>" from the end of s.
func cutNumber(s string) (before string, n uint64, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 || i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9' || s[i+1] == '0' && i+2 < len(s) {
		return "", 0, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 64)
	return s[:i], n, err == nil
}
