package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	offlinePrefix = "aiclient:" // mirrored by default
	outageClients = 50
)

// scene is one Holdfast and its Redis, which may go away, on fixed addresses.
type scene struct {
	o         options
	dir       string
	redisAddr string
	redis     *process
	addr      string
	admin     string
	holdfast  *process
}

func newScene(o options) (_ *scene, err error) {
	s := &scene{o: o}
	if s.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return nil, err
	}
	if s.redisAddr, err = freeAddr(); err != nil {
		return nil, err
	}
	if s.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	s.admin, err = freeAddr()
	return s, err
}

func (s *scene) startRedis() (err error) {
	_, port, _ := strings.Cut(s.redisAddr, ":")
	if s.redis, err = startProcess(s.dir, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir); err != nil {
		return err
	}
	return s.redis.waitReady(s.redisAddr)
}

// startHoldfast returns how long it took until the first answer.
func (s *scene) startHoldfast(extra ...string) (time.Duration, error) {
	args := []string{"proxy", "--listen", s.addr, "--admin", s.admin, "--redis-url", "redis://" + s.redisAddr,
		"--data-dir", filepath.Join(s.dir, "data"), "--log-level", "warn"}
	start := time.Now()
	var err error
	if s.holdfast, err = startProcess(s.dir, s.o.holdfast, append(args, extra...)...); err != nil {
		return 0, err
	}
	err = until(2*time.Minute, func() error { return ping(s.addr) })
	return time.Since(start), err
}

func (s *scene) stop() {
	for _, p := range []*process{s.holdfast, s.redis} {
		if p != nil {
			p.kill()
		}
	}
	_ = os.RemoveAll(s.dir)
}

// online waits until a write through Holdfast is at Redis.
func (s *scene) online() error {
	mark := fmt.Sprint(time.Now().UnixNano())
	return until(time.Minute, func() error {
		if err := do(s.addr, encode("SET", "bench:mark", mark)); err != nil {
			return err
		}
		got, err := ask(s.redisAddr, "GET", "bench:mark")
		if err == nil && got != mark {
			err = errors.New("not at redis yet")
		}
		return err
	})
}

// mirrored waits until the mirror is complete: absent keys are known then.
func (s *scene) mirrored() error {
	return until(time.Minute, func() error {
		res, err := http.Get("http://" + s.admin + "/status")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && !strings.Contains(string(text), `"complete": true`) {
			err = errors.New("the mirror is not complete")
		}
		return err
	})
}

// offline waits until Holdfast answers by itself.
func (s *scene) offline() error {
	s.redis.kill()
	return until(time.Minute, func() error { return do(s.addr, encode("SET", offlinePrefix+"s64", strings.Repeat("x", 64))) })
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// memory reads a size from the process's status in MB: VmRSS now, VmHWM at most.
func (p *process) memory(field string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, field+": %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}

func until(d time.Duration, try func() error) error {
	end := time.Now().Add(d)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %w", d, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func ping(addr string) error {
	_, err := ask(addr, "PING")
	return err
}

// ask gives the text of a one-line or bulk reply.
func ask(addr string, args ...string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(encode(args...)); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err == nil && line[0] == '$' && line[1] != '-' {
		line, err = r.ReadString('\n')
		return strings.TrimSpace(line), err
	}
	if err == nil && line[0] == '-' {
		err = errors.New(strings.TrimSpace(line))
	}
	return strings.TrimSpace(strings.TrimLeft(line, "+:")), err
}

// fill sends n commands made by next, in pipelines, and waits for all answers.
func fill(addr string, n int, next func(i int) []byte) (time.Duration, error) {
	c, err := net.DialTimeout("tcp", addr, ioGrace)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	r := bufio.NewReaderSize(c, 64<<10)
	start := time.Now()
	for i := 0; i < n; {
		var batch []byte
		from := i
		for ; i < n && i-from < 1000; i++ {
			batch = append(batch, next(i)...)
		}
		if _, err := c.Write(batch); err != nil {
			return 0, err
		}
		for range i - from {
			if err := skipReply(r); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(start), nil
}

// gap is the longest time without an answer: around what happened to Redis, and
// after that, when each write has to wait for the disk only.
type gap struct{ around, later time.Duration }

// around is how soon after something happened to Redis a pause because of it
// begins: what Redis had read before is answered within it.
const around = 100 * time.Millisecond

// longestGap writes without a pause while something happens to Redis.
func (s *scene) longestGap(happen func(), d time.Duration) (g gap, err error) {
	c, err := net.DialTimeout("tcp", s.addr, ioGrace)
	if err != nil {
		return g, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(d + ioGrace))
	r := bufio.NewReader(c)
	call := encode("SET", offlinePrefix+"gap", "x")
	var at time.Time
	begun := make(chan time.Time, 1)
	defer time.AfterFunc(d/4, func() { begun <- time.Now(); happen() }).Stop() // whatever is under way then
	start := time.Now()
	for last := start; last.Sub(start) < d; {
		if _, err := c.Write(call); err != nil {
			return g, err
		}
		if err := skipReply(r); err != nil {
			return g, err
		}
		select {
		case at = <-begun:
		default:
		}
		switch pause := time.Since(last); {
		case at.IsZero():
		case last.Sub(at) < around:
			g.around = max(g.around, pause)
		default:
			g.later = max(g.later, pause)
		}
		last = time.Now()
	}
	return g, nil
}

// pipe gives the commands to redis-cli --pipe, and takes the time.
func pipe(addr string, commands []byte) (time.Duration, error) {
	host, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-cli", "-h", host, "-p", port, "--pipe")
	cmd.Stdin = strings.NewReader(string(commands))
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("redis-cli --pipe: %w: %s", err, out)
	}
	return time.Since(start), nil
}

func (s *scene) pauseRedis() { s.signalRedis(syscall.SIGSTOP) }

func (s *scene) signalRedis(sig syscall.Signal) {
	if err := s.redis.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.Printf("!!! signal redis-server: %v", err)
	}
}
