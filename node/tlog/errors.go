package tlog

import "errors"

// Sentinels of the package; details are wrapped around them.
var (
	// ErrRange is returned when a caller asks for a leaf, tile or size that the tree cannot have.
	ErrRange = errors.New("outside the tree")
	// ErrProof is returned when a proof, tile or bundle is malformed or does not prove what it should.
	ErrProof = errors.New("proof does not hold")
	// ErrNote is returned when a signed note is malformed, carries a bad signature of a known key, or none at all.
	ErrNote = errors.New("signed note does not hold")
	// ErrKey is returned when a key or verifier key is malformed or of an unknown kind.
	ErrKey = errors.New("malformed key")
	// ErrCheckpoint is returned when the text of a checkpoint is malformed.
	ErrCheckpoint = errors.New("malformed checkpoint")
	// ErrTrust is returned when a trust file is malformed.
	ErrTrust = errors.New("malformed trust file")
	// ErrOrigin is returned when a checkpoint is of a log that the trust file does not name.
	ErrOrigin = errors.New("log is not in the trust file")
	// ErrQuorum is returned when a checkpoint lacks the cosignatures that the trust file asks for.
	ErrQuorum = errors.New("cosignature policy not met")
)
