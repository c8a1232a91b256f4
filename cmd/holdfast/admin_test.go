package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// Whoever can reach the admin address from elsewhere needs the proxy's password,
// and gets no profiles; on loopback nothing is asked.
func TestAdminBeyondLoopbackWantsThePassword(t *testing.T) {
	get := func(addr, path, user, password string) int {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		if password != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = res.Body.Close()
		return res.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	users := map[string]string{"bob": "bobs"}
	p := startProxy(t, "", func(s *proxySettings) { s.admin, s.password, s.users = "0.0.0.0:0", "s3cret", users })
	_, port, err := net.SplitHostPort(p.st.admin.Addr().String())
	require.NoError(t, err)
	addr := "127.0.0.1:" + port
	for _, path := range []string{"/", "/status", "/metrics", "/healthz", "/readyz"} {
		assert.Equal(t, 401, get(addr, path, "", ""), path)
		assert.Equal(t, 401, get(addr, path, "any", "wrong"), path)
		assert.Equal(t, 401, get(addr, path, "alice", "bobs"), path)
		assert.Equal(t, 200, get(addr, path, "any", "s3cret"), path)
		assert.Equal(t, 200, get(addr, path, "bob", "bobs"), path)
	}
	assert.Equal(t, 404, get(addr, "/debug/pprof/", "any", "s3cret"))
	tool(t, 1, "status", "--admin", addr)
	t.Setenv("HOLDFAST_REQUIREPASS", "s3cret")
	assert.Contains(t, tool(t, 0, "status", "--admin", addr), "served from")

	only := startProxy(t, "", func(s *proxySettings) { s.admin, s.users = "0.0.0.0:0", users })
	_, port, err = net.SplitHostPort(only.st.admin.Addr().String())
	require.NoError(t, err)
	assert.Equal(t, 401, get("127.0.0.1:"+port, "/status", "default", ""))
	assert.Equal(t, 401, get("127.0.0.1:"+port, "/status", "default", "x"))
	assert.Equal(t, 200, get("127.0.0.1:"+port, "/status", "bob", "bobs"))

	local := startProxy(t, "", func(s *proxySettings) { s.password = "s3cret" }).st.admin.Addr().String()
	assert.Equal(t, 200, get(local, "/status", "", ""))
	assert.Equal(t, 200, get(local, "/debug/pprof/", "", ""))
}

// Who is called at night sees how long the writes have been waiting.
func TestStatusTellsTheAgeOfTheOldestQueuedWrite(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	admin := p.st.admin.Addr().String()
	defer http.DefaultClient.CloseIdleConnections()
	age := func() float64 {
		res, err := http.Get("http://" + admin + "/metrics")
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		_, rest, found := strings.Cut(string(text), "\nholdfast_journal_oldest_write_age_seconds ")
		require.True(t, found)
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseFloat(line, 64)
		require.NoError(t, err)
		return n
	}
	assert.Zero(t, age())
	assert.NotContains(t, tool(t, 0, "status", "--admin", admin), "oldest")
	p.awaitMirror()
	srv.Kill()
	c := p.client()
	redistest.Eventually(t, 20*time.Second, "a write is queued", func() bool {
		return c.Incr(context.Background(), "aiclient:n").Err() == nil && p.st.store.Status().QueuedWrites > 0
	})
	assert.Positive(t, age())
	assert.Regexp(t, `queued writes +\d+, the oldest since \d{4}-.*\)`, tool(t, 0, "status", "--admin", admin))
}
