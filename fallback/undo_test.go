package fallback

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/journal/faultfs"
	"holdfast/fallback/record"
)

// madeFS makes directories for real: the rest of a data directory is not in it.
type madeFS struct{ *faultfs.FS }

func (madeFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// A disk that was full goes on by itself when it has room: nothing refused counts, in
// memory or at Redis, and nothing acknowledged is lost.
func TestFullDiskGoesOnByItself(t *testing.T) {
	for _, embedded := range []bool{false, true} {
		t.Run(fmt.Sprintf("embedded %v", embedded), func(t *testing.T) {
			r := newRig(t)
			r.redis("SET", "m:n", "100")
			r.close()
			r.dir = filepath.Join(smallDisk(t, 4<<20), "data")
			if r.cfg.Embedded = embedded; embedded {
				r.cfg.NewClient = nil
			}
			r.open()
			if embedded {
				r.run()
				r.do("SET", "m:n", "100")
			} else {
				r.loaded()
				r.lost()
			}
			counted := 100
			incr := func() bool {
				reply := r.do("INCR", "m:n")
				if reply[0] == '-' {
					require.True(t, strings.HasPrefix(reply, "-JOURNALFAILED "), reply)
					return false
				}
				counted++
				require.Equal(t, fmt.Sprintf(":%d\r\n", counted), reply)
				return true
			}
			for range 3 {
				incr()
				free := fillDisk(t, r.dir)
				r.do("HSET", "m:h", "f", strings.Repeat("x", 100))
				for incr() { // the last page of the journal has some room
				}
				require.False(t, incr())
				require.True(t, r.store.Status().JournalFailed)
				free()
				redistest.Eventually(t, bound, "the journal goes on", func() bool { return !r.store.Status().JournalFailed })
				require.Equal(t, fmt.Sprintf("$3\r\n%d\r\n", counted), r.do("GET", "m:n"))
				require.True(t, incr())
			}
			require.Equal(t, 3, r.store.jr.Stats().Revived)
			r.crash()
			require.Equal(t, fmt.Sprintf("$3\r\n%d\r\n", counted), r.do("GET", "m:n"))
			if !embedded {
				r.online()
				require.Equal(t, fmt.Sprint(counted), r.redis("GET", "m:n"))
				require.Zero(t, r.store.Status().Conflicts)
			}
		})
	}
}

// Every kind of value is as it was before a refused write, and a conflict is still found.
func TestRefusedWritesAreUndone(t *testing.T) {
	disk := faultfs.New()
	r := newRig(t, func(c *Config) { c.fs, c.Conflict = madeFS{disk}, deadletter.Theirs })
	r.redis("MSET", "m:s", "1", "m:gone", "x", "m:theirs", "1")
	r.redis("HSET", "m:h", "a", "1")
	r.redis("RPUSH", "m:l", "a", "b")
	r.redis("XADD", "m:x", "1-1", "f", "v")
	r.redis("SET", "m:ttl", "1", "PXAT", "4102444800000")
	for i := range undoElements + 1 {
		r.redis("HSET", "m:large", i, "v")
	}
	r.loaded()
	r.still()
	r.lost()
	r.do("INCR", "m:s")
	dump := func() (out []string) {
		for _, argv := range []string{"GET m:s", "GET m:gone", "HGETALL m:h", "LRANGE m:l 0 -1", "XRANGE m:x - +", "PEXPIRETIME m:ttl", "EXISTS m:new", "GET m:theirs"} {
			out = append(out, argv+" "+r.do(strings.Fields(argv)...))
		}
		return out
	}
	before := dump()
	executed := make(chan struct{})
	disk.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync {
			<-executed
			return syscall.EDQUOT
		}
		return nil
	})
	var waits []Pending
	for _, argv := range []string{
		"INCR m:s", "DEL m:gone", "HSET m:h a 2 b 3", "LPUSH m:l c", "XADD m:x * f w", "PERSIST m:ttl", "SET m:new 1", "INCR m:theirs",
		"SET beside 1", "HSET m:large 0 w", "EVAL", "INCRBY m:theirs 7",
	} {
		words := strings.Fields(argv)
		if words[0] == "EVAL" {
			words = []string{"EVAL", "redis.call('SET',KEYS[1],'script') redis.call('RPUSH',KEYS[2],'z')", "2", "m:s", "m:l"}
		}
		reply, p, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{record.ArgvOf(words...)}})
		require.NoError(t, err)
		require.NotEqual(t, byte('-'), reply[0], string(reply))
		waits = append(waits, p)
	}
	close(executed)
	for _, p := range waits {
		require.Error(t, p.Wait())
	}
	r.store.reviveJournal()
	require.True(t, r.store.Status().JournalFailed, "the quota is still used up")
	disk.OnOp(nil)
	r.store.reviveJournal()
	require.False(t, r.store.Status().JournalFailed)
	require.Equal(t, before, dump())
	refused(t, r.do("GET", "beside"))
	refused(t, r.do("HGET", "m:large", "1"))
	require.Equal(t, ":2\r\n", r.do("INCR", "m:theirs"))
	r.redis("SET", "m:theirs", "50") // somebody else writes
	r.online()
	require.Equal(t, "50", r.redis("GET", "m:theirs"), "the first write that was taken says what was there before")
	require.Equal(t, "2", r.redis("GET", "m:s"))
	require.EqualValues(t, 1, r.store.Status().Conflicts)
}

// A broken disk is not tried again.
func TestBrokenDiskStaysFailed(t *testing.T) {
	disk := faultfs.New()
	r := newRig(t, func(c *Config) { c.fs = madeFS{disk} })
	r.do("SET", "a", "1")
	disk.FailNth(faultfs.Sync, "*.seg", 1, syscall.EIO)
	require.True(t, strings.HasPrefix(r.do("SET", "b", "2"), "-JOURNALFAILED "))
	for range 3 {
		r.store.reviveJournal()
	}
	require.True(t, r.store.Status().JournalFailed)
	require.Contains(t, r.store.Status().Troubles[0], "restart holdfast")
}
