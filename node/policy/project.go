package policy

import (
	"bytes"
	"fmt"

	"github.com/hutong-bus/hutong/schemas/record"
)

// Project is the one projection through which every byte of a record leaves the
// bus (invariant 5). compact is the compact form of one record's data, as
// record.Decode gives it; the result is the compact form of what v keeps: byte
// ranges of kept members in the order they came in, masked values re-written,
// nothing else re-marshalled. Under a whole view the result is compact itself,
// shared and not copied; it MUST NOT be changed.
//
// An object or array that v does not keep is left out unless something below it
// is kept; an element of an array of which nothing is kept is left out. Data of
// which nothing is kept gives {}.
//
// It returns ErrRecord where compact is not what it must be, and then no bytes.
func Project(v *View, compact []byte) ([]byte, error) {
	if len(compact) == 0 {
		return nil, fmt.Errorf("project record: %w", ErrRecord)
	}
	if v.Whole() {
		return compact, nil
	}
	if v.Empty() {
		return []byte("{}"), nil
	}
	out, kept, err := v.root.write(make([]byte, 0, len(compact)), compact)
	if err != nil {
		return nil, fmt.Errorf("project record: %w", err)
	}
	if !kept {
		return []byte("{}"), nil
	}
	return out, nil
}

// write appends what is kept of one value and tells whether that is anything.
// dst is as long as before where it is not.
func (k *keeper) write(dst, raw []byte) ([]byte, bool, error) {
	if len(raw) == 0 {
		return dst, false, ErrRecord
	}
	switch {
	case len(k.kids) > 0 && raw[0] == '{':
		return k.writeObject(dst, raw)
	case len(k.kids) > 0 && raw[0] == '[':
		return k.writeArray(dst, raw)
	case !k.keep:
		return dst, false, nil
	case len(k.masks) > 0:
		dst, err := maskValue(dst, raw, k.masks)
		return dst, true, err
	}
	return append(dst, raw...), true, nil
}

func (k *keeper) writeObject(dst, raw []byte) ([]byte, bool, error) {
	start, kept := len(dst), 0
	dst = append(dst, '{')
	err := eachMember(raw, func(name string, head, value []byte) error {
		below := k.kids[name]
		if below == nil {
			below = k.rest
		}
		mark := len(dst)
		if kept > 0 {
			dst = append(dst, ',')
		}
		next, any, err := below.write(append(dst, head...), value)
		if err != nil {
			return err
		}
		if dst = next; !any {
			dst = dst[:mark]
			return nil
		}
		kept++
		return nil
	})
	return k.finish(dst, start, kept, '}', err)
}

func (k *keeper) writeArray(dst, raw []byte) ([]byte, bool, error) {
	below := k.kids["*"]
	if below == nil {
		below = k.rest
	}
	start, kept := len(dst), 0
	dst = append(dst, '[')
	err := record.Elements(raw, func(value []byte) error {
		mark := len(dst)
		if kept > 0 {
			dst = append(dst, ',')
		}
		next, any, err := below.write(dst, value)
		if err != nil {
			return err
		}
		if dst = next; !any {
			dst = dst[:mark]
			return nil
		}
		kept++
		return nil
	})
	return k.finish(dst, start, kept, ']', err)
}

// finish closes a container, or takes it back where it is not kept for itself and
// nothing in it was.
func (k *keeper) finish(dst []byte, start, kept int, end byte, err error) ([]byte, bool, error) {
	if err != nil {
		return dst[:start], false, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if kept == 0 && !k.keep {
		return dst[:start], false, nil
	}
	return append(dst, end), true, nil
}

// eachMember walks an object of the compact form and hands out, beside the
// unescaped name, the bytes of name and colon as they stand there.
func eachMember(raw []byte, f func(name string, head, value []byte) error) error {
	at := 1
	return record.Members(raw, func(name string, value []byte) error {
		end, err := nameEnd(raw, at)
		if err != nil {
			return err
		}
		next := end + len(value)
		if next >= len(raw) || !bytes.Equal(raw[end:next], value) {
			return ErrRecord
		}
		head := raw[at:end]
		at = next + 1
		return f(name, head, value)
	})
}

// nameEnd is the place after the colon of the member whose name begins at at.
func nameEnd(raw []byte, at int) (int, error) {
	if at >= len(raw) || raw[at] != '"' {
		return 0, ErrRecord
	}
	for i := at + 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			if i+1 < len(raw) && raw[i+1] == ':' {
				return i + 2, nil
			}
			return 0, ErrRecord
		}
	}
	return 0, ErrRecord
}
