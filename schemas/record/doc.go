// Package record holds the bytes of one record: how they are read, addressed,
// committed to and packed for the log.
//
// It reads JSON strictly (RFC 8259, with the limits of [Limits]), keeps the
// compact form (the bytes as received, without insignificant white space),
// decodes the closed record envelope, makes keys and ids, computes salted
// commitments, and codes the sections that nodes send each other and state
// keeps.
//
// # Invariants
//
// It serves invariant 4 (nothing invalid is accepted: no duplicate names, no
// broken text, no number that a validator could choke on), invariant 8 (no
// unsalted digest: [Commitment] takes a secret, always) and invariant 9
// (everything is bounded: whatever the input, reading it allocates at most
// about three times its length, and fails by a value, never by a panic).
// Bytes of a body are never re-marshalled: what was received is what is
// validated, stored, delivered and committed to.
//
// # Concurrency
//
// Every function is pure and may be called from any goroutine. Values are not
// guarded: a Record or Header belongs to whoever holds it.
//
// # What it never does
//
// It knows no clock, no randomness, no schema and no policy; time and secrets
// come in as arguments. Its errors name places and rules, never what stood
// there.
package record
