package fallback

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// offlineConfig is that of a store whose Redis cannot be reached.
func offlineConfig(dir string) Config {
	return Config{Dir: dir, MirrorPrefixes: []string{"m:"}, SnapshotEvery: time.Hour, NewClient: func(int) *redis.Client {
		return redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	}}
}

// kill leaves the directory as a killed process does: without a last snapshot.
func kill(t testT, s *Store) {
	t.Helper()
	require.NoError(t, s.jr.Sync())
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.eng.Close()
	require.NoError(t, s.closeFiles())
}

// cpuTime is what the process has used: it means something on a busy machine, too.
func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkLoad opens a directory with N queued writes, or a snapshot of N keys.
// Run it with -benchtime=1000000x.
func BenchmarkLoad(b *testing.B) {
	value := strings.Repeat("x", 64)
	for _, kind := range []struct {
		name     string
		snapshot bool
		argv     func(i int) [][]byte
	}{
		{"Set", false, func(i int) [][]byte { return words("SET", fmt.Sprint("m:k:", i), value) }},
		{"SetExpiring", false, func(i int) [][]byte { return words("SET", fmt.Sprint("m:k:", i), value, "EX", "86400") }},
		{"SetWorkingSet", false, func(i int) [][]byte { return words("SET", fmt.Sprint("k:", i), value) }},
		{"Incr", false, func(i int) [][]byte { return words("INCR", fmt.Sprint("m:i:", i%1000)) }},
		{"HashFields", false, func(i int) [][]byte { return words("HSET", fmt.Sprint("m:h:", i%1000), fmt.Sprint(i/1000), value) }},
		{"HashKeys", false, func(i int) [][]byte { return words("HSET", fmt.Sprint("m:h:", i), "f", value) }},
		{"Snapshot", true, func(i int) [][]byte { return words("SET", fmt.Sprint("m:k:", i), value) }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			cfg := offlineConfig(filepath.Join(b.TempDir(), "data"))
			s, err := Open(cfg)
			require.NoError(b, err)
			require.NoError(b, s.Warm(0, nil, true)) // the mirror is complete: all keys are known
			if kind.snapshot {
				s.dirtyGen++
			}
			require.NoError(b, s.saveSnapshot())
			for i := range b.N {
				reply, _, err := s.Do(Request{Proto: 2, Commands: [][][]byte{kind.argv(i)}})
				require.NoError(b, err)
				require.NotEqual(b, byte('-'), reply[0], "%s", reply)
			}
			if kind.snapshot {
				require.NoError(b, s.saveSnapshot())
			}
			kill(b, s)
			runtime.GC()
			b.ReportAllocs()
			before := cpuTime(b)
			b.ResetTimer()
			s, err = Open(cfg)
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			require.NoError(b, err)
			kill(b, s)
		})
	}
}

// BenchmarkWrite is what 50 clients cost that write while Redis is away, each
// waiting for its write to be on disk.
func BenchmarkWrite(b *testing.B) {
	s, err := Open(offlineConfig(filepath.Join(b.TempDir(), "data")))
	require.NoError(b, err)
	value := strings.Repeat("x", 64)
	var next atomic.Int64
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				argv := words("SET", fmt.Sprint("m:k:", i%10000), value)
				_, pending, err := s.Do(Request{Proto: 2, Commands: [][][]byte{argv}})
				if err != nil || pending.Wait() != nil {
					b.Error("write failed", err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	kill(b, s)
}
