package command

import "strings"

// keyFlags are the server's flags for the i-th key that Keys finds in call.
func (c *Command) keyFlags(call [][]byte, i int) string {
	switch c.Name {
	case "set":
		for _, arg := range call[min(3, len(call)):] {
			if isWord(arg, "GET") {
				return "RW access update"
			}
		}
		return "OW update"
	case "bitfield":
		if bitfieldReads(call) {
			return "RO access"
		}
		return "RW access update"
	case "migrate":
		return "RW access delete"
	case "sort":
		if i > 0 {
			return "OW update"
		}
		return "RO access"
	}
	for s := range c.specs {
		first, last, step := c.specs[s].span(call)
		for k := first; k <= last; k += step {
			if i == 0 {
				return strings.TrimSuffix(c.specs[s].flags, " incomplete")
			}
			i--
		}
	}
	return ""
}

// bitfieldReads reports whether a BITFIELD has no subcommand but GET.
func bitfieldReads(call [][]byte) bool {
	for i := 2; i < len(call); i++ {
		if !isWord(call[i], "GET") {
			return false
		}
		i += 2
	}
	return true
}
