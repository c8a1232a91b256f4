package main

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"holdfast/scripts/internal/procs"
)

// fault breaks something, holds it for a time, and repairs it.
type fault struct {
	name string
	// gone and hung say that answers must come from the local state meanwhile:
	// at once, or after the command time-out.
	gone, hung bool
	inject     func(w *world, r *rand.Rand) error
	repair     func(w *world) error
	longest    time.Duration // of the hold; 0: injected and over
}

func restart(w *world) error { return w.redis.Start() }
func healed(w *world) error  { return w.link.Heal() }

func toxic(kind string, up, down bool, attributes func(r *rand.Rand) string) func(w *world, r *rand.Rand) error {
	return func(w *world, r *rand.Rand) error {
		a := attributes(r)
		w.logf("  %s up=%v down=%v %s", kind, up, down, a)
		if up {
			if err := w.link.Toxic(kind, true, a); err != nil {
				return err
			}
		}
		if down {
			return w.link.Toxic(kind, false, a)
		}
		return nil
	}
}

func fixed(a string) func(*rand.Rand) string { return func(*rand.Rand) string { return a } }

func limit(r *rand.Rand) string { return fmt.Sprintf(`{"bytes":%d}`, r.Intn(4000)) }

func latency(r *rand.Rand) string {
	return fmt.Sprintf(`{"latency":%d,"jitter":%d}`, 5+r.Intn(1200), r.Intn(50))
}

func sliced(r *rand.Rand) string {
	return fmt.Sprintf(`{"average_size":%d,"size_variation":2,"delay":%d}`, 3+r.Intn(60), r.Intn(300))
}

// faults is the table of everything that can go wrong but the proxy itself.
var faults = []fault{
	{name: "redis kill -9", gone: true, inject: killRedis, repair: restart, longest: 2 * time.Second},
	{name: "redis kill -9 and at once back", inject: killRedis, repair: restart},
	{name: "redis SIGTERM", gone: true, inject: func(w *world, _ *rand.Rand) error { w.redis.Shutdown(); return nil }, repair: restart, longest: time.Second},
	{name: "redis slow to load", inject: slowLoad, repair: restart},
	{name: "redis hangs", hung: true, inject: hang, repair: resume, longest: 3 * time.Second},
	{name: "redis hangs shortly", inject: hang, repair: resume, longest: 300 * time.Millisecond},
	{name: "redis hangs and the link is cut", inject: hangAndCut, repair: resume, longest: 2 * time.Second},
	{name: "redis hangs and is killed", inject: hangAndKill, repair: restart, longest: time.Second},
	{name: "redis is a replica", inject: replica("yes"), repair: (*world).healServer, longest: time.Second},
	{name: "redis is a replica without data", inject: replica("no"), repair: (*world).healServer, longest: time.Second},
	{name: "redis out of memory", inject: setting("maxmemory", "1"), repair: (*world).healServer, longest: 500 * time.Millisecond},
	{name: "redis wants replicas", inject: setting("min-replicas-to-write", "1"), repair: (*world).healServer, longest: 500 * time.Millisecond},
	{name: "redis pauses writes", inject: admin("CLIENT", "PAUSE", "1500", "WRITE"), repair: (*world).healServer, longest: 1500 * time.Millisecond},
	{name: "redis forgets scripts", inject: admin("SCRIPT", "FLUSH")},
	{name: "redis kills connections", inject: admin("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")},
	{name: "link refuses", gone: true, inject: cut, repair: healed, longest: 2 * time.Second},
	{name: "link cut and at once back", inject: cut, repair: healed},
	{name: "link flaps", inject: flap, repair: healed},
	{name: "link resets", inject: toxic("reset_peer", true, true, fixed(`{"timeout":0}`)), repair: healed, longest: time.Second},
	{name: "link half open", hung: true, inject: toxic("timeout", true, true, fixed(`{"timeout":0}`)), repair: healed, longest: 3 * time.Second},
	{name: "link half open upwards", inject: toxic("timeout", true, false, fixed(`{"timeout":0}`)), repair: healed, longest: 2 * time.Second},
	{name: "link half open downwards", inject: toxic("timeout", false, true, fixed(`{"timeout":0}`)), repair: healed, longest: 2 * time.Second},
	{name: "link loses what is sent", inject: toxic("limit_data", true, false, limit), repair: healed, longest: time.Second},
	{name: "link loses answers", inject: toxic("limit_data", false, true, limit), repair: healed, longest: time.Second},
	{name: "link slow", inject: toxic("latency", true, true, latency), repair: healed, longest: 2 * time.Second},
	{name: "link slow downwards", inject: toxic("latency", false, true, latency), repair: healed, longest: 2 * time.Second},
	{name: "link slices", inject: toxic("slicer", true, true, sliced), repair: healed, longest: 2 * time.Second},
	{name: "link narrow", inject: toxic("bandwidth", true, true, fixed(`{"rate":20}`)), repair: healed, longest: time.Second},
}

func killRedis(w *world, _ *rand.Rand) error { w.redis.Kill(); return nil }
func hang(w *world, _ *rand.Rand) error      { return w.redis.Hang() }
func resume(w *world) error {
	if err := w.redis.Resume(); err != nil {
		return err
	}
	return w.link.Heal()
}
func cut(w *world, _ *rand.Rand) error { w.link.Cut(); return nil }

// hangAndCut leaves bytes of the old connection with a server that executes
// them later, when the proxy has a new connection already.
func hangAndCut(w *world, r *rand.Rand) error {
	if err := w.redis.Hang(); err != nil {
		return err
	}
	time.Sleep(time.Duration(r.Intn(200)) * time.Millisecond)
	w.link.Cut()
	return w.link.Mend()
}

func hangAndKill(w *world, r *rand.Rand) error {
	if err := w.redis.Hang(); err != nil {
		return err
	}
	time.Sleep(time.Duration(r.Intn(1500)) * time.Millisecond)
	w.redis.Kill()
	return nil
}

func flap(w *world, r *rand.Rand) error {
	for range 2 + r.Intn(5) {
		w.link.Cut()
		time.Sleep(time.Duration(r.Intn(40)) * time.Millisecond)
		if err := w.link.Mend(); err != nil {
			return err
		}
		time.Sleep(time.Duration(r.Intn(250)) * time.Millisecond)
	}
	return nil
}

// slowLoad restarts the server such that it answers LOADING for about a second.
func slowLoad(w *world, _ *rand.Rand) error {
	w.redis.Kill()
	const sleeps, nap = 10_000, 60 * time.Microsecond // a nap of 1 µs takes that long
	records := int(w.acked.Load()) + 1
	delay := fmt.Sprint(max(1, int(time.Second/time.Microsecond)/records-int(nap/time.Microsecond)))
	if records > sleeps {
		delay = fmt.Sprint(-max(1, records/sleeps)) // one record in so many
	}
	return w.redis.Launch("--key-load-delay", delay, "--loading-process-events-interval-bytes", "1024")
}

// replica makes the server one of a master that is not there: it answers
// READONLY to writes, or MASTERDOWN to everything.
func replica(stale string) func(w *world, _ *rand.Rand) error {
	return func(w *world, r *rand.Rand) error {
		addr, err := procs.FreeAddr()
		if err != nil {
			return err
		}
		if err := setting("replica-serve-stale-data", stale)(w, r); err != nil {
			return err
		}
		host, port, _ := strings.Cut(addr, ":")
		return admin("REPLICAOF", host, port)(w, r)
	}
}

func setting(name, value string) func(w *world, _ *rand.Rand) error {
	return admin("CONFIG", "SET", name, value)
}

// admin runs a command straight on Redis.
func admin(args ...any) func(w *world, _ *rand.Rand) error {
	return func(w *world, _ *rand.Rand) error {
		return w.direct.Do(context.Background(), args...).Err()
	}
}

// healServer undoes whatever was set.
func (w *world) healServer() error {
	for _, cmd := range [][]any{
		{"REPLICAOF", "NO", "ONE"}, {"CONFIG", "SET", "replica-serve-stale-data", "yes"},
		{"CONFIG", "SET", "maxmemory", "0"}, {"CONFIG", "SET", "min-replicas-to-write", "0"}, {"CLIENT", "UNPAUSE"},
	} {
		if err := admin(cmd...)(w, nil); err != nil {
			return err
		}
	}
	return nil
}
