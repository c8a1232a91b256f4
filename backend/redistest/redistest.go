// Package redistest runs real redis-server processes for tests: each on a free
// port with a directory of its own, and each killed, stopped and restarted for
// real. It is imported from _test files only.
package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ServerEnv names the environment variable with the command line of the server
// that tests run against; unset is the redis-server of the system. The
// matrix of servers (scripts/server-matrix) sets it.
const ServerEnv = "HOLDFAST_TEST_SERVER"

// startTimeout bounds how long a redis-server may take to answer its first PING.
const startTimeout = 20 * time.Second

// Server is one redis-server process with a fixed address. It keeps its port
// and directory over Kill and Start. Not safe for concurrent use.
type Server struct {
	t    testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd

	sentinel string // configuration file of a Sentinel; empty for a server
}

// Start runs a redis-server with append-only persistence off and the given
// extra arguments (as on its command line), and waits until it answers. The
// test fails, loudly, where no redis-server is installed. It is killed when the
// test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, port: FreePort(t), dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Reserve makes a Server that is not running yet: its address refuses
// connections until Start.
func Reserve(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, port: FreePort(t), dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	return s
}

// Addr is the server's host:port; it stays the same over restarts.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is the server's redis:// URL for database 0.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Dir is the server's working directory.
func (s *Server) Dir() string { return s.dir }

// Start starts the process, if it does not run, and waits until it answers PING.
func (s *Server) Start() {
	s.t.Helper()
	if s.cmd != nil {
		return
	}
	command := strings.Fields(os.Getenv(ServerEnv))
	if len(command) == 0 {
		command = []string{"redis-server"}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		s.t.Fatalf("find redis-server: %v: install it (apt-get install redis-server) or run ./scripts/test, which does", err)
	}
	logPath := filepath.Join(s.dir, "redis.log")
	argv := append([]string{
		"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--daemonize", "no", "--logfile", logPath,
	}, s.args...)
	if s.sentinel != "" {
		argv = append([]string{s.sentinel, "--sentinel"}, argv...)
	} else {
		argv = append([]string{"--save", ""}, argv...)
	}
	cmd := exec.Command(path, append(command[1:], argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	s.cmd = cmd
	deadline := time.Now().Add(startTimeout)
	for !s.answers() {
		if time.Now().After(deadline) {
			out, _ := os.ReadFile(logPath)
			s.t.Fatalf("redis-server did not answer within %v; its log:\n%s", startTimeout, out)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// answers reports whether the server replies to PING: with PONG, or with an
// error such as NOAUTH, which is an answer too. LOADING is not.
func (s *Server) answers() bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && !strings.HasPrefix(line, "-LOADING")
}

// Kill ends the process with SIGKILL, so nothing is saved; idempotent.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Shutdown stops the process with SIGTERM, so a server with persistence saves.
func (s *Server) Shutdown() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Hang stops the process with SIGSTOP: connections stay open and nothing answers.
func (s *Server) Hang() { s.signal(syscall.SIGSTOP) }

// Resume lets a hung process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		s.t.Fatalf("signal redis-server: it is not running")
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal redis-server: %v", err)
	}
}

// FreePort finds a TCP port on loopback that is free now and is not 6379.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port != 6379 {
			return port
		}
	}
}

// Eventually polls until ok returns true, and fails the test with what when it
// has not within d. It polls, so that no test hangs its verdict on a sleep.
func Eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
