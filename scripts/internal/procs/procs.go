// Package procs runs the real processes that the long-running judges are about:
// redis-server, the holdfast binary, and a network with faults between them. All
// of it is on loopback, on free ports, in directories of the caller.
package procs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds how long a process may take to answer.
const startTimeout = 60 * time.Second

var errNotRunning = errors.New("process is not running")

// process is one program that can be started again and again. Safe for
// concurrent use. Its output is appended to a file.
type process struct {
	path string
	args []string
	log  string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// start starts the program, unless it runs. The kernel kills it when this
// program dies, so nothing is ever left behind.
func (p *process) start(extra ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return nil
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.path, append(append([]string(nil), p.args...), extra...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.path, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return nil
}

// ended is closed when the process that runs now has ended; nil when none runs.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// stop sends sig and waits for the end. A stopped process is continued first,
// and killed when it takes too long. Idempotent.
func (p *process) stop(sig syscall.Signal, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.cmd, p.done = nil, nil
}

func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errNotRunning
	}
	return p.cmd.Process.Signal(sig)
}

// await polls ok until it is true, the process ends or the time is over.
func (p *process) await(what string, ok func() bool) error {
	deadline := time.Now().Add(startTimeout)
	ended := p.ended()
	for !ok() {
		select {
		case <-ended:
			return fmt.Errorf("%s: the process ended: see %s", what, p.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v: see %s", what, startTimeout, p.log)
		}
	}
	return nil
}

// FreeAddr finds a loopback address that is free now and is not Redis's own.
func FreeAddr() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		if addr.Port != 6379 {
			return addr.String(), nil
		}
	}
}
