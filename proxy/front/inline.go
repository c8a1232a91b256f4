package front

import (
	"bytes"
	"strconv"
)

const (
	errTooBigInline = "too big inline request"
	errUnbalanced   = "unbalanced quotes in request"
)

// inlineLine finds the line that begins at b[i] and returns its content and the
// position after its line end. As in a header, a NUL hides the rest of the line.
func (s *scanner) inlineLine(b []byte, i int) (line []byte, end int, ev event) {
	nl := bytes.IndexByte(b[i+s.seen:], '\n')
	if nl >= 0 && s.seen+nl <= s.lim.MaxInline && bytes.IndexByte(b[i:i+s.seen+nl], 0) < 0 {
		nl += i + s.seen
		s.seen = 0
		return bytes.TrimSuffix(b[i:nl], []byte{'\r'}), nl + 1, gotInline
	}
	if len(b)-i > s.lim.MaxInline {
		s.msg = errTooBigInline
		return nil, i, gotBad
	}
	if nl < 0 {
		s.seen = len(b) - i
	}
	return nil, i, needMore
}

// splitInline splits a line by Redis's rules: arguments end at blanks, double
// quotes know escapes, single quotes only \', and a closing quote must be
// followed by a blank. ok is false where quotes are unbalanced.
func splitInline(line []byte) (args [][]byte, ok bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return args, true
		}
		arg := []byte{}
		for i < len(line) && !endsWord(line[i]) {
			if c := line[i]; c != '"' && c != '\'' {
				arg = append(arg, c)
				i++
				continue
			}
			quoted, n := unquote(line[i:])
			if i += n; n == 0 || (i < len(line) && !isSpace(line[i])) {
				return nil, false
			}
			arg = append(arg, quoted...)
			if i < len(line) && !endsWord(line[i]) {
				break // \v and \f after a quote end the argument, as isspace says
			}
		}
		args = append(args, arg)
	}
}

// unquote reads one quoted string at the start of b and returns its value and
// its length with quotes; 0 when it does not end.
func unquote(b []byte) (val []byte, n int) {
	q := b[0]
	for i := 1; i < len(b); i++ {
		c := b[i]
		if c == q {
			return val, i + 1
		}
		if c == '\\' && i+1 < len(b) {
			switch {
			case q == '\'' && b[i+1] != '\'':
			case q == '"' && b[i+1] == 'x' && i+3 < len(b) && isHex(b[i+2]) && isHex(b[i+3]):
				v, _ := strconv.ParseUint(string(b[i+2:i+4]), 16, 8)
				c = byte(v)
				i += 3
			default:
				i++
				c = unescape(q, b[i])
			}
		}
		val = append(val, c)
	}
	return nil, 0
}

func unescape(q, c byte) byte {
	if q == '\'' {
		return c
	}
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// endsWord is narrower than isSpace: \v and \f are part of an unquoted word.
func endsWord(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// appendArray writes args as a RESP array.
func appendArray(dst []byte, args [][]byte) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(len(args)), 10)
	dst = append(dst, "\r\n"...)
	for _, a := range args {
		dst = append(dst, '$')
		dst = strconv.AppendInt(dst, int64(len(a)), 10)
		dst = append(dst, "\r\n"...)
		dst = append(dst, a...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}
