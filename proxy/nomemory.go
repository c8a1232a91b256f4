package proxy

import (
	"bytes"
	"strconv"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// readsAllScript executes the commands that ARGV holds, each behind the number of its
// words, and gives all replies: as EXEC does, with nothing in between.
const readsAllScript = `#!lua flags=no-writes,allow-oom
local out, i = {}, 1
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  out[#out + 1] = redis.pcall(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
return out`

// maxReadWords bounds the words of a unit that goes into readsAllScript: Lua's unpack and
// stack have bounds, too.
const maxReadWords = 4000

// readUnitWithoutMemory answers a unit that only reads and that Redis did not queue, because
// it is out of memory: there it would have been queued before, and then be executed all the
// same. nil: it is no such unit, or cannot be had; then the refusal stands.
func (c *client) readUnitWithoutMemory(it *item, queued func(i int) []byte) []byte {
	if it.cmd != execRead || it.spans != nil || it.run != 0 || c.proto != 2 || len(it.unit) == 0 {
		return nil
	}
	argv := [][]byte{[]byte("EVAL"), []byte(readsAllScript), []byte("0")}
	for i, one := range it.unit {
		cmd, ok := command.Lookup(one)
		if !ok || cmd.Flags&(command.NoScript|command.Blocking|command.DenyOOM|command.ShowsKeyspace) != 0 || !bytes.HasPrefix(queued(i), []byte("-OOM ")) {
			return nil
		}
		argv = append(append(argv, strconv.AppendInt(nil, int64(len(one)), 10)), one...)
	}
	if len(argv) > maxReadWords {
		return nil
	}
	call := &backend.Call{Payload: resp.AppendCommand(nil, argv...), N: 1, Deadline: time.Now().Add(c.s.cfg.CommandTimeout / 2)}
	if err := c.s.cfg.Upstream.Do(c.proto, c.db, call); err != nil || splitArray(call.Replies, len(it.unit)) == nil {
		return nil
	}
	return call.Replies
}
