package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// peakMemory is the most memory that the process has ever had, in bytes.
func (p *process) peakMemory() int64 {
	p.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	var kb int64
	_, rest, _ := bytes.Cut(raw, []byte("VmHWM:"))
	_, err = fmt.Sscan(string(rest), &kb)
	require.NoError(p.t, err)
	return kb << 10
}

// TestLargeValuesAreHeldFewTimes: a value on its way through, in either direction
// and again and again, is in memory three times at most beside what the mirror
// holds of it. The mirror fetches a value once more behind a write, so that one
// may be there, one on its way from Redis and one from the client.
func TestLargeValuesAreHeldFewTimes(t *testing.T) {
	const size = 100_000_000
	ctx := context.Background()
	value := bytes.Repeat([]byte("0123456789"), size/10)
	for key, most := range map[string]int64{"big": 3 * size, "aiclient:big": 4 * size} {
		t.Run(key, func(t *testing.T) {
			srv := redistest.Start(t)
			p := spawn(t, "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(),
				"--redis-url", srv.URL(), "--command-timeout", "30s")
			c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
			t.Cleanup(func() { _ = c.Close() })
			require.NoError(t, c.Set(ctx, "small", 1, 0).Err())
			base := p.peakMemory() + 32<<20 // buffers of fixed size, and what the collector leaves
			for range 2 {
				require.NoError(t, c.Set(ctx, key, value, 0).Err())
			}
			assert.LessOrEqual(t, p.peakMemory()-base, most, "after SET")
			for range 2 {
				got, err := c.Get(ctx, key).Bytes()
				require.NoError(t, err)
				require.True(t, bytes.Equal(value, got))
			}
			assert.LessOrEqual(t, p.peakMemory()-base, most, "after GET")
		})
	}
}
