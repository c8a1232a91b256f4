package proxy

import (
	"bytes"
	"hash/fnv"
	"slices"
	"strconv"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// An iteration (SCAN, HSCAN, SSCAN, ZSCAN) may begin at one server and go on at
// another: at Redis, at a Redis that was started anew, on the local state. A cursor
// means something only where it was given out, and elsewhere it would leave elements
// out without a word. So a cursor tells where it is from, and where it is of no use
// the iteration begins anew: what was returned before comes twice, which the contract
// allows, and nothing is missing.
//
// Cursors of the local state are in a range of their own (engine.OurCursor). Those of
// Redis count buckets, and are small: above them the client gets some bits of the id
// that the server process has. Proxies of the same Redis agree on it.
const (
	runShift = 40 // no server has a table of so many buckets
	runBits  = 12
	runMask  = 1<<runBits - 1
)

// cursorPlace is where in argv the cursor of an iteration is.
var cursorPlace = map[*command.Command]int{
	command.ByName("scan"): 1, command.ByName("hscan"): 2, command.ByName("sscan"): 2, command.ByName("zscan"): 2,
}

// redisRun is the mark of the server process that serves, 0 if it does not tell.
func (s *Server) redisRun() uint64 {
	id := s.cfg.Upstream.Status().Info.RunID
	if id == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return uint64(h.Sum32())%runMask + 1
}

// iterates prepares a command, or a unit, for being sent to Redis if it has a step of
// an iteration. It may be called again for another try.
func (c *client) iterates(it *item) {
	if it.unit == nil && cursorPlace[it.cmd] == 0 {
		return
	}
	sent, changed := it.commands(), it.run != 0
	for i, argv := range it.commands() {
		cmd, ok := command.Lookup(argv)
		if !ok || cursorPlace[cmd] == 0 {
			continue
		}
		run := c.s.redisRun()
		if it.unit == nil {
			it.run = run
		}
		if out, other := forRedis(cmd, argv, run); other {
			sent, changed = slices.Clone(sent), true
			sent[i] = out
		}
	}
	switch {
	case !changed:
	case it.spans != nil || it.unit != nil:
		c.s.wire(it, sent)
	default:
		it.raw = resp.AppendCommand(nil, sent[0]...)
	}
}

// forRedis is a step of an iteration as Redis has to get it. What is no cursor stays,
// for Redis has the error for it.
func forRedis(cmd *command.Command, argv [][]byte, run uint64) (out [][]byte, changed bool) {
	at := cursorPlace[cmd]
	if at >= len(argv) {
		return argv, false
	}
	cursor, ok := engine.ParseCursor(string(argv[at]))
	ours := engine.OurCursor(cursor)
	switch {
	case !ok || cursor < 1<<runShift || !ours && cursor >= 1<<(runShift+runBits):
		return argv, false
	case ours || run == 0 || cursor>>runShift != run:
		return beginAnew(argv, at), true
	}
	out = slices.Clone(argv)
	out[at] = strconv.AppendUint(nil, cursor&(1<<runShift-1), 10)
	return out, true
}

// beginAnew is the first step of an iteration, with so much at once that it ends even
// if Redis comes and goes all the time.
func beginAnew(argv [][]byte, at int) [][]byte {
	count := int64(engine.RestartCount)
	for i := at + 1; i+1 < len(argv); i++ {
		if n, err := strconv.ParseInt(string(argv[i+1]), 10, 64); bytes.EqualFold(argv[i], []byte("count")) {
			if err != nil || n < 1 {
				return argv // an error, whatever the cursor
			}
			count = max(count, n)
		}
	}
	out := append(slices.Clone(argv), []byte("COUNT"), strconv.AppendInt(nil, count, 10))
	out[at] = []byte("0")
	return out
}

// marked is the reply to a step with the cursor as the client gets it.
func (c *client) marked(it *item, reply []byte) []byte {
	const head = "*2\r\n$"
	if it.run == 0 || !bytes.HasPrefix(reply, []byte(head)) {
		return reply
	}
	_, rest, _ := bytes.Cut(reply[len(head):], []byte("\r\n"))
	digits, rest, ok := bytes.Cut(rest, []byte("\r\n"))
	cursor, err := strconv.ParseUint(string(digits), 10, 64)
	over := c.s.redisRun() != it.run // another process may have answered: it ends nothing
	if !ok || err != nil || cursor >= 1<<runShift || cursor == 0 && !over {
		return reply
	}
	out := append(make([]byte, 0, len(reply)+16), "*2\r\n"...)
	out = resp.AppendBulk(out, strconv.AppendUint(nil, it.run<<runShift|cursor, 10))
	return append(out, rest...)
}

// forRedis is a command as Redis has to get it over the relay.
func (r *relay) forRedis(cmd *command.Command, argv [][]byte) [][]byte {
	if cursorPlace[cmd] != 0 {
		return r.iterates(cmd, argv)
	}
	sent, _ := r.c.redirected(argv)
	return sent
}

// iterates is client.iterates for what goes over the relay. Replies pass there as they
// are, so that their cursors tell nothing: of the process the connection remembers.
func (r *relay) iterates(cmd *command.Command, argv [][]byte) [][]byte {
	run := r.c.s.redisRun()
	r.mu.Lock()
	moved := r.scanned != 0 && r.scanned != run
	r.scanned = run
	r.mu.Unlock()
	out, changed := forRedis(cmd, argv, run)
	at := cursorPlace[cmd]
	if changed || !moved || at >= len(argv) || string(argv[at]) == "0" {
		return out
	}
	if _, ok := engine.ParseCursor(string(argv[at])); !ok {
		return out
	}
	return beginAnew(argv, at)
}
