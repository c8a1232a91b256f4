package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	collectorPeriod = time.Second
	minScanned      = 16 << 20 // bytes; below it, collections would be too frequent
	minPercent      = 10
)

// paceCollector keeps the cached replies from earning the heap room to grow. By
// default the collector lets the heap double before it runs again, so that a
// full cache would take twice its bytes. But cached replies are not looked into,
// they make no collection dearer: with the room that the rest of the heap alone
// would get, collections are as frequent and as dear as without a cache. GOGC in
// the environment switches this off.
func (st *stack) paceCollector(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	now := 100
	before := debug.SetGCPercent(now)
	defer func() { debug.SetGCPercent(before) }()
	tick := time.NewTicker(collectorPeriod)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(live)
		p := collectorPercent(int64(live[0].Value.Uint64()), st.server.Cache().Flat)
		if p > now+now/10 || p < now-now/10 { // each change stops the world for a moment
			now = p
			debug.SetGCPercent(now)
		}
	}
}

// collectorPercent is the GOGC that gives a heap with live bytes, of which flat
// ones are not scanned, the room that the scanned ones would get by themselves.
func collectorPercent(live, flat int64) int {
	scanned := max(live-flat, minScanned)
	return max(int(100*scanned/(scanned+flat)), minPercent)
}
