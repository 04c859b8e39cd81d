// Package store opens the two Pebble databases of a node and is the only home
// of Pebble in node: the log (raft log and stable store, every commit fsynced)
// and the state (written without a WAL, because it is rebuilt from the log from
// its own applied index). It also fixes how the state lies on disk: the key
// layout of its tables (keys.go) and the bytes of a segment (segment.go), so
// that node/state writes and node/payload reads the same thing.
//
// # Invariant
//
// A commit to the log database has reached the disk when Commit returns
// (invariant 1). A batch is visible and durable as a whole or not at all
// (invariant 2). A database that was there and is damaged never opens empty
// (invariant 10).
//
// # Concurrency
//
// A DB and a Snapshot are safe for concurrent use. A Batch and an Iter belong
// to one goroutine. Flush and Checkpoint may run beside commits. Close must
// come after every Snapshot, Batch and Iter is closed.
//
// # Never
//
// It never interprets records, never retries, never repairs, and never lets a
// Pebble type out: pebble v2 stays a change of this room alone.
package store
