package cache

import (
	"bytes"
	"encoding/binary"
)

const maxIdentity = 1<<14 - 1 // beside bulkBit and usedBit

// appendIdentity appends what tells one cached reply from another: database,
// protocol, key name, and the command. Of a RESP array only the arguments are
// kept, and the key only once, which saves more than a third of a small entry.
// Anything else is kept as it is. Different inputs give different identities.
func appendIdentity(dst []byte, db int, key []byte, proto int, cmd []byte) []byte {
	start := len(dst)
	tag := uint64(db)<<3 | uint64(proto&3)
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	if out, ok := appendArgs(dst, key, cmd); ok {
		return out
	}
	dst = binary.AppendUvarint(dst[:start], tag|4)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	return append(dst, cmd...)
}

// appendArgs appends each argument with its length plus one before it, and a
// zero in the place of the first one that is the key.
func appendArgs(dst, key, cmd []byte) (_ []byte, ok bool) {
	count, i := header(cmd, 0, '*')
	if i < 0 {
		return dst, false
	}
	keyDone := false
	for ; count > 0; count-- {
		n, start := header(cmd, i, '$')
		if start < 0 || n > len(cmd)-start-2 {
			return dst, false
		}
		arg := cmd[start : start+n]
		if i = start + n + 2; !keyDone && bytes.Equal(arg, key) {
			keyDone = true
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(n)+1)
		dst = append(dst, arg...)
	}
	return dst, i == len(cmd)
}

// header reads a "*3\r\n" or "$5\r\n" line at b[i]; end is -1 where there is none.
func header(b []byte, i int, kind byte) (n, end int) {
	if i >= len(b) || b[i] != kind {
		return 0, -1
	}
	for i++; i < len(b) && b[i] >= '0' && b[i] <= '9' && n < maxRecord; i++ {
		n = n*10 + int(b[i]-'0')
	}
	if i+1 >= len(b) || b[i] != '\r' {
		return 0, -1
	}
	return n, i + 2
}

// keyOf is the key name in an identity.
func keyOf(id []byte) []byte {
	_, i := binary.Uvarint(id)
	n, k := binary.Uvarint(id[i:])
	return id[i+k : i+k+int(n)]
}
