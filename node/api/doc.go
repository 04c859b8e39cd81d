// Package api is what people and programs script against: the JSON shapes of
// requests and answers, the table of problem codes, and a Go client for them.
//
// Objects that other rooms own (catalogue entries, organisations, grants,
// publications, exchange events) appear here under the same name by alias, so
// that ctl and the adapters need this face only.
//
// # Concurrency
//
// All types are plain values. A Client is safe for concurrent use.
//
// The package never decides anything: what a caller may do is node/policy's
// business, and what is accepted is node/state's.
package api
