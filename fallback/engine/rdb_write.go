package engine

import (
	"encoding/binary"
	"math"
)

// Kinds of values in an RDB file and in the payload of DUMP.
const (
	rdbString       = 0
	rdbList         = 1
	rdbSet          = 2
	rdbZset         = 3
	rdbHash         = 4
	rdbZset2        = 5
	rdbHashZipmap   = 9
	rdbListZiplist  = 10
	rdbSetIntset    = 11
	rdbZsetZiplist  = 12
	rdbHashZiplist  = 13
	rdbQuicklist    = 14
	rdbStream       = 15
	rdbHashListpack = 16
	rdbZsetListpack = 17
	rdbQuicklist2   = 18
	rdbStream2      = 19
	rdbSetListpack  = 20
	rdbStream3      = 21
	rdbHashFields   = 24 // with deadlines of fields
	rdbHashFieldsLP = 25 // the same as a listpack
)

// rdbWriter writes values in the forms of Redis 7.0, without compression.
type rdbWriter struct{ b []byte }

func (w *rdbWriter) len(n uint64) {
	switch {
	case n < 1<<6:
		w.b = append(w.b, byte(n))
	case n < 1<<14:
		w.b = append(w.b, 0x40|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		w.b = binary.BigEndian.AppendUint32(append(w.b, 0x80), uint32(n))
	default:
		w.b = binary.BigEndian.AppendUint64(append(w.b, 0x81), n)
	}
}

// str writes a string; small integers have forms of their own.
func (w *rdbWriter) str(s string) {
	if n, ok := parseInt(s); ok && len(s) <= 11 {
		switch {
		case n >= math.MinInt8 && n <= math.MaxInt8:
			w.b = append(w.b, 0xc0, byte(n))
			return
		case n >= math.MinInt16 && n <= math.MaxInt16:
			w.b = binary.LittleEndian.AppendUint16(append(w.b, 0xc1), uint16(n))
			return
		case n >= math.MinInt32 && n <= math.MaxInt32:
			w.b = binary.LittleEndian.AppendUint32(append(w.b, 0xc2), uint32(n))
			return
		}
	}
	w.len(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *rdbWriter) raw(b []byte) {
	w.len(uint64(len(b)))
	w.b = append(w.b, b...)
}

// maxNode is the size of a node of a quicklist, as list-max-listpack-size -2 says.
const maxNode = 8 << 10

// list is a quicklist: listpacks of up to maxNode bytes, a longer element by itself.
func (w *rdbWriter) list(l *list) {
	var nodes [][]byte
	var lp listpack
	for i := range l.size() {
		s := l.at(i)
		if lp.n > 0 && len(lp.b)+len(s)+12 > maxNode {
			nodes = append(nodes, lp.bytes())
			lp = listpack{}
		}
		lp.add(s)
	}
	nodes = append(nodes, lp.bytes())
	w.b = append(w.b, rdbQuicklist2)
	w.len(uint64(len(nodes)))
	for _, n := range nodes {
		w.len(2) // a listpack
		w.raw(n)
	}
}

func (w *rdbWriter) set(s *set) {
	if s.strs {
		w.b = append(w.b, rdbSet)
		w.len(uint64(s.size()))
		for _, m := range s.members {
			w.str(m)
		}
		return
	}
	width := 2
	for _, n := range s.ints {
		switch {
		case n < math.MinInt32 || n > math.MaxInt32:
			width = 8
		case n < math.MinInt16 || n > math.MaxInt16:
			width = max(width, 4)
		}
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(width))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.ints)))
	for _, n := range s.ints {
		b = append(b, binary.LittleEndian.AppendUint64(nil, uint64(n))[:width]...)
	}
	w.b = append(w.b, rdbSetIntset)
	w.raw(b)
}

func (w *rdbWriter) hash(h *hash) {
	if h.timed > 0 {
		w.timedHash(h)
		return
	}
	if !h.big {
		var lp listpack
		for _, f := range h.fields {
			lp.add(f.name)
			lp.add(f.value)
		}
		w.b = append(w.b, rdbHashListpack)
		w.raw(lp.bytes())
		return
	}
	w.b = append(w.b, rdbHash)
	w.len(uint64(h.size()))
	for _, f := range h.fields {
		w.str(f.name)
		w.str(f.value)
	}
}

// timedHash has the deadlines relative to the nearest, plus 1; 0 is none.
func (w *rdbWriter) timedHash(h *hash) {
	first := h.nearest()
	w.b = binary.LittleEndian.AppendUint64(append(w.b, rdbHashFields), uint64(first))
	w.len(uint64(h.size()))
	for _, f := range h.fields {
		if f.deadline == 0 {
			w.len(0)
		} else {
			w.len(uint64(f.deadline - first + 1))
		}
		w.str(f.name)
		w.str(f.value)
	}
}

func (w *rdbWriter) zset(z *zset) {
	if !z.big {
		var lp listpack
		for n := z.first(); n != nil; n = n.after() {
			lp.add(n.member)
			lp.add(formatDouble17(n.score))
		}
		w.b = append(w.b, rdbZsetListpack)
		w.raw(lp.bytes())
		return
	}
	w.b = append(w.b, rdbZset2)
	w.len(uint64(z.size()))
	for n := z.last; n != nil; n = n.prev { // Redis writes the largest first, which loads faster
		w.str(n.member)
		w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(n.score))
	}
}

// listpack builds the packed form of short collections.
type listpack struct {
	b []byte // entries
	n int
}

func (l *listpack) add(s string) {
	from := len(l.b)
	n, isInt := parseInt(s)
	le := binary.LittleEndian
	switch {
	case isInt && n >= 0 && n <= 127:
		l.b = append(l.b, byte(n))
	case isInt && n >= -4096 && n <= 4095:
		l.b = append(l.b, 0xc0|byte(uint16(n)>>8&0x1f), byte(n))
	case isInt && n >= math.MinInt16 && n <= math.MaxInt16:
		l.b = le.AppendUint16(append(l.b, 0xf1), uint16(n))
	case isInt && n >= -1<<23 && n < 1<<23:
		l.b = append(l.b, 0xf2, byte(n), byte(n>>8), byte(n>>16))
	case isInt && n >= math.MinInt32 && n <= math.MaxInt32:
		l.b = le.AppendUint32(append(l.b, 0xf3), uint32(n))
	case isInt:
		l.b = le.AppendUint64(append(l.b, 0xf4), uint64(n))
	case len(s) < 64:
		l.b = append(append(l.b, 0x80|byte(len(s))), s...)
	case len(s) < 4096:
		l.b = append(append(l.b, 0xe0|byte(len(s)>>8), byte(len(s))), s...)
	default:
		l.b = append(le.AppendUint32(append(l.b, 0xf0), uint32(len(s))), s...)
	}
	l.back(len(l.b) - from)
	l.n++
}

// back writes the length of an entry so that it can be read from its end.
func (l *listpack) back(n int) {
	size := backSize(n)
	for i := size - 1; i >= 0; i-- {
		b := byte(n >> (7 * i) & 127)
		if i < size-1 {
			b |= 128
		}
		l.b = append(l.b, b)
	}
}

func backSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	case n < 1<<28:
		return 4
	}
	return 5
}

func (l *listpack) bytes() []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(l.b)+7))
	out = binary.LittleEndian.AppendUint16(out, uint16(min(l.n, math.MaxUint16)))
	return append(append(out, l.b...), 0xff)
}
