// Package node puts the rooms of one node together: configuration, New, Run
// and Close, read from top to bottom. It is the only place that knows all of
// them; the rooms do not know each other beyond their floors.
//
// # Concurrency
//
// Run blocks until its context ends or a part fails; it owns every goroutine
// of the node. Close is idempotent and safe before Run.
//
// The package decides nothing about records; it chooses and connects.
package node
