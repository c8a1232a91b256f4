package proxy

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// subscriptions are the channels, patterns and shard channels of one client.
type subscriptions struct {
	sets [3]map[string]struct{}
}

// kinds are the prefixes of the three kinds' commands.
var kinds = [3]string{"", "p", "s"}

func (s *subscriptions) any() bool {
	return len(s.sets[0]) > 0 || len(s.sets[1]) > 0 || len(s.sets[2]) > 0
}

// count is the number that Redis gives in confirmations: channels and patterns
// together, shard channels alone.
func (s *subscriptions) count(kind int) int {
	if kind == 2 {
		return len(s.sets[2])
	}
	return len(s.sets[0]) + len(s.sets[1])
}

// kindOf reads a command's name such as "punsubscribe".
func kindOf(name string) (kind int, add bool) {
	base, unsub := strings.CutSuffix(name, "unsubscribe")
	if !unsub {
		base = strings.TrimSuffix(name, "subscribe")
	}
	return slices.Index(kinds[:], base), !unsub
}

// change applies a command and tells how many confirmations it gets, and how to
// take it back.
func (s *subscriptions) change(name string, args [][]byte) (confirms int, undo func()) {
	kind, add := kindOf(name)
	before := maps.Clone(s.sets[kind])
	undo = func() { s.sets[kind] = before }
	if !add && len(args) == 0 {
		n := len(s.sets[kind])
		s.sets[kind] = nil
		return max(1, n), undo
	}
	for _, a := range args {
		if !add {
			delete(s.sets[kind], string(a))
			continue
		}
		if s.sets[kind] == nil {
			s.sets[kind] = map[string]struct{}{}
		}
		s.sets[kind][string(a)] = struct{}{}
	}
	return len(args), undo
}

// commands subscribe to everything again.
func (s *subscriptions) commands() (out [][][]byte) {
	for kind, set := range s.sets {
		if len(set) == 0 {
			continue
		}
		argv := [][]byte{[]byte(strings.ToUpper(kinds[kind]) + "SUBSCRIBE")}
		for _, name := range slices.Sorted(maps.Keys(set)) {
			argv = append(argv, []byte(name))
		}
		out = append(out, argv)
	}
	return out
}

// confirm changes the subscriptions name by name and appends the confirmations.
func (s *subscriptions) confirm(dst []byte, proto int, name string, args [][]byte) []byte {
	kind, add := kindOf(name)
	if !add && len(args) == 0 {
		for _, n := range slices.Sorted(maps.Keys(s.sets[kind])) {
			args = append(args, []byte(n))
		}
		if len(args) == 0 {
			dst = resp.AppendBulkString(resp.AppendPushLen(dst, proto, 3), name)
			dst = resp.AppendNull(dst, proto)
			return resp.AppendInt(dst, int64(s.count(kind)))
		}
	}
	for _, a := range args {
		one := [1][]byte{a}
		s.change(name, one[:])
		dst = resp.AppendBulkString(resp.AppendPushLen(dst, proto, 3), name)
		dst = resp.AppendInt(resp.AppendBulk(dst, a), int64(s.count(kind)))
	}
	return dst
}

// standIn answers a subscriber while Redis is away: subscriptions are noted and
// made when it is back. What else a RESP2 subscriber may not do, Redis says in
// these words.
func (c *client) standIn(rc redcon.Command) []byte {
	r := c.relay
	cmd, _ := command.Lookup(rc.Args)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !cmd.ArityOK(len(rc.Args)):
		return resp.AppendError(nil, cmd.ArityError())
	case isSubscribing(cmd):
		return r.subs.confirm(nil, r.proto, cmd.Name, rc.Args[1:])
	}
	return subscriberOnly(cmd, rc.Args)
}

// subscriberOnly answers a command in RESP2's subscriber mode.
func subscriberOnly(cmd *command.Command, argv [][]byte) []byte {
	if cmd.Name == "ping" {
		out := resp.AppendBulkString(resp.AppendArrayLen(nil, 2), "pong")
		if len(argv) > 1 {
			return resp.AppendBulk(out, argv[1])
		}
		return resp.AppendBulk(out, nil)
	}
	return resp.AppendError(nil, "ERR Can't execute '"+cmd.Name+"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}
