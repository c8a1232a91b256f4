package proxy

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheEmbeddedStoreAnswersAboutItself compares what is asked of a server.
func TestTheEmbeddedStoreAnswersAboutItself(t *testing.T) {
	newTwins(t).same(`
		a: SAVE
		a: BGSAVE
		a: WAIT 0 0
		a: WAIT 1 10
		a: DEBUG
		a: DEBUG SLEEP 0
		a: MODULE LOAD x
		a: MODULE LIST
		a: REPLICAOF NO ONE
		a: SLAVEOF NO ONE
		a: FAILOVER
		a: LATENCY LATEST
		a: LATENCY HISTORY none
		a: LATENCY RESET
		a: LATENCY RESET none
		a: LATENCY GRAPH command
		a: LATENCY HISTOGRAM none
		a: LATENCY HISTORY
		a: LATENCY FOO
		a: MULTI
		a: SET k v
		a: WAIT 1 0
		a: LATENCY LATEST
		a: GET k
		a: EXEC`)
}

// TestMonitorShowsWhatRedisShows compares the lines, but for times and ports.
func TestMonitorShowsWhatRedisShows(t *testing.T) {
	w := newTwins(t)
	w.same(`
		m: MONITOR
		a: SET k a"b\
		a: GET k
		a: CONFIG GET maxmemory
		a: EVAL redis.call('set',KEYS[1],'x')return(redis.call('get',KEYS[1])) 1 k
		a: MULTI
		a: INCR n
		a: PING
		a: EXEC
		a: GET
		a: NOSUCH x
		a: PUBLISH ch m
		a: PING last`)
	varies := regexp.MustCompile(`\+\d+\.\d{6} |127\.0\.0\.1:\d+`)
	for i := range 12 {
		pair := w.on("m")
		theirs := varies.ReplaceAllString(string(pair[0].read()), "")
		require.Equal(t, theirs, varies.ReplaceAllString(string(pair[1].read()), ""), "line %d", i)
		if regexp.MustCompile(`"PING" "last"`).MatchString(theirs) {
			break
		}
	}
	w.same(`
		m: RESET
		a: GET k
		m: GET k`)
}
