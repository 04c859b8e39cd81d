// Package policy decides who may do what with which fields, and makes the one
// projection through which every byte leaves the bus.
//
// It keeps invariant 5 (no field past policy): what a recipient may have is
// compiled into a View, and Project copies from a record only what that View
// keeps. A field whose class is withheld is in no View but the publisher's own.
// The package also holds the organisational objects (department, group, system,
// credential, grant, subscription), because a decision is made over them.
//
// Concurrency: all functions are pure and a View is immutable once compiled, so
// everything may be used from any number of goroutines.
//
// It never reads a clock (log time comes in as milliseconds), never draws random
// numbers, never stores anything, and puts no value of a record into an error.
package policy
