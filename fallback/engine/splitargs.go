package engine

import (
	"strconv"
	"strings"
)

// splitArgs splits a line as redis-cli does: by white space, with quotes. Not ok:
// quotes that do not end.
func splitArgs(s string) (out []string, ok bool) {
	const blanks = " \t\n\v\f\r"
	for {
		s = strings.TrimLeft(s, blanks+"\x00")
		if s == "" {
			return out, true
		}
		var word strings.Builder
		for s != "" && strings.IndexByte(blanks+"\x00", s[0]) < 0 {
			if s[0] != '"' && s[0] != '\'' {
				word.WriteByte(s[0])
				s = s[1:]
				continue
			}
			if s, ok = quoted(&word, s); !ok || s != "" && strings.IndexByte(blanks, s[0]) < 0 {
				return nil, false
			}
		}
		out = append(out, word.String())
	}
}

// quoted reads what is in quotes, the first character of s, and returns the rest.
func quoted(word *strings.Builder, s string) (rest string, ok bool) {
	quote := s[0]
	for s = s[1:]; s != ""; {
		switch {
		case s[0] == quote:
			return s[1:], true
		case s[0] == '\\' && len(s) > 1 && quote == '\'' && s[1] == '\'':
			word.WriteByte('\'')
			s = s[2:]
		case s[0] == '\\' && len(s) > 3 && quote == '"' && s[1] == 'x':
			if n, err := strconv.ParseUint(s[2:4], 16, 8); err == nil {
				word.WriteByte(byte(n))
				s = s[4:]
				continue
			}
			word.WriteByte('x')
			s = s[2:]
		case s[0] == '\\' && len(s) > 1 && quote == '"':
			c := s[1]
			if i := strings.IndexByte("nrtba", c); i >= 0 {
				c = "\n\r\t\b\a"[i]
			}
			word.WriteByte(c)
			s = s[2:]
		default:
			word.WriteByte(s[0])
			s = s[1:]
		}
	}
	return "", false
}
