package fallback

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestScriptsThatAskTheServer: the text tells, and a field that is called time is none.
func TestScriptsThatAskTheServer(t *testing.T) {
	for script, asks := range map[string]bool{
		"return redis.call('TIME')": true, `redis.pcall( "time" )`: true, "server.call('spop', KEYS[1])": true, "redis.call'TIME'": true,
		"math.random()": true, "redis.call('HSET', KEYS[1], 'time', 1)": false, "return redis.call('INCR', KEYS[1])": false,
	} {
		assert.Equal(t, asks, asksOther.MatchString(script), script)
	}
}
