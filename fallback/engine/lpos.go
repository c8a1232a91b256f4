package engine

import "strings"

// lpos is LPOS.
func (c *call) lpos() {
	rank, count, most := int64(1), int64(-1), int64(0)
	for i := 3; i < len(c.args); i += 2 {
		if i+1 == len(c.args) {
			c.fail(errSyntax)
			return
		}
		n, isInt := parseInt(c.args[i+1])
		switch strings.ToUpper(c.args[i]) {
		case "RANK":
			if rank = n; !isInt {
				c.fail(errNotInt)
				return
			}
			if rank == 0 {
				c.fail("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				return
			}
		case "COUNT":
			if count = n; !isInt || n < 0 {
				c.fail("ERR COUNT can't be negative")
				return
			}
		case "MAXLEN":
			if most = n; !isInt || n < 0 {
				c.fail("ERR MAXLEN can't be negative")
				return
			}
		default:
			c.fail(errSyntax)
			return
		}
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	found := c.positions(l, rank, count, most)
	r := c.buf()
	switch {
	case count >= 0:
		r.array(len(found))
		for _, i := range found {
			r.integer(int64(i))
		}
	case len(found) > 0:
		r.integer(int64(found[0]))
	default:
		r.null()
	}
	c.reply = r.b
}

// positions are the places of an element from its rank-th on: up to count (0: all, -1:
// one), among the first most elements looked at (0: all).
func (c *call) positions(l *list, rank, count, most int64) (found []int) {
	n, backwards := l.size(), rank < 0
	skip := rank
	if backwards {
		skip = max(-rank, 0) // the lowest integer has no negative
	}
	for i := 0; i < n && (most == 0 || int64(i) < most); i++ {
		c.spend(1)
		at := i
		if backwards {
			at = n - 1 - i
		}
		if l.at(at) != c.args[2] {
			continue
		}
		if skip--; skip > 0 {
			continue
		}
		found = append(found, at)
		if count != 0 && int64(len(found)) >= max(count, 1) {
			break
		}
	}
	return found
}

// popCount reads the option COUNT of LMPOP and ZMPOP.
func (c *call) popCount(args []string) (int64, bool) {
	if len(args) == 0 {
		return 1, true
	}
	if !strings.EqualFold(args[0], "COUNT") || len(args) < 2 {
		c.fail(errSyntax)
		return 0, false
	}
	n, isInt := parseInt(args[1])
	if !isInt || n < 1 {
		c.fail("ERR count should be greater than 0")
		return 0, false
	}
	if len(args) > 2 {
		c.fail(errSyntax)
		return 0, false
	}
	return n, true
}
