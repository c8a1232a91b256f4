package command

import (
	"bytes"
	"strings"
)

// Redis cuts what it repeats of a client's call to this many bytes.
const maxEcho = 128

// UnknownError is the text, without the leading "-", with which Redis refuses a
// call that Lookup does not find: an unknown command or subcommand.
func UnknownError(argv [][]byte) string {
	if len(argv) == 0 {
		return "ERR unknown command '', with args beginning with: "
	}
	var b strings.Builder
	if c := commands.find(argv[0]); c != nil && c.subTable != nil && len(argv) > 1 {
		b.WriteString("ERR unknown subcommand '")
		b.Write(echo(argv[1], maxEcho))
		b.WriteString("'. Try ")
		b.Write(bytes.ToUpper(argv[0])) // in ASCII: it equals a name of the table
		b.WriteString(" HELP.")
		return oneLine(b.String())
	}
	b.WriteString("ERR unknown command '")
	b.Write(echo(argv[0], maxEcho))
	b.WriteString("', with args beginning with: ")
	start := b.Len()
	for _, arg := range argv[1:] {
		used := b.Len() - start
		if used >= maxEcho {
			break
		}
		b.WriteByte('\'')
		b.Write(echo(arg, maxEcho-used))
		b.WriteString("' ")
	}
	return oneLine(b.String())
}

// ArityError is the text, without the leading "-", with which Redis refuses a
// wrong number of arguments.
func (c *Command) ArityError() string {
	return "ERR wrong number of arguments for '" + c.Name + "' command"
}

// echo is what a C string of at most limit bytes keeps of b.
func echo(b []byte, limit int) []byte {
	b = b[:min(len(b), limit)]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}

// oneLine keeps a client from putting line ends into an error reply.
func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }
