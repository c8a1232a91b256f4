package engine

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"holdfast/fallback/engine/stream"
)

// Streams in RDB: entries in listpacks, each below the id of its first entry, then the
// counters, the groups, what is pending in them, and their consumers.

// Flags of an entry in a listpack.
const (
	entryDeleted = 1
	entrySame    = 2 // it has the fields of the first entry, which are not repeated
)

func (w *rdbWriter) id(id stream.ID) {
	w.b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.b, id.Ms), id.Seq)
}

func (w *rdbWriter) lens(n ...uint64) {
	for _, v := range n {
		w.len(v)
	}
}

// millis writes a time, or the little-endian number that stands for one.
func (w *rdbWriter) millis(at int64) { w.b = binary.LittleEndian.AppendUint64(w.b, uint64(at)) }

// stream writes the form of Redis 7.0, which has counters of what was added.
func (w *rdbWriter) stream(s *stream.Stream, limits stream.Limits) {
	w.b = append(w.b, rdbStream2)
	nodes := packEntries(s, limits)
	w.len(uint64(len(nodes)))
	for _, n := range nodes {
		w.len(16)
		w.id(n[0].ID)
		w.raw(packNode(n))
	}
	first := s.FirstID()
	w.lens(uint64(s.Len()), s.LastID.Ms, s.LastID.Seq, first.Ms, first.Seq, s.MaxDeleted.Ms, s.MaxDeleted.Seq, uint64(s.Added))
	names := s.Groups()
	w.len(uint64(len(names)))
	for _, name := range names {
		w.text(name)
		w.group(s.Group(name))
	}
}

// text writes a name, which is never a number.
func (w *rdbWriter) text(s string) { w.raw([]byte(s)) }

func (w *rdbWriter) group(g *stream.Group) {
	w.lens(g.LastID.Ms, g.LastID.Seq, uint64(g.Read), uint64(g.Len()))
	g.Ascend(stream.ID{}, stream.Max, func(p *stream.Pending) bool {
		w.id(p.ID)
		w.millis(p.Time)
		w.len(uint64(p.Count))
		return true
	})
	names := g.Consumers()
	w.len(uint64(len(names)))
	for _, name := range names {
		consumer := g.Consumer(name)
		w.text(name)
		w.millis(consumer.Seen)
		w.len(uint64(consumer.Len()))
		consumer.Ascend(stream.ID{}, stream.Max, func(p *stream.Pending) bool {
			w.id(p.ID)
			return true
		})
	}
}

// packEntries splits the entries into nodes within the limits.
func packEntries(s *stream.Stream, limits stream.Limits) (nodes [][]*stream.Entry) {
	size := 0
	s.Ascend(stream.ID{}, stream.Max, func(e *stream.Entry) bool {
		n := 0
		for _, f := range e.Fields {
			n += len(f) + 2
		}
		last := len(nodes) - 1
		if last < 0 || limits.Entries > 0 && len(nodes[last]) >= limits.Entries || limits.Bytes > 0 && size+n > limits.Bytes {
			nodes, size = append(nodes, nil), 0
			last++
		}
		nodes[last] = append(nodes[last], e)
		size += n
		return true
	})
	return nodes
}

func packNode(entries []*stream.Entry) []byte {
	var lp listpack
	master := entries[0]
	names := fieldNames(master)
	lp.int(int64(len(entries)), 0, int64(len(names)))
	for _, n := range names {
		lp.add(n)
	}
	lp.int(0) // the end of the fields of all
	for _, e := range entries {
		flags, count := int64(0), int64(len(e.Fields)+4)
		same := slices.Equal(fieldNames(e), names)
		if same {
			flags, count = entrySame, int64(len(e.Fields)/2+3)
		}
		lp.int(flags, int64(e.ID.Ms-master.ID.Ms), int64(e.ID.Seq-master.ID.Seq))
		if !same {
			lp.int(int64(len(e.Fields) / 2))
		}
		for i, f := range e.Fields {
			if !same || i%2 == 1 {
				lp.add(f)
			}
		}
		lp.int(count)
	}
	return lp.bytes()
}

func fieldNames(e *stream.Entry) (names []string) {
	for i := 0; i < len(e.Fields); i += 2 {
		names = append(names, e.Fields[i])
	}
	return names
}

func (l *listpack) int(n ...int64) {
	for _, v := range n {
		l.add(strconv.FormatInt(v, 10))
	}
}

// stream reads the three forms of streams: of Redis 5, 7.0 and 7.2.
func (r *rdbReader) stream(kind byte, limits stream.Limits) *stream.Stream {
	s := stream.New()
	for range r.count(18) {
		if n, special := r.len(); n != 16 || special {
			panic(errRDB)
		}
		r.node(s, r.id(), limits)
	}
	size := r.number()
	last := r.idPair()
	if size != uint64(s.Len()) || last.Less(s.LastID) {
		panic(errRDB)
	}
	s.LastID = last
	if kind != rdbStream {
		r.idPair() // the first one, which is known
		s.MaxDeleted = r.idPair()
		s.Added = r.counter()
	}
	if s.Added < int64(s.Len()) || s.LastID.Less(s.MaxDeleted) {
		panic(errRDB)
	}
	for range r.count(4) {
		r.group(s, kind)
	}
	return s
}

// number is a length that says nothing about what follows.
func (r *rdbReader) number() uint64 {
	n, special := r.len()
	if special {
		panic(errRDB)
	}
	return n
}

// counter is a number that has to fit with a sign.
func (r *rdbReader) counter() int64 {
	n := r.number()
	if n > math.MaxInt64 {
		panic(errRDB)
	}
	return int64(n)
}

func (r *rdbReader) idPair() stream.ID {
	ms := r.number()
	return stream.ID{Ms: ms, Seq: r.number()}
}

// id is one of 16 bytes.
func (r *rdbReader) id() stream.ID {
	b := []byte(r.take(16))
	return stream.ID{Ms: binary.BigEndian.Uint64(b), Seq: binary.BigEndian.Uint64(b[8:])}
}

// packed are the entries of a listpack of a stream, taken one by one.
type packed []string

func (p *packed) next() string {
	if len(*p) == 0 {
		panic(errRDB)
	}
	s := (*p)[0]
	*p = (*p)[1:]
	return s
}

func (p *packed) int() int64 {
	n, ok := parseInt(p.next())
	if !ok {
		panic(errRDB)
	}
	return n
}

// some takes n of them.
func (p *packed) some(n int64) []string {
	if n < 0 || n > int64(len(*p)) {
		panic(errRDB)
	}
	out := (*p)[:n]
	*p = (*p)[n:]
	return out
}

// node adds the entries of a listpack.
func (r *rdbReader) node(s *stream.Stream, master stream.ID, limits stream.Limits) {
	p := packed(r.listpack(r.str()))
	live, deleted := p.int(), p.int()
	names := p.some(p.int())
	if p.int() != 0 || live < 1 || deleted < 0 {
		panic(errRDB)
	}
	for len(p) > 0 {
		before := len(p)
		flags := p.int()
		id := stream.ID{Ms: master.Ms + uint64(p.int()), Seq: master.Seq + uint64(p.int())}
		var fields []string
		if flags&entrySame != 0 {
			for i, v := range p.some(int64(len(names))) {
				fields = append(fields, names[i], v)
			}
		} else {
			n := p.int()
			if n > math.MaxInt32 {
				panic(errRDB)
			}
			fields = slices.Clone(p.some(2 * n))
		}
		if taken := before - len(p); p.int() != int64(taken) {
			panic(errRDB)
		}
		if flags&entryDeleted != 0 {
			deleted--
			continue
		}
		live--
		if len(fields) == 0 || s.Append(id, fields, limits) != nil {
			panic(errRDB)
		}
	}
	if live != 0 || deleted != 0 {
		panic(errRDB)
	}
}

func (r *rdbReader) group(s *stream.Stream, kind byte) {
	name, last := r.str(), r.idPair()
	read := s.Distance(last) // what older servers did not count
	if kind != rdbStream {
		read = int64(r.number())
	}
	if read < stream.UnknownRead || !s.AddGroup(name, last, read) {
		panic(errRDB)
	}
	g := s.Group(name)
	pending := map[stream.ID]*stream.Pending{}
	for range r.count(25) {
		p := &stream.Pending{ID: r.id(), Time: int64(r.uint(8))}
		p.Count = r.counter()
		if pending[p.ID] != nil || p.ID.IsZero() || s.LastID.Less(p.ID) {
			panic(errRDB)
		}
		pending[p.ID] = p
	}
	for range r.count(10) {
		r.consumer(g, kind, pending)
	}
	if len(pending) > 0 {
		panic(errRDB) // it belongs to nobody
	}
}

func (r *rdbReader) consumer(g *stream.Group, kind byte, pending map[stream.ID]*stream.Pending) {
	name, seen := r.str(), int64(r.uint(8))
	if kind == rdbStream3 {
		r.uint(8) // when it was active last
	}
	if !g.AddConsumer(name, seen) {
		panic(errRDB)
	}
	for range r.count(16) {
		id := r.id()
		p := pending[id]
		if p == nil {
			panic(errRDB)
		}
		p.Consumer = name
		g.Assign(p)
		delete(pending, id)
	}
}
