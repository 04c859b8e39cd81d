package audit

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/node/tlog"
)

// object writes one JSON object member by member in the order of the calls. Members with a zero value are left out,
// except by the always- methods. It is not encoding/json on purpose: its bytes are frozen by our goldens, not by the
// habits of a library version.
type object struct {
	b     []byte
	first bool
}

func newObject(capacity int) *object {
	return &object{b: append(make([]byte, 0, capacity), '{'), first: true}
}

func (o *object) name(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) alwaysUint(name string, v uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, v, 10)
}

func (o *object) alwaysInt(name string, v int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) uint(name string, v uint64) {
	if v != 0 {
		o.alwaysUint(name, v)
	}
}

func (o *object) alwaysString(name, v string) {
	o.name(name)
	o.b = appendString(o.b, v)
}

func (o *object) string(name, v string) {
	if v != "" {
		o.alwaysString(name, v)
	}
}

func (o *object) strings(name string, v []string) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, s := range v {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, s)
	}
	o.b = append(o.b, ']')
}

func (o *object) bytes(name string, v []byte) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '"')
	o.b = hex.AppendEncode(o.b, v)
	o.b = append(o.b, '"')
}

func (o *object) hash(name string, h tlog.Hash) {
	if h != (tlog.Hash{}) {
		o.bytes(name, h[:])
	}
}

func (o *object) done() []byte { return append(o.b, '}') }

// appendString writes a JSON string: quotation mark, backslash and control characters escaped, everything else as it
// is, bytes that are not UTF-8 as U+FFFD.
func appendString(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < 0x20 || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, r)
		i += n
	}
	return append(b, '"')
}

// hexHash reads the hex form of a hash as object writes it; the empty string is the zero hash.
func hexHash(s string) (h tlog.Hash, ok bool) {
	if s == "" {
		return h, true
	}
	if len(s) != 2*tlog.HashSize {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err == nil
}
