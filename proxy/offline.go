package proxy

import (
	"strconv"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// offlineConfig is what CONFIG GET answers while there is no Redis to ask: the
// parameters that clients and tools read at connect.
var offlineConfig = [][2]string{
	{"databases", strconv.Itoa(defaultDatabases)}, {"maxmemory", "0"}, {"maxmemory-policy", "noeviction"},
	{"save", ""}, {"appendonly", "yes"}, {"appendfsync", "always"}, {"timeout", "0"},
	{"notify-keyspace-events", ""}, {"proto-max-bulk-len", "536870912"}, {"cluster-enabled", "no"},
}

// answerOffline answers commands about the server while there is none, as a
// server without anything special would. False: it has no answer.
func (c *client) answerOffline(cmd *command.Command, argv [][]byte) bool {
	if c.online() {
		return false
	}
	switch cmd.Name {
	case "config|get":
		c.answer(configReply(c.proto, argv[2:]))
	case "config|resetstat", "client|unpause", "client|caching":
		c.answer(replyOK)
	case "client|getredir":
		c.answer(resp.AppendInt(nil, -1))
	case "acl|whoami":
		c.answer(resp.AppendBulkString(nil, c.user))
	case "module|list", "slowlog|get", "latency|latest":
		c.answer(resp.AppendArrayLen(nil, 0))
	case "slowlog|len", "lastsave":
		c.answer(resp.AppendInt(nil, 0))
	case "role":
		c.answer([]byte("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"))
	default:
		return false
	}
	return true
}

func configReply(proto int, patterns [][]byte) []byte {
	var found [][2]string
	for _, kv := range offlineConfig {
		for _, p := range patterns {
			if command.MatchGlob(p, []byte(kv[0])) {
				found = append(found, kv)
				break
			}
		}
	}
	out := resp.AppendMapLen(nil, proto, len(found))
	for _, kv := range found {
		out = resp.AppendBulkString(resp.AppendBulkString(out, kv[0]), kv[1])
	}
	return out
}
