package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	"holdfast/scripts/internal/clients"
)

// foreigner is another program with a connection of its own to Redis. It raises
// counters that the clients of the proxy raise, too: what is queued meanwhile
// must be added to that, not put in its place.
type foreigner struct {
	w    *world
	rand *rand.Rand
	own  map[string]*counter // its part of shared counters
}

func newForeigner(w *world) *foreigner {
	return &foreigner{w: w, rand: rand.New(rand.NewSource(w.cfg.seed + 2)), own: map[string]*counter{}}
}

func (f *foreigner) run(ctx context.Context) {
	c := clients.Raw(clients.Config{Addr: f.w.redis.Addr(), Proto: 2})
	defer c.Close()
	for ctx.Err() == nil {
		n := &counter{key: sharedKey(0), kind: "string"}
		if f.rand.Intn(2) == 0 {
			n = sharedField()
		}
		if f.own[n.key] == nil {
			f.own[n.key] = n
		}
		n = f.own[n.key]
		replies, err := c.Do([][]string{n.raise(1)})
		switch {
		case err != nil:
			n.settle(unknown, 1)
		case replies[0].Err == "":
			n.settle(acked, 1)
		}
		sleep(ctx, time.Duration(5+f.rand.Intn(150))*time.Millisecond)
	}
}

func sharedKey(db int) string { return fmt.Sprintf("%sshared:count%d", prefix, db) }

func sharedField() *counter {
	return &counter{key: prefix + "shared:counts", field: "f", kind: "hash"}
}
