// Package deploy holds what stands around the three programs: the demo, the
// check script, examples, and the tests that look at the whole house. It
// imports faces only and runs the built programs as processes.
package deploy
