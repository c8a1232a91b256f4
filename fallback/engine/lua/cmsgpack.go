package lua

import (
	"encoding/binary"
	"math"
)

// maxPackNesting is how deep tables are packed; deeper ones become nil.
const maxPackNesting = 16

func cmsgpackLib() *Table {
	t := library(map[string]Native{
		"pack":   msgPack,
		"unpack": func(l *State, args []Value) []Value { return msgUnpack(l, args, 0, 0) },
		"unpack_one": func(l *State, args []Value) []Value {
			return msgUnpack(l, args, 1, l.OptInteger(args, 2, 0))
		},
		"unpack_limit": func(l *State, args []Value) []Value {
			limit := l.CheckInteger(args, 2)
			return msgUnpack(l, args, limit, l.OptInteger(args, 3, 0))
		},
	})
	t.Set("_NAME", "cmsgpack")
	t.Set("_VERSION", "lua-cmsgpack 0.4.0")
	t.Set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")
	t.Set("_DESCRIPTION", "MessagePack C implementation for Lua")
	return t
}

type msgEncoder struct {
	l       *State
	b       []byte
	charged int
}

func msgPack(l *State, args []Value) []Value {
	if len(args) == 0 {
		l.ArgError(0, "MessagePack pack needs input.")
	}
	e := &msgEncoder{l: l}
	for _, v := range args {
		e.value(v, 0)
	}
	l.charge(len(e.b))
	return l.Return(string(e.b))
}

func (e *msgEncoder) value(v Value, level int) {
	if e.l.step(); len(e.b)-e.charged > memoryStep {
		e.l.charge(2 * (len(e.b) - e.charged))
		if e.charged = len(e.b); e.charged > maxString {
			e.l.Errorf("string length overflow")
		}
	}
	switch t := v.(type) {
	case string:
		e.string(t)
	case bool:
		e.b = append(e.b, map[bool]byte{false: 0xc2, true: 0xc3}[t])
	case float64:
		e.number(t)
	case *Table:
		if level == maxPackNesting {
			e.b = append(e.b, 0xc0)
			return
		}
		e.table(t, level)
	default:
		e.b = append(e.b, 0xc0)
	}
}

// head appends the first bytes of something with a length: short is its code with
// the length in it, for up to room; the codes are for lengths of 8, 16 and 32 bits,
// 0 for none.
func (e *msgEncoder) head(n int, short byte, room int, code8, code16, code32 byte) {
	switch {
	case n <= room:
		e.b = append(e.b, short|byte(n))
	case n <= math.MaxUint8 && code8 != 0:
		e.b = append(e.b, code8, byte(n))
	case n <= math.MaxUint16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, code16), uint16(n))
	default:
		e.b = binary.BigEndian.AppendUint32(append(e.b, code32), uint32(n))
	}
}

func (e *msgEncoder) string(s string) {
	e.head(len(s), 0xa0, 31, 0xd9, 0xda, 0xdb)
	e.b = append(e.b, s...)
}

func (e *msgEncoder) number(f float64) {
	if math.IsInf(f, 0) || f != math.Trunc(f) || f >= 1<<63 || f < -1<<63 {
		if g := float32(f); float64(g) == f {
			e.b = binary.BigEndian.AppendUint32(append(e.b, 0xca), math.Float32bits(g))
		} else {
			e.b = binary.BigEndian.AppendUint64(append(e.b, 0xcb), math.Float64bits(f))
		}
		return
	}
	switch n := int64(f); {
	case n >= 0 && n <= math.MaxInt8, n < 0 && n >= -32:
		e.b = append(e.b, byte(n))
	case n >= 0 && n <= math.MaxUint8:
		e.b = append(e.b, 0xcc, byte(n))
	case n >= 0 && n <= math.MaxUint16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, 0xcd), uint16(n))
	case n >= 0 && n <= math.MaxUint32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, 0xce), uint32(n))
	case n >= 0:
		e.b = binary.BigEndian.AppendUint64(append(e.b, 0xcf), uint64(n))
	case n >= math.MinInt8:
		e.b = append(e.b, 0xd0, byte(n))
	case n >= math.MinInt16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, 0xd2), uint32(n))
	default:
		e.b = binary.BigEndian.AppendUint64(append(e.b, 0xd3), uint64(n))
	}
}

func (e *msgEncoder) table(t *Table, level int) {
	most, count, array := 0.0, 0, true
	for k, _, _ := t.Next(nil); k != nil; k, _, _ = t.Next(k) {
		count++
		f, ok := k.(float64)
		if !ok || f <= 0 || f != math.Trunc(f) || f > math.MaxInt32 {
			array = false
		}
		most = max(most, f)
	}
	if array && most == float64(count) {
		n := t.Len()
		e.head(n, 0x90, 15, 0, 0xdc, 0xdd)
		for i := 1; i <= n; i++ {
			e.value(t.Int(i), level+1)
		}
		return
	}
	if t.unordered {
		e.l.m.unsure()
	}
	e.head(count, 0x80, 15, 0, 0xde, 0xdf)
	for k, v, _ := t.Next(nil); k != nil; k, v, _ = t.Next(k) {
		e.value(k, level+1)
		e.value(v, level+1)
	}
}

type msgDecoder struct {
	l     *State
	s     string
	i     int
	depth int
}

func msgUnpack(l *State, args []Value, limit, offset int) []Value {
	s := l.CheckString(args, 1)
	switch {
	case offset < 0 || limit < 0:
		l.Errorf("Invalid request to unpack with offset of %d and limit of %d.", offset, len(s))
	case offset > len(s):
		l.Errorf("Start offset %d greater than input length %d.", offset, len(s))
	}
	all := limit == 0 && offset == 0
	d := &msgDecoder{l: l, s: s, i: offset}
	var out []Value
	if !all {
		out = append(out, nil)
	}
	for n := 0; d.i < len(s) && (all || n < limit); n++ {
		if len(out) >= maxResults {
			l.Errorf("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
		}
		out = append(out, d.value())
	}
	if !all {
		if out[0] = Number(float64(d.i)); d.i == len(s) {
			out[0] = Number(-1)
		}
	}
	return out
}

// take is the next n bytes.
func (d *msgDecoder) take(n int) string {
	if n > len(d.s)-d.i {
		d.l.Errorf("Missing bytes in input.")
	}
	s := d.s[d.i : d.i+n]
	d.i += n
	return s
}

func (d *msgDecoder) uint(n int) (v uint64) {
	for _, c := range []byte(d.take(n)) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (d *msgDecoder) value() Value {
	d.l.step()
	switch c := d.take(1)[0]; {
	case c < 0x80:
		return Number(float64(c))
	case c >= 0xe0:
		return Number(float64(int8(c)))
	case c < 0x90:
		return d.hash(int(c & 15))
	case c < 0xa0:
		return d.array(int(c & 15))
	case c < 0xc0:
		return d.take(int(c & 31))
	default:
		return d.coded(c)
	}
}

func (d *msgDecoder) coded(c byte) Value {
	switch c {
	case 0xc0:
		return nil
	case 0xc2, 0xc3:
		return c == 0xc3
	case 0xca:
		return Number(float64(math.Float32frombits(uint32(d.uint(4)))))
	case 0xcb:
		return Number(math.Float64frombits(d.uint(8)))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return Number(float64(int64(d.uint(1 << (c - 0xcc))))) // the largest are negative there, too
	case 0xd0:
		return Number(float64(int8(d.uint(1))))
	case 0xd1:
		return Number(float64(int16(d.uint(2))))
	case 0xd2:
		return Number(float64(int32(d.uint(4))))
	case 0xd3:
		return Number(float64(int64(d.uint(8))))
	case 0xd9, 0xda, 0xdb:
		return d.take(int(d.uint(1 << (c - 0xd9))))
	case 0xdc, 0xdd:
		return d.array(int(d.uint(2 << (c - 0xdc))))
	case 0xde, 0xdf:
		return d.hash(int(d.uint(2 << (c - 0xde))))
	}
	d.l.Errorf("Bad data format in input.")
	return nil
}

func (d *msgDecoder) descend() *Table {
	if d.depth++; d.depth > maxJSONNesting {
		d.l.Errorf("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
	}
	d.l.charge(96)
	return NewTable()
}

func (d *msgDecoder) array(n int) Value {
	t := d.descend()
	for i := 1; i <= n; i++ {
		d.l.setInt(t, i, d.value())
	}
	d.depth--
	return t
}

func (d *msgDecoder) hash(n int) Value {
	t := d.descend()
	for range n {
		k := d.value()
		d.l.RawSet(t, k, d.value())
	}
	d.depth--
	return t
}
