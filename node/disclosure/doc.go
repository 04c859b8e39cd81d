// Package disclosure is the route by which a record may reach the portal.
//
// It keeps invariant 12 (public means reviewed): a publication becomes published
// only when every step of its route was approved, in order, each by a system of
// the right department in the right role that says what it saw; an edit sends it
// back to the first step; a withdrawal is a new state that leaves a tombstone,
// never an erasure.
//
// The three routes: none has no way to the portal, nothing is ever published by
// it; self lets the publishing department publish on its own responsibility, at
// once where the resource names no steps; reviewed takes all its steps and is
// never published without at least one.
//
// While a newer version waits for its review, PublishedVersion stays what the
// portal shows.
//
// Concurrency: pure functions over values. No function changes what it is given.
//
// It never reads a clock (the time of a decision comes in), never stores
// anything, never looks into a record and never counts revisions: that is done
// by who stores the publication.
package disclosure
