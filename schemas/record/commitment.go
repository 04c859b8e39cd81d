package record

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// Tag says what a commitment is to, so that one can never pass for another.
// No tag is the beginning of another.
type Tag string

// Tags of commitments (FORMATS §1).
const (
	TagBody       Tag = "hutong/body/1\n"       // a record's body in compact form
	TagKey        Tag = "hutong/key/1\n"        // its key
	TagID         Tag = "hutong/id/1\n"         // its id
	TagProjection Tag = "hutong/projection/1\n" // what one subscription received of it
)

// Labels under which secrets are derived.
const (
	labelRecord     = "hutong/record-secret/1\n"
	labelProjection = "hutong/projection-secret/1\n"
)

// Commitment binds to b without telling it: SHA-256(tag ‖ secret ‖ b). Who
// holds secret and b can show it; who holds neither learns nothing, however
// few the possible values are. The secret MUST be unpredictable to whoever
// sees the commitment.
func Commitment(tag Tag, secret [32]byte, b []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(tag))
	h.Write(secret[:])
	h.Write(b)
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// RecordSecret is the secret of the record at a place (its index in the
// section, from 0) for which the publisher sent none: HKDF-Expand with SHA-256
// (RFC 5869) of the section secret. The extract step is left out, as §3.3
// there allows, because section secrets are uniformly random.
func RecordSecret(sectionSecret [32]byte, place int) [32]byte {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(place))
	return derive(sectionSecret, labelRecord+string(n[:]))
}

// ProjectionSecret is the secret for what a subscription receives of a record.
// It is given to the subscriber beside the projection; the record's own secret
// is not, because with it the withheld fields could be guessed from the body's
// commitment.
func ProjectionSecret(recordSecret [32]byte, subscription string) [32]byte {
	return derive(recordSecret, labelProjection+subscription)
}

func derive(secret [32]byte, info string) [32]byte {
	out, err := hkdf.Expand(sha256.New, secret[:], info, 32)
	if err != nil {
		// Only more than 255 blocks of output are refused; this is one. An
		// all-zero secret in its place would be guessable for ever.
		panic("record: hkdf: " + err.Error())
	}
	return [32]byte(out)
}
