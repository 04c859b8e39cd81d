// Package outbox is the durable queue on the department's side: what a source
// handed over lies here, fsynced, before the source is told, and leaves only
// when the bus has answered for it.
//
// Invariant: records, cursor, refusals, counters, file ledger, row hashes and
// verdicts of one batch change together in one fsynced Pebble batch or not at
// all (house invariant 2), so after a crash at any instruction
//
//	read   = filtered + refused + unchanged + queued
//	queued = accepted + duplicate + stale + rejected + waiting
//
// holds for every stream, day and unit. Sequence numbers are dense from 1 per
// resource under one (producer, epoch); that is what lets the bus answer a
// resend with the first answer (FORMATS §2).
//
// Concurrency: a Box is safe for concurrent use. One mutex orders all changes;
// Append may block for room, everything else returns at once. One process at
// a time: Pebble locks the directory.
//
// It never drops a record, never talks to the network, never judges a record,
// and never starts empty where an outbox was before.
package outbox
