package command

// matchGlob reports whether s matches a Redis glob pattern: * ? [a-z] [^x] and \
// for a literal character. It goes back to the last star only, so a pattern
// from a client costs at most its length times that of s.
func matchGlob(pattern []byte, s string) bool {
	var afterStar []byte
	var retry string
	starred := false
	for {
		if len(pattern) > 0 && pattern[0] == '*' {
			pattern = pattern[1:]
			afterStar, retry, starred = pattern, s, true
			continue
		}
		if s == "" {
			return len(pattern) == 0
		}
		if rest, ok := matchOne(pattern, s[0]); ok {
			pattern, s = rest, s[1:]
			continue
		}
		if !starred {
			return false
		}
		retry = retry[1:] // not empty: s is its end
		pattern, s = afterStar, retry
	}
}

// matchOne matches one character and gives the rest of the pattern.
func matchOne(pattern []byte, c byte) ([]byte, bool) {
	if len(pattern) == 0 {
		return nil, false
	}
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
		return matchClass(pattern[1:], c)
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return pattern[1:], pattern[0] == c
}

// matchClass matches a character with a class, pattern being what follows its
// bracket, and gives what follows the class.
func matchClass(pattern []byte, c byte) ([]byte, bool) {
	negated := len(pattern) > 0 && pattern[0] == '^'
	if negated {
		pattern = pattern[1:]
	}
	found := false
	for len(pattern) > 0 && pattern[0] != ']' {
		switch {
		case pattern[0] == '\\' && len(pattern) > 1:
			found = found || pattern[1] == c
			pattern = pattern[2:]
		case len(pattern) > 2 && pattern[1] == '-':
			low, high := min(pattern[0], pattern[2]), max(pattern[0], pattern[2])
			found = found || low <= c && c <= high
			pattern = pattern[3:]
		default:
			found = found || pattern[0] == c
			pattern = pattern[1:]
		}
	}
	if len(pattern) > 0 {
		pattern = pattern[1:]
	}
	return pattern, found != negated
}

// MatchGlob reports whether s matches a pattern by Redis's rules.
func MatchGlob(pattern, s []byte) bool { return matchGlob(pattern, string(s)) }
