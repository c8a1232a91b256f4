package engine

import (
	"encoding/binary"
	"errors"
	"math"
)

// errRDB is what the reader panics with where a payload is damaged.
var errRDB = errors.New("damaged value")

// rdbReader reads values in every form that Redis up to 8 writes, but for modules. It trusts nothing: lengths are held against what there is, and compressed
// strings against the room.
type rdbReader struct {
	b    string
	room int64 // bytes that may yet come out of compressed strings
	lim  *limits
}

// take is the next n bytes.
func (r *rdbReader) take(n uint64) string {
	if n > uint64(len(r.b)) {
		panic(errRDB)
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *rdbReader) byte() byte { return r.take(1)[0] }

// uint reads a little-endian number of n bytes.
func (r *rdbReader) uint(n int) (v uint64) {
	for i, x := range []byte(r.take(uint64(n))) {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// signed reads a little-endian number of n bytes with a sign.
func (r *rdbReader) signed(n int) int64 {
	shift := 64 - 8*n
	return int64(r.uint(n)<<shift) >> shift
}

// len reads a length; special says that it is the number of a string's own form.
func (r *rdbReader) len() (n uint64, special bool) {
	switch b := r.byte(); {
	case b>>6 == 0:
		return uint64(b), false
	case b>>6 == 1:
		return uint64(b&63)<<8 | uint64(r.byte()), false
	case b == 0x80:
		return uint64(binary.BigEndian.Uint32([]byte(r.take(4)))), false
	case b == 0x81:
		return binary.BigEndian.Uint64([]byte(r.take(8))), false
	case b>>6 == 3:
		return uint64(b & 63), true
	}
	panic(errRDB)
}

// count reads the number of elements, each of which has at least least bytes.
func (r *rdbReader) count(least uint64) int {
	n, special := r.len()
	if special || n > uint64(len(r.b))/least {
		panic(errRDB)
	}
	return int(n)
}

func (r *rdbReader) str() string {
	n, special := r.len()
	if !special {
		return r.take(n)
	}
	switch n {
	case 0, 1, 2:
		return itoa(r.signed(1 << n))
	case 3:
		packed, _ := r.len()
		size, _ := r.len()
		return r.unpack(r.take(packed), size)
	}
	panic(errRDB)
}

// unpack undoes LZF compression.
func (r *rdbReader) unpack(s string, size uint64) string {
	if size > uint64(r.room) || size > 300*uint64(len(s)) {
		panic(errRDB)
	}
	r.room -= int64(size)
	out := make([]byte, 0, size)
	in := rdbReader{b: s}
	for in.b != "" {
		ctrl := int(in.byte())
		if ctrl < 32 {
			out = append(out, in.take(uint64(ctrl+1))...)
		} else {
			n, far := ctrl>>5, (ctrl&31)<<8
			if n == 7 {
				n += int(in.byte())
			}
			from := len(out) - far - int(in.byte()) - 1
			if from < 0 {
				panic(errRDB)
			}
			for i := range n + 2 {
				out = append(out, out[from+i])
			}
		}
		if uint64(len(out)) > size {
			panic(errRDB)
		}
	}
	if uint64(len(out)) != size {
		panic(errRDB)
	}
	return string(out)
}

// object reads a collection; nil for a kind that is not read.
func (r *rdbReader) object(kind byte) object {
	switch kind {
	case rdbList:
		l := newList()
		for range r.count(1) {
			l.push(r.str(), false)
		}
		return l
	case rdbListZiplist:
		return newList(r.ziplist(r.str())...)
	case rdbQuicklist, rdbQuicklist2:
		return r.quicklist(kind == rdbQuicklist2)
	case rdbSet:
		s := newSet()
		for range r.count(1) {
			r.member(s, r.str())
		}
		return s
	case rdbSetIntset:
		return r.intset(r.str())
	case rdbSetListpack:
		s := newSet()
		for _, m := range r.listpack(r.str()) {
			r.member(s, m)
		}
		return s
	case rdbZset, rdbZset2:
		z := newZset()
		for range r.count(2) {
			m := r.str()
			if kind == rdbZset2 {
				r.scored(z, m, math.Float64frombits(r.uint(8)))
			} else {
				r.scored(z, m, r.textDouble())
			}
		}
		return z
	case rdbZsetZiplist:
		return r.packedZset(r.ziplist(r.str()))
	case rdbZsetListpack:
		return r.packedZset(r.listpack(r.str()))
	}
	return r.hash(kind)
}

func (r *rdbReader) hash(kind byte) object {
	h := newHash()
	switch kind {
	case rdbHash:
		for range r.count(2) {
			name := r.str()
			r.field(h, name, r.str(), 0)
		}
	case rdbHashZipmap:
		r.fields(h, r.zipmap(r.str()), 2)
	case rdbHashZiplist:
		r.fields(h, r.ziplist(r.str()), 2)
	case rdbHashListpack:
		r.fields(h, r.listpack(r.str()), 2)
	case rdbHashFields:
		first := int64(r.uint(8))
		for range r.count(3) {
			at, _ := r.len()
			name := r.str()
			deadline := int64(0)
			if at != 0 {
				deadline = first + int64(at) - 1
			}
			r.field(h, name, r.str(), deadline)
		}
	case rdbHashFieldsLP:
		r.uint(8)
		r.fields(h, r.listpack(r.str()), 3)
	default:
		return nil
	}
	return h
}

// fields adds those of a packed hash: names, values and, of three, deadlines.
func (r *rdbReader) fields(h *hash, items []string, each int) {
	if len(items)%each != 0 {
		panic(errRDB)
	}
	for ; len(items) > 0; items = items[each:] {
		at := int64(0)
		if each == 3 {
			at, _ = parseInt(items[2])
		}
		r.field(h, items[0], items[1], at)
	}
}

func (r *rdbReader) field(h *hash, name, value string, deadline int64) {
	if !h.set(name, value, r.lim) || deadline < 0 || deadline > maxFieldDeadline {
		panic(errRDB)
	}
	h.expireAt(h.find(name), deadline)
}

func (r *rdbReader) member(s *set, m string) {
	if !s.add(m, r.lim.setInts) {
		panic(errRDB)
	}
}

func (r *rdbReader) scored(z *zset, m string, score float64) {
	if math.IsNaN(score) || !z.put(m, score, r.lim) {
		panic(errRDB)
	}
}

func (r *rdbReader) packedZset(items []string) object {
	z := newZset()
	if len(items)%2 != 0 {
		panic(errRDB)
	}
	for ; len(items) > 0; items = items[2:] {
		f, ok := parseDouble(items[1])
		if !ok {
			panic(errRDB)
		}
		r.scored(z, items[0], f)
	}
	return z
}

// textDouble is a score of the oldest form.
func (r *rdbReader) textDouble() float64 {
	switch n := r.byte(); n {
	case 253:
		return math.NaN()
	case 254:
		return math.Inf(1)
	case 255:
		return math.Inf(-1)
	default:
		f, ok := parseDouble(r.take(uint64(n)))
		if !ok {
			panic(errRDB)
		}
		return f
	}
}

// quicklist is a list of packed lists; the younger form says of each whether it is one.
func (r *rdbReader) quicklist(tagged bool) object {
	l := newList()
	for range r.count(1) {
		kind := uint64(0)
		if tagged {
			kind, _ = r.len()
		}
		var items []string
		switch s := r.str(); kind {
		case 0:
			items = r.ziplist(s)
		case 1:
			items = []string{s}
		case 2:
			items = r.listpack(s)
		default:
			panic(errRDB)
		}
		for _, it := range items {
			l.push(it, false)
		}
	}
	return l
}
