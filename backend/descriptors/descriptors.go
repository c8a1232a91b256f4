// Package descriptors keeps a reserve of file descriptors. A process that has none left
// can neither begin a journal segment nor dial Redis, so what comes from outside, clients
// and the connections made for one client each, gets no descriptor of the reserve.
//
// The kernel gives the lowest number that is free. A new descriptor whose number lies in
// the reserve therefore says that all below it are in use: nothing has to be counted.
package descriptors

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
)

// ErrScarce says that a connection would have taken a descriptor of the reserve.
var ErrScarce = errors.New("the file descriptors of this process are used up: raise its limit (ulimit -n), or lower --maxclients")

// Own is how many descriptors a process should have beside one for each client.
const Own = 2 * most

// Bounds of the reserve. What is not a client's needs about thirty: listeners, journal,
// the connections to Redis that all share, and files that are written anew.
const (
	most  = 64
	least = 48 // with fewer at all, nothing works
)

// Limit is how many descriptors this process may have. The Go runtime raises the soft
// limit to the hard one at the start.
func Limit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(l.Cur)
}

// reserve is how many are kept back of a limit.
func reserve(limit int) int { return min(most, limit/4) }

// Clients is how many of the clients that are wanted have descriptors, beside what the
// process needs itself: fewer than wanted where the limit is too low. It is an error if
// the limit leaves nothing to work with.
func Clients(wanted int) (int, error) {
	limit := Limit()
	if limit < least {
		return 0, fmt.Errorf("the limit of file descriptors is %d, and %d are needed at the least: raise it (ulimit -n %d)", limit, least, wanted+Own)
	}
	return min(wanted, limit-2*reserve(limit)), nil
}

// Scarce reports whether a client's new connection has a descriptor of the reserve, and
// has to be closed.
func Scarce(c net.Conn) bool {
	limit := Limit()
	return beyond(c, limit-reserve(limit))
}

// Check is Scarce for a connection to Redis that serves one client: of the reserve it may
// have a half, for a client that is connected already. The error matches ErrScarce.
func Check(c net.Conn) error {
	limit := Limit()
	if beyond(c, limit-reserve(limit)/2) {
		return ErrScarce
	}
	return nil
}

func beyond(c net.Conn, number int) bool {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	_ = raw.Control(func(fd uintptr) { found = int(fd) >= number })
	return found
}

// Listener wraps one of HTTP: a connection that has a descriptor of the reserve is closed.
func Listener(ln net.Listener) net.Listener { return guarded{ln} }

type guarded struct{ net.Listener }

func (g guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || !Scarce(c) {
			return c, err
		}
		_ = c.Close()
	}
}
