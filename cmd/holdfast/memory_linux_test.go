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

// TestLargeValuesAreHeldFewTimes: values on their way through, in either direction,
// again and again, back to back and one after the other, are in memory three times
// at most, with what the mirror holds of them.
func TestLargeValuesAreHeldFewTimes(t *testing.T) {
	const size = 100_000_000
	ctx := context.Background()
	values := [2][]byte{bytes.Repeat([]byte("0123456789"), size/10), bytes.Repeat([]byte("9876543210"), size/10)}
	for _, key := range []string{"big", "aiclient:big"} {
		t.Run(key, func(t *testing.T) {
			srv := redistest.Start(t)
			p := spawn(t, "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(),
				"--redis-url", srv.URL(), "--command-timeout", "30s")
			c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
			t.Cleanup(func() { _ = c.Close() })
			require.NoError(t, c.Set(ctx, "small", 1, 0).Err())
			base := p.peakMemory() + 32<<20 // buffers of fixed size, and what the collector leaves
			set := func(value []byte) { require.NoError(t, c.Set(ctx, key, value, 0).Err()) }
			get := func(value []byte) {
				got, err := c.Get(ctx, key).Bytes()
				require.NoError(t, err)
				require.True(t, bytes.Equal(value, got))
			}
			few := func(after string) {
				assert.LessOrEqual(t, p.peakMemory()-base, int64(3*size), after)
			}
			set(values[0])
			set(values[0])
			few("after SET and SET")
			get(values[0])
			get(values[0])
			few("after GET and GET")
			for i := range 4 {
				set(values[(i+1)%2])
				few("after another SET")
				get(values[(i+1)%2])
				few("after its GET")
			}
			t.Logf("%s: %.2f times the value at most", key, float64(p.peakMemory()-base)/size)
		})
	}
}
