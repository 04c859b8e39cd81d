package audit

import (
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Facts are what an Item is made of: one accepted record in clear, and its secret.
type Facts struct {
	Offset, Version, Previous uint64
	Withdraw                  bool
	System                    string // "<department>.<system>"
	Counter                   uint64
	ID, Key                   string
	Body                      []byte   // compact body, or the reason of a withdrawal
	Secret                    [32]byte // the record's: sent by the publisher, or record.RecordSecret
	SchemaVersion             uint32
}

// NewItem makes the item of a record: the only place where its commitments are made. The body is committed to under
// the record's secret itself, key and id under secrets derived from it (KeySecret, IDSecret).
func NewItem(f Facts) Item {
	return Item{
		Offset: f.Offset, Version: f.Version, Previous: f.Previous, Withdraw: f.Withdraw,
		System: f.System, Counter: f.Counter, SchemaVersion: f.SchemaVersion,
		ID:   record.Commitment(record.TagID, IDSecret(f.Secret), []byte(f.ID)),
		Key:  record.Commitment(record.TagKey, KeySecret(f.Secret), []byte(f.Key)),
		Body: record.Commitment(record.TagBody, f.Secret, f.Body),
	}
}

// NewDeliveryItem makes the delivery item of one record of a batch: projection is what was handed out, nil means the
// record was filtered. The commitment is made under record.ProjectionSecret of this record and subscription.
func NewDeliveryItem(offset uint64, subscription string, recordSecret [32]byte, projection []byte) DeliveryItem {
	if projection == nil {
		return DeliveryItem{Offset: offset, Verdict: VerdictFiltered}
	}
	secret := record.ProjectionSecret(recordSecret, subscription)
	return DeliveryItem{
		Offset: offset, Verdict: VerdictDelivered,
		Projection: record.Commitment(record.TagProjection, secret, projection),
	}
}

// KeySecret opens the key's commitment of a record and nothing else: who may see the key but not the whole body gets
// this secret, never the record's own, with which withheld fields could be guessed.
func KeySecret(recordSecret [32]byte) [32]byte { return expand(recordSecret, "hutong/key-secret/1\n") }

// IDSecret opens the id's commitment of a record and nothing else.
func IDSecret(recordSecret [32]byte) [32]byte { return expand(recordSecret, "hutong/id-secret/1\n") }

// expand is HKDF-Expand with SHA-256 to 32 bytes (RFC 5869); secrets are uniformly random already.
func expand(secret [32]byte, label string) (out tlog.Hash) {
	b, err := hkdf.Expand(sha256.New, secret[:], label, len(out))
	if err != nil {
		panic("audit: hkdf refuses 32 bytes: " + err.Error()) // it refuses only more than 255 blocks
	}
	copy(out[:], b)
	return out
}

// Digest is the SHA-256 of a catalogue object's JSON, as it stands in the field Digest of its leaf. It MUST NOT be
// used for bodies, keys or ids of records: an unsalted digest of those can be guessed.
func Digest(json []byte) tlog.Hash { return sha256.Sum256(json) }
