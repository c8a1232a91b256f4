package cache

import (
	"encoding/binary"
	"strconv"
)

// A record is one cached reply:
//
//	0  uint32  bytes of the record, this header included; the top bit marks it dead
//	4  uint32  ref of the next record of the same group; 0: none
//	8  uint32  tick at which it expires
//	12 uint16  bytes of the identity; the top bit says that the reply is a bulk
//	           string kept without its "$64\r\n" and "\r\n", the next one that it
//	           was used lately
//	14         identity (see appendIdentity), reply
const (
	headerLen   = 14
	deadBit     = 1 << 31
	bulkBit     = 1 << 15
	usedBit     = 1 << 14
	maxSegment  = 64 << 10 // positions in a segment must fit 16 bits
	minSegment  = 4 << 10
	maxSegments = 1<<16 - 1
	maxRecord   = 1 << 30
	segmentCost = 48 // bytes of a segment beside its buffer
)

// ref names a record: segment number in the upper 16 bits, position in the
// lower. Segment 0 does not exist, so that 0 is no record.
type ref uint32

type segment struct {
	buf  []byte
	used int // bytes handed out
	live int // of these, bytes of records that are not dead
}

// arena holds records in a few large byte slices, which the garbage collector
// neither scans nor rounds up one by one. Records are only ever appended; the
// room of dead ones comes back when a segment has no other, or by compaction.
type arena struct {
	segs    []segment
	vacant  []uint16
	head    int // segment that is appended to; 0: none
	segSize int
	size    int64 // bytes held, used or not
	dead    int64 // bytes of dead records
}

func newArena(segSize int) arena { return arena{segs: make([]segment, 1), segSize: segSize} }

// alloc makes room for a record of n bytes. A large one gets a segment of its
// own. ok is false when no segment number is left.
func (a *arena) alloc(n int) (r ref, rec []byte, ok bool) {
	if n > a.segSize/8 {
		i, ok := a.addSegment(n)
		if !ok {
			return 0, nil, false
		}
		return a.take(i, n)
	}
	if a.head == 0 || a.segs[a.head].used+n > len(a.segs[a.head].buf) {
		i, ok := a.addSegment(a.segSize)
		if !ok {
			return 0, nil, false
		}
		a.head = i // the old one has live records: free rewinds an empty head
	}
	return a.take(a.head, n)
}

func (a *arena) take(i, n int) (ref, []byte, bool) {
	s := &a.segs[i]
	pos := s.used
	s.used += n
	s.live += n
	rec := s.buf[pos : pos+n]
	binary.LittleEndian.PutUint32(rec, uint32(n))
	return ref(i<<16 | pos), rec, true
}

func (a *arena) addSegment(size int) (int, bool) {
	i := len(a.segs)
	if n := len(a.vacant); n > 0 {
		i, a.vacant = int(a.vacant[n-1]), a.vacant[:n-1]
	} else if i > maxSegments {
		return 0, false
	} else {
		a.segs = append(a.segs, segment{})
	}
	a.segs[i] = segment{buf: make([]byte, size)}
	a.size += int64(size) + segmentCost
	return i, true
}

func (a *arena) drop(i int) {
	s := &a.segs[i]
	a.size -= int64(len(s.buf)) + segmentCost
	a.dead -= int64(s.used - s.live)
	*s = segment{}
	a.vacant = append(a.vacant, uint16(i))
}

// rec is the record at r.
func (a *arena) rec(r ref) []byte {
	b := a.segs[r>>16].buf[r&0xffff:]
	return b[:binary.LittleEndian.Uint32(b)&^deadBit]
}

func (a *arena) free(r ref) {
	rec := a.rec(r)
	i := int(r >> 16)
	s := &a.segs[i]
	binary.LittleEndian.PutUint32(rec, uint32(len(rec))|deadBit)
	s.live -= len(rec)
	a.dead += int64(len(rec))
	if s.live > 0 {
		return
	}
	if i == a.head {
		a.dead -= int64(s.used)
		s.used = 0
		return
	}
	a.drop(i)
}

// victim is the segment whose compaction frees most; 0 when it is not worth it.
func (a *arena) victim() int {
	best, most := 0, a.segSize/16
	for i := range a.segs {
		if d := a.segs[i].used - a.segs[i].live; i != a.head && d > most {
			best, most = i, d
		}
	}
	return best
}

// each calls fn for the live records of segment i. fn may free the record.
func (a *arena) each(i int, fn func(r ref, rec []byte)) {
	buf, used := a.segs[i].buf, a.segs[i].used
	for pos := 0; pos < used; {
		n := binary.LittleEndian.Uint32(buf[pos:])
		end := pos + int(n&^deadBit)
		if n&deadBit == 0 {
			fn(ref(i<<16|pos), buf[pos:end:end])
		}
		pos = end
	}
}

func next(rec []byte) ref          { return ref(binary.LittleEndian.Uint32(rec[4:])) }
func setNext(rec []byte, r ref)    { binary.LittleEndian.PutUint32(rec[4:], uint32(r)) }
func expires(rec []byte) uint32    { return binary.LittleEndian.Uint32(rec[8:]) }
func identityOf(rec []byte) []byte { return rec[headerLen : headerLen+identityLen(rec)] }

func identityLen(rec []byte) int { return int(binary.LittleEndian.Uint16(rec[12:]) & maxIdentity) }

func isUsed(rec []byte) bool { return rec[13]&(usedBit>>8) != 0 }
func setUsed(rec []byte)     { rec[13] |= usedBit >> 8 }
func clearUsed(rec []byte)   { rec[13] &^= usedBit >> 8 }

func appendReply(dst, rec []byte) []byte {
	body := rec[headerLen+identityLen(rec):]
	if binary.LittleEndian.Uint16(rec[12:])&bulkBit == 0 {
		return append(dst, body...)
	}
	dst = append(dst, '$')
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n"...)
	dst = append(dst, body...)
	return append(dst, "\r\n"...)
}

// bulkBody is the content of a reply that is one bulk string and is written the
// usual way, so that appendReply gives back the same bytes.
func bulkBody(reply []byte) (body []byte, ok bool) {
	n, start := header(reply, 0, '$')
	if start < 0 || start+n+2 != len(reply) || (reply[1] == '0' && start > 4) || start < 4 ||
		reply[start-1] != '\n' || reply[start+n] != '\r' || reply[start+n+1] != '\n' {
		return nil, false
	}
	return reply[start : start+n], true
}

// write fills a record that alloc made.
func write(rec []byte, nextRef ref, tick uint32, id, body []byte, isBulk bool) {
	setNext(rec, nextRef)
	binary.LittleEndian.PutUint32(rec[8:], tick)
	n := uint16(len(id))
	if isBulk {
		n |= bulkBit
	}
	binary.LittleEndian.PutUint16(rec[12:], n)
	copy(rec[headerLen+copy(rec[headerLen:], id):], body)
}
