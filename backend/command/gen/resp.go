package main

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strconv"
)

// value is one RESP3 reply: its type byte, its text (scalars) or its items
// (aggregates; a map has its keys and values in turn).
type value struct {
	kind  byte
	text  string
	items []value
}

// readValue reads one reply. The peer is a server this program started itself.
func readValue(r *bufio.Reader) (value, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return value{}, err
	}
	if len(line) < 3 {
		return value{}, fmt.Errorf("read reply: short line %q", line)
	}
	v := value{kind: line[0], text: line[1 : len(line)-2]}
	switch v.kind {
	case '-':
		return value{}, fmt.Errorf("read reply: server answered %q", v.text)
	case '$':
		return readBulk(r, v)
	case '*', '~', '%':
		return readItems(r, v)
	}
	return v, nil
}

func readBulk(r *bufio.Reader, v value) (value, error) {
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 0 {
		return value{}, fmt.Errorf("read reply: bulk length %q", v.text)
	}
	buf := make([]byte, n+2)
	if _, err := io.ReadFull(r, buf); err != nil {
		return value{}, err
	}
	v.text = string(buf[:n])
	return v, nil
}

func readItems(r *bufio.Reader, v value) (value, error) {
	n, err := strconv.Atoi(v.text)
	if err != nil {
		return value{}, fmt.Errorf("read reply: length %q", v.text)
	}
	v.text = ""
	if v.kind == '%' {
		n *= 2
	}
	for range n {
		item, err := readValue(r)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	return v, nil
}

// encode is the RESP3 form of v.
func (v value) encode(dst []byte) []byte {
	dst = append(dst, v.kind)
	switch v.kind {
	case '$':
		dst = strconv.AppendInt(dst, int64(len(v.text)), 10)
		dst = append(dst, "\r\n"...)
		dst = append(dst, v.text...)
		return append(dst, "\r\n"...)
	case '*', '~', '%':
		n := len(v.items)
		if v.kind == '%' {
			n /= 2
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, "\r\n"...)
		for _, item := range v.items {
			dst = item.encode(dst)
		}
		return dst
	}
	dst = append(dst, v.text...)
	return append(dst, "\r\n"...)
}

// field is the value under name in a map, or the zero value.
func (v value) field(name string) value {
	for i := 0; i+1 < len(v.items); i += 2 {
		if v.items[i].text == name {
			return v.items[i+1]
		}
	}
	return value{}
}

func (v value) int() int {
	n, _ := strconv.Atoi(v.text)
	return n
}

func (v value) texts() []string {
	var out []string
	for _, item := range v.items {
		out = append(out, item.text)
	}
	return out
}

// sortByName puts the server's commands, which it keeps in a randomly seeded
// hash table, in a stable order, subcommands included.
func sortByName(commands []value) {
	sort.Slice(commands, func(i, j int) bool {
		return commands[i].items[0].text < commands[j].items[0].text
	})
	for _, c := range commands {
		sortByName(c.items[infoSubs].items)
	}
}

// sortDocs does the same for the documentation of subcommands.
func sortDocs(doc value) {
	subs := doc.field("subcommands").items
	pairs := make([][2]value, 0, len(subs)/2)
	for i := 0; i+1 < len(subs); i += 2 {
		pairs = append(pairs, [2]value{subs[i], subs[i+1]})
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i][0].text < pairs[j][0].text })
	for i, p := range pairs {
		subs[2*i], subs[2*i+1] = p[0], p[1]
	}
}
