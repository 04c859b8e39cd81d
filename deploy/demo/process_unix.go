//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// detach puts a process into a group of its own: an interrupt typed at the
// terminal reaches the demo alone, which ends the others in order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks a process to end.
func terminate(p *os.Process) {
	_ = p.Signal(syscall.SIGTERM) // one that has ended meanwhile needs none
}
