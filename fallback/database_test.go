package fallback

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/deadletter"
)

// A Redis with fewer databases took over: what was written to one that it lacks
// is filed, and must not land in another one.
func TestWritesToADatabaseThatRedisLacks(t *testing.T) {
	set := Request{DB: 5, Proto: 2, Commands: [][][]byte{words("SET", "k", "of database 5")}}
	for name, open := range map[string]func(srv *redistest.Server) *rig{
		"of an outage": func(srv *redistest.Server) *rig {
			r := newRigOn(t, srv)
			r.do("SET", "before", "1")
			r.request(set)
			r.request(Request{DB: 1, Proto: 2, Commands: set.Commands})
			r.do("SET", "behind", "1")
			return r
		},
		"of an embedded store": func(srv *redistest.Server) *rig {
			r := newRigOn(t, srv, embedded)
			r.do("MSET", "before", "1", "behind", "1")
			r.request(set)
			r.request(Request{DB: 1, Proto: 2, Commands: set.Commands})
			r.close()
			r.cfg.Embedded, r.cfg.NewClient = false, newRigClient(r)
			r.open()
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t, "--databases", "2")
			r := open(srv)
			r.redis("SET", "k", "of database 0")
			r.loaded() // the mirror, too, does without
			require.Equal(t, []any{"of database 0", "1", "1"}, r.redis("MGET", "k", "before", "behind"))
			letters, err := deadletter.Read(r.dir)
			require.NoError(t, err)
			require.Len(t, letters, 1)
			require.Equal(t, 5, letters[0].DB)
			require.Equal(t, "redis has no database 5", letters[0].Reason)
			require.EqualValues(t, 3+1, r.redis("DBSIZE"), "and the fence")
			require.Zero(t, r.store.Status().QueuedWrites)
		})
	}
}
