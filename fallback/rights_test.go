package fallback

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A Redis user that may only read is enough where nothing is ever queued.
func TestReadingUserGoesOnlineUnderReadOnly(t *testing.T) {
	for _, policy := range []Policy{ReadOnly, Refuse} {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Policy = policy })
			r.redis("SET", "m:k", "1")
			r.redis("ACL", "SETUSER", "default", "resetkeys", "%R~m:*", "-@write", "-multi")
			require.ErrorContains(t, r.connect(), "MULTI", "the mirror could not read a single key")
			r.redis("ACL", "SETUSER", "default", "+multi")
			r.loaded()
			r.lost()
			if policy == ReadOnly {
				require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:k"))
			}
		})
	}
}

// Where writes are queued the fence is needed, and the error says what to allow.
func TestUserWithoutTheFence(t *testing.T) {
	r := newRig(t)
	r.redis("ACL", "SETUSER", "default", "resetkeys", "~m:*")
	require.ErrorContains(t, r.connect(), "~{holdfast}:*")
	require.Equal(t, Offline, r.store.Mode())
	r.redis("ACL", "SETUSER", "default", "~{holdfast}:*")
	r.online()
}

// What was queued under another policy is not forgotten.
func TestQueuedWritesWaitForTheFenceUnderReadOnly(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "m:k", "1"))
	r.crash()
	r.close()
	r.cfg.Policy = ReadOnly
	r.open()
	r.redis("ACL", "SETUSER", "default", "resetkeys", "~m:*")
	require.ErrorContains(t, r.connect(), "~{holdfast}:*")
	r.redis("ACL", "SETUSER", "default", "~{holdfast}:*")
	r.online()
	require.Equal(t, "1", r.redis("GET", "m:k"))
}
