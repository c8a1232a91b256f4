package fallback

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/datadir"
)

// kept are the files beside the snapshot, once the last load is over.
func (r *rig) kept() (found []string) {
	r.t.Helper()
	r.awaitLoad()
	r.stop() // no snapshot is being written
	r.stop = nil
	found, err := filepath.Glob(filepath.Join(r.dir, "snapshot.*"))
	require.NoError(r.t, err)
	return found
}

// logged makes the store log its warnings into a buffer, which may be read while
// the mirror does not run.
func logged(logs *bytes.Buffer) func(*Config) {
	return func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
}

// clockOf goes by a time that a test moves.
func clockOf(at *atomic.Int64) func(*Config) {
	return func(c *Config) { c.goBy(func() time.Time { return time.Unix(at.Load(), 0) }) }
}

// reconnects goes online with another process of the server and loads.
func (r *rig) reconnects(run string) {
	r.t.Helper()
	if r.stop == nil {
		r.run()
	}
	srv := Server{RunID: run}
	if r.cfg.Now != nil {
		srv.Time = r.cfg.Now()
	}
	require.NoError(r.t, r.store.Connected(r.t.Context(), srv))
	r.awaitLoad()
	r.settle()
}

// awaitLoad waits until a load has looked for what vanished.
func (r *rig) awaitLoad() {
	r.t.Helper()
	m := r.store.mirror
	redistest.Eventually(r.t, bound, "the load is over", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return !m.flush && !m.vanished.suspected
	})
}

func TestMirrorOfARedisThatCameBackEmptyIsKept(t *testing.T) {
	var logs bytes.Buffer
	var at atomic.Int64
	at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix())
	r := newRig(t, logged(&logs), clockOf(&at))
	for i := range 10 {
		r.redis("SET", fmt.Sprint("m:", i), i)
	}
	r.redis("HSET", "m:h", "f", "v")
	r.loaded()
	r.lost()
	r.redis("FLUSHALL")
	r.redis("SET", "m:h", "made up by an application that found nothing")
	r.reconnects("another")
	path := filepath.Join(r.dir, "snapshot.before-20260102T030405Z")
	require.Equal(t, []string{path}, r.kept())
	require.Equal(t, 1, strings.Count(logs.String(), "level=WARN"), logs.String())
	require.Contains(t, logs.String(), "vanished=10 of=11")
	require.Contains(t, logs.String(), path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	copied, err := os.ReadFile(path)
	require.NoError(t, err)
	r.lost()
	require.Equal(t, "$-1\r\n", r.do("GET", "m:1"), "what Redis has counts")

	// It happens again: the newest is kept, the other one not.
	at.Add(3600)
	r.redis("FLUSHALL")
	r.reconnects("another") // its fence is gone, too
	require.Equal(t, []string{filepath.Join(r.dir, "snapshot.before-20260102T040405Z")}, r.kept())
	r.close()

	// A copy is looked at as a database, and given to a Redis by pointing it there.
	c := &rig{t: t, srv: r.srv, cfg: r.cfg, wire: r.wire, direct: r.direct, dir: filepath.Join(t.TempDir(), "copy")}
	defer c.close()
	require.NoError(t, os.Mkdir(c.dir, 0o700))
	require.NoError(t, os.WriteFile(datadir.Snapshot(c.dir), copied, 0o600))
	c.cfg.Embedded, c.cfg.Detach = true, true
	c.open()
	require.Equal(t, "$1\r\n9\r\n", c.do("GET", "m:9"))
	require.Equal(t, "$1\r\nv\r\n", c.do("HGET", "m:h", "f"), "not what was made up since")
	c.close()
	c.cfg.Embedded, c.cfg.Detach = false, false
	c.open()
	c.online()
	require.Equal(t, "9", r.redis("GET", "m:9"))
	require.Equal(t, "v", r.redis("HGET", "m:h", "f"))
}

func TestNothingIsKeptWhereNothingVanished(t *testing.T) {
	var logs bytes.Buffer
	var at atomic.Int64
	at.Store(time.Now().Unix())
	r := newRig(t, logged(&logs), clockOf(&at))
	for i := range 4 {
		r.redis("SET", fmt.Sprint("m:", i), i)
		r.redis("SET", fmt.Sprint("m:old", i), i, "EX", 100)
	}
	r.loaded()
	// Half of what is left, and what expired meanwhile, does not count.
	r.lost()
	at.Add(3600)
	r.redis("DEL", "m:0", "m:1", "m:old0", "m:old1", "m:old2", "m:old3")
	r.reconnects("another")
	require.Empty(t, r.kept())
	// The same process with its fence: somebody deleted them.
	r.lost()
	r.redis("DEL", "m:2", "m:3")
	r.reconnects("another")
	require.Empty(t, r.kept())
	require.Empty(t, logs.String())
}

// A load that the link broke off is tried again: what was put aside before it
// counts, for by then the state is mixed.
func TestWhatWasPutAsideSurvivesALoadThatBreaksOff(t *testing.T) {
	var logs bytes.Buffer
	r := newRig(t, logged(&logs))
	r.redis("SET", "m:a", "1")
	r.redis("SET", "m:b", "1")
	r.loaded()
	r.lost()
	r.redis("FLUSHALL")
	m := r.store.mirror
	m.suspect(true)
	m.beforeLoad()
	require.Equal(t, 2, m.vanished.had)
	require.FileExists(t, datadir.SnapshotAside(r.dir))
	r.redis("SET", "m:c", "1")
	r.reconnects("run")
	files := r.kept()
	require.Contains(t, logs.String(), "vanished=2 of=2")
	require.Contains(t, strings.Join(files, " "), keptSnapshot)
}
