package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// The usual outage: Redis dies and is started again, and somebody else writes to it
// before the proxy is back. The policy that was given is followed.
func TestPolicyIsFollowedAtARestartedRedis(t *testing.T) {
	ctx := context.Background()
	for policy, want := range map[string]string{"ours": "102", "theirs": "100", "dead-letter": "100"} {
		t.Run(policy, func(t *testing.T) {
			srv := redistest.Start(t, durable...)
			d := directClient(t, srv)
			dir := t.TempDir()
			args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", dir, "--redis-url", srv.URL(), "--conflict", policy}
			p := spawn(t, args...)
			c := p.client()
			require.NoError(t, c.Set(ctx, "aiclient:k", "1", 0).Err())
			redistest.Eventually(t, patience, "mirror complete", func() bool {
				return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
			})
			beat := func() (n int) {
				for _, key := range d.Keys(ctx, "{holdfast}:fence:*:beat").Val() {
					n, _ = d.Get(ctx, key).Int()
				}
				return n
			}
			before := beat()
			require.NoError(t, c.Set(ctx, "aiclient:later", "1", 0).Err())
			redistest.Eventually(t, patience, "a beat behind the writes", func() bool { return beat() > before })
			srv.Kill()
			redistest.Eventually(t, patience, "offline", func() bool {
				return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"mode":"offline"`)
			})
			for range 2 {
				require.NoError(t, c.Incr(ctx, "aiclient:k").Err())
			}
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
			_ = p.cmd.Wait()
			srv.Start()
			require.NoError(t, d.Set(ctx, "aiclient:k", "100", 0).Err())
			c = spawn(t, args...).client()
			redistest.Eventually(t, patience, "online", func() bool {
				return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"mode":"online"`)
			})
			assert.Equal(t, want, d.Get(ctx, "aiclient:k").Val())
			status := c.Do(ctx, "HOLDFAST", "STATUS").String()
			assert.Contains(t, status, `"conflicts":1`)
			overwritten := 0
			if policy == "ours" {
				overwritten = 1
			}
			assert.Contains(t, status, fmt.Sprintf(`"overwritten":%d`, overwritten))
		})
	}
}

// A data directory with queued writes is opened with another Redis: the start is
// refused, nothing is written there, and the flag that is named does it.
func TestQueuedWritesRefuseAnotherRedis(t *testing.T) {
	ctx := context.Background()
	srv, other := redistest.Start(t, durable...), redistest.Start(t)
	args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir() + "/data", "--redis-url"}
	p := spawn(t, append(args, srv.URL())...)
	c := p.client()
	redistest.Eventually(t, patience, "mirror complete", func() bool {
		return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
	})
	srv.Kill()
	require.NoError(t, c.Set(ctx, "aiclient:k", "queued", 0).Err())
	p.kill9()
	path, err := binary()
	require.NoError(t, err)
	out, err := exec.Command(path, append(args, other.URL())...).CombinedOutput()
	require.Error(t, err, "%s", out)
	assert.Contains(t, string(out), "--adopt-upstream")
	assert.Contains(t, string(out), srv.Addr())
	d := directClient(t, other)
	assert.Empty(t, d.Keys(ctx, "*").Val())
	spawn(t, append(args, other.URL(), "--adopt-upstream")...)
	redistest.Eventually(t, patience, "replayed", func() bool { return d.Get(ctx, "aiclient:k").Val() == "queued" })
}
