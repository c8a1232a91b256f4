package fallback

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

// A damaged snapshot does not keep a proxy from starting whose journal or Redis has all
// of it: it is moved aside. One that is newer is left alone.
func TestSnapshotDamage(t *testing.T) {
	r := newRig(t)
	r.do("SET", "k", "v")
	r.do("SET", "h", "1")
	require.NoError(t, r.store.saveSnapshot())
	r.close()
	path := datadir.Snapshot(r.dir)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	moved := 0
	try := func(content []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := VerifySnapshot(r.dir)
		require.ErrorIs(t, err, snapshot.ErrDamaged)
		require.ErrorContains(t, err, path)
		r.open()
		require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"), "the journal has it")
		require.Len(t, r.store.Status().Troubles, 1)
		r.close()
		aside, err := filepath.Glob(path + ".damaged-*")
		require.NoError(t, err)
		moved++
		require.Len(t, aside, moved)
		time.Sleep(2 * time.Millisecond) // their names have the time
	}
	for _, at := range []int{0, 9, len(good) / 2, len(good) - 1} {
		bad := append([]byte(nil), good...)
		bad[at] ^= 1
		try(bad)
	}
	try(good[:len(good)-3])
	try(good[:4])
	try(nil)
	newer := append([]byte(nil), good[:len(good)-4]...)
	newer[8] = snapshot.Version + 1
	newer = binary.BigEndian.AppendUint32(newer, crc32.Checksum(newer, snapshot.Castagnoli))
	require.NoError(t, os.WriteFile(path, newer, 0o600))
	_, err = Open(r.cfg)
	require.ErrorIs(t, err, record.ErrNewerFormat)
	require.ErrorContains(t, err, path)
	require.NoError(t, os.Remove(path))
	r.open() // the journal still has everything
	require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"))
	r.close()
	require.NoError(t, os.WriteFile(path, good, 0o600))
	r.open()
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "h"))
}

// A snapshot taken in slices while clients write is the state of its beginning:
// with the journal on top, every write counts once.
func TestSnapshotInSlicesUnderWriters(t *testing.T) {
	r := newRig(t)
	const keys = 30 * dumpSlice
	for i := range keys {
		_, _, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("SET", fmt.Sprint("k", i), "0")}})
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	counts := make([]int, keys)
	wg.Go(func() {
		for i := 0; ; i = (i + 7) % keys {
			select {
			case <-stop:
				return
			default:
			}
			_, p, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("INCR", fmt.Sprint("k", i))}})
			if err == nil && i%50 == 0 {
				err = p.Wait()
			}
			if err != nil {
				t.Error(err)
			}
			counts[i]++
			_, _, _ = r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("SET", fmt.Sprint("new", i), "1")}})
		}
	})
	for range 5 {
		require.NoError(t, r.store.saveSnapshot())
	}
	close(stop)
	wg.Wait()
	require.NoError(t, r.store.jr.Sync())
	r.crash()
	for i, n := range counts {
		want := strconv.Itoa(n)
		require.Equal(t, fmt.Sprintf("$%d\r\n%s\r\n", len(want), want), r.do("GET", fmt.Sprint("k", i)))
	}
}

func embedded(c *Config) { c.Embedded, c.NewClient, c.CompactBytes = true, nil, 1 }

func TestEmbedded(t *testing.T) {
	r := newRig(t, embedded)
	require.Equal(t, "$-1\r\n", r.do("GET", "x"), "absent is absent")
	require.Equal(t, ":1\r\n", r.do("INCR", "n"))
	require.Equal(t, "+OK\r\n", r.do("SET", "lock", "me", "NX", "EX", "100"), "here locks are real")
	require.Equal(t, "*0\r\n", r.do("KEYS", "zz*"))
	r.crash()
	require.Equal(t, ":2\r\n", r.do("INCR", "n"))
	require.NoError(t, r.store.saveSnapshot())
	require.EqualValues(t, 3, r.store.jr.Stats().TruncatedTo, "compacted")
	require.Equal(t, ":3\r\n", r.do("INCR", "n"))
	r.do("SELECT", "0")
	r.do("MOVE", "n", "3")
	require.Equal(t, ":1\r\n", r.request(Request{DB: 3, Proto: 2, Commands: [][][]byte{words("EXISTS", "n")}}))
	r.crash()
	require.Equal(t, "$1\r\n3\r\n", r.request(Request{DB: 3, Proto: 2, Commands: [][][]byte{words("GET", "n")}}))
	r.do("FLUSHALL")
	r.crash()
	require.Zero(t, r.store.Status().Keys)
}

// An embedded directory is opened with a Redis. A crash after any of the steps
// (simulated by putting older files back) must end with everything there once.
func TestEmbeddedStateGoesToRedisOnce(t *testing.T) {
	r := newRig(t, embedded)
	client := newRigClient(r)
	r.do("INCR", "n")
	require.NoError(t, r.store.saveSnapshot())
	r.do("INCR", "n")
	r.do("RPUSH", "l", "a", "b")
	r.request(Request{DB: 2, Proto: 2, Commands: [][][]byte{words("SET", "two", "2", "EX", "1000")}})
	r.close()
	old := filepath.Join(t.TempDir(), "snapshot")
	raw, err := os.ReadFile(datadir.Snapshot(r.dir))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(old, raw, 0o600))

	r.redis("SET", "n", "100")
	r.redis("RPUSH", "l", "stale")
	r.cfg.Embedded, r.cfg.NewClient, r.cfg.Conflict = false, client, deadletter.Ours
	r.open()
	require.EqualValues(t, 3, r.store.Status().QueuedWrites)
	// Crash between queueing and the last snapshot: it still says "embedded".
	s := r.store
	s.dirtyGen++
	require.NoError(t, s.saveSnapshotAs(true))
	r.crash()
	require.EqualValues(t, 3, r.store.Status().QueuedWrites)
	r.crash()
	require.EqualValues(t, 3, r.store.Status().QueuedWrites, "once")
	require.Equal(t, ":3\r\n", r.do("INCR", "n"))
	r.online()
	require.Equal(t, "3", r.redis("GET", "n"))
	require.Equal(t, []any{"a", "b"}, r.redis("LRANGE", "l", 0, -1))
	r.lost()
	r.crash()
	require.Zero(t, r.store.Status().QueuedWrites)
	r.do("INCR", "n")
	r.online()
	require.Equal(t, "4", r.redis("GET", "n"))
}

// A disk that the journal itself has filled has no room for the snapshot that would
// let it be given up: what Redis has is given up without one.
func TestFullDiskDoesNotKeepWhatRedisHas(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(c *Config) { c.goBy(func() time.Time { return now }) })
	r.close()
	r.dir = filepath.Join(smallDisk(t, 1<<20), "data")
	r.open()
	r.do("SET", "m:a", "1")
	r.online()
	now = now.Add(2 * time.Minute)
	require.NoError(t, r.store.giveUpKept())
	require.Zero(t, r.store.jr.Stats().TruncatedTo, "no snapshot has it")
	free := fillDisk(t, r.dir)
	require.ErrorIs(t, r.store.saveSnapshot(), syscall.ENOSPC)
	require.NoError(t, r.store.giveUpKept())
	require.EqualValues(t, 1, r.store.jr.Stats().TruncatedTo)
	free()
	r.lost()
	r.do("SET", "m:b", "1")
	require.NoError(t, r.store.saveSnapshot())
	r.online()
	r.lost()
	r.do("SET", "m:c", "1")
	now = now.Add(2 * time.Minute)
	require.NoError(t, r.store.giveUpKept())
	require.EqualValues(t, 2, r.store.jr.Stats().TruncatedTo, "there is room again, and what waits stays")
}
