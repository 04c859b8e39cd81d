// Package ctl is hutongctl: the administrator's, the department's and the
// auditor's command line over node/api. One file per noun; a command decodes
// its arguments, makes one call and prints one answer.
//
// Exit codes: 0 done, 1 internal, 2 refused or invalid (a wrong command line
// too), 3 not reachable, 4 not covered. audit verify keeps 2 for evidence that
// was judged and does not hold: a missing or unusable trust file, an evidence
// file that cannot be read and a wrong command line are 1 there.
//
// Every verb that changes something goes through change: with --dry-run it
// sends nothing but GET and writes no file. A verb that only reads but takes
// records off a subscription or writes a file counts as one that changes.
//
// # Concurrency
//
// Exec may be called from several goroutines, each with its own streams.
//
// The package never keeps anything but contexts.yaml, and verifying evidence
// never talks to a server.
package ctl
