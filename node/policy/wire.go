package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// timeLayout is RFC 3339 in UTC with milliseconds, the resolution of log time.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// FormatTime writes log time (ms) as RFC 3339 in UTC.
func FormatTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(timeLayout) }

// ParseTime reads an RFC 3339 time as log time in milliseconds, cut off to the
// millisecond. Only the years 1970 to 9999 are taken.
func ParseTime(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%w: time is not RFC 3339", ErrInvalid)
	}
	if ms := t.UnixMilli(); ms >= 0 && t.UTC().Year() <= 9999 {
		return ms, nil
	}
	return 0, fmt.Errorf("%w: time outside 1970 to 9999", ErrInvalid)
}

// List is a list of strings that is written [] when it is empty and read as nil
// when it is empty or null, so that an object has one form in JSON and in Go.
type List []string

// MarshalJSON writes an array, [] for nil.
func (l List) MarshalJSON() ([]byte, error) {
	if len(l) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal([]string(l))
}

// UnmarshalJSON reads an array of strings or null.
func (l *List) UnmarshalJSON(b []byte) error {
	var v []string
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: a list of texts is expected", ErrInvalid)
	}
	*l = nil
	if len(v) > 0 {
		*l = v
	}
	return nil
}

// Fields is what a grant covers: all fields that are not withheld, or a list. An
// entry is a member name, or a path of names joined by / with * for the elements
// of an array (materials/*/name); ~1 stands for / and ~0 for ~ inside a name. A
// path covers all that lies below it. The zero Fields covers nothing.
type Fields struct {
	All   bool
	Names []string // empty when All
}

// AllFields covers every field that is not withheld.
func AllFields() Fields { return Fields{All: true} }

// OnlyFields covers the listed fields.
func OnlyFields(names ...string) Fields { return Fields{Names: names} }

// MarshalJSON writes "all" or an array.
func (f Fields) MarshalJSON() ([]byte, error) {
	if f.All {
		return []byte(`"all"`), nil
	}
	return List(f.Names).MarshalJSON()
}

// UnmarshalJSON reads "all" or an array of texts.
func (f *Fields) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		if string(b) != `"all"` {
			return fmt.Errorf(`%w: fields are a list or "all"`, ErrInvalid)
		}
		*f = AllFields()
		return nil
	}
	var names List
	if err := names.UnmarshalJSON(b); err != nil {
		return fmt.Errorf(`%w: fields are a list or "all"`, ErrInvalid)
	}
	*f = Fields{Names: names}
	return nil
}

// Start is where a subscription begins. The zero Start is "now": only what is
// accepted after the subscription was made.
type Start struct {
	Earliest bool   // from the first record kept
	Offset   uint64 // when not 0: this record is the first
}

// MarshalJSON writes "now", "earliest" or {"offset":n}.
func (s Start) MarshalJSON() ([]byte, error) {
	switch {
	case s.Offset > 0:
		return fmt.Appendf(nil, `{"offset":%d}`, s.Offset), nil
	case s.Earliest:
		return []byte(`"earliest"`), nil
	}
	return []byte(`"now"`), nil
}

// UnmarshalJSON reads "now", "earliest" or {"offset":n} with n from 1.
func (s *Start) UnmarshalJSON(b []byte) error {
	*s = Start{}
	switch string(bytes.TrimSpace(b)) {
	case `"now"`, `null`:
		return nil
	case `"earliest"`:
		s.Earliest = true
		return nil
	}
	var at struct {
		Offset uint64 `json:"offset"`
	}
	if err := strict(b, &at); err != nil || at.Offset == 0 {
		return fmt.Errorf(`%w: start is "now", "earliest" or {"offset": n} with n from 1`, ErrInvalid)
	}
	s.Offset = at.Offset
	return nil
}

// credentialWire is Credential with its end as RFC 3339 text.
type credentialWire struct {
	plainCredential
	NotAfter string `json:"not_after,omitempty"`
}

type plainCredential Credential

// MarshalJSON writes not_after as RFC 3339, and leaves it out where there is no end.
func (c Credential) MarshalJSON() ([]byte, error) {
	w := credentialWire{plainCredential: plainCredential(c)}
	if c.NotAfter != 0 {
		w.NotAfter = FormatTime(c.NotAfter)
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes and refuses unknown members.
func (c *Credential) UnmarshalJSON(b []byte) error {
	var w credentialWire
	if err := strict(b, &w); err != nil {
		return fmt.Errorf("read credential: %w", err)
	}
	*c = Credential(w.plainCredential)
	c.NotAfter = 0
	if w.NotAfter == "" {
		return nil
	}
	ms, err := ParseTime(w.NotAfter)
	if err != nil {
		return fmt.Errorf("read not_after of credential: %w", err)
	}
	c.NotAfter = ms
	return nil
}

// strict decodes one JSON value and refuses unknown members.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
