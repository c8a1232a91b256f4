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
	"xinfo|groups": grouped, "xinfo|consumers": grouped, "xpending": grouped,
	"xinfo|stream": grouped, // it says how many there are
	"move":         across,  // COPY only with the option DB, see traitsOf
}

// setOptions take from SET what it has without them.
var setOptions = map[string]trait{"NX": blind | whole, "XX": blind | whole, "GET": blind, "KEEPTTL": blind | whole}

func traitsOf(c *command.Command, argv [][]byte) trait {
	t := traits[c.Name]
	if c.Name == "copy" {
		for _, opt := range argv[min(3, len(argv)):] {
			if bytes.EqualFold(opt, []byte("db")) {
				t |= across
			}
		}
	}
	if c.Name == "restore" && hasOption(argv[1:], "REPLACE") {
		t |= whole
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

// claimed are the keys and values that a call sets only where the keys do not exist,
// by turns; nil for other calls.
func claimed(c *command.Command, argv [][]byte) [][]byte {
	switch {
	case c.Name == "setnx", c.Name == "msetnx":
		return argv[1:]
	case c.Name == "set" && hasOption(argv, "NX"):
		return argv[1:3]
	}
	return nil
}

// leased are the key and the value of a call that sets a string with an expiry.
func leased(c *command.Command, argv [][]byte) (key, value []byte) {
	switch {
	case c.Name == "setex", c.Name == "psetex":
		return argv[1], argv[3]
	case c.Name == "set" && (hasOption(argv, "EX") || hasOption(argv, "PX") || hasOption(argv, "EXAT") || hasOption(argv, "PXAT")):
		return argv[1], argv[2]
	}
	return nil, nil
}

// hasOption reports whether a SET has the option, which is in upper case; argv from its
// name on.
func hasOption(argv [][]byte, option string) bool {
	for _, opt := range argv[min(3, len(argv)):] {
		if len(opt) == len(option) && strings.EqualFold(string(opt), option) {
			return true
		}
	}
	return false
}

// extends are the commands that give an existing key an expiry.
var extends = map[string]bool{"expire": true, "pexpire": true, "expireat": true, "pexpireat": true}

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
