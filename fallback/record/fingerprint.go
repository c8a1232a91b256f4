package record

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"
)

const digestLen = 12

// Digest is a fingerprint of a key's value, without its expiry; zero: absent.
type Digest [digestLen]byte

// DigestOf fingerprints the value that commands recreate, as engine.DumpKey and
// source.fetch give them. The order of sets, hashes and sorted sets, and how
// elements are spread over commands, do not matter. Fields of hashes with a deadline
// of their own are left out: one that has gone since was changed by nobody.
func DigestOf(cmds [][][]byte) (d Digest, expireMs int64) {
	var kind string
	ordered := sha256.New()
	var bag [sha256.Size]byte
	n := 0
	fleeting := expiringFields(cmds)
	for _, argv := range cmds {
		name, rest := string(argv[0]), argv[min(2, len(argv)):]
		step := 0
		switch name {
		case "SET":
			kind, n = name, n+1
			writeField(ordered, rest[0])
			if len(rest) == 3 {
				expireMs, _ = strconv.ParseInt(string(rest[2]), 10, 64)
			}
		case "RPUSH", "XADD":
			kind, n = name, n+1
			for _, a := range rest {
				writeField(ordered, a)
			}
		case "SADD":
			step = 1
		case "HSET", "ZADD":
			step = 2
		case "PEXPIREAT":
			expireMs, _ = strconv.ParseInt(string(rest[0]), 10, 64)
		}
		for i := 0; step > 0 && i+step <= len(rest); i += step {
			if name == "HSET" && fleeting[string(rest[i])] {
				continue
			}
			kind, n = name, n+1
			mix(&bag, name, rest[i:i+step])
		}
	}
	if n == 0 {
		return Digest{}, 0
	}
	sum := sha256.Sum256(append(append([]byte(kind), bag[:]...), ordered.Sum(nil)...))
	copy(d[:], sum[:])
	return d, expireMs
}

func writeField(h hash.Hash, b []byte) {
	var n [binary.MaxVarintLen64]byte
	h.Write(n[:binary.PutUvarint(n[:], uint64(len(b)))])
	h.Write(b)
}

// mix adds one element to an unordered collection's fingerprint.
func mix(bag *[sha256.Size]byte, name string, element [][]byte) {
	h := sha256.New()
	for i, a := range element {
		if f, err := strconv.ParseFloat(string(a), 64); name == "ZADD" && i == 0 && err == nil {
			a = strconv.AppendFloat(nil, f, 'g', -1, 64) // servers print scores in different ways
		}
		writeField(h, a)
	}
	for i, b := range h.Sum(nil) {
		bag[i] ^= b
	}
}

// expiringFields are the fields of a hash that have a deadline.
func expiringFields(cmds [][][]byte) map[string]bool {
	var fields map[string]bool
	for _, argv := range cmds {
		if string(argv[0]) != "HPEXPIREAT" {
			continue
		}
		for _, f := range argv[5:] { // HPEXPIREAT key ms FIELDS n field...
			if fields == nil {
				fields = map[string]bool{}
			}
			fields[string(f)] = true
		}
	}
	return fields
}
