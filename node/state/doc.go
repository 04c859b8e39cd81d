// Package state is the deterministic state machine of the bus: entries of the
// replicated log go in, in order, and records, idempotency, cursors, catalogue,
// quarantine, publications, feeds and the audit tree come out, together with one
// result for each section.
//
// # Invariants
//
// One batch (2): all effects of an Apply call are one Pebble batch, and results
// and stored bytes are the same however entries are grouped into calls. Order
// (3): offsets, versions and publisher counters are dense, and a node's sections
// are applied in the order of its links. Same state everywhere (6): time comes
// in the entry; no clock, randomness, map order, locale or float takes part; a
// running hash of every change is kept per entry, and a mark that does not
// agree with it makes the machine refuse everything from then on. Cursors move
// only here (7). Quarantine is bounded (9). A key has an owner (13).
//
// # Concurrency
//
// One goroutine (the FSM of replica) calls Apply and Swap. Everything else may
// be called from any goroutine: View gives a consistent picture as of a whole
// Apply call, which stays readable over Swap until it is closed.
//
// # Never
//
// It never judges a body by its schema (exchange does, and names the revision it
// judged by), never talks to the network, never logs, and never answers two
// replicas differently.
package state
