package fallback

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/deadletter"
)

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A disk without room for the record of a conflict does not keep Redis away: what
// is queued is applied.
func TestReplayOnAFullDisk(t *testing.T) {
	for name, c := range map[string]struct {
		room     int
		recorded int
	}{
		"room for no record":              {0, 0},
		"room for records without values": {1500, 5},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			r := newRig(t, func(cfg *Config) {
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				cfg.diskFull = func(n int) error {
					if n > c.room {
						return syscall.ENOSPC
					}
					return nil
				}
			})
			value := strings.Repeat("v", 1000)
			for i := range 5 {
				r.redis("SET", fmt.Sprint("m:", i), value)
			}
			r.loaded()
			r.lost()
			for i := range 5 {
				r.do("APPEND", fmt.Sprint("m:", i), "+ours")
				r.redis("APPEND", fmt.Sprint("m:", i), "+theirs")
			}
			r.online()
			for i := range 5 {
				require.Equal(t, value+"+theirs+ours", r.redis("GET", fmt.Sprint("m:", i)))
			}
			require.EqualValues(t, 5, r.store.Status().Conflicts, "counted all the same")
			found := conflictsOf(t, r)
			require.Len(t, found, c.recorded)
			for _, f := range found {
				require.True(t, f.Omitted)
			}
			require.Equal(t, 1, strings.Count(log.String(), "the disk does not take conflicts.jsonl"), log.String())
		})
	}
}

// A disk that was remounted read-only, or breaks, keeps neither a healthy Redis away
// nor what is queued for it; and a later process finds from the fence what was done.
func TestReplayFromADiskThatTakesNoWrites(t *testing.T) {
	var log lockedBuffer
	broken := false
	r := newRig(t, func(cfg *Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		cfg.diskFull = func(int) error {
			if broken {
				return syscall.EROFS
			}
			return nil
		}
	})
	r.redis("MSET", "m:n", "1", "m:k", "1")
	r.loaded()
	r.lost()
	r.do("INCR", "m:n")
	r.do("INCR", "m:k")
	r.redis("SET", "m:k", "10") // a conflict
	broken = true
	mark := r.store.markFile
	readOnly, err := os.Open(mark.Name())
	require.NoError(t, err)
	defer readOnly.Close()
	r.store.markFile = readOnly
	for range 2 {
		r.online()
		require.Equal(t, []any{"2", "11"}, r.redis("MGET", "m:n", "m:k"))
		r.lost()
	}
	require.Equal(t, 1, strings.Count(log.String(), "replay mark cannot be written"), log.String())
	r.store.markFile = mark
	broken = false
	r.crash()
	require.EqualValues(t, 2, r.store.Status().QueuedWrites, "as the mark on the disk has it")
	r.online()
	require.Equal(t, []any{"2", "11"}, r.redis("MGET", "m:n", "m:k"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// A write that is filed instead of being applied is only there: the replay waits.
func TestReplayWaitsForRoomForWhatItDoesNotApply(t *testing.T) {
	full := true
	r := newRig(t, func(cfg *Config) {
		cfg.Conflict = deadletter.Theirs
		cfg.diskFull = func(int) error {
			if full {
				return syscall.ENOSPC
			}
			return nil
		}
	})
	r.redis("SET", "m:k", "1")
	r.loaded()
	r.lost()
	r.do("INCR", "m:k")
	r.redis("SET", "m:k", "100")
	require.ErrorIs(t, r.connect(), syscall.ENOSPC)
	require.EqualValues(t, 1, r.store.Status().QueuedWrites)
	full = false
	r.online()
	require.Equal(t, "100", r.redis("GET", "m:k"))
	var filed int
	for _, c := range conflictsOf(t, r) {
		if c.Needed() {
			filed++
		}
	}
	require.Equal(t, 1, filed)
}
