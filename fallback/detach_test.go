package fallback

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
)

// A start with a forgotten --redis-url must not turn the copy of a Redis into a
// database, which the next start would bring, stale, over that Redis.
func TestACopyIsNotOpenedEmbedded(t *testing.T) {
	for name, begin := range map[string]func(r *rig){
		"that has seen Redis":       func(r *rig) { r.loaded(); r.lost(); r.do("SET", "m:k", "queued") },
		"that has never seen Redis": func(r *rig) { r.do("SET", "m:k", "queued") },
		"that is only a copy":       func(r *rig) { r.loaded() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.redis("SET", "m:k", "there")
			begin(r)
			with := r.cfg
			for _, end := range []func(){r.close, r.crash} {
				end()
				r.close()
				r.cfg.Dir = r.dir
				r.cfg.Embedded, r.cfg.NewClient = true, nil
				_, err := Open(r.cfg)
				require.ErrorIs(t, err, ErrServedRedis)
				for _, text := range []string{r.dir, "--redis-url", "--data-dir", "--detach"} {
					require.ErrorContains(t, err, text)
				}
				r.cfg = with
				r.open()
			}
			queued := r.store.Status().QueuedWrites
			r.online()
			if queued > 0 {
				require.Equal(t, "queued", r.redis("GET", "m:k"))
			}
		})
	}
}

func TestDetach(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:n", "1")
	r.loaded()
	r.lost()
	r.do("INCR", "m:n")
	r.close()
	r.cfg.Embedded, r.cfg.NewClient, r.cfg.Detach = true, nil, true
	r.open()
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "m:n"), "the queued write is part of the state")
	require.Equal(t, datadir.Checkpoint{Stream: r.store.StreamID()}, r.store.mark())
	r.crash()
	r.close()
	var logs bytes.Buffer
	r.cfg.Detach, r.cfg.Logger = false, slog.New(slog.NewTextHandler(&logs, nil))
	r.open() // for good
	require.Equal(t, ":3\r\n", r.do("INCR", "m:n"))
	require.Equal(t, "1", r.redis("GET", "m:n"), "and Redis is left alone")
	require.Zero(t, strings.Count(logs.String(), "detached"), "said when it is done, not at every start")

	require.NoError(t, r.store.saveSnapshot())
	r.close()
	require.NoError(t, os.Remove(datadir.Snapshot(r.dir)))
	for range 2 {
		_, err := Open(r.cfg)
		require.ErrorContains(t, err, "put both back", "its snapshot is the database now")
		r.cfg.Detach = true
	}
}

// A crash between the two steps leaves an embedded store with the mark of a Redis.
func TestDetachIsFinishedAfterACrash(t *testing.T) {
	r := newRig(t)
	r.do("SET", "m:k", "v")
	mark := r.store.mark()
	r.close()
	r.cfg.Embedded, r.cfg.NewClient, r.cfg.Detach = true, nil, true
	r.open()
	require.NoError(t, r.store.changeMark(func(m *datadir.Checkpoint) { *m = mark }))
	r.cfg.Detach = false
	r.crash()
	require.Equal(t, "$1\r\nv\r\n", r.do("GET", "m:k"))
	require.Equal(t, datadir.Checkpoint{Stream: r.store.StreamID()}, r.store.mark())
}
