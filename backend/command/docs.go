package command

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"strconv"
	"sync"
)

//go:embed docs.json.gz
var docsFile []byte

// entry is what the server said about one command, in RESP3.
type entry struct {
	Name       string
	Info, Docs string
	Help       string   // of containers
	Categories []string // "@read" …
}

// documentation is read on first use: most processes are never asked for it.
var documentation = sync.OnceValue(func() *docs { return readDocs(docsFile) })

type docs struct {
	entries []entry
	byName  map[string]*entry
}

func readDocs(file []byte) *docs {
	d := &docs{byName: map[string]*entry{}}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return d // a test makes sure that the checked-in file is whole
	}
	if err := json.NewDecoder(z).Decode(&d.entries); err != nil {
		return &docs{byName: d.byName}
	}
	for i := range d.entries {
		d.byName[d.entries[i].Name] = &d.entries[i]
	}
	return d
}

// appendAs appends reply, which is in RESP3, in the given protocol: RESP2 has
// arrays for maps and sets, and a bulk string for null.
func appendAs(dst []byte, proto int, reply string) []byte {
	if proto >= 3 {
		return append(dst, reply...)
	}
	for i := 0; i < len(reply); {
		end := i + bytes.IndexByte([]byte(reply[i:]), '\n') + 1
		if end <= i {
			return append(dst, reply[i:]...)
		}
		line := reply[i:end]
		i = end
		switch line[0] {
		case '%', '~':
			n, _ := strconv.Atoi(line[1 : len(line)-2])
			if line[0] == '%' {
				n *= 2
			}
			dst = appendHeader(dst, '*', n)
		case '_':
			dst = append(dst, "$-1\r\n"...)
		case '$':
			n, _ := strconv.Atoi(line[1 : len(line)-2])
			i = min(end+n+2, len(reply))
			dst = append(dst, reply[end-len(line):i]...)
		default:
			dst = append(dst, line...)
		}
	}
	return dst
}

func appendHeader(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "\r\n"...)
}

func appendBulk[T string | []byte](dst []byte, s T) []byte {
	dst = appendHeader(dst, '$', len(s))
	dst = append(dst, s...)
	return append(dst, "\r\n"...)
}

func appendError(dst []byte, text string) []byte {
	dst = append(dst, '-')
	dst = append(dst, text...)
	return append(dst, "\r\n"...)
}
