package fallback

import (
	"bytes"
	"strings"

	"holdfast/backend/command"
)

// This file is the one place that knows commands by name: what the flags of the
// command table do not say, as data.

// trait is what a command does to keys whose old value is not held.
type trait uint8

const (
	blind   trait = 1 << iota // the reply needs no old state: may be answered for unknown keys
	whole                     // afterwards the keys' values are known, whatever they were
	ranges                    // ranges over all keys of the database
	global                    // names no keys, and depends on none
	across                    // reaches keys of another database
	grouped                   // tells of the consumer groups of streams, which are not mirrored
)

var traits = map[string]trait{
	"set":  blind | whole, // unless its options say otherwise, see traitsOf
	"mset": blind | whole, "setex": blind | whole, "psetex": blind | whole,
	"del": whole, "unlink": whole, "getdel": whole, "getset": whole,
	"keys": ranges, "scan": ranges, "dbsize": ranges, "randomkey": ranges,
	"time": global, "script|load": global, "script|exists": global,
	"xinfo|groups": grouped, "xinfo|consumers": grouped, "xpending": grouped, // XINFO STREAM only with FULL
	"move": across, // COPY only with the option DB, see traitsOf
}

// setOptions take from SET what it has without them.
var setOptions = map[string]trait{"NX": blind | whole, "XX": blind | whole, "GET": blind, "KEEPTTL": blind | whole}

func traitsOf(c *command.Command, argv [][]byte) trait {
	t := traits[c.Name]
	if c.Name == "xinfo|stream" && len(argv) > 3 {
		t |= grouped
	}
	if c.Name == "copy" {
		for _, opt := range argv[min(3, len(argv)):] {
			if bytes.EqualFold(opt, []byte("db")) {
				t |= across
			}
		}
	}
	if c.Name == "set" {
		for _, opt := range argv[min(3, len(argv)):] {
			if len(opt) <= len("KEEPTTL") {
				t &^= setOptions[strings.ToUpper(string(opt))]
			}
		}
	}
	return t
}

// rangePattern is the glob of a command that ranges over all keys; "*" without one.
func rangePattern(c *command.Command, argv [][]byte) []byte {
	switch {
	case c.Name == "keys" && len(argv) == 2:
		return argv[1]
	case c.Name == "scan":
		last := []byte("*") // as in Redis, of several the last one counts
		for i := 2; i+1 < len(argv); i += 2 {
			if bytes.EqualFold(argv[i], []byte("match")) {
				last = argv[i+1]
			}
		}
		return last
	}
	return []byte("*")
}

// releases are the commands that give a lock back, whoever holds it.
var releases = map[string]bool{"del": true, "unlink": true, "getdel": true}

// keepsLock are the effects that change a lock's lease, not its holder.
var keepsLock = map[string]bool{"expire": true, "pexpire": true, "expireat": true, "pexpireat": true, "persist": true}

// literalPrefix is the part of a glob pattern before its first special character.
func literalPrefix(pattern []byte) string {
	if i := bytes.IndexAny(pattern, `*?[\`); i >= 0 {
		pattern = pattern[:i]
	}
	return string(pattern)
}

// commandKeys are the keys that argv names.
func commandKeys(argv [][]byte) [][]byte {
	c, ok := command.Lookup(argv)
	if !ok {
		return nil
	}
	return c.Keys(nil, argv)
}
