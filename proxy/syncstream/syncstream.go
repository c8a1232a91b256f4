// Package syncstream takes what is Holdfast's own out of the stream that Redis sends upon
// SYNC.
package syncstream

import (
	"bytes"
	"strconv"

	"holdfast/backend/resp"
)

// Filter leaves out of a stream the commands whose key is Holdfast's own: the fences, and the MULTI and EXEC that are there because of them. What is left is what
// Redis would have sent without a proxy. Whoever says PSYNC counts the bytes of the stream,
// so that one passes as it is. The snapshot in front passes as it is, too.
type Filter struct {
	Own func(key []byte) bool // says which keys those are

	snapshot int64 // bytes of it to come
	started  bool  // its length is known: behind it are commands
	passing  bool  // something here is not understood: all passes
	buf      []byte
	group    []byte // frames since MULTI
	inGroup  bool
	db       []byte // the SELECT that the client has got last
	next     []byte // the one that came since; the client gets it with what is for that database
}

// maxSyncGroup bounds the bytes of one transaction that wait for its end: a longer one
// passes as it is.
const maxSyncGroup = 16 << 20

// Feed gives what goes to the client of b, which is the next of the stream. What it gives
// may share memory with b.
func (f *Filter) Feed(b []byte) (out []byte) {
	if f.passing {
		return b
	}
	f.buf = append(f.buf, b...)
	for len(f.buf) > 0 && !f.passing {
		n := 0
		switch {
		case f.snapshot > 0:
			n = int(min(f.snapshot, int64(len(f.buf))))
			f.snapshot -= int64(n)
			out = append(out, f.buf[:n]...)
		case !f.started:
			n = f.header()
			out = append(out, f.buf[:n]...)
		default:
			n, out = f.command(out)
		}
		if n == 0 && !f.passing {
			return out
		}
		f.buf = f.buf[n:]
	}
	if f.passing {
		out = append(append(append(out, f.next...), f.group...), f.buf...)
		f.next, f.group, f.buf = nil, nil, nil
	}
	return out
}

// header reads line ends, which keep the connection alive, and the snapshot's length. An
// error is the end of it. It gives the bytes that are understood.
func (f *Filter) header() int {
	if f.buf[0] == '\n' {
		return 1
	}
	end := bytes.IndexByte(f.buf, '\n') + 1
	if end == 0 {
		return 0
	}
	size, err := strconv.ParseInt(string(bytes.TrimSpace(f.buf[1:end])), 10, 64)
	if f.buf[0] != '$' || err != nil || size < 0 {
		f.passing = true // an error, or a snapshot without a length
		return 0
	}
	f.snapshot, f.started = size, true
	return end
}

// command takes one command off the buffer, if it is there as a whole.
func (f *Filter) command(out []byte) (int, []byte) {
	if f.buf[0] == '\n' {
		return 1, append(out, '\n')
	}
	n, err := resp.ReplyLen(f.buf)
	if err != nil || len(f.group) > maxSyncGroup || n == 0 && len(f.buf) > maxSyncGroup {
		f.passing = true
		return 0, out
	}
	if n == 0 {
		return 0, out
	}
	frame := f.buf[:n]
	name, key := firstTwo(frame)
	switch {
	case f.inGroup:
		f.group = append(f.group, frame...)
		if bytes.EqualFold(name, []byte("exec")) {
			out = f.transaction(out)
			f.group, f.inGroup = f.group[:0], false
		}
	case bytes.EqualFold(name, []byte("multi")):
		f.group, f.inGroup = append(f.group, frame...), true
	case !f.Own(key):
		out = f.emit(out, name, frame)
	}
	return n, out
}

// emit appends a command for the client. A SELECT waits for a command that needs it: it may
// be there for a key of Holdfast only.
func (f *Filter) emit(out, name, frame []byte) []byte {
	switch {
	case bytes.EqualFold(name, []byte("select")):
		f.next = bytes.Clone(frame)
		return out
	case f.next != nil && !bytes.EqualFold(name, []byte("ping")):
		if !bytes.Equal(f.next, f.db) {
			out = append(out, f.next...)
		}
		f.db, f.next = f.next, nil
	}
	return append(out, frame...)
}

// transaction appends the one that has ended without what is Holdfast's. MULTI and EXEC of
// what is a single command then are not there either: Redis sends none for that.
func (f *Filter) transaction(out []byte) []byte {
	var frames [][]byte
	own, left := false, 0
	for rest := f.group; len(rest) > 0; {
		n, _ := resp.ReplyLen(rest) // whole, as command has found
		frame := rest[:n]
		rest = rest[n:]
		name, key := firstTwo(frame)
		if f.Own(key) {
			own = true
			continue
		}
		if !bytes.EqualFold(name, []byte("select")) {
			left++
		}
		frames = append(frames, frame)
	}
	if own && left <= 3 { // MULTI, one command or none, EXEC
		frames = frames[1 : len(frames)-1]
	}
	for _, frame := range frames {
		name, _ := firstTwo(frame)
		out = f.emit(out, name, frame)
	}
	return out
}

// firstTwo are the first words of a command: its name and, in what is Holdfast's, the key.
func firstTwo(frame []byte) (name, key []byte) {
	v, _, err := resp.Parse(frame)
	if err != nil || len(v.Elems) == 0 {
		return nil, nil
	}
	if len(v.Elems) > 1 {
		key = v.Elems[1].Str
	}
	return v.Elems[0].Str, key
}
