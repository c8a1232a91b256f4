package main

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"time"
)

// injectFaults makes the link fast, slow, silent or gone, one after the other.
func (j *judge) injectFaults(ctx context.Context, r *rand.Rand) {
	for {
		sleep(ctx, time.Duration(300+r.Intn(1200))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		j.faults.Add(1)
		name, err := j.oneFault(ctx, r)
		if err == nil {
			err = j.link.Heal()
		}
		j.logf("healed: %s", name)
		if err != nil {
			j.violate("the judge cannot do %s: %v", name, err)
			return
		}
		if r.Intn(3) > 0 && !j.awaitOnline(ctx) {
			j.violate("not online %v after %s was healed", onlineWithin, name)
		}
	}
}

func (j *judge) oneFault(ctx context.Context, r *rand.Rand) (name string, err error) {
	hold := time.Duration(50+r.Intn(1500)) * time.Millisecond
	toxic := func(what, kind string, up, down bool, attributes string) {
		name = what
		j.logf("fault: %s %s, for %v", name, attributes, hold)
		if up {
			err = j.link.Toxic(kind, true, attributes)
		}
		if down && err == nil {
			err = j.link.Toxic(kind, false, attributes)
		}
	}
	switch r.Intn(10) {
	case 0:
		name = "cut"
		j.logf("fault: cut, for %v", hold)
		j.link.Cut()
	case 1:
		name = "cut and at once back"
		j.logf("fault: %s", name)
		j.link.Cut()
		return name, nil
	case 2:
		toxic("slow", "latency", true, true, fmt.Sprintf(`{"latency":%d,"jitter":%d}`, 1+r.Intn(300), r.Intn(20)))
	case 3:
		toxic("slow pushes", "latency", false, true, fmt.Sprintf(`{"latency":%d,"jitter":%d}`, 1+r.Intn(700), r.Intn(100)))
	case 4:
		toxic("slices", "slicer", true, true, fmt.Sprintf(`{"average_size":%d,"size_variation":2,"delay":%d}`, 3+r.Intn(40), r.Intn(200)))
	case 5:
		hold += time.Second // so that the bound is met
		toxic("half open", "timeout", true, true, `{"timeout":0}`)
	case 6:
		hold += time.Second
		toxic("half open downwards", "timeout", false, true, `{"timeout":0}`)
	case 7:
		toxic("answers lost", "limit_data", false, true, fmt.Sprintf(`{"bytes":%d}`, r.Intn(3000)))
	case 8: // pushes and replies, on connections of their own, overtake each other
		ms := 1 + r.Intn(50)
		toxic("uneven", "latency", false, true, fmt.Sprintf(`{"latency":%d,"jitter":%d}`, ms, ms))
	case 9:
		name = "one connection killed"
		return name, j.killOne(ctx, r)
	}
	sleep(ctx, hold)
	return name, err
}

// killOne closes one of the proxy's connections at Redis: the one with the
// invalidations, or one with commands.
func (j *judge) killOne(ctx context.Context, r *rand.Rand) error {
	list, err := j.direct.ClientList(ctx).Result()
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	var ids []string
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		if strings.Contains(line, "holdfast") {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	id := ids[r.Intn(len(ids))]
	j.logf("fault: connection %s of %d killed", id, len(ids))
	return ignoreEnd(ctx, j.direct.Do(ctx, "CLIENT", "KILL", "ID", id).Err())
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
