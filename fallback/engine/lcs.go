package engine

import "strings"

// lcsMatch is a run that two strings have in common.
type lcsMatch struct{ a, b, n int }

// lcs is LCS: the longest common subsequence of two strings, by the table of the
// lengths for all their beginnings.
func (c *call) lcs() {
	var a, b string
	for i, dst := range []*string{&a, &b} {
		en := c.e.find(c.db, c.args[1+i])
		if en != nil && en.kind != "string" {
			c.fail("ERR The specified keys must contain string values")
			return
		}
		if en != nil {
			*dst = en.value
		}
	}
	var idx, length, withLen bool
	least := int64(0)
	for i := 3; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "IDX":
			idx = true
		case opt == "LEN":
			length = true
		case opt == "WITHMATCHLEN":
			withLen = true
		case opt == "MINMATCHLEN" && i+1 < len(c.args):
			n, ok := parseInt(c.args[i+1])
			if !ok {
				c.fail(errNotInt)
				return
			}
			least = max(n, 0)
			i++
		default:
			c.fail(errSyntax)
			return
		}
	}
	switch {
	case idx && length:
		c.fail("ERR If you want both the length and indexes, please just use IDX.")
		return
	case int64(len(a)+1)*int64(len(b)+1)*4 > c.e.limits.bulk:
		c.fail("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	common, matches := c.lcsOf(a, b)
	r := c.buf()
	switch {
	case idx:
		r.lcsMatches(matches, len(common), least, withLen)
	case length:
		r.integer(int64(len(common)))
	default:
		r.bulk(common)
	}
	c.reply = r.b
}

// lcsOf is the subsequence and its runs, the last one first.
func (c *call) lcsOf(a, b string) (string, []lcsMatch) {
	width := len(b) + 1
	t := make([][]uint32, 1, len(a)+1)
	t[0] = make([]uint32, width)
	for i := 1; i <= len(a); i++ {
		row, above := make([]uint32, width), t[i-1]
		t = append(t, row)
		for j := 1; j < width; j++ {
			if a[i-1] == b[j-1] {
				row[j] = above[j-1] + 1
			} else {
				row[j] = max(above[j], row[j-1])
			}
		}
		c.spend(width)
	}
	out := make([]byte, t[len(a)][len(b)])
	var found []lcsMatch
	open := false // the last run may be extended backwards
	at := len(out)
	for i, j := len(a), len(b); i > 0 && j > 0; {
		switch {
		case a[i-1] == b[j-1]:
			i, j, at = i-1, j-1, at-1
			out[at] = a[i]
			if open {
				m := &found[len(found)-1]
				m.a, m.b, m.n = i, j, m.n+1
			} else {
				found = append(found, lcsMatch{i, j, 1})
			}
			open = true
		case t[i-1][j] > t[i][j-1]:
			i, open = i-1, false
		default:
			j, open = j-1, false
		}
	}
	return string(out), found
}

func (r *replyBuf) lcsMatches(matches []lcsMatch, total int, least int64, withLen bool) {
	n := 0
	for _, m := range matches {
		if int64(m.n) >= least {
			n++
		}
	}
	r.mapLen(2)
	r.bulk("matches")
	r.array(n)
	for _, m := range matches {
		if int64(m.n) < least {
			continue
		}
		if withLen {
			r.array(3)
		} else {
			r.array(2)
		}
		for _, from := range []int{m.a, m.b} {
			r.array(2)
			r.integer(int64(from))
			r.integer(int64(from + m.n - 1))
		}
		if withLen {
			r.integer(int64(m.n))
		}
	}
	r.bulk("len")
	r.integer(int64(total))
}
