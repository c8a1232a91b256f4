package fallback

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

func TestAnswerWaitsForTheJournal(t *testing.T) {
	r := newRig(t)
	reply, p, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("SET", "k", "v")}})
	require.NoError(t, err)
	require.True(t, p.Needed())
	require.NoError(t, p.Wait())
	require.Equal(t, "+OK\r\n", string(reply))
	r.crash()
	require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"))
	require.EqualValues(t, 1, r.store.Status().QueuedWrites)
}

// The replay connection is cut at every place, in both directions; the next one
// goes on. Every write must be there once and in order.
func TestReplayCutAnywhereIsExactlyOnce(t *testing.T) {
	for _, mode := range []string{"close", "reset", "hang"} {
		t.Run(mode, func(t *testing.T) {
			srv := redistest.Start(t)
			for _, down := range []bool{false, true} {
				step := int64(137)
				if mode != "close" {
					step = 401
				}
				for at := int64(0); ; at += step {
					if cutReplay(t, srv, mode, down, at) {
						break
					}
				}
			}
		})
	}
}

func cutReplay(t *testing.T, srv *redistest.Server, mode string, down bool, at int64) (finished bool) {
	r := newRigOn(t, srv)
	defer r.close()
	r.redis("FLUSHALL")
	r.do("SET", "n", "0")
	for i := range 6 {
		r.do("INCR", "n")
		r.request(Request{DB: i % 2, Proto: 2, Commands: [][][]byte{words("SET", "db", strconv.Itoa(i))}})
		if i == 0 {
			r.unit("SET list:x a", "DEL list:x", "RPUSH list:x e0")
			continue
		}
		r.do("RPUSH", "list:x", fmt.Sprint("e", i))
	}
	if down {
		r.wire.limit(mode, -1, at)
	} else {
		r.wire.limit(mode, at, -1)
	}
	finished = r.connect() == nil
	r.lost()
	if at%2 == 0 {
		r.crash()
	}
	r.wire.heal()
	r.online()
	where := fmt.Sprintf("%s down=%v at=%d", mode, down, at)
	require.Equal(t, "6", r.redis("GET", "n"), where)
	require.Equal(t, []any{"e0", "e1", "e2", "e3", "e4", "e5"}, r.redis("LRANGE", "list:x", 0, -1), where)
	require.Equal(t, "4", r.redis("GET", "db"), where)
	require.Equal(t, strconv.FormatUint(r.store.Status().LastSeq, 10), r.redis("GET", r.fence()), where)
	require.Zero(t, r.store.Status().DeadLetters, where)
	return finished
}

func (r *rig) fence() string { return FencePrefix + r.store.StreamID() }

// A batch of an earlier connection that Redis executes late moves the fence
// under the new connection: nothing may be applied twice.
func TestLateBatchOfAnEarlierConnection(t *testing.T) {
	r := newRig(t)
	r.do("SET", "n", "0")
	for range 5 {
		r.do("INCR", "n")
	}
	ctx := context.Background()
	client := r.cfg.NewClient(0)
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	p := &replayer{s: r.store, conn: conn, src: fetch.New(r.cfg.NewClient)}
	require.NoError(t, p.takeOver(ctx))
	// Somebody else with the same stream applies the first three.
	_, err := r.direct.TxPipelined(ctx, func(q redis.Pipeliner) error {
		q.Set(ctx, "n", 2, 0)
		q.Set(ctx, r.fence(), 3, 0)
		return nil
	})
	require.NoError(t, err)
	require.ErrorIs(t, p.run(ctx), errGuard)
	require.Equal(t, "2", r.redis("GET", "n"), "nothing ran")
	r.online()
	require.Equal(t, "5", r.redis("GET", "n"))
}

func TestRefusedBatches(t *testing.T) {
	t.Run("out of memory passes", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "1")
		r.redis("CONFIG", "SET", "maxmemory", "1")
		require.ErrorContains(t, r.connect(), "OOM")
		require.Equal(t, Offline, r.store.Mode())
		r.do("SET", "b", "2")
		r.redis("CONFIG", "SET", "maxmemory", "0")
		r.online()
		require.Equal(t, []any{"1", "2"}, r.redis("MGET", "a", "b"))
		require.Zero(t, r.store.Status().DeadLetters)
	})
	t.Run("failed save passes", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "1")
		breakSaves(t, r)
		require.ErrorContains(t, r.connect(), "MISCONF")
		r.redis("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
		r.online()
		require.Equal(t, "1", r.redis("GET", "a"))
	})
	t.Run("replica passes", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "1")
		r.redis("REPLICAOF", "127.0.0.1", redistest.FreePort(t))
		require.Error(t, r.connect())
		r.redis("REPLICAOF", "NO", "ONE")
		r.online()
		require.Equal(t, "1", r.redis("GET", "a"))
	})
	t.Run("unknown command is isolated", func(t *testing.T) {
		r := newRigOn(t, redistest.Start(t, "--rename-command", "APPEND", ""))
		r.do("SET", "a", "1")
		r.do("APPEND", "a", "2")
		r.do("SET", "b", "3")
		r.online()
		require.Equal(t, []any{"1", "3"}, r.redis("MGET", "a", "b"))
		letters, err := deadletter.Read(r.dir)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, words("APPEND", "a", "2"), letters[0].Commands[0])
	})
	t.Run("a failing command is filed", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "1")
		r.do("APPEND", "a", "2")
		r.do("SET", "b", "3")
		r.redis("RPUSH", "other", "x")
		_, err := r.store.jr.Append(record.Append(nil, record.Record{Commands: [][][]byte{words("INCR", "other")}}))
		require.NoError(t, err)
		r.do("SET", "c", "4")
		r.online()
		require.Equal(t, []any{"12", "3", "4"}, r.redis("MGET", "a", "b", "c"))
		require.Equal(t, 1, r.store.Status().DeadLetters)
		letters, err := deadletter.Read(r.dir)
		require.NoError(t, err)
		require.Contains(t, letters[0].Reason, "WRONGTYPE")
	})
}

// breakSaves makes the server's next snapshot fail, so that it refuses writes.
func breakSaves(t *testing.T, r *rig) {
	r.redis("CONFIG", "SET", "save", "3600 1")
	require.NoError(t, os.RemoveAll(r.srv.Dir()))
	r.redis("BGSAVE")
	redistest.Eventually(t, bound, "the save failed", func() bool {
		return r.direct.Set(context.Background(), "probe", "1", 0).Err() != nil
	})
}

func TestUserWithoutClientCommands(t *testing.T) {
	r := newRig(t)
	r.asUser("-client")
	r.do("SET", "a", "1")
	r.online()
	require.Equal(t, "1", r.redis("GET", "a"))
}

func TestFenceStories(t *testing.T) {
	t.Run("wiped after everything was answered", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "1")
		r.online()
		r.lost()
		r.do("SET", "b", "1")
		r.redis("FLUSHALL")
		r.online()
		require.Equal(t, []any{nil, "1"}, r.redis("MGET", "a", "b"))
		require.Zero(t, r.store.Status().DeadLetters)
	})
	t.Run("wiped with a batch under way", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "first", "0")
		r.online()
		r.lost()
		r.do("SET", "a", "1")
		m := r.store.replay.mark
		m.From, m.To = 2, 2 // as if the batch had been sent and the answer lost
		require.NoError(t, r.store.changeMark(func(old *datadir.Checkpoint) { *old = m }))
		r.do("SET", "b", "2")
		r.crash()
		r.redis("FLUSHALL")
		r.online()
		require.Equal(t, []any{nil, "2"}, r.redis("MGET", "a", "b"))
		require.Equal(t, 1, r.store.Status().DeadLetters)
	})
	t.Run("ahead of the journal", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "a", "old")
		r.redis("SET", r.fence(), "100")
		r.redis("SET", "a", "new")
		r.crash() // it is a copy from before
		r.online()
		require.Equal(t, "new", r.redis("GET", "a"))
		r.lost()
		r.do("SET", "a", "newest")
		r.online()
		require.Equal(t, "newest", r.redis("GET", "a"))
	})
	for _, fence := range []string{"100", "3"} {
		t.Run("older copy takes new writes first, fence "+fence, func(t *testing.T) {
			r := newRig(t)
			r.do("SET", "a", "old")
			r.online()
			r.lost()
			r.do("SET", "queued", "0")
			r.redis("MSET", r.fence(), fence, "queued", "1") // by the newer copy
			r.crash()
			r.do("SET", "n", "0")
			for range 5 {
				r.do("INCR", "n")
			}
			r.online()
			require.Equal(t, []any{"5", "1"}, r.redis("MGET", "n", "queued"))
			found := conflictsOf(t, r)
			require.Len(t, found, 1)
			require.Equal(t, "queued", string(found[0].Commands[0][1]))
			r.lost()
			r.crash()
			r.do("INCR", "n")
			r.online()
			require.Equal(t, "6", r.redis("GET", "n"))
		})
	}
	t.Run("another journal beside the old mark", func(t *testing.T) {
		r := newRig(t)
		for range 10 {
			r.do("SET", "n", "1")
		}
		r.online()
		r.lost()
		r.close()
		require.NoError(t, os.RemoveAll(datadir.Journal(r.dir)))
		r.open()
		r.do("SET", "x", "1")
		r.do("SET", "y", "1")
		r.crash()
		require.EqualValues(t, 2, r.store.Status().QueuedWrites)
		r.online()
		require.Equal(t, []any{"1", "1"}, r.redis("MGET", "x", "y"))
	})
	t.Run("failover to a replica that missed the tail", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "n", "1")
		r.online()
		state := r.redis("GET", "n")
		r.lost()
		for range 5 {
			r.do("INCR", "n")
		}
		r.online()
		require.Equal(t, "6", r.redis("GET", "n"))
		require.Zero(t, r.store.Status().QueuedWrites)
		r.lost()
		r.crash()
		r.redis("MSET", "n", state, r.fence(), "1") // data and fence are set back together
		r.do("INCR", "n")
		r.online()
		require.Equal(t, "7", r.redis("GET", "n"))
	})
}

func TestReplayedWritesAreGivenUpInTime(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := newRig(t, func(c *Config) { c.goBy(clock) })
	r.do("SET", "a", "1")
	r.online()
	require.NoError(t, r.store.giveUpKept())
	require.Zero(t, r.store.jr.Stats().TruncatedTo)
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	require.NoError(t, r.store.giveUpKept())
	require.Zero(t, r.store.jr.Stats().TruncatedTo, "no snapshot has it yet")
	require.NoError(t, r.store.saveSnapshot())
	require.NoError(t, r.store.giveUpKept())
	require.EqualValues(t, 1, r.store.jr.Stats().TruncatedTo)
}

// Clients write all the time, locally or to Redis, whichever serves. The counter
// must count each acknowledged write and the list must keep each client's order.
func TestCutOverUnderConcurrentWriters(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:n", "0")
	r.loaded()
	r.lost()
	const clients = 4
	var wg sync.WaitGroup
	stop := make(chan struct{})
	counts := make([]int, clients)
	for c := range clients {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					counts[c] = i
					return
				default:
				}
				write(t, r, "INCR", "m:n")
				write(t, r, "RPUSH", fmt.Sprint("m:list", c), strconv.Itoa(i))
			}
		})
	}
	for range 6 {
		last := r.store.Status().LastSeq
		redistest.Eventually(t, bound, "some writes", func() bool { return r.store.Status().LastSeq > last+50 })
		r.online()
		r.lost()
	}
	r.online()
	close(stop)
	wg.Wait()
	total := 0
	for c, n := range counts {
		total += n
		got := r.direct.LRange(context.Background(), fmt.Sprint("m:list", c), 0, -1).Val()
		require.Len(t, got, n)
		for i, v := range got {
			require.Equal(t, strconv.Itoa(i), v)
		}
	}
	require.Equal(t, strconv.Itoa(total), r.redis("GET", "m:n"))
}

// write is what the proxy does with a command. In this test Redis itself never
// fails, so every write has one answer.
func write(t *testing.T, r *rig, args ...string) {
	reply, p, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words(args...)}})
	if err == nil {
		if p.Wait() != nil || reply[0] == '-' {
			t.Errorf("%v: %s", args, reply)
		}
		return
	}
	if err != ErrOnline {
		t.Error(err)
		return
	}
	v := anyArgs(words(args...))
	if err := r.direct.Do(context.Background(), v...).Err(); err != nil {
		t.Error(err)
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	r := newRig(t)
	_, err := Open(r.cfg)
	require.ErrorIs(t, err, journal.ErrLocked)
}
