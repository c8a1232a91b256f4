package lua

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

type jsonDecoder struct {
	l     *State
	cfg   *jsonConfig
	s     string
	i     int
	depth int
	tok   jsonToken
}

// jsonToken is a piece of a document: name is what errors call it, error why it is
// none.
type jsonToken struct {
	name, error string
	at          int
	v           Value
}

var jsonMarks = map[byte]string{'{': "T_OBJ_BEGIN", '}': "T_OBJ_END", '[': "T_ARR_BEGIN", ']': "T_ARR_END", ',': "T_COMMA", ':': "T_COLON"}

func jsonDecode(l *State, cfg *jsonConfig, args []Value) []Value {
	if len(args) != 1 {
		l.ArgError(1, "expected 1 argument")
	}
	d := &jsonDecoder{l: l, cfg: cfg, s: l.CheckString(args, 1)}
	if len(d.s) >= 2 && (d.s[0] == 0 || d.s[1] == 0) {
		l.Errorf("JSON parser does not support UTF-16 or UTF-32")
	}
	d.next()
	v := d.value()
	if d.next(); d.tok.name != "T_END" {
		d.expected("the end")
	}
	return l.Return(v)
}

func (d *jsonDecoder) expected(what string) {
	found, at := d.tok.name, d.tok.at
	if d.tok.error != "" {
		found, at = d.tok.error, d.i
	}
	d.l.Errorf("Expected %s but found %s at character %d", what, found, at+1)
}

func (d *jsonDecoder) char(i int) byte {
	if i < len(d.s) {
		return d.s[i]
	}
	return 0
}

func (d *jsonDecoder) next() {
	for d.i < len(d.s) && strings.IndexByte(" \t\r\n", d.s[d.i]) >= 0 {
		d.i++
	}
	d.tok = jsonToken{at: d.i}
	ch := d.char(d.i)
	if name := jsonMarks[ch]; name != "" {
		d.tok.name = name
		d.i++
		return
	}
	rest := d.s[d.i:]
	switch {
	case ch == 0:
		d.tok.name = "T_END"
	case ch == '"':
		d.string()
	case ch == '-' || isDigit(ch):
		if !d.cfg.decodeInvalid && invalidNumber(rest) {
			d.tok.error = "invalid number"
			return
		}
		d.number()
	case strings.HasPrefix(rest, "true"):
		d.word("T_BOOLEAN", true, 4)
	case strings.HasPrefix(rest, "false"):
		d.word("T_BOOLEAN", false, 5)
	case strings.HasPrefix(rest, "null"):
		d.word("T_NULL", jsonNull, 4)
	case strings.IndexByte("iInN+", ch) >= 0 && d.cfg.decodeInvalid && invalidNumber(rest):
		d.number()
	default:
		d.tok.error = "invalid token"
	}
}

func (d *jsonDecoder) word(name string, v Value, n int) {
	d.tok.name, d.tok.v = name, v
	d.i += n
}

// invalidNumber reports whether a number is none in JSON, though C reads it.
func invalidNumber(s string) bool {
	if strings.HasPrefix(s, "+") {
		return true
	}
	s = strings.TrimPrefix(s, "-")
	if s == "" {
		return false
	}
	if s[0] == '0' {
		return len(s) > 1 && (s[1]|0x20 == 'x' || isDigit(s[1]))
	}
	if s[0] <= '9' {
		return false
	}
	return len(s) >= 3 && (strings.EqualFold(s[:3], "inf") || strings.EqualFold(s[:3], "nan"))
}

func (d *jsonDecoder) number() {
	n := numberPrefix(d.s[d.i:])
	f, ok := ParseNumber(d.s[d.i : d.i+n])
	if n == 0 || !ok {
		d.tok.error = "invalid number"
		return
	}
	d.word("T_NUMBER", Number(f), n)
}

// numberPrefix is how much of s C's strtod reads.
func numberPrefix(s string) int {
	i := 0
	for i < len(s) && i < 1 && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			return i + len(word)
		}
	}
	digit, exp := isDigit, byte('e')
	if len(s)-i > 2 && s[i] == '0' && s[i+1]|0x20 == 'x' && isHex(s[i+2]) {
		i, digit, exp = i+2, isHex, 'p'
	}
	dot := false
	digits := 0
	for i < len(s) && (digit(s[i]) || s[i] == '.' && !dot) {
		dot = dot || s[i] == '.'
		if s[i] != '.' {
			digits++
		}
		i++
	}
	if digits == 0 {
		return 0
	}
	if i < len(s) && s[i]|0x20 == exp {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			for i = j; i < len(s) && isDigit(s[i]); i++ {
			}
		}
	}
	return i
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (d *jsonDecoder) value() Value {
	d.l.step()
	switch d.tok.name {
	case "T_OBJ_BEGIN":
		return d.object()
	case "T_ARR_BEGIN":
		return d.array()
	case "T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL":
		return d.tok.v
	}
	d.expected("value")
	return nil
}

func (d *jsonDecoder) descend() {
	if d.depth++; d.depth > d.cfg.decodeDepth || d.depth > maxJSONNesting {
		d.l.Errorf("Found too many nested data structures (%d) at character %d", d.depth, d.i)
	}
	d.l.charge(96)
}

func (d *jsonDecoder) array() Value {
	d.descend()
	t := NewTable()
	if d.next(); d.tok.name == "T_ARR_END" {
		d.depth--
		return t
	}
	for n := 1; ; n++ {
		d.l.setInt(t, n, d.value())
		switch d.next(); d.tok.name {
		case "T_ARR_END":
			d.depth--
			return t
		case "T_COMMA":
			d.next()
		default:
			d.expected("comma or array end")
		}
	}
}

func (d *jsonDecoder) object() Value {
	d.descend()
	t := NewTable()
	if d.next(); d.tok.name == "T_OBJ_END" {
		d.depth--
		return t
	}
	for {
		if d.tok.name != "T_STRING" {
			d.expected("object key string")
		}
		key := d.tok.v
		if d.next(); d.tok.name != "T_COLON" {
			d.expected("colon")
		}
		d.next()
		d.l.RawSet(t, key, d.value())
		switch d.next(); d.tok.name {
		case "T_OBJ_END":
			d.depth--
			return t
		case "T_COMMA":
			d.next()
		default:
			d.expected("comma or object end")
		}
	}
}

func (d *jsonDecoder) string() {
	var out []byte
	for d.i++; ; {
		switch ch := d.char(d.i); ch {
		case '"':
			d.l.charge(len(out) + 16)
			d.word("T_STRING", string(out), 1)
			return
		case 0:
			d.tok.error = "unexpected end of string"
			return
		case '\\':
			if d.char(d.i+1) == 'u' {
				r, n := d.unicode()
				if n == 0 {
					d.tok.error = "invalid unicode escape code"
					return
				}
				out = utf8.AppendRune(out, r)
				d.i += n
				continue
			}
			at := strings.IndexByte(`"\/bfnrt`, d.char(d.i+1))
			if at < 0 {
				d.tok.error = "invalid escape code"
				return
			}
			out = append(out, "\"\\/\b\f\n\r\t"[at])
			d.i += 2
		default:
			out = append(out, ch)
			d.i++
		}
	}
}

// unicode reads the escape at i, or both of a pair; n is its length, 0 if it is none.
func (d *jsonDecoder) unicode() (r rune, n int) {
	r, ok := d.hex4(d.i + 2)
	if !ok {
		return 0, 0
	}
	if r&0xf800 != 0xd800 {
		return r, 6
	}
	if r&0x400 != 0 || d.char(d.i+6) != '\\' || d.char(d.i+7) != 'u' {
		return 0, 0
	}
	low, ok := d.hex4(d.i + 8)
	if !ok || low&0xfc00 != 0xdc00 {
		return 0, 0
	}
	return (r&0x3ff<<10 | low&0x3ff) + 0x10000, 12
}

func (d *jsonDecoder) hex4(i int) (rune, bool) {
	if i+4 > len(d.s) {
		return 0, false
	}
	for _, c := range []byte(d.s[i : i+4]) {
		if !isHex(c) {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(d.s[i:i+4], 16, 32)
	return rune(n), err == nil
}

// formatG is C's %.<digits>g: with few digits also an integer has an exponent.
func formatG(f float64, digits int) string {
	if digits == 14 || f == 0 || math.IsInf(f, 0) {
		return FormatNumber(f, 14)
	}
	s := strconv.FormatFloat(f, 'g', digits, 64)
	mantissa, exp, hasExp := strings.Cut(s, "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if hasExp {
		return mantissa + "e" + exp
	}
	return mantissa
}
