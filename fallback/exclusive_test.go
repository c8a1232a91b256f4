package fallback

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/command"
	"holdfast/backend/redistest"
	"holdfast/fallback/record"
)

// hotClient writes to one key as the proxy does, as fast as it can.
type hotClient struct {
	r    *rig
	c    *redis.Client
	stop atomic.Bool
	done sync.WaitGroup
	n    atomic.Int64 // acknowledged writes
}

func (r *rig) hot(clients int, args ...any) *hotClient {
	h := &hotClient{r: r, c: redis.NewClient(&redis.Options{Addr: r.srv.Addr(), DisableIdentity: true, Protocol: 2})}
	for range clients {
		h.done.Go(func() {
			for !h.stop.Load() {
				h.write(args...)
			}
		})
	}
	r.t.Cleanup(h.end)
	return h
}

func (h *hotClient) end() {
	h.stop.Store(true)
	h.done.Wait()
	_ = h.c.Close()
}

func (h *hotClient) write(args ...any) {
	argv := words(stringsOf(args)...)
	c, _ := command.Lookup(argv)
	keys, s := c.WriteKeys(nil, argv), h.r.store
	if !s.Ready(0, keys) {
		s.AwaitReady(0, keys)
	}
	for _, k := range keys {
		s.Sending(0, k)
	}
	v, err := h.c.Do(context.Background(), args...).Result()
	if assert.NoError(h.r.t, err) {
		h.n.Add(1)
		reply := fmt.Sprintf(":%v\r\n", v)
		s.AckedOne(0, c, argv, keys, []byte(reply))
	}
	for _, k := range keys {
		s.Sent(0, k)
	}
}

// A mirrored key that is written without any pause is held with the first
// acknowledged write, though its prefix is not loaded yet, and has all of them.
func TestAMirroredKeyThatIsWrittenAllTheTimeIsHeld(t *testing.T) {
	r := newRig(t)
	r.redis("HSET", "m:hot", "n", 100, "other", "x")
	r.run()
	r.online()
	h := r.hot(4, "HINCRBY", "m:hot", "n", 1)
	redistest.Eventually(t, bound, "writes", func() bool { return h.n.Load() > 0 })
	require.True(t, r.store.knows(record.KeyID{DB: 0, Key: "m:hot"}), "it was fetched before the first write")
	redistest.Eventually(t, bound, "the mirror is loaded", func() bool { return r.store.Status().Complete })
	time.Sleep(50 * time.Millisecond)
	h.end()
	r.lost()
	require.Equal(t, fmt.Sprintf(":%d\r\n", 101+h.n.Load()), r.do("HINCRBY", "m:hot", "n", "1"))
	require.Equal(t, "$1\r\nx\r\n", r.do("HGET", "m:hot", "other"))
}

// What somebody else writes to a key that is written here all the time is seen all
// the same.
func TestForeignWritesToAKeyThatIsWrittenAllTheTimeAreSeen(t *testing.T) {
	r := newRig(t)
	r.loaded()
	h := r.hot(4, "HINCRBY", "m:hot", "n", 1)
	redistest.Eventually(t, bound, "writes", func() bool { return h.n.Load() > 100 })
	for _, theirs := range []string{"1", "2"} {
		r.redis("HSET", "m:hot", "theirs", theirs)
		redistest.Eventually(t, bound, "it was fetched", func() bool {
			r.store.mu.Lock()
			defer r.store.mu.Unlock()
			for _, argv := range r.store.eng.DumpKey(0, []byte("m:hot")) {
				for i := 2; i+1 < len(argv); i += 2 {
					if string(argv[i]) == "theirs" && string(argv[i+1]) == theirs {
						return true
					}
				}
			}
			return false
		})
	}
	h.end()
	r.lost()
	require.Equal(t, fmt.Sprintf(":%d\r\n", 1+h.n.Load()), r.do("HINCRBY", "m:hot", "n", "1"))
}

// A write that is not answered does not hold up the writes of others to its key for
// long, and the key stays held.
func TestAWriteUnderWayHoldsUpNobody(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.store.Sending(0, []byte("m:hot"))
	defer r.store.Sent(0, []byte("m:hot"))
	h := r.hot(1, "INCR", "m:hot")
	time.Sleep(300 * time.Millisecond)
	began := time.Now()
	for n := h.n.Load(); h.n.Load() < n+100 && time.Since(began) < bound; {
		time.Sleep(time.Millisecond)
	}
	require.Less(t, time.Since(began), bound/2)
	require.True(t, r.store.knows(record.KeyID{DB: 0, Key: "m:hot"}))
}
