package lua

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// kind is a token's: a character by itself, or one of those below.
type kind int

const (
	tkEOF kind = 256 + iota
	tkName
	tkNumber
	tkString
	tkConcat
	tkDots
	tkEq
	tkNe
	tkLe
	tkGe
	tkAnd // the first of the reserved words
	tkBreak
	tkDo
	tkElse
	tkElseif
	tkEnd
	tkFalse
	tkFor
	tkFunction
	tkIf
	tkIn
	tkLocal
	tkNil
	tkNot
	tkOr
	tkRepeat
	tkReturn
	tkThen
	tkTrue
	tkUntil
	tkWhile
)

var reserved = []string{"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil",
	"not", "or", "repeat", "return", "then", "true", "until", "while"}

var reservedKinds = func() map[string]kind {
	m := map[string]kind{}
	for i, w := range reserved {
		m[w] = tkAnd + kind(i)
	}
	return m
}()

func (k kind) String() string {
	switch {
	case k >= tkAnd:
		return reserved[k-tkAnd]
	case k >= tkEOF:
		return [...]string{"<eof>", "<name>", "<number>", "<string>", "..", "...", "==", "~=", "<=", ">="}[k-tkEOF]
	case k < 32 || k == 127:
		return fmt.Sprintf("char(%d)", int(k))
	}
	return string([]byte{byte(k)})
}

type token struct {
	kind kind
	s    string // a name or a string
	n    float64
	raw  string // as in the source: for errors
}

type lexer struct {
	src        string
	at         int
	line       int // of the last character that was read
	chunk      string
	tok, ahead token
	hasAhead   bool
	lastLine   int // of the token before tok
	tokens     int
}

// CompileError is why a script was refused, worded as in Lua 5.1.
type CompileError struct{ Msg string }

func (e *CompileError) Error() string { return e.Msg }

// fail refuses the source; near is the token that was not understood, "" for none.
func (x *lexer) fail(msg, near string) {
	text := fmt.Sprintf("%s:%d: %s", x.chunk, x.line, msg)
	if near != "" {
		text += " near '" + near + "'"
	}
	panic(&CompileError{text})
}

func (t *token) text() string {
	switch t.kind {
	case tkName, tkNumber, tkString:
		return t.raw
	}
	return t.kind.String()
}

// maxTokens bounds what is compiled: some 200 bytes for each token. The longest
// scripts that people write have a few thousand.
const maxTokens = 1 << 18

func (x *lexer) next() {
	if x.tokens++; x.tokens > maxTokens {
		panic(ErrTooLarge)
	}
	x.lastLine = x.line
	if x.hasAhead {
		x.tok, x.hasAhead = x.ahead, false
		return
	}
	x.tok = x.scan()
}

func (x *lexer) peek() kind {
	if !x.hasAhead {
		x.ahead, x.hasAhead = x.scan(), true
	}
	return x.ahead.kind
}

// char is the character at i after the current one, 0 at the end.
func (x *lexer) char(i int) byte {
	if x.at+i < len(x.src) {
		return x.src[x.at+i]
	}
	return 0
}

func (x *lexer) newline() {
	c := x.src[x.at]
	x.at++
	if d := x.char(0); (d == '\n' || d == '\r') && d != c {
		x.at++
	}
	x.line++
}

func (x *lexer) scan() token {
	for x.at < len(x.src) {
		switch c := x.src[x.at]; {
		case c == '\n' || c == '\r':
			x.newline()
		case c == ' ' || '\t' <= c && c <= '\r':
			x.at++
		case c == '-' && x.char(1) == '-':
			x.comment()
		case isDigit(c) || c == '.' && isDigit(x.char(1)):
			return x.number()
		case c == '_' || isAlpha(c):
			return x.name()
		case c == '"' || c == '\'':
			return x.quoted(c)
		case c == '[' && x.longLevel() >= 0:
			from := x.at
			s := x.long(x.longLevel(), "string")
			return token{kind: tkString, s: s, raw: x.src[from:x.at]}
		default:
			return x.symbol(c)
		}
	}
	return token{kind: tkEOF}
}

func (x *lexer) symbol(c byte) token {
	for _, s := range [...]struct {
		text string
		kind kind
	}{{"...", tkDots}, {"..", tkConcat}, {"==", tkEq}, {"~=", tkNe}, {"<=", tkLe}, {">=", tkGe}} {
		if s.text[0] == c && strings.HasPrefix(x.src[x.at:], s.text) {
			x.at += len(s.text)
			return token{kind: s.kind}
		}
	}
	if c == '[' && x.char(1) == '=' {
		from := x.at
		for x.at++; x.char(0) == '='; x.at++ {
		}
		x.fail("invalid long string delimiter", x.src[from:x.at])
	}
	x.at++
	return token{kind: kind(c)}
}

func (x *lexer) name() token {
	from := x.at
	for x.at < len(x.src) && (x.src[x.at] == '_' || isAlpha(x.src[x.at]) || isDigit(x.src[x.at])) {
		x.at++
	}
	s := x.src[from:x.at]
	if k, ok := reservedKinds[s]; ok {
		return token{kind: k}
	}
	return token{kind: tkName, s: s, raw: s}
}

func (x *lexer) number() token {
	from := x.at
	for isDigit(x.char(0)) || x.char(0) == '.' {
		x.at++
	}
	if c := x.char(0); c == 'e' || c == 'E' {
		x.at++
		if c = x.char(0); c == '+' || c == '-' {
			x.at++
		}
	}
	for c := x.char(0); c == '_' || isAlpha(c) || isDigit(c); c = x.char(0) {
		x.at++
	}
	raw := x.src[from:x.at]
	n, ok := ParseNumber(raw)
	if !ok {
		x.fail("malformed number", raw)
	}
	return token{kind: tkNumber, n: n, raw: raw}
}

// longLevel counts the = of a long bracket; -1: it is none.
func (x *lexer) longLevel() int {
	n := 0
	for x.char(1+n) == '=' {
		n++
	}
	if x.char(1+n) == '[' {
		return n
	}
	return -1
}

func (x *lexer) long(level int, what string) string {
	x.at += level + 2
	if c := x.char(0); c == '\n' || c == '\r' {
		x.newline()
	}
	end := "]" + strings.Repeat("=", level) + "]"
	size := strings.Index(x.src[x.at:], end)
	if size < 0 {
		for x.at < len(x.src) {
			if c := x.src[x.at]; c == '\n' || c == '\r' {
				x.newline()
			} else {
				x.at++
			}
		}
		x.fail("unfinished long "+what, "<eof>")
	}
	var out strings.Builder
	for stop := x.at + size; x.at < stop; {
		if c := x.src[x.at]; c == '\n' || c == '\r' {
			x.newline()
			out.WriteByte('\n')
			continue
		}
		run := strings.IndexAny(x.src[x.at:stop], "\r\n")
		if run < 0 {
			run = stop - x.at
		}
		out.WriteString(x.src[x.at : x.at+run])
		x.at += run
	}
	x.at += len(end)
	return out.String()
}

func (x *lexer) comment() {
	x.at += 2
	if x.char(0) == '[' {
		if level := x.longLevel(); level >= 0 {
			x.long(level, "comment")
			return
		}
	}
	for x.at < len(x.src) && x.src[x.at] != '\n' && x.src[x.at] != '\r' {
		x.at++
	}
}

func (x *lexer) quoted(quote byte) token {
	var out strings.Builder
	for x.at++; ; {
		if x.at >= len(x.src) {
			x.fail("unfinished string", "<eof>")
		}
		c := x.src[x.at]
		switch {
		case c == quote:
			x.at++
			s, q := out.String(), string(quote)
			return token{kind: tkString, s: s, raw: q + s + q}
		case c == '\n' || c == '\r':
			x.fail("unfinished string", string(quote)+out.String())
		case c == '\\':
			x.escape(&out, quote)
		default:
			out.WriteByte(c)
			x.at++
		}
	}
}

func (x *lexer) escape(out *strings.Builder, quote byte) {
	x.at++
	if x.at >= len(x.src) {
		return // the caller finds the end
	}
	c := x.src[x.at]
	switch {
	case c == '\n' || c == '\r':
		x.newline()
		out.WriteByte('\n')
		return
	case isDigit(c):
		end := x.at
		for end < len(x.src) && end < x.at+3 && isDigit(x.src[end]) {
			end++
		}
		n, _ := strconv.Atoi(x.src[x.at:end])
		if x.at = end; n > math.MaxUint8 {
			x.fail("escape sequence too large", string(quote)+out.String())
		}
		out.WriteByte(byte(n))
		return
	}
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		c = "\a\b\f\n\r\t\v"[i]
	}
	out.WriteByte(c)
	x.at++
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { c |= 0x20; return 'a' <= c && c <= 'z' }
