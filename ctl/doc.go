// Package ctl is hutongctl: the administrator's, the department's and the
// auditor's command line over node/api. One file per noun; a command decodes
// its arguments, makes one call and prints one answer.
//
// Exit codes: 0 done, 1 internal, 2 refused or invalid, 3 not reachable,
// 4 not covered.
//
// # Concurrency
//
// Exec may be called from several goroutines, each with its own streams.
//
// The package never keeps anything but contexts.yaml, and verifying evidence
// never talks to a server.
package ctl
