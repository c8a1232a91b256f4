package fallback

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An entry that was acknowledged while Redis was away is there in the end, though
// the stream has later entries than its id by then. With an id of the client's own
// Redis has to refuse it: that is a dead letter.
func TestEntriesThatRedisIsBeyond(t *testing.T) {
	r := newRig(t)
	r.redis("XADD", "m:x", "5-1", "f", "first")
	r.loaded()
	require.NoError(t, r.store.saveSnapshot())
	r.lost()
	told := bulk(r.do("XADD", "m:x", "*", "f", "a"))
	r.do("XADD", "m:x", "MAXLEN", "~", "100", "*", "f", "b")
	r.do("XADD", "m:new", "*", "f", "c")
	r.do("EVAL", "redis.call('XADD', KEYS[1], '*', 'f', 'd') return redis.call('TIME')", "1", "m:x")
	r.do("XADD", "m:own", "7-1", "f", "mine")
	require.Equal(t, 4, strings.Count(r.do("XRANGE", "m:x", "-", "+"), "$1\r\nf\r\n"))
	r.redis("XADD", "m:x", "99999999999999-0", "f", "foreign")
	r.redis("XADD", "m:own", "99999999999999-0", "f", "foreign")
	r.crash() // what is journaled is understood here, too
	require.Equal(t, 4, strings.Count(r.do("XRANGE", "m:x", "-", "+"), "$1\r\nf\r\n"))
	require.Contains(t, r.do("XRANGE", "m:x", "-", "+"), told)
	r.online()
	var values []string
	for _, e := range r.redis("XRANGE", "m:x", "-", "+").([]any) {
		values = append(values, e.([]any)[1].([]any)[1].(string))
	}
	require.Equal(t, []string{"first", "foreign", "a", "b", "d"}, values)
	require.EqualValues(t, 1, r.redis("XLEN", "m:new"))
	require.EqualValues(t, 1, r.redis("XLEN", "m:own"))
	require.Equal(t, 1, r.store.Status().DeadLetters, "an id of the client's own")
}

// Where nobody was faster, Redis has the ids that clients were told.
func TestEntriesKeepTheirIDs(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	a := bulk(r.do("XADD", "m:x", "*", "f", "a"))
	b := bulk(r.do("XADD", "m:x", "MINID", "1", "*", "f", "b"))
	r.online()
	entries := r.redis("XRANGE", "m:x", "-", "+").([]any)
	require.Len(t, entries, 2)
	for i, id := range []string{a, b} {
		require.Equal(t, id, entries[i].([]any)[0])
	}
}

func bulk(reply string) string { return strings.Split(reply, "\r\n")[1] }
