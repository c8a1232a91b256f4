package proxy

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// ownPrefix begins the names of the keys that Holdfast keeps at Redis for itself: the
// fences of this proxy and of others. Clients are not shown them.
const ownPrefix = "{holdfast}:"

func isOwn(key []byte) bool {
	return len(key) >= len(ownPrefix) && string(key[:len(ownPrefix)]) == ownPrefix
}

// maxOwnNames bounds the names that are remembered; each proxy at a Redis has a handful.
const maxOwnNames = 1024

// ownKeys knows the keys of Holdfast by name, so that they can be left out of what
// counts keys. It learns of them from this proxy's fences, from invalidations, from
// replies that name them, and from one look at each database after a connect.
type ownKeys struct {
	mu    sync.Mutex
	names map[string]bool // name → it is there, as far as was seen
	looks map[int]*look   // by database
}

// look is one pass over the keys of a database, of one connection to Redis.
type look struct {
	connected time.Time
	cursor    string
	done      bool
}

// saw notes that the key exists.
func (o *ownKeys) saw(key []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.names[string(key)] {
		return
	}
	if o.names == nil {
		o.names = map[string]bool{}
	}
	if _, known := o.names[string(key)]; known || len(o.names) < maxOwnNames {
		o.names[string(key)] = true
	}
}

// flushed notes that all keys of some database are gone. Their names stay: each is
// written again with the next fence.
func (o *ownKeys) flushed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range o.names {
		o.names[name] = false
	}
}

// count is how many were seen and not flushed since.
func (o *ownKeys) count() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, there := range o.names {
		if there {
			n++
		}
	}
	return n
}

// exists is the command that counts them in one database; nil when none is known.
func (o *ownKeys) exists() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.names) == 0 {
		return nil
	}
	argv := [][]byte{[]byte("EXISTS")}
	for _, name := range slices.Sorted(maps.Keys(o.names)) {
		argv = append(argv, []byte(name))
	}
	return argv
}

// in reports whether a known name belongs to the database.
func (o *ownKeys) in(db int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	suffix := ":" + strconv.Itoa(db)
	for name := range o.names {
		if strings.HasSuffix(name, suffix) || db == 0 {
			return true
		}
	}
	return false
}

// next gives the cursor where the look at a database goes on; false: there is no more
// to look at, or somebody is looking.
func (o *ownKeys) next(db int, connected time.Time) (cursor string, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.looks == nil {
		o.looks = map[int]*look{}
	}
	l := o.looks[db]
	if l == nil || !l.connected.Equal(connected) {
		l = &look{connected: connected, cursor: "0"}
		o.looks[db] = l
	}
	return l.cursor, !l.done
}

func (o *ownKeys) looked(db int, cursor string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.looks[db]
	l.cursor, l.done = cursor, cursor == "0"
}

const lookAtOnce = "1000" // COUNT of one SCAN

// lookForOwn goes over the keys of a database for fences of other proxies, once for
// each connection to Redis. A part that does not fit into half of a command's time is
// left to the next call.
func (s *Server) lookForOwn(db int) {
	connected := s.cfg.Upstream.Status().LastConnectedAt
	until := time.Now().Add(s.cfg.CommandTimeout / 2)
	for time.Now().Before(until) {
		cursor, more := s.own.next(db, connected)
		if !more {
			return
		}
		page, ok := s.scan(db, cursor, "MATCH", ownPrefix+"*", "COUNT", lookAtOnce)
		if !ok {
			return
		}
		for _, e := range page.Elems[1].Elems {
			s.own.saw(e.Str)
		}
		s.own.looked(db, page.Elems[0].Text())
	}
}

// scan asks Redis for one page of keys.
func (s *Server) scan(db int, cursor string, options ...string) (page resp.Value, ok bool) {
	v, ok := s.ask(db, append([]string{"SCAN", cursor}, options...)...)
	return v, ok && len(v.Elems) == 2
}

// ask sends Redis a command of the proxy's own, over the shared connection.
func (s *Server) ask(db int, args ...string) (resp.Value, bool) {
	call := &backend.Call{Payload: resp.AppendCommandStrings(nil, args...), N: 1, Deadline: time.Now().Add(s.cfg.CommandTimeout)}
	if err := s.cfg.Upstream.Do(2, db, call); err != nil {
		return resp.Value{}, false
	}
	v, _, err := resp.Parse(call.Replies)
	return v, err == nil && !v.IsError()
}

// anyKey finds a key that is not Holdfast's, for a RANDOMKEY that met none.
func (s *Server) anyKey(db int) []byte {
	for cursor, until := "0", time.Now().Add(s.cfg.CommandTimeout/2); time.Now().Before(until); {
		page, ok := s.scan(db, cursor, "COUNT", "100")
		if !ok {
			return nil
		}
		for _, e := range page.Elems[1].Elems {
			if !isOwn(e.Str) {
				return e.Str
			}
		}
		if cursor = page.Elems[0].Text(); cursor == "0" {
			return nil
		}
	}
	return nil
}

// withoutOwn leaves Holdfast's keys out of an array of keys.
func (s *Server) withoutOwn(reply []byte) []byte {
	if !bytes.Contains(reply, []byte(ownPrefix)) {
		return reply
	}
	head := bytes.IndexByte(reply, '\n') + 1
	keys, kept := make([]byte, 0, len(reply)), 0
	for rest := reply[head:]; len(rest) > 0; {
		n, err := resp.ReplyLen(rest)
		if err != nil || n == 0 {
			return reply
		}
		if key, _ := bulkAt(rest, 0); isOwn(key) {
			s.own.saw(key)
		} else {
			keys, kept = append(keys, rest[:n]...), kept+1
		}
		rest = rest[n:]
	}
	return append(resp.AppendArrayLen(nil, kept), keys...)
}

// mentionsOwn reports whether an argument looks like a key of Holdfast.
func mentionsOwn(argv [][]byte) bool {
	for _, a := range argv {
		if len(a) > 0 && a[0] == ownPrefix[0] && isOwn(a) {
			return true
		}
	}
	return false
}

const (
	ownRefused = "ERR keys that begin with " + ownPrefix + " are those of Holdfast itself"
	// noKey is a key that never exists: nobody can write it through a proxy.
	noKey = ownPrefix + "none"
)

// withoutOwnNames makes a read of Holdfast's keys one of a key that does not exist. A
// write to them is refused: what was applied could not be told any more.
func withoutOwnNames(cmd *command.Command, rc redcon.Command) (_ redcon.Command, refused bool) {
	if slices.ContainsFunc(cmd.WriteKeys(nil, rc.Args), isOwn) {
		return rc, true
	}
	keys := cmd.Keys(nil, rc.Args)
	args := slices.Clone(rc.Args)
	for i, a := range args {
		if isOwn(a) && slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, a) }) {
			args[i] = []byte(noKey)
		}
	}
	return redcon.Command{Args: args, Raw: resp.AppendCommand(nil, args...)}, false
}
