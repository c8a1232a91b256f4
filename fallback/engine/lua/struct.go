package lua

import (
	"math"
	"strings"
)

// structLib packs values as C lays them out on a 64-bit little-endian machine.
func structLib() *Table {
	return library(map[string]Native{"pack": structPack, "unpack": structUnpack, "size": structSize})
}

const (
	structMaxInt = 32
	structAlign  = 8
)

// layout goes through a format, one item at a time.
type layout struct {
	l     *State
	form  string
	i     int
	big   bool
	align int
	pos   int
}

func newLayout(l *State, form string) *layout {
	form, _, _ = strings.Cut(form, "\x00")
	return &layout{l: l, form: form, align: 1}
}

// number reads digits of the format.
func (y *layout) number(def int) int {
	if y.i >= len(y.form) || !isDigit(y.form[y.i]) {
		return def
	}
	n := 0
	for ; y.i < len(y.form) && isDigit(y.form[y.i]); y.i++ {
		d := int(y.form[y.i] - '0')
		if n > math.MaxInt32/10 || n*10 > math.MaxInt32-d {
			y.l.Errorf("integral size overflow")
		}
		n = n*10 + d
	}
	return n
}

// next is the next option and its size; pad is what aligns it.
func (y *layout) next() (opt byte, size, pad int) {
	opt = y.form[y.i]
	y.i++
	switch opt {
	case 'B', 'b', 'x':
		size = 1
	case 'H', 'h':
		size = 2
	case 'f':
		size = 4
	case 'L', 'l', 'T', 'd':
		size = 8
	case 'c':
		size = y.number(1)
	case 'i', 'I':
		if size = y.number(4); size > structMaxInt {
			y.l.Errorf("integral size %d is larger than limit of %d", size, structMaxInt)
		}
	}
	if size == 0 || opt == 'c' {
		return opt, size, 0
	}
	a := min(size, y.align)
	return opt, size, (a - y.pos&(a-1)) & (a - 1)
}

// control is an option that says how others are laid out.
func (y *layout) control(opt byte) {
	switch opt {
	case ' ':
	case '>', '<':
		y.big = opt == '>'
	case '!':
		a := y.number(structAlign)
		if a <= 0 || a&(a-1) != 0 {
			y.l.Errorf("alignment %d is not a power of 2", a)
		}
		y.align = a
	default:
		y.l.ArgError(1, "invalid format option '"+string([]byte{opt})+"'")
	}
}

// order turns little-endian bytes into those asked for, and back.
func (y *layout) order(b []byte) []byte {
	if y.big {
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	return b
}

func (y *layout) bytes(v uint64, size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size && i < 8; i++ {
		b[i] = byte(v >> (8 * i))
	}
	return y.order(b)
}

func structPack(l *State, args []Value) []Value {
	y, arg := newLayout(l, l.CheckString(args, 1)), 2
	args = append(args[:len(args):len(args)], nil) // what is missing is nil
	var out []byte
	for y.i < len(y.form) {
		opt, size, pad := y.next()
		y.pos += pad
		out = append(out, make([]byte, pad)...)
		switch opt {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			out = append(out, y.bytes(toUnsigned(l.CheckNumber(args, arg)), size)...)
			arg++
		case 'x':
			out = append(out, 0)
		case 'f':
			out = append(out, y.bytes(uint64(math.Float32bits(float32(l.CheckNumber(args, arg)))), 4)...)
			arg++
		case 'd':
			out = append(out, y.bytes(math.Float64bits(l.CheckNumber(args, arg)), 8)...)
			arg++
		case 'c', 's':
			s := l.CheckString(args, arg)
			arg++
			if size == 0 {
				size = len(s)
			}
			if len(s) < size {
				l.ArgError(arg, "string too short")
			}
			out = append(out, s[:size]...)
			if opt == 's' {
				out = append(out, 0)
				size++
			}
		default:
			y.control(opt)
		}
		y.pos += size
		l.charge(size)
	}
	return l.Return(string(out))
}

// toUnsigned is C's conversion of a double.
func toUnsigned(f float64) uint64 {
	if f < 0 {
		return uint64(ToInteger(f))
	}
	if f >= 1<<63 {
		return uint64(f)
	}
	return uint64(int64(f))
}

func structUnpack(l *State, args []Value) []Value {
	y, data := newLayout(l, l.CheckString(args, 1)), l.CheckString(args, 2)
	y.pos = l.OptInteger(args, 3, 1)
	switch {
	case y.pos == 0:
		l.ArgError(3, "offset must be 1 or greater")
	case y.pos < 0:
		y.pos = math.MaxInt32 // far beyond the end
	}
	y.pos--
	fits := func(size int) {
		if size > len(data) || y.pos > len(data)-size {
			l.ArgError(2, "data string too short")
		}
	}
	var out []Value
	for y.i < len(y.form) {
		opt, size, pad := y.next()
		y.pos += pad
		fits(size)
		if len(out) > maxResults {
			l.Errorf("stack overflow (too many results)")
		}
		switch opt {
		case 'x':
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I', 'f', 'd':
			out = append(out, y.numeric(opt, data[y.pos:y.pos+size]))
		case 'c':
			if size == 0 {
				n, ok := ToNumber(at(out, len(out)-1))
				if len(out) == 0 || !ok {
					l.Errorf("format 'c0' needs a previous size")
				}
				out = out[:len(out)-1]
				size = int(toUnsigned(n))
				if size < 0 {
					size = math.MaxInt
				}
				fits(size)
			}
			out = append(out, data[y.pos:y.pos+size])
		case 's':
			end := strings.IndexByte(data[y.pos:], 0)
			if end < 0 {
				l.Errorf("unfinished string in data")
			}
			out = append(out, data[y.pos:y.pos+end])
			size = end + 1
		default:
			y.control(opt)
		}
		y.pos += size
	}
	return append(out, Number(float64(y.pos+1)))
}

func (y *layout) numeric(opt byte, data string) Value {
	b := y.order([]byte(data))
	var v uint64
	for i := min(len(b), 8) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	switch {
	case opt == 'f':
		return Number(float64(math.Float32frombits(uint32(v))))
	case opt == 'd':
		return Number(math.Float64frombits(v))
	case 'a' <= opt && opt <= 'z':
		if shift := 64 - 8*len(b); shift > 0 && len(b) > 0 {
			return Number(float64(int64(v<<shift) >> shift))
		}
		return Number(float64(int64(v)))
	}
	return Number(float64(v))
}

func structSize(l *State, args []Value) []Value {
	y := newLayout(l, l.CheckString(args, 1))
	for y.i < len(y.form) {
		opt, size, pad := y.next()
		switch {
		case opt == 's':
			l.ArgError(1, "option 's' has no fixed size")
		case opt == 'c' && size == 0:
			l.ArgError(1, "option 'c0' has no fixed size")
		case !isDigit(opt) && !isAlpha(opt):
			y.control(opt)
		}
		y.pos += pad + size
	}
	return l.Return(Number(float64(y.pos)))
}
