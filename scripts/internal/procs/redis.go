package procs

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// serverEnv names the environment variable with the command line of the server
// to run; unset is the redis-server of the system. As in backend/redistest.
const serverEnv = "HOLDFAST_TEST_SERVER"

// Redis is a redis-server with a fixed address whose acknowledged writes
// outlive kill -9: its append-only file is written before it answers.
type Redis struct {
	p    process
	addr string
}

// NewRedis prepares a server that keeps its files in dir; Start runs it.
func NewRedis(dir string) (*Redis, error) {
	command := strings.Fields(os.Getenv(serverEnv))
	if len(command) == 0 {
		command = []string{"redis-server"}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("find redis-server: %w: install it (apt-get install redis-server) or run ./scripts/test, which does", err)
	}
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	return &Redis{addr: addr, p: process{path: path, log: filepath.Join(dir, "redis.log"), args: append(command[1:],
		"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "local",
	)}}, nil
}

// Addr is the server's host:port; it stays the same over restarts.
func (r *Redis) Addr() string { return r.addr }

// Start runs the server, if it does not run, and waits until it answers.
func (r *Redis) Start(extra ...string) error {
	if err := r.Launch(extra...); err != nil {
		return err
	}
	return r.p.await("start redis-server", r.answers)
}

// Launch runs the server without waiting: it may be loading for a while.
func (r *Redis) Launch(extra ...string) error { return r.p.start(extra...) }

// answers reports whether the server replies to PING; LOADING is no answer.
func (r *Redis) answers() bool {
	conn, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}

// Kill ends the server with SIGKILL; idempotent.
func (r *Redis) Kill() { r.p.stop(syscall.SIGKILL, startTimeout) }

// Shutdown stops the server with SIGTERM.
func (r *Redis) Shutdown() { r.p.stop(syscall.SIGTERM, 10*time.Second) }

// Hang stops the server with SIGSTOP: connections stay open, nothing answers.
func (r *Redis) Hang() error { return r.p.signal(syscall.SIGSTOP) }

// Resume lets a hung server go on.
func (r *Redis) Resume() error { return r.p.signal(syscall.SIGCONT) }
