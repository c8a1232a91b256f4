package record

import (
	"bytes"
	"unsafe"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// ArgvBytes is the length of all arguments together.
func ArgvBytes(argv [][]byte) (n int64) {
	for _, a := range argv {
		n += int64(len(a))
	}
	return n
}

// Recreated is the key of a command that recreates one.
func Recreated(argv [][]byte) string {
	if IsWord(argv[0], "XGROUP") {
		return string(argv[2]) // behind the subcommand
	}
	return string(argv[1])
}

// ArgvOf makes arguments of strings. One that is resp.Large shares their memory.
func ArgvOf(args ...string) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		if len(a) >= resp.Large { // nobody writes to it: see engine.ApplyKept
			out[i] = unsafe.Slice(unsafe.StringData(a), len(a))
			continue
		}
		out[i] = []byte(a)
	}
	return out
}

// CommandKeys are the keys that argv names.
func CommandKeys(argv [][]byte) [][]byte {
	c, ok := command.Lookup(argv)
	if !ok {
		return nil
	}
	return c.Keys(nil, argv)
}

// IsWord compares an argument with a keyword, in any case.
func IsWord(arg []byte, word string) bool { return bytes.EqualFold(arg, []byte(word)) }
