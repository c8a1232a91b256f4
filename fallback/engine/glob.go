package engine

// matches reports whether s matches a pattern as Redis matches keys: * ? [set]
// [^set] [a-z] and \ for the next character as it is. Its time is at most the
// product of the lengths, whatever the pattern.
// The budget of the call pays for the steps.
func (c *call) matches(pattern, s string) bool { return globMatch(pattern, s, c.spend) }

// globMatch tells spend of the steps that it takes.
func globMatch(pattern, s string, spend func(int)) bool {
	if pattern == "*" {
		spend(1)
		return true
	}
	steps := 0
	p, i := 0, 0
	starP, starI := -1, 0 // where to go on after a mismatch: let the last * eat one more
	for i < len(s) {
		if steps++; steps&255 == 0 {
			spend(256)
		}
		if p < len(pattern) && pattern[p] == '*' {
			starP, starI = p+1, i
			p++
			continue
		}
		if p < len(pattern) {
			if n, ok := matchOne(pattern[p:], s[i]); ok {
				p, i = p+n, i+1
				continue
			}
		}
		if starP < 0 {
			return false
		}
		starI++
		p, i = starP, starI
	}
	spend(1 + steps&255)
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one character against the first element of the pattern and
// returns that element's length.
func matchOne(p string, ch byte) (int, bool) {
	switch {
	case p[0] == '?':
		return 1, true
	case p[0] == '[':
		return matchSet(p, ch)
	case p[0] == '\\' && len(p) >= 2:
		return 2, p[1] == ch
	}
	return 1, p[0] == ch
}

func matchSet(p string, ch byte) (int, bool) {
	i, not, found := 1, false, false
	if i < len(p) && p[i] == '^' {
		not = true
		i++
	}
	for ; i < len(p) && p[i] != ']'; i++ {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			i++
			found = found || p[i] == ch
		case i+2 < len(p) && p[i+1] == '-':
			lo, hi := min(p[i], p[i+2]), max(p[i], p[i+2])
			found = found || lo <= ch && ch <= hi
			i += 2
		default:
			found = found || p[i] == ch
		}
	}
	return min(i+1, len(p)), found != not
}
