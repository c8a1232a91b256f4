package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"strings"
)

// Libraries are dumped as Redis dumps them: an opcode and a string for each, the
// version of the format and a checksum.
const (
	opFunction   = 245
	dumpVersion  = 10 // of Redis 7.0
	newestFormat = 12 // what newer servers write reads the same
)

// dumpTable is the polynomial of Redis's checksum.
var dumpTable = crc64.MakeTable(0x95ac9329ac4bc9b5)

// dumpChecksum is Redis's CRC-64: it begins with 0 and ends without inversion.
func dumpChecksum(b []byte) uint64 { return ^crc64.Update(^uint64(0), dumpTable, b) }

func (c *call) functionDump() {
	var b []byte
	for _, lib := range c.e.libs.list {
		b = append(b, opFunction)
		switch n := len(lib.code); {
		case n < 1<<6:
			b = append(b, byte(n))
		case n < 1<<14:
			b = append(b, 0x40|byte(n>>8), byte(n))
		default:
			b = binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
		}
		b = append(b, lib.code...)
	}
	b = append(b, dumpVersion, 0)
	b = binary.LittleEndian.AppendUint64(b, dumpChecksum(b))
	r := c.buf()
	r.bulk(string(b))
	c.reply = r.b
}

func (c *call) functionRestore() {
	policy := "APPEND"
	if len(c.args) == 4 {
		policy = strings.ToUpper(c.args[3])
	}
	if policy != "APPEND" && policy != "REPLACE" && policy != "FLUSH" {
		c.fail("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
		return
	}
	codes, err := dumpedLibraries(c.args[2])
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	restored := newLibraries()
	for _, code := range codes {
		if restored, _, err = c.e.world.load(restored, code, false, false); err != nil {
			c.fail("ERR " + err.Error())
			return
		}
	}
	libs := c.e.libs
	if policy == "FLUSH" {
		libs = newLibraries()
	}
	if libs, err = libs.join(restored, policy == "REPLACE"); err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	c.e.setLibraries(libs)
	c.ok()
}

// join adds all libraries of another set, or none.
func (s *libraries) join(more *libraries, replace bool) (*libraries, error) {
	out := s.without("")
	for _, lib := range more.list {
		if out.find(lib.name) == nil {
			continue
		}
		if !replace {
			return nil, fmt.Errorf("Library %s already exists", lib.name)
		}
		out = out.without(lib.name)
	}
	for _, lib := range more.list {
		if name, found := out.taken(lib); found {
			return nil, fmt.Errorf("Function %s already exists", name)
		}
	}
	for _, lib := range more.list {
		out.link(lib)
	}
	return out, nil
}

var errDump = errors.New("failed loading the given functions payload")

// dumpedLibraries reads what FUNCTION DUMP gave, here or at a Redis.
func dumpedLibraries(s string) (codes []string, err error) {
	const footer = 10
	if n := len(s) - footer; n < 0 || s[n+1] != 0 || s[n] > newestFormat ||
		binary.LittleEndian.Uint64([]byte(s[n+2:])) != dumpChecksum([]byte(s[:n+2])) {
		return nil, errors.New("DUMP payload version or checksum are wrong")
	}
	d := dumpReader{s: s[:len(s)-footer]}
	for len(d.s) > 0 {
		if op := d.s[0]; op != opFunction {
			return nil, errors.New("given type is not a function")
		}
		d.s = d.s[1:]
		code, ok := d.string()
		if !ok {
			return nil, errDump
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// dumpReader reads strings of a dump: plain ones and compressed ones.
type dumpReader struct{ s string }

// length reads a length; special: it is the number of an encoding instead.
func (d *dumpReader) length() (n int, special, ok bool) {
	if d.s == "" {
		return 0, false, false
	}
	b := d.s[0]
	size := [4]int{1, 2, 5, 1}[b>>6]
	if b == 0x81 {
		size = 9
	}
	if len(d.s) < size {
		return 0, false, false
	}
	head := []byte(d.s[:size])
	d.s = d.s[size:]
	switch {
	case b>>6 == 1:
		n = int(b&0x3f)<<8 | int(head[1])
	case size == 5:
		n = int(binary.BigEndian.Uint32(head[1:]))
	case size == 9:
		n = int(binary.BigEndian.Uint64(head[1:]))
	default:
		n = int(b & 0x3f)
	}
	return n, b>>6 == 3, n >= 0 && n <= maxString
}

func (d *dumpReader) take(n int) (string, bool) {
	if n > len(d.s) {
		return "", false
	}
	out := d.s[:n]
	d.s = d.s[n:]
	return out, true
}

const dumpCompressed = 3 // the encoding of a string by LZF

func (d *dumpReader) string() (string, bool) {
	n, special, ok := d.length()
	if !ok || special && n != dumpCompressed {
		return "", false
	}
	if !special {
		return d.take(n)
	}
	packed, _, ok1 := d.length()
	size, _, ok2 := d.length()
	data, ok3 := d.take(packed)
	if !ok1 || !ok2 || !ok3 {
		return "", false
	}
	return unpackLZF(data, size)
}

// unpackLZF undoes LZF: runs of bytes as they are, and references to what came before.
func unpackLZF(s string, size int) (string, bool) {
	out := make([]byte, 0, min(size, 1<<20))
	for i := 0; i < len(s); {
		ctrl := int(s[i])
		i++
		if ctrl < 32 {
			if i+ctrl+1 > len(s) {
				return "", false
			}
			out = append(out, s[i:i+ctrl+1]...)
			i += ctrl + 1
			continue
		}
		n := ctrl >> 5
		if n == 7 && i < len(s) {
			n += int(s[i])
			i++
		}
		if i >= len(s) {
			return "", false
		}
		from := len(out) - (ctrl&31)<<8 - int(s[i]) - 1
		i++
		if from < 0 || len(out)+n+2 > size {
			return "", false
		}
		for k := range n + 2 {
			out = append(out, out[from+k])
		}
	}
	return string(out), len(out) == size
}
