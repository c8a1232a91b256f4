package cache

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAccountingMatchesTheHeap compares Stats.Bytes with what the heap grew by.
func TestAccountingMatchesTheHeap(t *testing.T) {
	for _, size := range []int{8, 64, 1000, 20_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			before := heap()
			c := New(Config{MaxBytes: 1 << 30})
			fillMany(c, min(40_000, 10_000_000/(size+200)), size)
			grown := float64(heap() - before)
			ratio := float64(c.Stats().Bytes) / grown
			t.Logf("accounted/heap = %.3f", ratio)
			require.InDelta(t, 1, ratio, 0.1)
			runtime.KeepAlive(c)
		})
	}
}

// TestMemoryOfAMillionKeys reports the cost of 1 million keys of 64 bytes.
func TestMemoryOfAMillionKeys(t *testing.T) {
	if os.Getenv("HOLDFAST_MEMORY_TEST") == "" {
		t.Skip("set HOLDFAST_MEMORY_TEST=1 to measure one million keys")
	}
	if v := os.Getenv("HOLDFAST_GC_PERCENT"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		debug.SetGCPercent(n)
	}
	before := heap()
	c := New(Config{MaxBytes: 1 << 30})
	fillMany(c, 1_000_000, 64)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("while filling: Sys-HeapReleased %.1f MB, VmHWM %s", mb(m.Sys-m.HeapReleased), procStatus("VmHWM"))
	grown := heap() - before
	debug.FreeOSMemory()
	runtime.ReadMemStats(&m)
	t.Logf("heap growth %.1f MB, accounted %.1f MB; process: Sys-HeapReleased %.1f MB, VmRSS %s",
		mb(grown), mb(uint64(c.Stats().Bytes)), mb(m.Sys-m.HeapReleased), procStatus("VmRSS"))
	t.Logf("of that: heap in use %.1f, spans %.1f, collector %.1f, stacks %.1f, other %.1f MB",
		mb(m.HeapInuse), mb(m.MSpanInuse), mb(m.GCSys), mb(m.StackInuse), mb(m.OtherSys+m.BuckHashSys))
	require.Equal(t, int64(1_000_000), c.Stats().Entries)
	require.LessOrEqual(t, mb(m.Sys-m.HeapReleased), 220.0)
	runtime.KeepAlive(c)
}

func mb(n uint64) float64 { return float64(n) / 1e6 }

func fillMany(c *Cache, keys, size int) {
	val := bulk(strings.Repeat("x", size))
	var key, cmd []byte
	for i := range keys {
		key = fmt.Appendf(key[:0], "key:%012d", i)
		cmd = fmt.Appendf(cmd[:0], "*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n", key)
		f, _ := c.Begin(0, key, 2, cmd, false)
		f.Done(val, -1, true)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func procStatus(field string) string {
	b, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

func BenchmarkGet(b *testing.B) {
	for _, keys := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			c := New(Config{MaxBytes: 1 << 30, MaxAge: 1 << 40})
			fillMany(c, keys, 64)
			cmd := []byte("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n")
			key := cmd[20:36]
			dst := make([]byte, 0, 256)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				strconv.AppendInt(key[10:10], int64(100_000+(i*7919)%keys), 10)
				if keys < 1_000_000 {
					key[10] = '0'
				}
				_, _, _ = c.Get(dst, 0, key, 2, cmd)
			}
		})
	}
}

func BenchmarkInvalidateUnknown(b *testing.B) {
	c := New(Config{MaxBytes: 1 << 30})
	fillMany(c, 1000, 64)
	keys := [][]byte{[]byte("nobody reads this")}
	for b.Loop() {
		c.Invalidate(keys)
	}
}
