package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// binary builds cmd/holdfast once for all tests that have to kill it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "holdfast")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build holdfast: %w: %s", err, out)
	}
	return path, nil
})

// process is a holdfast in a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	addr  string

	mu  sync.Mutex
	all []string // every line so far
}

var readyAddr = regexp.MustCompile(`^ready listen=(\S+)`)

// spawn starts the binary and waits for its ready line.
func spawn(t *testing.T, args ...string) *process {
	t.Helper()
	return spawnIn(t, "", nil, args...)
}

// spawnIn is spawn in a working directory, with more environment.
func spawnIn(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	p := startProcess(t, dir, env, args...)
	p.awaitReady()
	return p
}

// startProcess starts the binary and follows its log.
func startProcess(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	return startProgram(t, path, dir, env, args...)
}

// startProgram is startProcess of a program that is holdfast in the end.
func startProgram(t *testing.T, path, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), lines: make(chan string, 1024)}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.mu.Lock()
			p.all = append(p.all, s.Text())
			p.mu.Unlock()
			select {
			case p.lines <- s.Text():
			default:
			}
		}
	}()
	t.Cleanup(p.kill9)
	return p
}

// awaitReady waits for the line that says where clients connect.
func (p *process) awaitReady() {
	p.t.Helper()
	m := readyAddr.FindStringSubmatch(p.await("ready listen="))
	require.NotNil(p.t, m)
	p.addr = m[1]
}

// await returns the first line of the log that contains text.
func (p *process) await(text string) string {
	p.t.Helper()
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("holdfast ended without %q; it said:\n%s", text, strings.Join(seen, "\n"))
			}
			seen = append(seen, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			p.t.Fatalf("no %q in time; holdfast said:\n%s", text, strings.Join(seen, "\n"))
		}
	}
}

// said returns the first line of the whole log that contains text, and waits for it.
func (p *process) said(text string) (line string) {
	p.t.Helper()
	redistest.Eventually(p.t, patience, "log line "+text, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range p.all {
			if strings.Contains(l, text) {
				line = l
				return true
			}
		}
		return false
	})
	return line
}

func (p *process) kill9() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	for range p.lines { // until the pipe is closed
	}
	_ = p.cmd.Wait()
}

func (p *process) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, ReadTimeout: 10 * time.Second})
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEmbeddedDataSurvivesKill9(t *testing.T) {
	ctx := context.Background()
	args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir()}
	p := spawn(t, args...)
	c := p.client()
	for i := range 300 {
		require.NoError(t, c.Incr(ctx, "n").Err())
		require.NoError(t, c.HSet(ctx, "h", i, i).Err())
	}
	require.NoError(t, c.Set(ctx, "soon", 1, time.Hour).Err())
	p.kill9()
	again := spawn(t, args...).client()
	assert.Equal(t, "300", again.Get(ctx, "n").Val())
	assert.EqualValues(t, 300, again.HLen(ctx, "h").Val())
	assert.Greater(t, again.TTL(ctx, "soon").Val(), 59*time.Minute)
}

func TestKill9InTheOutageLosesNothing(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(), "--redis-url", srv.URL()}
	p := spawn(t, args...)
	c := p.client()
	redistest.Eventually(t, patience, "mirror complete", func() bool {
		return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
	})
	require.NoError(t, c.Set(ctx, "aiclient:n", 100, 0).Err())
	srv.Kill()
	for i := range 200 {
		n, err := c.Incr(ctx, "aiclient:n").Result()
		require.NoError(t, err)
		require.EqualValues(t, 101+i, n)
	}
	p.kill9()
	p = spawn(t, args...)
	c = p.client()
	n, err := c.Incr(ctx, "aiclient:n").Result()
	require.NoError(t, err)
	assert.EqualValues(t, 301, n)
	srv.Start()
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "replayed", func() bool { return d.Get(ctx, "aiclient:n").Val() == "301" })
}

func TestUpAnswersANewcomer(t *testing.T) {
	ctx := context.Background()
	gatewayAddr := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	p := spawn(t, "up", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(), "--gateway-listen", gatewayAddr)
	p.await("ready gateway=" + gatewayAddr)
	keys := p.client().Keys(ctx, "aiclient:*").Val()
	assert.Contains(t, keys, "aiclient:config")
	assert.Contains(t, keys, "aiclient:pools:openai-custom")

	res, err := http.Get("http://" + gatewayAddr + "/api/redis/status")
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var status struct {
		Connected       bool
		LastConnectedAt string
		QueuedWrites    *int
		Mode            string
	}
	require.NoError(t, json.Unmarshal(raw, &status), "%s", raw)
	assert.True(t, status.Connected)
	assert.NotEmpty(t, status.LastConnectedAt)
	require.NotNil(t, status.QueuedWrites)
	assert.Zero(t, *status.QueuedWrites)
	assert.Equal(t, "embedded", status.Mode)
	http.DefaultClient.CloseIdleConnections()
}
