package descriptors

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A connection tells by its number whether all below are in use.
func TestANumberOfTheReserveIsScarce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.False(t, Scarce(c))
	require.NoError(t, Check(c))
	require.True(t, beyond(c, 3))
	require.False(t, beyond(c, Limit()))
	a, b := net.Pipe() // has none
	defer a.Close()
	defer b.Close()
	require.False(t, beyond(a, 0))
}

func TestReserve(t *testing.T) {
	require.Equal(t, 64, reserve(1024))
	require.Equal(t, 12, reserve(48))
	n, err := Clients(10)
	require.NoError(t, err)
	require.Equal(t, 10, n)
}
