package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"holdfast/backend/resp"
)

// The exceptions: where replies through the proxy may differ from Redis's own,
// and why. Everything else has to be equal, byte by byte.
//
// maskedText is replaced in every reply before it is compared.
var maskedText = []struct {
	why  string
	find *regexp.Regexp
	put  string
}{
	{"HELLO names the connection's id, and the proxy counts its own clients",
		regexp.MustCompile(`\$2\r\nid\r\n:\d+`), "$$2\r\nid\r\n:N"},
}

// maskedCommands are those whose whole reply two servers never agree on.
var maskedCommands = map[string]string{
	"pttl":           "a clock: two runs are milliseconds apart",
	"ttl":            "a clock: rounds to seconds",
	"expiretime":     "a clock, where EXPIRE gave the time",
	"pexpiretime":    "a clock, where EXPIRE gave the time",
	"time":           "a clock",
	"lastsave":       "a clock",
	"xinfo|stream":   "radix-tree-keys and idle times depend on the server's history",
	"xpending":       "idle times",
	"function|list":  "functions come in the order of a random hash seed",
	"function|stats": "engine counters of the server's history",
	"memory|usage":   "allocator",
	"info":           "the proxy adds its own section; figures are the server's",
	"client|id":      "the proxy counts its own clients",
	"client|list":    "the proxy lists its own clients",
	"client|info":    "the proxy describes its own client",
	"cluster|nodes":  "the node's random id",
	"acl|list":       "may hold hashed secrets",
	"dbsize":         "counts the proxy's fence key",
	"randomkey":      "chance",
	"lolwut":         "chance",
	"dump":           "encodings may differ after a different history of reads",
}

// sortedCommands answer sets whose order comes from the server's random hash
// seed; their elements are compared in sorted order.
var sortedCommands = map[string]bool{
	"smembers": true, "sunion": true, "sinter": true, "sdiff": true, "keys": true, "spop": true,
	"hgetall": true, "hkeys": true, "hvals": true, "sscan": true, "hscan": true, "zscan": true,
	"acl|cat": true, "command|list": true, "pubsub|channels": true, "config|get": true,
	"command|docs": true, "command": true, "command|info": true, "scan": true, "acl|getuser": true,
}

// normal is a reply as it is compared: exceptions applied.
func normal(name string, reply []byte) []byte {
	for _, m := range maskedText {
		reply = m.find.ReplaceAll(reply, []byte(m.put))
	}
	if len(reply) == 0 || reply[0] == '-' {
		return reply
	}
	if _, ok := maskedCommands[name]; ok {
		if reply[0] == ':' && bytes.HasPrefix(reply, []byte(":-")) {
			return reply // -1 and -2 are no clocks
		}
		return []byte("masked " + string(reply[:1]))
	}
	if sortedCommands[name] {
		return sortedLeaves(reply)
	}
	return reply
}

// sortedLeaves brings the leaves of a reply into one order; it keeps the type.
// The proxy's fence, a key of its own in Redis that makes writes exactly-once,
// shows in KEYS and SCAN and is left out.
func sortedLeaves(reply []byte) []byte {
	v, _, err := resp.Parse(reply)
	if err != nil {
		return reply
	}
	var leaves []string
	var walk func(v resp.Value)
	walk = func(v resp.Value) {
		if bytes.ContainsRune([]byte("*~%>"), rune(v.Kind)) && !v.Null {
			for _, e := range v.Elems {
				walk(e)
			}
			return
		}
		if bytes.HasPrefix(v.Str, []byte("{holdfast}:fence:")) {
			return
		}
		leaves = append(leaves, string([]byte{byte(v.Kind)})+string(v.Str))
	}
	walk(v)
	slices.Sort(leaves)
	return []byte(string(reply[:1]) + fmt.Sprint(len(leaves)) + "\r\n" + strings.Join(leaves, "\r\n"))
}
