package engine

import (
	"encoding/binary"
	"strings"
)

// opFunction begins a library in a dump, as Redis writes it: its code follows.
const opFunction = 245

func (c *call) functionDump() {
	w := &rdbWriter{}
	for _, lib := range c.e.libs.list {
		w.b = append(w.b, opFunction)
		w.str(lib.code)
	}
	w.b = binary.LittleEndian.AppendUint16(w.b, rdbVersion)
	w.b = binary.LittleEndian.AppendUint64(w.b, rdbChecksum(w.b))
	r := c.buf()
	r.bulk(string(w.b))
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
			return nil, refusal("Library " + lib.name + " already exists")
		}
		out = out.without(lib.name)
	}
	for _, lib := range more.list {
		if name, found := out.taken(lib); found {
			return nil, refusal("Function " + name + " already exists")
		}
	}
	for _, lib := range more.list {
		out.link(lib)
	}
	return out, nil
}

// dumpedLibraries reads what FUNCTION DUMP gave, here or at a Redis.
func dumpedLibraries(s string) (codes []string, err error) {
	if !rdbIntact(s) {
		return nil, refusal("DUMP payload version or checksum are wrong")
	}
	const footer = 10 // the version and the checksum
	r := &rdbReader{b: s[:len(s)-footer], room: maxString}
	defer func() {
		if p := recover(); p != nil {
			if p != errRDB {
				panic(p)
			}
			err = refusal("failed loading the given functions payload")
		}
	}()
	for r.b != "" {
		if r.byte() != opFunction {
			return nil, refusal("given type is not a function")
		}
		codes = append(codes, r.str())
	}
	return codes, nil
}
