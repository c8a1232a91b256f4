package resp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replies are complete replies of every type, nested ones included.
var replies = []string{
	"+OK\r\n", "-ERR no\r\n", ":1\r\n", ":-12\r\n", "$5\r\nhello\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
	"*2\r\n$1\r\na\r\n:3\r\n", "*2\r\n*1\r\n+x\r\n*0\r\n", "_\r\n", ",3.14\r\n", "#t\r\n", "!5\r\nERR x\r\n",
	"=7\r\ntxt:abc\r\n", "(1234567890123456789012\r\n", "%1\r\n+k\r\n$1\r\nv\r\n", "~2\r\n:1\r\n:2\r\n",
	">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", "|1\r\n+ttl\r\n:1\r\n*1\r\n:7\r\n", "*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
	"+a\rb\r\r\n", "$4\r\n\r\n\r\n\r\n", "%0\r\n",
}

func TestReplyLenOfEveryType(t *testing.T) {
	for _, r := range replies {
		n, err := ReplyLen([]byte(r + "+next\r\n"))
		require.NoError(t, err, "%q", r)
		require.Equal(t, len(r), n, "%q", r)
		for cut := range len(r) {
			n, err := ReplyLen([]byte(r[:cut]))
			require.NoError(t, err, "%q", r[:cut])
			require.Zero(t, n, "%q", r[:cut])
		}
	}
}

func TestSplitterByteByByte(t *testing.T) {
	var s Splitter
	for _, r := range replies {
		for i := range len(r) {
			n, done, err := s.Feed([]byte{r[i]})
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, i == len(r)-1, done, "%q at %d", r, i)
			require.Equal(t, r[0], s.Kind())
			require.Equal(t, done, s.Idle())
		}
	}
}

func TestSplitterRemaining(t *testing.T) {
	var s Splitter
	_, _, err := s.Feed([]byte("$10\r\nabc"))
	require.NoError(t, err)
	require.EqualValues(t, 9, s.Remaining())
	_, _, err = s.Feed([]byte("defghij"))
	require.NoError(t, err)
	require.EqualValues(t, 2, s.Remaining())
	_, done, err := s.Feed([]byte("\r\n"))
	require.NoError(t, err)
	require.True(t, done)
	require.Zero(t, s.Remaining())
}

func TestMalformedReplies(t *testing.T) {
	for in, want := range map[string]error{
		"x":                         errReplyType('x'),
		"$?\r\n":                    ErrStreamed,
		"*?\r\n":                    ErrStreamed,
		"$-2\r\n":                   ErrBulkLength,
		"%-1\r\n":                   ErrMultibulkLength,
		"*\r\n":                     ErrMultibulkLength,
		"$1x\r\n":                   ErrBulkLength,
		"$536870913\r\n":            ErrBulkLength,
		"$9223372036854775807\r\n":  ErrBulkLength,
		"*99999999999999999999\r\n": ErrMultibulkLength,
		"*2147483648\r\n":           ErrTooManyElems,
		"$1\r\nabc":                 ErrNoCRLF,
		"$1\rx":                     ErrNoCRLF,
	} {
		_, err := ReplyLen([]byte(in))
		require.Equal(t, want, err, "%q", in)
		_, n, err := Parse([]byte(in))
		require.Equal(t, want, err, "%q", in)
		require.Zero(t, n)
	}
}

func TestErrorsSayWhatRedisSays(t *testing.T) {
	require.EqualError(t, ErrBulkLength, "Protocol error: invalid bulk length")
	require.EqualError(t, ErrExpectedDollar('x'), "Protocol error: expected '$', got 'x'")
}

func TestLimits(t *testing.T) {
	_, _, err := ParseLimits([]byte("$11\r\n"), Limits{Bulk: 10})
	require.Equal(t, ErrBulkLength, err)
	_, _, err = ParseLimits([]byte("+"+strings.Repeat("a", 20)), Limits{Bulk: 10})
	require.Equal(t, ErrLineTooLong, err)
	deep := strings.Repeat("*1\r\n", 200) + ":1\r\n"
	_, _, err = Parse([]byte(deep))
	require.Equal(t, ErrTooDeep, err)
	n, err := ReplyLen([]byte(deep))
	require.NoError(t, err, "length only is safe at any depth")
	require.Equal(t, len(deep), n)
	require.Less(t, testing.AllocsPerRun(10, func() { _, _, _ = Parse([]byte("*1000000\r\n:1\r\n")) }), 3.0)
}

func TestParse(t *testing.T) {
	v, n, err := Parse([]byte("%2\r\n+server\r\n$5\r\nredis\r\n+modules\r\n*2\r\n:7\r\n#t\r\n+rest"))
	require.NoError(t, err)
	require.Equal(t, KindMap, v.Kind)
	require.Equal(t, len("%2\r\n+server\r\n$5\r\nredis\r\n+modules\r\n*2\r\n:7\r\n#t\r\n"), n)
	server, ok := v.Get("server")
	require.True(t, ok)
	require.Equal(t, "redis", server.Text())
	mods, _ := v.Get("modules")
	require.EqualValues(t, 7, mods.Elems[0].Int)
	require.EqualValues(t, 1, mods.Elems[1].Int)
	v, _, err = Parse([]byte("-WRONGPASS bad\r\n"))
	require.NoError(t, err)
	var re ReplyError
	require.True(t, errors.As(v.Err(), &re))
	require.Equal(t, "WRONGPASS", re.Code())
	v, _, err = Parse([]byte("|1\r\n+a\r\n:1\r\n=7\r\ntxt:abc\r\n"))
	require.NoError(t, err)
	require.Equal(t, "abc", v.Text())
	v, _, err = Parse([]byte("$-1\r\n"))
	require.NoError(t, err)
	require.True(t, v.Null)
}

func TestAppendRoundTrip(t *testing.T) {
	for _, proto := range []int{2, 3} {
		var b []byte
		b = AppendCommand(b, []byte("SET"), []byte("k\r\n"), nil)
		b = AppendCommandStrings(b, "GET", "k")
		b = AppendError(b, "ERR a\r\nb")
		b = AppendSimple(b, "OK")
		b = AppendNull(b, proto)
		b = AppendNullArray(b, proto)
		b = AppendInt(AppendMapLen(b, proto, 1), 1)
		b = AppendVerbatim(b, proto, "txt")
		b = AppendBool(AppendSetLen(b, proto, 1), proto, true)
		b = AppendDouble(AppendPushLen(b, proto, 1), proto, 1.5)
		var kinds []byte
		for len(b) > 0 {
			v, n, err := Parse(b)
			require.NoError(t, err)
			require.NotZero(t, n)
			kinds = append(kinds, byte(v.Kind))
			b = b[n:]
		}
		want := map[int]string{2: "**-+$****", 3: "**-+__%~>"}[proto]
		require.Equal(t, want, string(kinds))
	}
	require.Equal(t, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", string(AppendCommandStrings(nil, "GET", "k")))
}

// slowReader gives one byte at a time.
type slowReader struct{ r io.Reader }

func (s slowReader) Read(p []byte) (int, error) { return s.r.Read(p[:1]) }

func TestReader(t *testing.T) {
	big := "$1000000\r\n" + strings.Repeat("x", 1000000) + "\r\n"
	all := strings.Join(replies, "") + big + "+end\r\n"
	for name, src := range map[string]io.Reader{"whole": strings.NewReader(all), "bytes": slowReader{strings.NewReader(all)}} {
		r := NewReader(src)
		for _, want := range replies {
			v, err := r.Next()
			require.NoError(t, err, name)
			w, _, _ := Parse([]byte(want))
			require.Equal(t, w, v, "%s %q", name, want)
		}
		v, err := r.Next()
		require.NoError(t, err)
		require.Len(t, v.Str, 1000000)
		v, err = r.ReadReply(nil)
		require.NoError(t, err)
		require.Equal(t, "end", v.Text())
		_, err = r.Next()
		require.ErrorIs(t, err, io.EOF)
	}
}

func TestReaderPushesApart(t *testing.T) {
	r := NewReader(strings.NewReader(">2\r\n+invalidate\r\n_\r\n+PONG\r\n+half"))
	pushes := 0
	v, err := r.ReadReply(func(p Value) { pushes++; require.True(t, p.Elems[1].Null) })
	require.NoError(t, err)
	require.Equal(t, "PONG", v.Text())
	require.Equal(t, 1, pushes)
	_, err = r.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// splitAll cuts stream into replies, fed in pieces whose sizes are in cuts.
func splitAll(stream, cuts []byte) (ends []int, err error) {
	var s Splitter
	pos := 0
	for i := 0; pos < len(stream); i++ {
		size := len(stream)
		if len(cuts) > 0 {
			size = int(cuts[i%len(cuts)])%17 + 1
		}
		piece := stream[pos:min(pos+size, len(stream))]
		for len(piece) > 0 {
			n, done, err := s.Feed(piece)
			if err != nil {
				return ends, err
			}
			pos, piece = pos+n, piece[n:]
			if done {
				ends = append(ends, pos)
			}
		}
	}
	return ends, nil
}

func FuzzSplitter(f *testing.F) {
	for _, r := range replies {
		f.Add([]byte(r+r), []byte{0, 3, 1})
	}
	f.Add([]byte("*9\r\n$-1\r\n$?\r\n"), []byte{1})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		ends, err := splitAll(stream, nil)
		ends2, err2 := splitAll(stream, cuts)
		require.Equal(t, err, err2)
		require.Equal(t, ends, ends2)
		start := 0
		for _, end := range ends {
			v, n, err := ParseLimits(stream[start:], Limits{Depth: 16})
			if err == nil {
				require.Equal(t, end-start, n)
				_ = v.Err()
			}
			start = end
		}
	})
}

func FuzzReader(f *testing.F) {
	for _, r := range replies {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		a, b := NewReader(bytes.NewReader(stream)), NewReader(slowReader{bytes.NewReader(stream)})
		a.Limits, b.Limits = Limits{Bulk: 4096}, Limits{Bulk: 4096}
		for {
			va, ea := a.Next()
			vb, eb := b.Next()
			require.Equal(t, va, vb)
			require.Equal(t, ea, eb)
			if ea != nil {
				return
			}
		}
	})
}

func BenchmarkSplitter(b *testing.B) {
	stream := []byte(strings.Repeat("$5\r\nhello\r\n", 100) + strings.Repeat("+OK\r\n", 100) + "*100\r\n" + strings.Repeat("$5\r\nhello\r\n", 100))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	var s Splitter
	for b.Loop() {
		for p := stream; len(p) > 0; {
			n, _, err := s.Feed(p)
			if err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
	}
}
