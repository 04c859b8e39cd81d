package replica

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A frame of the node link: length of the rest (4, big-endian), type, body.
const (
	frameCall    = 1 // id (8), length of kind (1), kind, payload
	frameAnswer  = 2 // id (8), payload
	frameRefusal = 3 // id (8), reason (1), text
	frameGrant   = 4 // window in bytes (8), index (8): the leader takes this link's sections; what it had before lies up to index
	frameDeny    = 5 // nothing: not the leader
	frameSection = 6 // a section

	maxFrame = 2 << 20 // an entry's hard limit is 1.25 MiB, a call's payload 1 MiB
)

func appendFrame(b []byte, kind byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, kind)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// readFrame reads one frame; body is the caller's. It returns ErrTooLarge.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", n, ErrTooLarge)
	}
	body = make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return head[4], body, nil
}
