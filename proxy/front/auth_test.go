package front

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/redcon"
)

var authedConns sync.Map // net.Conn → struct{}

// authedAfterAuth says yes for the connections forwardAuth saw authenticate.
func authedAfterAuth(t testing.TB) func(net.Conn) bool {
	t.Cleanup(authedConns.Clear)
	return func(c net.Conn) bool { _, ok := authedConns.Load(c); return ok }
}

func forwardAuth(next func(redcon.Conn, redcon.Command)) func(redcon.Conn, redcon.Command) {
	return func(conn redcon.Conn, cmd redcon.Command) {
		if len(cmd.Args) == 2 && strings.EqualFold(string(cmd.Args[0]), "auth") && string(cmd.Args[1]) == "pw" {
			authedConns.Store(conn.NetConn(), struct{}{})
		}
		next(conn, cmd)
	}
}
