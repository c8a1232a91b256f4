package engine

// The packed forms of short collections, each a string of its own.

func (r *rdbReader) intset(s string) object {
	in, out := rdbReader{b: s}, newSet()
	width, n := in.uint(4), in.uint(4)
	if width != 2 && width != 4 && width != 8 || n*width != uint64(len(in.b)) {
		panic(errRDB)
	}
	for range n {
		r.member(out, itoa(in.signed(int(width))))
	}
	return out
}

// listpack is the entries of a listpack.
func (r *rdbReader) listpack(s string) (out []string) {
	in := rdbReader{b: s}
	if in.uint(4) != uint64(len(s)) {
		panic(errRDB)
	}
	in.uint(2) // how many there are, if they are not too many to count
	for {
		before := len(in.b)
		b := in.byte()
		if b == 0xff {
			break
		}
		out = append(out, in.entry(b))
		in.take(uint64(backSize(before - len(in.b))))
	}
	if in.b != "" {
		panic(errRDB)
	}
	return out
}

// entry is the rest of a listpack's entry that begins with b.
func (r *rdbReader) entry(b byte) string {
	switch {
	case b < 0x80:
		return itoa(int64(b))
	case b < 0xc0:
		return r.take(uint64(b & 63))
	case b < 0xe0:
		n := int64(b&31)<<8 | int64(r.byte())
		return itoa(n << 51 >> 51)
	case b < 0xf0:
		return r.take(uint64(b&15)<<8 | uint64(r.byte()))
	case b == 0xf0:
		return r.take(r.uint(4))
	case b <= 0xf4:
		return itoa(r.signed([]int{2, 3, 4, 8}[b-0xf1]))
	}
	panic(errRDB)
}

// ziplist is the entries of a ziplist, which Redis wrote before 7.0.
func (r *rdbReader) ziplist(s string) (out []string) {
	in := rdbReader{b: s}
	if in.uint(4) != uint64(len(s)) {
		panic(errRDB)
	}
	in.uint(4) // where the last one begins
	in.uint(2) // how many there are
	for {
		b := in.byte()
		if b == 0xff {
			break
		}
		if b == 0xfe { // the length of the one before
			in.uint(4)
		}
		out = append(out, in.zipEntry(in.byte()))
	}
	if in.b != "" {
		panic(errRDB)
	}
	return out
}

func (r *rdbReader) zipEntry(b byte) string {
	switch {
	case b>>6 == 0:
		return r.take(uint64(b))
	case b>>6 == 1:
		return r.take(uint64(b&63)<<8 | uint64(r.byte()))
	case b == 0x80:
		n := uint64(0)
		for range 4 {
			n = n<<8 | uint64(r.byte())
		}
		return r.take(n)
	case b == 0xc0:
		return itoa(r.signed(2))
	case b == 0xd0:
		return itoa(r.signed(4))
	case b == 0xe0:
		return itoa(r.signed(8))
	case b == 0xf0:
		return itoa(r.signed(3))
	case b == 0xfe:
		return itoa(r.signed(1))
	case b >= 0xf1 && b <= 0xfd:
		return itoa(int64(b&15) - 1)
	}
	panic(errRDB)
}

// zipmap is the names and values of the oldest packed hash.
func (r *rdbReader) zipmap(s string) (out []string) {
	in := rdbReader{b: s}
	in.byte() // how many there are, if they are not too many to count
	length := func(b byte) uint64 {
		if b == 254 {
			return in.uint(4)
		}
		return uint64(b)
	}
	for {
		b := in.byte()
		if b == 0xff {
			break
		}
		name := in.take(length(b))
		n := length(in.byte())
		free := in.byte()
		out = append(out, name, in.take(n))
		in.take(uint64(free))
	}
	if in.b != "" {
		panic(errRDB)
	}
	return out
}
