package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tiers of processes: the higher ones are ended first.
const (
	tierNode = iota
	tierAdapter
	tierReceiver
	tiers
)

const (
	// restartPause is how long a process that died stays down.
	restartPause = 300 * time.Millisecond
	// stopWait is how long a process has to end by itself.
	stopWait = 8 * time.Second
)

// process is what to run.
type process struct {
	name      string
	tier      int
	args      []string          // program and arguments
	output    string            // file its standard output is added to; empty: its log
	addresses map[string]string // for processes.json
}

// running is a process with its present incarnation.
type running struct {
	process
	pid      int // 0: it does not run just now
	restarts int
	stopping bool
	ended    chan struct{} // closed when it will not run again
}

// supervisor runs processes and starts again what dies. Safe for concurrent
// use.
type supervisor struct {
	dir string // of processes.json and the logs
	env []string

	mu    sync.Mutex // guards all below
	procs []*running
}

func newSupervisor(dir string, env []string) *supervisor {
	return &supervisor{dir: dir, env: env}
}

// start runs a process and keeps it running. It returns an error only when it
// cannot be started at all.
func (s *supervisor) start(p process) error {
	r := &running{process: p, ended: make(chan struct{})}
	cmd, err := s.launch(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.procs = append(s.procs, r)
	s.mu.Unlock()
	// Stops when the process has ended after stop was called for it.
	go s.watch(r, cmd)
	return s.write()
}

// launch starts one incarnation.
func (s *supervisor) launch(r *running) (*exec.Cmd, error) {
	logFile, err := os.OpenFile(filepath.Join(s.dir, "log", r.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", r.name, err)
	}
	defer logFile.Close() // the child has its own
	cmd := exec.Command(r.args[0], r.args[1:]...)
	cmd.Env, cmd.Stderr, cmd.Stdout = s.env, logFile, logFile
	detach(cmd)
	if r.output != "" {
		out, err := openWhole(r.output)
		if err != nil {
			return nil, fmt.Errorf("open output of %s: %w", r.name, err)
		}
		defer out.Close()
		cmd.Stdout = out
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.name, err)
	}
	s.mu.Lock()
	r.pid = cmd.Process.Pid
	s.mu.Unlock()
	return cmd, nil
}

// openWhole opens a file of lines to add to it, after ending a line that a
// process did not live to end.
func openWhole(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// watch waits for incarnation after incarnation.
func (s *supervisor) watch(r *running, cmd *exec.Cmd) {
	defer close(r.ended)
	for {
		if cmd != nil {
			_ = cmd.Wait() // why it died stands in its log
		}
		s.mu.Lock()
		r.pid = 0
		done := r.stopping
		if !done {
			r.restarts++
		}
		s.mu.Unlock()
		if done {
			return
		}
		time.Sleep(restartPause)
		if s.isStopping(r) {
			return
		}
		var err error
		if cmd, err = s.launch(r); err != nil {
			cmd = nil // tried again after the pause
			continue
		}
		if s.isStopping(r) { // stop may have looked while there was no id yet
			terminate(cmd.Process)
		}
		if err := s.write(); err != nil {
			fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		}
	}
}

func (s *supervisor) isStopping(r *running) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.stopping
}

// stop ends all processes, the highest tier first, each by its id. Afterwards
// processes.json names no ids: the system may give them to other programs.
func (s *supervisor) stop() {
	for tier := tiers - 1; tier >= 0; tier-- {
		s.stopTier(tier)
	}
	if err := s.write(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
}

func (s *supervisor) stopTier(tier int) {
	var list []*running
	s.mu.Lock()
	for _, r := range s.procs {
		if r.tier == tier {
			r.stopping = true
			list = append(list, r)
		}
	}
	s.mu.Unlock()
	s.signal(list, terminate)
	deadline := time.NewTimer(stopWait)
	defer deadline.Stop()
	for _, r := range list {
		select {
		case <-r.ended:
		case <-deadline.C:
			s.signal(list, func(p *os.Process) { _ = p.Kill() }) // one that has ended meanwhile needs none
			<-r.ended
		}
	}
}

func (s *supervisor) signal(list []*running, send func(*os.Process)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range list {
		if r.pid == 0 {
			continue
		}
		if p, err := os.FindProcess(r.pid); err == nil {
			send(p)
		}
	}
}

// restarts is how often something died.
func (s *supervisor) restarts() (total int, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.procs {
		if r.restarts > 0 {
			total += r.restarts
			names = append(names, r.name)
		}
	}
	return total, names
}

// write renews processes.json: name, pid and addresses of each.
func (s *supervisor) write() error {
	type line struct {
		Name      string            `json:"name"`
		PID       int               `json:"pid"`
		Addresses map[string]string `json:"addresses"`
		Restarts  int               `json:"restarts"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []line{}
	for _, r := range s.procs {
		l := line{Name: r.name, PID: r.pid, Addresses: r.addresses, Restarts: r.restarts}
		if l.Addresses == nil {
			l.Addresses = map[string]string{}
		}
		lines = append(lines, l)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return strings.Compare(a.Name, b.Name) })
	raw, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return fmt.Errorf("write processes.json: %w", err)
	}
	return replaceFile(filepath.Join(s.dir, "processes.json"), append(raw, '\n'), 0o644)
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, raw []byte, mode os.FileMode) error {
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".tmp")
	if err := os.WriteFile(tmp, raw, mode); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

// until asks again and again until done says yes, ctx ends, or done fails.
func until(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
