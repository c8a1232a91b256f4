package resp

import "fmt"

// Default caps on what the wire may ask for. A length is checked against them
// before anything is allocated for it.
const (
	// MaxBulk is the longest bulk string in bytes (Redis: proto-max-bulk-len).
	MaxBulk = 512 << 20
	// MaxMultibulk is the largest number of arguments of one command.
	MaxMultibulk = 1 << 20
	// MaxInline is the longest inline command or length line in bytes.
	MaxInline = 64 << 10
	// MaxDepth is the deepest nesting of a reply that Parse follows.
	MaxDepth = 128
	// MaxElems is the largest element count of one aggregate in a reply.
	MaxElems = 1<<31 - 1
)

// Limits are the caps of one reader of replies. A zero field means the default
// above; no cap can be switched off.
type Limits struct {
	Bulk  int64 // bytes of one bulk string, or of one line
	Elems int64 // elements of one array, set, push, or pairs of one map
	Depth int   // nesting; only Parse and Reader need it
}

func (l Limits) withDefaults() Limits {
	if l.Bulk <= 0 {
		l.Bulk = MaxBulk
	}
	if l.Elems <= 0 {
		l.Elems = MaxElems
	}
	if l.Depth <= 0 {
		l.Depth = MaxDepth
	}
	return l
}

// ProtocolError is a violation of RESP. Its text is what Redis answers to a
// client before it closes the connection, without the "ERR " in front.
type ProtocolError string

// Error gives Redis's text, starting with "Protocol error: ".
func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

// The errors that Redis itself gives for a malformed query.
const (
	ErrBulkLength       = ProtocolError("invalid bulk length")
	ErrMultibulkLength  = ProtocolError("invalid multibulk length")
	ErrInlineTooBig     = ProtocolError("too big inline request")
	ErrUnbalancedQuotes = ProtocolError("unbalanced quotes in request")
	ErrMbulkCountTooBig = ProtocolError("too big mbulk count string")
	ErrBulkCountTooBig  = ProtocolError("too big bulk count string")
)

// The errors of a malformed reply, which no client of ours ever sees.
const (
	ErrLineTooLong  = ProtocolError("too long line in reply")
	ErrNoCRLF       = ProtocolError("expected CRLF in reply")
	ErrStreamed     = ProtocolError("streamed replies are not supported")
	ErrTooDeep      = ProtocolError("too deeply nested reply")
	ErrReplyTooBig  = ProtocolError("too big reply")
	ErrBadInteger   = ProtocolError("invalid integer in reply")
	ErrTooManyElems = ProtocolError("too many elements in reply")
)

// ErrExpectedDollar is Redis's error for an argument that does not start with '$'.
func ErrExpectedDollar(got byte) ProtocolError {
	return ProtocolError(fmt.Sprintf("expected '$', got '%c'", got))
}

func errReplyType(c byte) ProtocolError {
	return ProtocolError(fmt.Sprintf("unknown reply type %q", c))
}
