package hostguard

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	g := &Guard{Hosts: []string{"Redis.Internal"}, Flag: "--admin-hosts"}
	for _, x := range []struct {
		host, origin, site, mode, dest string
		want                           int
	}{
		{host: "127.0.0.1:9380"}, {host: "localhost:9380"}, {host: "LOCALHOST"}, {host: "localhost.:9380"}, {host: "[::1]:9380"}, {host: "[::1]"},
		{host: "10.1.2.3:9380"}, {host: ""}, {host: "redis.internal:9380"}, {host: "redis.internal."},
		{host: "evil.example:9380", want: 421}, {host: "localhost.evil.example", want: 421}, {host: "127.0.0.1.evil.example", want: 421},
		{host: "xredis.internal", want: 421}, {host: "evil.example@127.0.0.1", want: 421}, {host: "0x7f.1", want: 421},
		{host: "127.0.0.1:9380", origin: "http://127.0.0.1:9380"}, {host: "127.0.0.1", origin: "http://localhost:3000"}, {host: "127.0.0.1", origin: "https://redis.internal"},
		{host: "127.0.0.1:9380", origin: "http://evil.example", want: 403}, {host: "127.0.0.1:9380", origin: "null", want: 403},
		{host: "127.0.0.1:9380", origin: "file://", want: 403}, {host: "127.0.0.1:9380", origin: "http://%zz", want: 403},
		{host: "127.0.0.1:9380", site: "cross-site", mode: "no-cors", dest: "image", want: 403}, {host: "127.0.0.1:9380", site: "cross-site", mode: "navigate", dest: "iframe", want: 403},
		{host: "127.0.0.1:9380", site: "cross-site", mode: "navigate", dest: "document"}, {host: "127.0.0.1:9380", site: "same-origin"}, {host: "127.0.0.1:9380", site: "none"},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://placeholder/status", nil)
		r.Host = x.host
		for name, value := range map[string]string{"Origin": x.origin, "Sec-Fetch-Site": x.site, "Sec-Fetch-Mode": x.mode, "Sec-Fetch-Dest": x.dest} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		refusal := g.Check(r)
		if x.want == 0 {
			require.Nil(t, refusal, "%+v", x)
			continue
		}
		require.NotNil(t, refusal, "%+v", x)
		require.Equal(t, x.want, refusal.Status, "%+v", x)
		if x.site == "" {
			require.Contains(t, refusal.Text, "--admin-hosts")
		}
	}
}
