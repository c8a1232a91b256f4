package resp

import (
	"bytes"
	"strconv"
)

// Kind is the type of a Value: its type byte on the wire.
type Kind byte

// The kinds of replies.
const (
	KindSimple   Kind = '+'
	KindError    Kind = '-'
	KindInt      Kind = ':'
	KindBulk     Kind = '$'
	KindArray    Kind = '*'
	KindNull     Kind = '_'
	KindDouble   Kind = ','
	KindBool     Kind = '#'
	KindBlobErr  Kind = '!'
	KindVerbatim Kind = '='
	KindBig      Kind = '('
	KindMap      Kind = '%'
	KindSet      Kind = '~'
	KindPush     Kind = '>'
)

// Value is one parsed reply. Str aliases the parsed buffer.
type Value struct {
	Kind Kind
	// Null is true for "$-1", "*-1" and "_".
	Null bool
	// Str is the text of every scalar, without type byte and CRLF; a verbatim
	// string's without its three-letter format.
	Str []byte
	// Int is the number of an integer, and 1 or 0 of a boolean.
	Int int64
	// Elems are the parts of an aggregate; a map's are key, value, key, value.
	Elems []Value
}

// IsError reports whether the reply is an error.
func (v Value) IsError() bool { return v.Kind == KindError || v.Kind == KindBlobErr }

// Text is Str as a string of its own.
func (v Value) Text() string { return string(v.Str) }

// Err is the reply as a ReplyError if it is an error, else nil.
func (v Value) Err() error {
	if !v.IsError() {
		return nil
	}
	return ReplyError(v.Str)
}

// Get looks up a text key in a map, or in a flat array of pairs.
func (v Value) Get(key string) (Value, bool) {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == key {
			return v.Elems[i+1], true
		}
	}
	return Value{}, false
}

// ReplyError is an error reply of the server, code included ("WRONGPASS ...").
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// Code is the first word of the error.
func (e ReplyError) Code() string {
	code, _, _ := bytes.Cut([]byte(e), []byte(" "))
	return string(code)
}

// Parse parses the first complete reply in b and gives its length; 0 and no
// error when b does not hold all of it yet. Attributes are skipped. The Value
// aliases b. Nothing is allocated for a count before its elements are known to
// be in b.
func Parse(b []byte) (Value, int, error) { return ParseLimits(b, Limits{}) }

// ParseLimits is Parse with limits of the caller.
func ParseLimits(b []byte, lim Limits) (Value, int, error) {
	s := Splitter{Limits: lim}
	n, done, err := s.Feed(b)
	if err != nil || !done {
		return Value{}, 0, err
	}
	v, _, err := parseAt(b[:n], 0, lim.withDefaults().Depth)
	if err != nil {
		return Value{}, 0, err
	}
	return v, n, nil
}

// parseAt parses the value at b[i], which a Splitter has found to be complete
// and well formed, and gives the position after it.
func parseAt(b []byte, i, depth int) (Value, int, error) {
	if depth < 0 {
		return Value{}, 0, ErrTooDeep
	}
	v := Value{Kind: Kind(b[i])}
	end := i + bytes.Index(b[i:], []byte("\r\n"))
	line, next := b[i+1:end], end+2
	switch v.Kind {
	case KindBulk, KindBlobErr, KindVerbatim, KindArray, KindMap, KindSet, KindPush, '|':
		n, err := strconv.ParseInt(string(line), 10, 64)
		if err != nil {
			return Value{}, 0, ErrBulkLength
		}
		if n < 0 {
			v.Null = true
			return v, next, nil
		}
		if v.Kind == KindBulk || v.Kind == KindBlobErr || v.Kind == KindVerbatim {
			v.Str = b[next : next+int(n)]
			if v.Kind == KindVerbatim && n >= 4 && v.Str[3] == ':' {
				v.Str = v.Str[4:]
			}
			return v, next + int(n) + 2, nil
		}
		return parseElems(b, next, depth, v, n)
	case KindNull:
		v.Null = true
	case KindInt:
		n, err := strconv.ParseInt(string(line), 10, 64)
		if err != nil {
			return Value{}, 0, ErrBadInteger
		}
		v.Int = n
	case KindBool:
		if string(line) == "t" {
			v.Int = 1
		}
	}
	v.Str = line
	return v, next, nil
}

// parseElems parses n elements (or pairs) of v from b[i] on.
func parseElems(b []byte, i, depth int, v Value, n int64) (Value, int, error) {
	if v.Kind == KindMap || v.Kind == '|' {
		n *= 2
	}
	// The reply is complete and an element takes three bytes or more, so n is
	// at most a third of what is in memory already.
	elems := make([]Value, 0, n)
	for range n {
		e, next, err := parseAt(b, i, depth-1)
		if err != nil {
			return Value{}, 0, err
		}
		elems, i = append(elems, e), next
	}
	if v.Kind == '|' {
		return parseAt(b, i, depth-1)
	}
	v.Elems = elems
	return v, i, nil
}

// Clone is a copy of v that does not alias the parsed buffer.
func (v Value) Clone() Value {
	v.Str = append([]byte(nil), v.Str...)
	if v.Elems != nil {
		elems := make([]Value, len(v.Elems))
		for i, e := range v.Elems {
			elems[i] = e.Clone()
		}
		v.Elems = elems
	}
	return v
}
