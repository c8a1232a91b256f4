package main

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
