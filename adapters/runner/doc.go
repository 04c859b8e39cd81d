// Package runner is the pump: source → mapping → validation → outbox → bus,
// one implementation for every kind of source.
//
// Invariants. A source's cursor becomes durable in the same fsynced batch as
// the records, refusals and counters that it covers, and only then is the
// source told. The bus sees every record of a resource in the order of its
// sequence number, once: what was sent without an answer is sent again, and
// the bus answers it as it did before (FORMATS §2). Nothing is dropped: a full
// outbox blocks the source, an absent bus leaves records waiting.
//
// Concurrency. One goroutine pumps each stream, one sends each resource, one
// reports to each source that wants verdicts, one writes status.json; all live
// inside Run and end with it. Status may be called at any time.
//
// When it stops. A stream stops, and says why, on drift, on a cursor or
// configuration that cannot be used, and when refusals pass its threshold; the
// others go on. A resource halts on ahead and fenced, because then another
// outbox writes in this one's name. Both wait for a person and a new start.
// Run itself returns only when its context ends, when the outbox fails, or,
// with Once, when everything is read and answered.
//
// It never judges a record itself (that is Judge's work), never sends a record
// that is not durable, never retries what the bus refused, and never logs the
// content of a row.
package runner
