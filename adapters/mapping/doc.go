// Package mapping turns one row of a department's system into records: a YAML file says which column becomes which
// member, by a closed list of steps that are plain data and cannot loop. It is also the home of charset decoding
// (Detect, NewReader, NewWriter), because a row begins with bytes.
//
// # Invariant
//
// A mapping that loads says something about every required target and every source column: what is neither used nor
// ignored is a fault, not a silence. The same row always gives the same body bytes, so the outbox can see that
// nothing changed. What cannot be mapped is a Problem in words for a clerk, never a guess: unknown codes, impossible
// dates, lost characters and scientific notation are refused.
//
// # Concurrency
//
// A Mapping is immutable and safe for concurrent use. A Judge caches the binding of columns and is used by one
// goroutine at a time.
//
// # Never
//
// No clock, no network, no expression language, no state between rows, no logging of values.
package mapping
