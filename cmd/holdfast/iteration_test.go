package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
	"holdfast/fallback/engine"
)

const iterated = 1000 // elements that are there all the time

// iterator is one of the four kinds of iteration.
type iterator struct {
	fill  func(ctx context.Context, c redis.Cmdable, name string) error
	churn func(ctx context.Context, c redis.Cmdable, name string)
	step  func(ctx context.Context, c redis.Cmdable, cursor uint64) ([]string, uint64, error)
	width int
}

var iterators = map[string]iterator{
	"SCAN": {
		func(ctx context.Context, c redis.Cmdable, name string) error {
			return c.Set(ctx, "aiclient:it:"+name, "v", 0).Err()
		},
		func(ctx context.Context, c redis.Cmdable, name string) {
			_ = c.Set(ctx, "aiclient:it:"+name, "v", 0).Err()
			_ = c.Del(ctx, "aiclient:it:"+name).Err()
		},
		func(ctx context.Context, c redis.Cmdable, cursor uint64) ([]string, uint64, error) {
			return c.Scan(ctx, cursor, "aiclient:it:*", 20).Result()
		}, 1,
	},
	"HSCAN": {
		func(ctx context.Context, c redis.Cmdable, name string) error {
			return c.HSet(ctx, "aiclient:h", name, "v").Err()
		},
		func(ctx context.Context, c redis.Cmdable, name string) {
			_ = c.HSet(ctx, "aiclient:h", name, "v").Err()
			_ = c.HDel(ctx, "aiclient:h", name).Err()
		},
		func(ctx context.Context, c redis.Cmdable, cursor uint64) ([]string, uint64, error) {
			return c.HScan(ctx, "aiclient:h", cursor, "", 20).Result()
		}, 2,
	},
	"SSCAN": {
		func(ctx context.Context, c redis.Cmdable, name string) error {
			return c.SAdd(ctx, "aiclient:s", name).Err()
		},
		func(ctx context.Context, c redis.Cmdable, name string) {
			_ = c.SAdd(ctx, "aiclient:s", name).Err()
			_ = c.SRem(ctx, "aiclient:s", name).Err()
		},
		func(ctx context.Context, c redis.Cmdable, cursor uint64) ([]string, uint64, error) {
			return c.SScan(ctx, "aiclient:s", cursor, "", 20).Result()
		}, 1,
	},
	"ZSCAN": {
		func(ctx context.Context, c redis.Cmdable, name string) error {
			return c.ZAdd(ctx, "aiclient:z", redis.Z{Score: 1, Member: name}).Err()
		},
		func(ctx context.Context, c redis.Cmdable, name string) {
			_ = c.ZAdd(ctx, "aiclient:z", redis.Z{Score: 2, Member: name}).Err()
			_ = c.ZRem(ctx, "aiclient:z", name).Err()
		},
		func(ctx context.Context, c redis.Cmdable, cursor uint64) ([]string, uint64, error) {
			return c.ZScan(ctx, "aiclient:z", cursor, "", 20).Result()
		}, 2,
	},
}

// iterate runs one iteration beside a writer and requires that it is complete. turn is
// called before step n.
func iterate(t *testing.T, it iterator, c *redis.Client, turn func(n int)) (steps int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			it.churn(ctx, c, fmt.Sprint("comes and goes ", i%50))
		}
	})
	defer wg.Wait()
	defer stop()
	seen, cursor := map[string]bool{}, uint64(0)
	for {
		turn(steps)
		page, next, err := it.step(ctx, c, cursor)
		require.NoError(t, err)
		for i := 0; i < len(page); i += it.width {
			seen[page[i]] = true
		}
		cursor = next
		if steps++; cursor == 0 || steps > 10_000 {
			break
		}
	}
	missing := 0
	for i := range iterated {
		if !seen["stays:"+strconv.Itoa(i)] && !seen["aiclient:it:stays:"+strconv.Itoa(i)] {
			missing++
		}
	}
	require.Zero(t, missing, "of %d elements, in %d steps", iterated, steps)
	return steps
}

func fillAll(t *testing.T, c *redis.Client) {
	t.Helper()
	for _, it := range iterators {
		_, err := c.Pipelined(context.Background(), func(p redis.Pipeliner) error {
			for i := range iterated {
				_ = it.fill(context.Background(), p, "stays:"+strconv.Itoa(i))
			}
			return nil
		})
		require.NoError(t, err)
	}
}

// An iteration returns all that is there from its start to its end: in every mode, and
// when Redis goes, comes or is started anew in the middle.
func TestIterationsAreCompleteWhateverRedisDoes(t *testing.T) {
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	c := p.client()
	p.awaitMode(fallback.Online)
	fillAll(t, c)
	p.awaitMirror()
	ensure := func(online bool) {
		switch mode := p.st.store.Mode(); {
		case online && mode != fallback.Online:
			srv.Start()
			p.awaitMode(fallback.Online)
			p.awaitMirror()
		case !online && mode == fallback.Online:
			srv.Kill()
			p.awaitMode(fallback.Offline)
		}
	}
	for _, s := range []struct {
		name   string
		online bool // at the start
		turns  int  // the link changes so often, before steps 7, 8, 9 …
		anew   bool // Redis is started anew before step 7
	}{
		{"online", true, 0, false},
		{"online, then started anew", true, 0, true},
		{"online, then gone", true, 1, false},
		{"offline", false, 0, false},
		{"offline, then back", false, 1, false},
		{"it goes and comes", true, 5, false},
	} {
		for name, it := range iterators {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				ensure(s.online)
				online := s.online
				steps := iterate(t, it, c, func(n int) {
					if n >= 7 && n < 7+s.turns {
						online = !online
						ensure(online)
					}
					if n == 7 && s.anew {
						ensure(false)
						ensure(true)
					}
				})
				require.Greater(t, steps, 7)
			})
		}
	}
}

func TestEmbeddedIterationsAreCompleteOverARestart(t *testing.T) {
	logs := &logBuffer{}
	s := testSettings(t, "", logs)
	p := startWith(t, s, logs)
	fillAll(t, p.client())
	for name, it := range iterators {
		t.Run(name, func(t *testing.T) {
			require.Greater(t, iterate(t, it, p.client(), func(int) {}), iterated/40)
		})
	}
	cursors := map[string]uint64{}
	for name, it := range iterators {
		_, next, err := it.step(context.Background(), p.client(), 0)
		require.NoError(t, err)
		require.True(t, engine.OurCursor(next), name)
		cursors[name] = next
	}
	p.stop()
	p = startWith(t, s, logs)
	for name, it := range iterators {
		found, cursor := 0, cursors[name]
		for cursor != 0 {
			page, next, err := it.step(context.Background(), p.client(), cursor)
			require.NoError(t, err)
			found, cursor = found+len(page)/it.width, next
		}
		require.GreaterOrEqual(t, found, iterated-60, "%s goes on where it was", name)
	}
}
