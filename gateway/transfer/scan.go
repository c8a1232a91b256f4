package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"holdfast/gateway/store"
)

// maxGapBytes bounds the white space between two elements.
const maxGapBytes = 16 << 20

var (
	errPoolsShape = errors.New("not a JSON object of provider types")
	errPoolsEmpty = errors.New("empty provider pools: the file is empty; no accounts were imported")
)

// poolsMember is one member of provider_pools.json, by its place in the file.
type poolsMember struct {
	key        string
	gap, head  []byte
	from, to   int64 // the value's bytes
	array      bool
	overridden bool // a later member has the same key, and wins
}

// active says that the member is a pool of accounts.
func (m poolsMember) active() bool { return m.array && !m.overridden }

// poolsScan is the shape of provider_pools.json. The file is read three times,
// a little at a time: for its shape, for the plan and for the work.
type poolsScan struct {
	f            *os.File
	stat         os.FileInfo
	prefix, tail []byte
	members      []poolsMember
}

// scanPools reads the shape of provider_pools.json and checks that all of it is
// JSON.
func scanPools(f *os.File) (*poolsScan, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if st.Size() == 0 {
		return nil, errPoolsEmpty
	}
	s := &poolsScan{f: f, stat: st}
	start := int64(0)
	if head := make([]byte, 3); st.Size() >= 3 {
		if _, err := f.ReadAt(head, 0); err != nil {
			return nil, plain(err)
		}
		start = 3 - int64(len(store.TrimBOM(head)))
	}
	dec := json.NewDecoder(io.NewSectionReader(f, start, st.Size()-start))
	tok, err := dec.Token()
	if err != nil {
		return nil, jsonError(err)
	}
	if tok != json.Delim('{') {
		return nil, errPoolsShape
	}
	at := start + dec.InputOffset()
	if s.prefix, err = s.bytes(0, at); err != nil {
		return nil, err
	}
	for dec.More() {
		if at, err = s.member(dec, start, at); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("not valid JSON: something follows the closing brace")
	}
	s.tail, err = s.bytes(at, st.Size())
	s.override()
	return s, err
}

// member reads one member whose gap begins at prev, and gives where it ends.
func (s *poolsScan) member(dec *json.Decoder, start, prev int64) (int64, error) {
	tok, err := dec.Token()
	if err != nil {
		return 0, jsonError(err)
	}
	m := poolsMember{}
	m.key, _ = tok.(string)
	keyEnd := start + dec.InputOffset()
	m.from, m.array, err = s.valueStart(keyEnd)
	if err != nil {
		return 0, err
	}
	if m.array {
		_, err = dec.Token()
		for err == nil && dec.More() {
			var skip json.RawMessage
			err = dec.Decode(&skip)
		}
		if err == nil {
			_, err = dec.Token()
		}
	} else {
		var skip json.RawMessage
		err = dec.Decode(&skip)
	}
	if err != nil {
		return 0, jsonError(err)
	}
	m.to = start + dec.InputOffset()
	lead, err := s.bytes(prev, m.from)
	if err != nil {
		return 0, err
	}
	quote := bytes.IndexByte(lead, '"')
	m.gap, m.head = lead[:quote], lead[quote:]
	s.members = append(s.members, m)
	return m.to, nil
}

// valueStart finds the first byte of the value after a key that ends at off.
func (s *poolsScan) valueStart(off int64) (from int64, array bool, err error) {
	buf := make([]byte, 64)
	for {
		n, err := s.f.ReadAt(buf, off)
		for i, c := range buf[:n] {
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != ':' {
				return off + int64(i), c == '[', nil
			}
		}
		if err != nil {
			return 0, false, jsonError(err)
		}
		off += int64(n)
	}
}

// override marks the members that a later one with the same key replaces, as in
// every JSON reader that builds a map.
func (s *poolsScan) override() {
	last := map[string]int{}
	for i, m := range s.members {
		if before, ok := last[m.key]; ok {
			s.members[before].overridden = true
		}
		last[m.key] = i
	}
}

func (s *poolsScan) bytes(from, to int64) ([]byte, error) {
	if to-from > maxGapBytes {
		return nil, fmt.Errorf("%d bytes between two elements; at most %d are taken", to-from, maxGapBytes)
	}
	b := make([]byte, to-from)
	if _, err := s.f.ReadAt(b, from); err != nil {
		return nil, fmt.Errorf("read %s: %w", poolsFile, plain(err))
	}
	return b, nil
}

// changed reports whether the file was written to since it was scanned.
func (s *poolsScan) changed() bool {
	st, err := s.f.Stat()
	return err != nil || st.Size() != s.stat.Size() || !st.ModTime().Equal(s.stat.ModTime())
}

// element is one element of a pool's array.
type element struct {
	gap []byte
	raw []byte
	n   int // its index
}

// elements calls visit for each element of a pool, and gives what stands
// between the last one and the end.
func (s *poolsScan) elements(m poolsMember, visit func(e element) error) (tail []byte, err error) {
	dec := json.NewDecoder(io.NewSectionReader(s.f, m.from, m.to-m.from))
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	}
	at := m.from + 1
	for n := 0; dec.More(); n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, jsonError(err)
		}
		end := m.from + dec.InputOffset()
		gap, err := s.bytes(at, end-int64(len(raw)))
		if err != nil {
			return nil, err
		}
		if err := visit(element{gap: gap, raw: raw, n: n}); err != nil {
			return nil, err
		}
		at = end
	}
	return s.bytes(at, m.to)
}

func jsonError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not valid JSON at byte %d: %w", syntax.Offset, syntax)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not valid JSON: it ends too early")
	}
	return fmt.Errorf("not valid JSON: %w", err)
}
