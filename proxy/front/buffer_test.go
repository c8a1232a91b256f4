package front

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"
)

// TestPipelineOfLargeCommandsIsOneBatch: each batch is a round trip to Redis.
func TestPipelineOfLargeCommandsIsOneBatch(t *testing.T) {
	var want []string
	for n := range 16 {
		want = append(want, command("SET", fmt.Sprint("key", n), strings.Repeat(fmt.Sprint(n%10), 4<<10)))
	}
	l, err := newListener(Config{})
	require.NoError(t, err)
	s := &script{chunks: [][]byte{[]byte(strings.Join(want, ""))}}
	c := newConn(s, l)
	rd := redcon.NewReader(c)
	batch, err := rd.ReadCommands()
	require.NoError(t, err)
	var got []string
	for _, cmd := range batch {
		for _, cmd := range Resolve(nil, c, cmd) {
			got = append(got, string(cmd.Raw))
		}
	}
	require.Equal(t, want, got)
	require.False(t, c.lent, "the chunk goes back")
	require.Nil(t, c.in)
	require.Empty(t, c.big)
}

// TestCommandsSurviveTheirChunk: what a batch holds does not change when the
// chunk is used for the next one.
func TestCommandsSurviveTheirChunk(t *testing.T) {
	var stream strings.Builder
	var want []string
	for n := range 200 {
		cmd := command("SET", fmt.Sprint("key", n), strings.Repeat(string(rune('a'+n%26)), n*997%20_000))
		want = append(want, cmd)
		stream.WriteString(cmd)
	}
	l, err := newListener(Config{})
	require.NoError(t, err)
	c := newConn(&script{chunks: [][]byte{[]byte(stream.String())}}, l)
	rd := redcon.NewReader(c)
	var all []redcon.Command
	for err == nil {
		var batch []redcon.Command
		batch, err = rd.ReadCommands()
		for _, cmd := range batch {
			all = Resolve(all, c, cmd)
		}
	}
	require.Equal(t, io.EOF, err)
	require.Len(t, all, len(want))
	for i := range all {
		require.Equal(t, want[i], string(all[i].Raw))
	}
	require.False(t, c.lent)
}

// TestLargeCommandIsCopiedLittle: the buffers it outgrows are small beside it.
func TestLargeCommandIsCopiedLittle(t *testing.T) {
	const size = 8 << 20
	cmd := []byte(command("SET", "key", strings.Repeat("v", size)))
	l, err := newListener(Config{})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := newConn(&script{chunks: [][]byte{cmd}}, l)
	batch, err := redcon.NewReader(c).ReadCommands()
	require.NoError(t, err)
	require.True(t, bytes.Equal(cmd, Resolve(nil, c, batch[0])[0].Raw))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size+size/4))
}

// TestPipelineIsCopiedOnce: it is read into redcon's buffer, copied out of it as a
// whole, and not parsed there.
func TestPipelineIsCopiedOnce(t *testing.T) {
	one := command("SET", "key", "value")
	stream := []byte(strings.Repeat(one, 16))
	l, err := newListener(Config{})
	require.NoError(t, err)
	s := &script{}
	c := newConn(s, l)
	rd := redcon.NewReader(c)
	var cmds []redcon.Command
	allocs := testing.AllocsPerRun(100, func() {
		s.chunks = append(s.chunks[:0], stream)
		batch, err := rd.ReadCommands()
		require.NoError(t, err)
		require.Len(t, batch, 1, "a stand-in")
		cmds = Resolve(cmds[:0], c, batch[0])
	})
	require.Len(t, cmds, 16)
	for _, cmd := range cmds {
		require.Equal(t, one, string(cmd.Raw))
		require.Len(t, cmd.Args, 3)
	}
	require.Less(t, allocs, 16.0, "not one for each command")
}
