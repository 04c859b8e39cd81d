// Package replica keeps the log of a cluster on a majority of its nodes and is
// the only home of hashicorp/raft. It takes groups of sections from the rooms
// above, brings them in order to the leader, packs what waits into one entry,
// and hands each entry, once committed, to the state machine of every node. It
// also knows who leads, what time it is in the log, whether this node's state is
// fresh enough to serve granted data, and carries other rooms' messages between
// nodes.
//
// # Invariants
//
// Accepted means kept (1): the log store returns only after the fsync, and a
// Propose returns results only from this node's own Apply of a committed entry.
// Order (3): a node's sections are applied in the order in which they were
// proposed on it, over forwarding, resending and leader change (link.go).
// Freshness (5): Fresh is nil only while this state holds all that the leader
// had committed at most 750 ms ago, the leader having proved by a majority that
// it still leads. Bounded (9): waiting bytes, windows, frames, calls in flight
// and the log itself have limits, each with an error that names it. Refuse
// before corrupting (10): a log entry that fails its checksum, a state older
// than the newest snapshot and a gap in the log stop the node by name.
//
// # Concurrency
//
// All methods of a Replica may be called from any goroutine. Open starts raft
// and the listener, Run the loops that propose, forward, ask and tick; Close
// stops both, waits, may be called twice and before Run. The machine's Apply and
// Swap are called from raft's FSM goroutine only.
//
// # Never
//
// It never looks into a section beyond its header, never answers from the
// leader's results, never uses raft's barriers (they move the snapshot index
// past what the state saw) nor raft's contact time or applied index as a sign of
// freshness, and never logs a payload.
package replica
