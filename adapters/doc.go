// Package adapters is the contract between a department's systems and Hutong on the department's side:
// what a source hands over (Row, Batch, Cursor), how it is told what became of it (Commit, Verdict), how one
// row becomes records (Judge), and the configuration file of hutong-adapter (Config).
//
// A kind of source lives in a package of its own (adapters/filedrop, adapters/sqlpoll, …) and is chosen in one
// map literal of hutong-adapter. The pump that drives every source is adapters/runner; the acceptance suite every
// source must pass is adapters/adaptertest.
//
// # Invariant
//
// No nacks. Rows, cursor, refusals, ledger entry and counters of a batch become durable in the outbox in one
// fsynced batch; only then is Source.Commit called. The cursor in the outbox is the truth, Commit is a hint that
// may be repeated or skipped. Nothing is dropped: what cannot be taken over is refused with a reason that a clerk
// can read.
//
// # Concurrency
//
// A Source is driven by one goroutine, except Report (see Feedback). Value, Row, Batch and Verdict are plain data.
//
// # Never
//
// Nothing here opens a file of the department, talks to the bus, or keeps state.
package adapters
