package command

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Idempotent reports whether repeating the call argv of c is harmless: a run of
// such calls that was cut off anywhere may be sent again from its beginning and
// leaves the same data, though counts in its replies may differ. It depends on
// the options: SET with EX is, with NX or GET is not. Reads always are.
func Idempotent(argv [][]byte, c *Command) bool {
	if c.Flags&Read != 0 {
		return true
	}
	if c.Flags&Repeatable == 0 {
		return false
	}
	switch c.Name {
	case "set":
		return plainSet(argv)
	case "zadd", "geoadd":
		return plainAdd(argv)
	}
	return true
}

// plainSet reports whether a SET has no options but those about expiry.
func plainSet(argv [][]byte) bool {
	for i := 3; i < len(argv); i++ {
		switch {
		case isWord(argv[i], "KEEPTTL"):
		case isWord(argv[i], "EX"), isWord(argv[i], "PX"), isWord(argv[i], "EXAT"), isWord(argv[i], "PXAT"):
			i++ // its value
		default:
			return false
		}
	}
	return true
}

// plainAdd reports whether ZADD or GEOADD has no options: then the first of
// them is a number already.
func plainAdd(argv [][]byte) bool {
	if len(argv) < 3 || len(argv[2]) == 0 {
		return false
	}
	for _, word := range []string{"NX", "XX", "GT", "LT", "CH", "INCR"} {
		if isWord(argv[2], word) {
			return false
		}
	}
	return true
}

// Blocks reports whether the call argv of c may wait on the server before it
// answers: XREAD does only with BLOCK.
func Blocks(argv [][]byte, c *Command) bool {
	if c.Flags&Blocking == 0 {
		return false
	}
	if c.Name != "xread" && c.Name != "xreadgroup" {
		return true
	}
	for _, arg := range argv[min(1, len(argv)):] {
		if isWord(arg, "STREAMS") {
			return false // only stream names and ids follow
		}
		if isWord(arg, "BLOCK") {
			return true
		}
	}
	return false
}

// TakesLock reports whether the call takes a lock: SET with NX and an expiry. unit
// and ttl are the option that says how long, and its value.
func TakesLock(argv [][]byte) (unit string, ttl []byte, ok bool) {
	if len(argv) < 5 || !isWord(argv[0], "SET") {
		return "", nil, false
	}
	nx := false
	for i := 3; i < len(argv); i++ {
		if isWord(argv[i], "NX") {
			nx = true
		}
		for _, name := range []string{"EX", "PX", "EXAT", "PXAT"} {
			if isWord(argv[i], name) && i+1 < len(argv) {
				unit, ttl = name, argv[i+1]
			}
		}
	}
	return unit, ttl, nx && unit != ""
}

// Silence is for how long the call makes the server answer nobody: CLIENT PAUSE of all
// commands, and DEBUG SLEEP; 0 for any other.
func Silence(argv [][]byte, c *Command) time.Duration {
	switch {
	case !c.ArityOK(len(argv)):
	case c.Name == "client|pause" && (len(argv) == 3 || isWord(argv[3], "ALL")):
		ms, err := strconv.ParseInt(string(argv[2]), 10, 64)
		if err != nil || ms > math.MaxInt64/int64(time.Millisecond) {
			return 0
		}
		return max(0, time.Duration(ms)*time.Millisecond)
	case c.Name == "debug" && len(argv) == 3 && isWord(argv[1], "SLEEP"):
		s, err := strconv.ParseFloat(string(argv[2]), 64)
		if err != nil || !(s > 0 && s < 1e9) {
			return 0
		}
		return time.Duration(s * float64(time.Second))
	}
	return 0
}

// PausesWrites is for how long the call makes the server hold writes, and no reads: CLIENT
// PAUSE … WRITE, and 0 for CLIENT UNPAUSE, which ends that. ok is false for any other.
func PausesWrites(argv [][]byte, c *Command) (d time.Duration, ok bool) {
	switch {
	case !c.ArityOK(len(argv)):
	case c.Name == "client|unpause":
		return 0, true
	case c.Name == "client|pause" && len(argv) == 4 && isWord(argv[3], "WRITE"):
		ms, err := strconv.ParseInt(string(argv[2]), 10, 64)
		if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
			return 0, false
		}
		return time.Duration(ms) * time.Millisecond, true
	}
	return 0, false
}

// OnlyReads reports whether a call of a script says itself that it changes nothing, so that
// the server holds it to that: the _RO forms, and a body with the flag no-writes. body gives
// what is known of a script by its digest.
func OnlyReads(argv [][]byte, c *Command, body func(digest string) (string, bool)) bool {
	switch {
	case c.Flags&Script == 0 || len(argv) < 3:
		return false
	case strings.HasSuffix(c.Name, "_ro"):
		return true
	case c.Name == "eval":
		return noWrites(string(argv[1]))
	case c.Flags&ByDigest != 0:
		text, known := body(string(argv[1]))
		return known && noWrites(text)
	}
	return false
}

// noWrites reads the first line of a script: #!lua flags=no-writes,allow-stale
func noWrites(body string) bool {
	if !strings.HasPrefix(body, "#!lua") {
		return false
	}
	line, _, _ := strings.Cut(body, "\n")
	for _, word := range strings.Fields(line)[1:] {
		if flags, ok := strings.CutPrefix(word, "flags="); ok {
			return slices.Contains(strings.Split(flags, ","), "no-writes")
		}
	}
	return false
}

// NewPassword is the password that the call gives to a user of the server, if it does:
// CONFIG SET requirepass, and ACL SETUSER with one in clear text.
func NewPassword(argv [][]byte, c *Command) (user, password string, ok bool) {
	switch c.Name {
	case "config|set":
		for i := 2; i+1 < len(argv); i += 2 {
			if isWord(argv[i], "REQUIREPASS") {
				user, password, ok = "default", string(argv[i+1]), true
			}
		}
	case "acl|setuser":
		for _, rule := range argv[min(3, len(argv)):] {
			if len(rule) > 0 && rule[0] == '>' {
				user, password, ok = string(argv[2]), string(rule[1:]), true
			}
		}
	}
	return user, password, ok
}
