//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// detach does nothing where there are no process groups.
func detach(*exec.Cmd) {}

// terminate ends a process where it cannot be asked to.
func terminate(p *os.Process) {
	_ = p.Kill() // one that has ended meanwhile needs none
}
