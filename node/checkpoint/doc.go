// Package checkpoint makes the tree heads that outsiders may rely on: on the leader it signs the newest mark with the
// log's key, collects cosignatures of the nodes until the trust file's quorum is met, keeps the assembled note beside
// state and hands it to the other nodes; on every node it cosigns what its own state confirms.
//
// Invariant kept (C2SP tlog-cosignature; AUDIT D5): a node cosigns only a root that its own state computed at that
// size, never a size smaller than one it cosigned before, never a root that does not extend it. What it cosigned last
// is on disk before the cosignature leaves, so a restart, even with an older state, changes nothing. A note is served
// only if it holds by the trust file.
//
// # Concurrency
//
// Run belongs to one goroutine; everything else may be called from any number. The mutex of Room guards what was
// cosigned last and the newest note; it is held over a read of the tree and the fsync of a file of a few hundred
// bytes.
//
// It never proposes anything to the replicated log, never delays an exchange, and never signs for a log other than
// its own.
package checkpoint
