// Package audit is the language of evidence: the bytes of exchange events as leaves of the audit log, of items inside
// range leaves, the events auditors read, signed receipts, and the evidence file (.hev) with its offline verifier.
//
// Invariants kept: DESIGN §4 no. 6 (leaf and item bytes are a function of their fields alone: fixed order, no clock,
// no map order, no locale) and no. 8 (leaves and items hold salted commitments only; whatever has been erased, every
// proof still verifies). Leaves and items are hashed as stored and never serialised again; a parser accepts exactly
// the bytes the encoder writes.
//
// The verifier trusts nothing in the file it reads: keys and the quorum come from the auditor's own trust file.
//
// # Concurrency
//
// All functions are pure and values are not changed after they are made; everything may be used from any number of
// goroutines. A Builder belongs to one goroutine.
//
// It never reads a clock, randomness, the environment or the network, never trusts a key found in an evidence file,
// and never puts a key, id or value of a record into a leaf or item in clear.
package audit
