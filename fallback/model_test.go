package fallback

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/record"
)

// model applies every acknowledged command once.
type model struct {
	counter map[string]int
	lists   map[string][]string // each list has one writer, so its order is known
	fields  map[string]string
}

// TestRandomOutages lets clients write through a tiny router, local or Redis,
// while outages, crashes and cut replays come at random. The state at Redis must
// be that of a model which applied each acknowledged command once.
func TestRandomOutages(t *testing.T) {
	seed := time.Now().UnixNano()
	if env, err := strconv.ParseInt(os.Getenv("HOLDFAST_SEED"), 10, 64); err == nil {
		seed = env // repeats the choices, if not their timing
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	r := newRig(t)
	r.redis("SET", "m:seed", "1")
	r.loaded()
	m := model{map[string]int{}, map[string][]string{}, map[string]string{}}
	for round := range 25 {
		burst(t, r, rng, &m, round)
		switch rng.Intn(5) {
		case 0, 1:
			r.lost()
		case 2:
			if r.store.Mode() != Online {
				crashRun(r)
			}
		case 3:
			if rng.Intn(2) == 0 {
				r.wire.limit("close", rng.Int63n(3000), -1)
			} else {
				r.wire.limit("close", -1, rng.Int63n(2000))
			}
			if r.store.Mode() != Online {
				_ = r.connect()
			}
			r.lost()
			r.wire.heal()
		case 4:
			if r.store.Mode() != Online {
				r.online()
				r.settle()
			}
		}
	}
	r.lost()
	r.online()
	ctx := context.Background()
	for k, want := range m.counter {
		require.Equal(t, strconv.Itoa(want), r.direct.Get(ctx, k).Val(), k)
	}
	for k, want := range m.lists {
		require.Equal(t, want, r.direct.LRange(ctx, k, 0, -1).Val(), k)
	}
	require.Equal(t, m.fields, r.direct.HGetAll(ctx, "m:h").Val())
	require.Zero(t, r.store.Status().DeadLetters)
	require.Zero(t, r.store.Status().Conflicts)
	r.settle()
	r.lost() // and the mirror has the same
	for k, n := range m.counter {
		want := strconv.Itoa(n)
		require.Equal(t, fmt.Sprintf("$%d\r\n%s\r\n", len(want), want), r.do("GET", k))
	}
}

func crashRun(r *rig) {
	r.crash()
	r.run()
}

// burst lets several clients write a few commands each, all acknowledged.
func burst(t *testing.T, r *rig, rng *rand.Rand, m *model, round int) {
	const clients = 3
	var wg sync.WaitGroup
	for c := range clients {
		n := 1 + rng.Intn(8)
		script := rng.Intn(3) == 0
		counter := fmt.Sprint("m:n", rng.Intn(4))
		list := fmt.Sprint("m:l", c)
		m.counter[counter] += n
		for i := range n {
			v := fmt.Sprint(round, ".", i)
			m.lists[list] = append(m.lists[list], v)
			m.fields[fmt.Sprint("f", c, i)] = v
		}
		wg.Go(func() {
			for i := range n {
				v := fmt.Sprint(round, ".", i)
				if script {
					routed(t, r, "EVAL", "return redis.call('INCRBY', KEYS[1], ARGV[1])", "1", counter, "1")
				} else {
					routed(t, r, "INCR", counter)
				}
				routed(t, r, "RPUSH", list, v)
				routed(t, r, "HSET", "m:h", fmt.Sprint("f", c, i), v)
			}
		})
	}
	wg.Wait()
}

// routed is the proxy in five lines: the store answers, or Redis does and the
// mirror is told.
func routed(t *testing.T, r *rig, args ...string) {
	reply, p, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words(args...)}})
	if err == nil {
		if p.Wait() != nil || reply[0] == '-' {
			t.Errorf("%v: %s", args, reply)
		}
		return
	}
	for _, k := range record.CommandKeys(words(args...)) {
		r.store.Sending(0, k)
		defer r.store.Sent(0, k)
	}
	raw := rawReply(t, r.srv.Addr(), anyOf(args)...)
	r.store.Acked(0, [][][]byte{words(args...)}, raw, false)
}

func anyOf(args []string) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
	}
	return out
}
