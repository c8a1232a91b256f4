package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/resp"
)

// Guessing passwords is counted, logged and slow; a right one is not slowed down.
func TestFailedLogins(t *testing.T) {
	p := startProxy(t, "", func(s *proxySettings) { s.password = "s3cret" })
	nc, err := net.Dial("tcp", p.addr())
	require.NoError(t, err)
	defer nc.Close()
	rd := resp.NewReader(nc)
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	start := time.Now()
	for i := range 9 {
		cmd := resp.AppendCommandStrings(nil, "AUTH", "guess")
		if i%2 == 1 {
			cmd = resp.AppendCommandStrings(nil, "HELLO", "3", "AUTH", "typed-s3cret", "guess")
		}
		_, err = nc.Write(cmd)
		require.NoError(t, err)
		v, err := rd.ReadReply(nil)
		require.NoError(t, err)
		require.ErrorContains(t, v.Err(), "WRONGPASS")
	}
	assert.Greater(t, time.Since(start), 600*time.Millisecond, "0, 10, 20, 40 … 500 ms")
	start = time.Now()
	c := p.client(func(o *redis.Options) { o.Password = "s3cret" })
	require.NoError(t, c.Ping(bg).Err())
	assert.Less(t, time.Since(start), 400*time.Millisecond)
	assert.EqualValues(t, 9, p.st.server.Status().AuthFailures)
	assert.Equal(t, 1, strings.Count(p.logs.String(), "login refused"))
	assert.Contains(t, p.logs.String(), "from=127.0.0.1")
	assert.NotContains(t, p.logs.String(), "guess")
	assert.NotContains(t, p.logs.String(), "s3cret")
	defer http.DefaultClient.CloseIdleConnections()
	body := talkHTTP(t, "http://"+p.st.admin.Addr().String()+"/metrics")
	assert.Contains(t, body, "holdfast_auth_failures_total 9")
}

// talkHTTP gives the body of a page.
func talkHTTP(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}
