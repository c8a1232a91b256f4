package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Sentinel runs a Redis Sentinel that watches master under the name "mymaster",
// alone able to decide on a failover, and returns its host:port. down is how
// long the master may be silent, in milliseconds. It is killed when the test ends.
func Sentinel(t testing.TB, master *Server, down int) string {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatalf("start sentinel: %v", err)
	}
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor mymaster %s %s 1\nsentinel down-after-milliseconds mymaster %d\nsentinel failover-timeout mymaster 10000\n", host, port, down)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatalf("start sentinel: %v", err)
	}
	s := &Server{t: t, port: FreePort(t), dir: filepath.Dir(conf), sentinel: conf}
	t.Cleanup(s.Kill)
	s.Start()
	return s.Addr()
}
