package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFailedLoginsSlowTheirAddressDown(t *testing.T) {
	l, now := &logins{}, time.Unix(1000, 0)
	const most = 500 * time.Millisecond
	var waits []time.Duration
	warned := 0
	for range 10 {
		wait, _, warn := l.failed("10.0.0.1", now, most)
		waits = append(waits, wait/time.Millisecond)
		if warn {
			warned++
		}
	}
	require.Equal(t, []time.Duration{0, 10, 20, 40, 80, 160, 320, 500, 500, 500}, waits)
	require.Equal(t, 1, warned)
	wait, _, warn := l.failed("10.0.0.2", now, most)
	require.Zero(t, wait, "another address")
	require.True(t, warn)
	for range 1000 {
		wait, _, _ = l.failed("10.0.0.1", now, most)
	}
	require.Equal(t, most, wait, "it does not overflow")
	now = now.Add(2 * time.Minute)
	wait, others, warn := l.failed("10.0.0.1", now, most)
	require.Zero(t, wait, "it has been quiet")
	require.True(t, warn)
	require.Equal(t, 1010, others, "since the last warning, this one included")
	require.EqualValues(t, 1012, l.total.Load())
	for i := range 5000 {
		l.failed(fmt.Sprint("host-", i), now, most)
	}
	require.LessOrEqual(t, len(l.failing), maxFailing+1)
}

func TestOriginOfAnAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"10.1.2.3:80": "10.1.2.3", "[::ffff:10.1.2.3]:80": "10.1.2.3", "[::1]:80": "::1", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "@": "@", "": "", "/run/x.sock": "/run/x.sock",
	} {
		require.Equal(t, want, originOf(addr), addr)
	}
}
