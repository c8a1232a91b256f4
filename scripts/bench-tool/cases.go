package main

import (
	"fmt"
	"strings"
)

// testCase is one row of the table.
type testCase struct {
	op       string
	clients  int
	pipeline int
	size     int // bytes of the value; of all values together for HGETALL and MGET
}

// fields is how many values HGETALL and MGET answer.
const fields = 10

var allOps = []string{"GET", "SET", "INCR", "HGETALL", "MGET"}

// reads tells which operations a reply cache can answer.
var reads = map[string]bool{"GET": true, "HGETALL": true, "MGET": true}

func (c testCase) String() string {
	return fmt.Sprintf("%s c=%d P=%d %dB", c.op, c.clients, c.pipeline, c.size)
}

// allCases are operations x clients x pipeline depth x value size. INCR has no
// value, so one size is enough.
func allCases(quick bool) []testCase {
	sizes, clients := []int{64, 4096}, []int{1, 50}
	if quick {
		sizes, clients = []int{64}, []int{50}
	}
	var out []testCase
	for _, op := range allOps {
		for _, size := range sizes {
			if op == "INCR" && size != sizes[0] {
				continue
			}
			for _, n := range clients {
				for _, p := range []int{1, 16} {
					out = append(out, testCase{op, n, p, size})
				}
			}
		}
	}
	return out
}

// farCases are those that say something when Redis is a round trip away.
func farCases(quick bool) []testCase {
	var out []testCase
	for _, op := range []string{"GET", "SET", "INCR"} {
		for _, p := range []int{1, 16} {
			out = append(out, testCase{op, 50, p, 64})
			if !quick {
				out = append(out, testCase{op, 1, p, 64})
			}
		}
	}
	return out
}

// request is one call of the case, on keys that begin with prefix.
func (c testCase) request(prefix string) []byte {
	value := strings.Repeat("x", c.size)
	switch c.op {
	case "SET":
		return encode("SET", prefix+"s"+fmt.Sprint(c.size), value)
	case "GET":
		return encode("GET", prefix+"s"+fmt.Sprint(c.size))
	case "INCR":
		return encode("INCR", prefix+"n")
	case "HGETALL":
		return encode("HGETALL", prefix+"h"+fmt.Sprint(c.size))
	}
	args := []string{"MGET"}
	for i := range fields {
		args = append(args, prefix+"m"+fmt.Sprint(c.size, ".", i))
	}
	return encode(args...)
}

// setup are the calls that make the data of the case.
func (c testCase) setup(prefix string) [][]byte {
	part := strings.Repeat("x", c.size/fields)
	switch c.op {
	case "SET", "GET":
		return [][]byte{encode("SET", prefix+"s"+fmt.Sprint(c.size), strings.Repeat("x", c.size))}
	case "INCR":
		return [][]byte{encode("SET", prefix+"n", "0")}
	case "HGETALL":
		args := []string{"HSET", prefix + "h" + fmt.Sprint(c.size)}
		for i := range fields {
			args = append(args, fmt.Sprint("f", i), part)
		}
		return [][]byte{encode(args...)}
	}
	var out [][]byte
	for i := range fields {
		out = append(out, encode("SET", prefix+"m"+fmt.Sprint(c.size, ".", i), part))
	}
	return out
}

func encode(args ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return []byte(b.String())
}
