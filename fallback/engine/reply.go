package engine

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// replyBuf builds a RESP reply.
type replyBuf struct {
	b    []byte
	v3   bool
	most int // bytes that it may have, 0 for any number
}

func (r *replyBuf) head(kind byte, n int64) {
	r.b = append(r.b, kind)
	r.b = strconv.AppendInt(r.b, n, 10)
	r.b = append(r.b, '\r', '\n')
}

func (r *replyBuf) integer(n int64) { r.head(':', n) }
func (r *replyBuf) array(n int)     { r.head('*', int64(n)) }

func (r *replyBuf) mapLen(n int) {
	if r.v3 {
		r.head('%', int64(n))
		return
	}
	r.array(2 * n)
}

func (r *replyBuf) setLen(n int) {
	if r.v3 {
		r.head('~', int64(n))
		return
	}
	r.array(n)
}

func (r *replyBuf) bulk(s string) {
	if r.most > 0 && len(r.b)+len(s) > r.most {
		panic(errTooLarge)
	}
	r.head('$', int64(len(s)))
	r.b = append(append(r.b, s...), '\r', '\n')
}

func (r *replyBuf) null() {
	if r.v3 {
		r.b = append(r.b, "_\r\n"...)
		return
	}
	r.b = append(r.b, "$-1\r\n"...)
}

func (r *replyBuf) nullArray() {
	if r.v3 {
		r.null()
		return
	}
	r.b = append(r.b, "*-1\r\n"...)
}

func (r *replyBuf) double(f float64) {
	if r.v3 {
		r.b = append(append(r.b, ','), formatDouble17(f)+"\r\n"...)
		return
	}
	r.bulk(formatDouble17(f))
}

func (r *replyBuf) status(s string) { r.line('+', s) }
func (r *replyBuf) fail(s string)   { r.line('-', s) }

// line writes a status or an error, which cannot hold line breaks.
func (r *replyBuf) line(kind byte, s string) {
	r.b = append(r.b, kind)
	r.b = append(r.b, strings.NewReplacer("\r", " ", "\n", " ").Replace(s)...)
	r.b = append(r.b, '\r', '\n')
}

// strings writes an array of bulk strings.
func (r *replyBuf) strings(list []string) {
	r.array(len(list))
	for _, s := range list {
		r.bulk(s)
	}
}

// formatDouble prints a float with as many digits as tell it from its neighbours.
func formatDouble(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	case f == 0 && math.Signbit(f):
		return "-0"
	case f == math.Trunc(f) && math.Abs(f) < 1<<52:
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// formatDouble17 prints a float as Redis 7.0 does: with 17 digits.
func formatDouble17(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<52 && !(f == 0 && math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	s := strconv.FormatFloat(f, 'g', 17, 64)
	return strings.NewReplacer("+Inf", "inf", "-Inf", "-inf").Replace(s)
}

// value is a parsed reply. kind is its RESP type byte, '_' for every nil.
type value struct {
	kind byte
	str  string
	num  int64
	list []value // elements; for maps keys and values in turn
}

func (v value) isErr() bool { return v.kind == '-' }
func (v value) isNil() bool { return v.kind == '_' }

// flat is the strings of an array of bulk strings.
func (v value) flat() []string {
	out := make([]string, len(v.list))
	for i, el := range v.list {
		out[i] = el.str
	}
	return out
}

// parseReply parses one reply that we wrote and returns what is
// left of b. It trusts lengths, since none of them comes from a network.
func parseReply(b []byte) (value, []byte) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 1 {
		return value{kind: '-', str: "ERR empty reply"}, nil
	}
	kind, head, rest := b[0], string(b[1:end]), b[end+2:]
	v := value{kind: kind, str: head}
	switch kind {
	case ':':
		v.num, _ = strconv.ParseInt(head, 10, 64)
	case '$', '=':
		n, _ := strconv.Atoi(head)
		if n < 0 {
			return value{kind: '_'}, rest
		}
		v.str, rest = string(rest[:n]), rest[n+2:]
	case '*', '~', '%', '>':
		n, _ := strconv.Atoi(head)
		if n < 0 {
			return value{kind: '_'}, rest
		}
		if kind == '%' {
			n *= 2
		}
		v.list = make([]value, n)
		for i := range v.list {
			v.list[i], rest = parseReply(rest)
		}
	}
	return v, rest
}
