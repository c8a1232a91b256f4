package front

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"
)

// script is a net.Conn whose reads are given chunks and whose writes are kept.
type script struct {
	net.Conn
	chunks [][]byte
	wrote  bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	for len(s.chunks) > 0 && len(s.chunks[0]) == 0 {
		s.chunks = s.chunks[1:]
	}
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.chunks[0])
	s.chunks[0] = s.chunks[0][n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) { return s.wrote.Write(b) }
func (s *script) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (s *script) Close() error                { return nil }

// commands reads a stream through the guard and redcon's reader: the commands,
// each as raw bytes, and what the guard answered.
func commands(t testing.TB, limits Limits, chunks ...[]byte) (cmds []string, answer string, c *Conn, rd *redcon.Reader) {
	l, err := newListener(Config{Limits: limits})
	require.NoError(t, err)
	s := &script{chunks: chunks}
	c = newConn(s, l)
	rd = redcon.NewReader(c)
	for {
		batch, err := rd.ReadCommands()
		for _, cmd := range batch {
			for _, cmd := range Resolve(nil, c, cmd) {
				require.True(t, bytes.Equal(cmd.Raw, appendArray(nil, cmd.Args)), "arguments are those of the raw bytes")
				cmds = append(cmds, string(cmd.Raw))
			}
		}
		if err != nil {
			require.Equal(t, io.EOF, err)
			return cmds, s.wrote.String(), c, rd
		}
	}
}

// split cuts b at sizes given by cuts, over and over.
func split(b, cuts []byte) (chunks [][]byte) {
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		chunks, b = append(chunks, bytes.Clone(b[:n])), b[n:]
	}
	return chunks
}

var smallLimits = Limits{MaxBulk: 1 << 16, MaxArgs: 100, MaxInline: 300, QueryBuffer: 1 << 17}

// FuzzAnyChunking: however a stream is cut, the commands and the answer are the same.
func FuzzAnyChunking(f *testing.F) {
	for _, s := range streams {
		if len(s) < 3000 {
			f.Add([]byte(s), []byte{0}, false)
			f.Add([]byte(s), []byte{255, 3, 17, 90}, true)
		}
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, limited bool) {
		var limits Limits
		if limited {
			limits = smallLimits
		}
		want, answer, c, _ := commands(t, limits, bytes.Clone(stream))
		got, again, _, _ := commands(t, limits, split(stream, cuts)...)
		require.Equal(t, want, got)
		require.Equal(t, answer, again)
		require.LessOrEqual(t, cap(c.in), 2*growth*len(stream)+chunkSize, "buffer grew beyond what came")
	})
}

func TestRedconsBufferDoesNotGrow(t *testing.T) {
	var s strings.Builder
	for n := range 1500 {
		s.WriteString(command("SET", fmt.Sprint("key", n), strings.Repeat("v", n*37%5000)))
	}
	_, _, c, rd := commands(t, Limits{}, split([]byte(s.String()), []byte{40, 250, 99, 0, 180})...)
	require.Equal(t, maxSmall, reflect.ValueOf(rd).Elem().FieldByName("buf").Len())
	require.LessOrEqual(t, cap(c.in), maxIdleBuffer)
	require.Empty(t, c.big)
}

func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	_, answer, c, _ := commands(t, Limits{}, []byte("*2\r\n$4\r\nECHO\r\n$536870912\r\nabc"))
	require.Empty(t, answer)
	require.LessOrEqual(t, cap(c.in), maxIdleBuffer)
	_, _, c, _ = commands(t, Limits{}, []byte("*1048576\r\n$1\r\na\r\n"))
	require.LessOrEqual(t, cap(c.in), maxIdleBuffer)
}

func TestQueryBufferLimitClosesWithoutAWord(t *testing.T) {
	limits := Limits{QueryBuffer: 10_000}
	cmds, answer, _, _ := commands(t, limits, []byte(command("PING")+command("A", strings.Repeat("x", 5000), strings.Repeat("x", 5000))))
	require.Equal(t, []string{command("PING")}, cmds)
	require.Empty(t, answer)
}

func TestStandInCannotBeForged(t *testing.T) {
	l, err := newListener(Config{})
	require.NoError(t, err)
	c := newConn(&script{}, l)
	cmds := stoodIn{l.standIn, 1}.split(nil)
	require.Equal(t, cmds, Resolve(nil, c, cmds[0]), "nothing is held for it")
	other, err := newListener(Config{})
	require.NoError(t, err)
	require.NotEqual(t, l.token, other.token)
}

func TestBlankLinesDoNotReachRedcon(t *testing.T) {
	// redcon recurses once for each read without a command.
	l, err := newListener(Config{})
	require.NoError(t, err)
	s := &script{}
	for range 20_000 {
		s.chunks = append(s.chunks, []byte("\r\n"), []byte("*0\r\n"))
	}
	s.chunks = append(s.chunks, []byte("PING\r\n"))
	reads := 0
	rd := redcon.NewReader(counting{newConn(s, l), &reads})
	cmd, err := rd.ReadCommand()
	require.NoError(t, err)
	require.Equal(t, command("PING"), string(cmd.Raw))
	require.LessOrEqual(t, reads, 2)
}

type counting struct {
	io.Reader
	n *int
}

func (c counting) Read(p []byte) (int, error) { *c.n++; return c.Reader.Read(p) }

// TestLargeSetMemory reports what one SET of 100 MB costs, with the guard and
// with redcon alone.
func TestLargeSetMemory(t *testing.T) {
	if os.Getenv("HOLDFAST_MEMORY_TEST") == "" {
		t.Skip("set HOLDFAST_MEMORY_TEST=1 to measure a SET of 100 MB")
	}
	for name, guard := range map[string]bool{"guard": true, "redcon alone": false} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			_ = ln.Close()
			handler := echoCount
			if guard {
				ln, err = Listen(Config{Addrs: []string{"127.0.0.1:0"}})
			} else {
				ln, err = net.Listen("tcp", "127.0.0.1:0")
				handler = func(conn redcon.Conn, cmd redcon.Command) { conn.WriteInt(len(cmd.Args)) }
			}
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				done <- redcon.Serve(ln, handler, func(redcon.Conn) bool { return true }, nil)
			}()
			nc := dial(t, ln.Addr())
			body := bytes.Repeat([]byte("x"), 100_000_000)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err = fmt.Fprintf(nc, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", len(body))
			require.NoError(t, err)
			_, err = nc.Write(body)
			require.NoError(t, err)
			ask(t, nc, "\r\n", ":3\r\n")
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			total := after.TotalAlloc - before.TotalAlloc
			runtime.GC()
			runtime.ReadMemStats(&after)
			t.Logf("allocated %d MB, kept by the open connection %.1f MB, took %v", total/1e6,
				float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1e6, took)
			runtime.KeepAlive(body)
			require.NoError(t, nc.Close())
			require.NoError(t, ln.Close())
			require.NoError(t, <-done)
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	for name, n := range map[string]int{"P=1": 1, "P=16": 16} {
		stream := []byte(strings.Repeat(command("GET", "key:000000000001"), n))
		for _, guard := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/guard=%v", name, guard), func(b *testing.B) {
				l, err := newListener(Config{})
				require.NoError(b, err)
				s := &script{}
				var rd *redcon.Reader
				if guard {
					rd = redcon.NewReader(newConn(s, l))
				} else {
					rd = redcon.NewReader(s)
				}
				b.ReportAllocs()
				for b.Loop() {
					s.chunks = append(s.chunks[:0], stream)
					if _, err := rd.ReadCommands(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
