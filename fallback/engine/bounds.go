package engine

import (
	"math"
	"strings"
)

// maxString is the length of the longest string, as in Redis's default configuration.
const maxString = 512 << 20

// setbit guards the offsets that miniredis would allocate for.
func (c *call) setbit() {
	off, ok := parseInt(c.args[2])
	switch {
	case !ok || off < 0 || off >= 8*maxString:
		c.fail("ERR bit offset is not an integer or out of range")
	case c.args[3] != "0" && c.args[3] != "1":
		c.fail("ERR bit is not an integer or out of range")
	default:
		c.pass(c.args...)
	}
}

// The following refuse what is not a number, and what would become none: Redis
// refuses it, so that what was acknowledged here would fail there.

func (c *call) zincrby() {
	by, ok := parseScore(c.args[2])
	if !ok {
		c.fail("ERR value is not a valid float")
		return
	}
	if c.addable(c.args[3], by) {
		c.pass(c.args...)
	}
}

// addable reports whether a member's score and by have a sum; the call has failed
// if not.
func (c *call) addable(member string, by float64) bool {
	if !math.IsInf(by, 0) {
		return true
	}
	score, ok := parseScore(c.ask("ZSCORE", c.args[1], member).str)
	if !ok || !math.IsNaN(score+by) {
		return true
	}
	c.fail("ERR resulting score is not a number (NaN)")
	return false
}

// byScore is a command with the ends of a range of scores behind its key.
func (c *call) byScore() {
	for _, end := range c.args[2:4] {
		if f, _ := parseScore(strings.TrimPrefix(end, "(")); math.IsNaN(f) {
			c.fail("ERR min or max is not a float")
			return
		}
	}
	c.pass(c.args...)
}

func (c *call) geoadd() {
	for i := 2; i+2 < len(c.args); i += 3 {
		for _, place := range c.args[i : i+2] {
			if f, ok := parseScore(place); !ok && math.IsNaN(f) {
				c.fail("ERR value is not a valid float")
				return
			}
		}
	}
	c.pass(c.args...)
}
