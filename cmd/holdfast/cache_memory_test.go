package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// TestMemoryOfAMillionCachedKeys measures the process, not the cache's own
// figures: a million keys of 64 bytes, read twice, at the peak.
func TestMemoryOfAMillionCachedKeys(t *testing.T) {
	if os.Getenv("HOLDFAST_MEMORY_TEST") == "" {
		t.Skip("set HOLDFAST_MEMORY_TEST=1 to measure one million keys")
	}
	const keys, batch, limit = 1_000_000, 1000, 220e6
	ctx := context.Background()
	srv := redistest.Start(t)
	// The keys are outside the mirror, and its working set has no room for them.
	p := spawn(t, "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--redis-url", srv.URL(), "--data-dir", t.TempDir(),
		"--cache-bytes", "512MB", "--mirror-bytes", "1KB")
	through := redis.NewClient(&redis.Options{Addr: p.addr, Protocol: 2, MaxRetries: -1, ReadTimeout: patience})
	defer func() { _ = through.Close() }()
	all := func(c *redis.Client, each func(pipe redis.Pipeliner, key string)) {
		for from := 0; from < keys; from += batch {
			_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for i := from; i < from+batch; i++ {
					each(pipe, fmt.Sprintf("key:%012d", i))
				}
				return nil
			})
			require.NoError(t, err)
		}
	}
	idle := memoryOf(t, p, "VmRSS")
	all(directClient(t, srv), func(pipe redis.Pipeliner, key string) { pipe.Set(ctx, key, strings.Repeat("v", 64), 0) })
	for range 2 {
		all(through, func(pipe redis.Pipeliner, key string) { pipe.Get(ctx, key) })
	}
	peak := memoryOf(t, p, "VmHWM")
	stats := fmt.Sprint(through.Do(ctx, "HOLDFAST", "CACHE", "STATS").Val())
	t.Logf("idle %.0f MB, peak %.0f MB, %.0f bytes a key; %s", idle/1e6, peak/1e6, (peak-idle)/keys, stats)
	require.Contains(t, stats, fmt.Sprint(keys), "not all are cached")
	require.LessOrEqual(t, peak, limit)
}

// memoryOf is a field of the process's status, in bytes.
func memoryOf(t *testing.T, p *process, field string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(t, m)
	kb, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return float64(kb) * 1024
}
