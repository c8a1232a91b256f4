// Package record is what a write looks like on disk and on its way to the replay: its
// encoding, the fingerprints of the values before it, its origin, and the names of keys.
package record

import (
	"encoding/binary"
	"fmt"
)

// A journal record is one acknowledged write: one command or one MULTI unit,
// rewritten so that executing it later gives what the client was told.
//
//	version  1 byte   recordVersion
//	db       uvarint  database index
//	time     uvarint  server time of execution, Unix milliseconds
//	count    uvarint  number of commands, each:
//	  argc   uvarint  number of arguments, each:
//	    len  uvarint
//	    data len bytes
//	bases    uvarint  version 2: number of keys first written in this outage, each:
//	  key    uvarint length and bytes
//	  digest digestLen bytes of the value before, see DigestOf
//	  expiry uvarint  when that value was to expire, Unix milliseconds; 0 = never
//	origin   version 2: of a write that was under way when Redis went away:
//	  key    uvarint length and bytes of its fence's key; empty = none
//	  number uvarint  its fence number
//	  seen   uvarint  1 = the fence had been acknowledged before
//	flags    uvarint  version 3: 1 = hand-over
//
// The journal frames it with a length, a sequence number and a checksum. Version 3
// is written only where it says something, so that an older release reads the rest.
const recordVersion = 3

// Record is one decoded journal record.
type Record struct {
	Seq      uint64
	DB       int
	TimeMs   int64
	Commands [][][]byte
	Bases    []Base
	Origin   Origin
	HandOver bool // DEL and what recreates a key of a store that was embedded, see handover.go
}

// Base is what the mirror last saw of a key before the first write of an outage
// to it: the replay compares it with what Redis holds, to find conflicts.
type Base struct {
	Key      []byte
	Digest   Digest
	ExpireMs int64
}

// Append encodes r without its sequence number, which the journal gives.
func Append(dst []byte, r Record) []byte {
	return Encode(dst, r, func(dst, arg []byte) []byte { return append(dst, arg...) })
}

// Encode is appendRecord with add for the bytes of each argument.
func Encode(dst []byte, r Record, add func(dst, arg []byte) []byte) []byte {
	version := byte(2)
	if r.HandOver {
		version = 3
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(r.DB))
	dst = binary.AppendUvarint(dst, uint64(r.TimeMs))
	dst = binary.AppendUvarint(dst, uint64(len(r.Commands)))
	for _, argv := range r.Commands {
		dst = binary.AppendUvarint(dst, uint64(len(argv)))
		for _, arg := range argv {
			dst = binary.AppendUvarint(dst, uint64(len(arg)))
			dst = add(dst, arg)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Bases)))
	for _, b := range r.Bases {
		dst = binary.AppendUvarint(dst, uint64(len(b.Key)))
		dst = append(dst, b.Key...)
		dst = append(dst, b.Digest[:]...)
		dst = binary.AppendUvarint(dst, uint64(b.ExpireMs))
	}
	if dst = appendOrigin(dst, r.Origin); r.HandOver {
		dst = append(dst, 1)
	}
	return dst
}

// Decode parses what appendRecord wrote. The arguments alias payload.
// Every length is checked against what is left before anything is allocated.
func Decode(seq uint64, payload []byte) (Record, error) {
	var r Record
	err := r.Decode(seq, payload)
	return r, err
}

// keptArgs is the longest command whose slice is used again for another record.
const keptArgs = 64

// Decode is DecodeRecord into the slices of the record that was here before.
func (r *Record) Decode(seq uint64, payload []byte) error {
	old := r.Commands[:cap(r.Commands)]
	*r = Record{Seq: seq}
	if len(payload) == 0 {
		return fmt.Errorf("decode record %d: empty", seq)
	}
	if payload[0] > recordVersion {
		return fmt.Errorf("decode record %d: version %d: %w", seq, payload[0], ErrNewerFormat)
	}
	d := decoder{buf: payload[1:]}
	r.DB = int(d.length(1 << 20))
	r.TimeMs = int64(d.uvarint())
	r.Commands = d.commands(old)
	if payload[0] >= 2 {
		r.Bases = d.bases()
		r.Origin = d.origin()
	}
	if payload[0] >= 3 {
		r.HandOver = d.uvarint()&1 != 0
	}
	if d.bad || len(d.buf) != 0 {
		return fmt.Errorf("decode record %d: malformed payload of %d bytes", seq, len(payload))
	}
	return nil
}

// commands reads the commands of a record, into the slices of old where they fit.
func (d *decoder) commands(old [][][]byte) [][][]byte {
	n := d.count()
	out := old[:0]
	if len(old) > keptArgs || out == nil {
		out, old = make([][][]byte, 0, min(n, 16)), nil
	}
	for ; n > 0 && !d.bad; n-- {
		m := d.count()
		var argv [][]byte
		if i := len(out); i < len(old) && uint64(cap(old[i])) >= min(m, keptArgs) && cap(old[i]) <= keptArgs {
			argv = old[i][:0]
		} else {
			argv = make([][]byte, 0, min(m, keptArgs))
		}
		for ; m > 0 && !d.bad; m-- {
			argv = append(argv, d.bytes())
		}
		if len(argv) == 0 {
			d.bad = true
		}
		out = append(out, argv)
	}
	return out
}

// decoder reads uvarint-framed fields; bad sticks after the first violation.
type decoder struct {
	buf []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// length reads a number that may not exceed limit.
func (d *decoder) length(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.bad = true
		return 0
	}
	return v
}

// count reads a number of elements: each takes a byte at least, so it may not
// exceed what is left.
func (d *decoder) count() uint64 { return d.length(uint64(len(d.buf))) }

func (d *decoder) bases() (out []Base) {
	for n := d.count(); n > 0 && !d.bad; n-- {
		b := Base{Key: d.bytes()}
		if len(d.buf) < digestLen {
			d.bad = true
			return nil
		}
		copy(b.Digest[:], d.buf)
		d.buf = d.buf[digestLen:]
		b.ExpireMs = int64(d.uvarint())
		out = append(out, b)
	}
	return out
}

func (d *decoder) bytes() []byte {
	n := d.length(uint64(len(d.buf)))
	if d.bad || n > uint64(len(d.buf)) {
		d.bad = true
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}
