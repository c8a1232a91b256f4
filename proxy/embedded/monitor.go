package embedded

import (
	"fmt"
	"strconv"
	"time"
)

// MonitorLine is what MONITOR shows of a command.
func MonitorLine(now time.Time, db int, who string, argv [][]byte) []byte {
	out := fmt.Appendf(nil, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, db, who)
	for _, a := range argv {
		out = appendRepr(append(out, ' '), a)
	}
	return append(out, "\r\n"...)
}

// appendRepr quotes as Redis does.
func appendRepr(out, text []byte) []byte {
	out = append(out, '"')
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b == '\n':
			out = append(out, `\n`...)
		case b == '\r':
			out = append(out, `\r`...)
		case b == '\t':
			out = append(out, `\t`...)
		case b == '\a':
			out = append(out, `\a`...)
		case b == '\b':
			out = append(out, `\b`...)
		case b >= ' ' && b <= '~':
			out = append(out, b)
		default:
			out = append(out, `\x`...)
			if b < 16 {
				out = append(out, '0')
			}
			out = strconv.AppendUint(out, uint64(b), 16)
		}
	}
	return append(out, '"')
}
