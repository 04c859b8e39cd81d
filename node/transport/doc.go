// Package transport is the bus over HTTP: it decodes, authenticates, limits
// and encodes, and leaves every decision to node/exchange.
//
// One table (routes) names each address with its request and answer; the same
// table routes requests and writes /openapi.json. Two handlers are made of
// it: the API listener and the public listener, which is anonymous and
// read-only (DESIGN §5).
//
// Invariants kept here: 9 (bodies, headers, lines and waits are bounded, and
// each bound has an answer the sender can read) and 4 (what nobody
// authenticated never reaches raft).
//
// # Concurrency
//
// A Server is immutable after New; its handlers are safe for concurrent use.
//
// The package never looks into a record's data, and never logs a body, a key
// or a credential.
package transport
