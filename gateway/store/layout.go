package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrLayout says that a stored layout cannot be read: it is damaged, or written
// by a newer version. The data itself is not affected; export then formats the
// file afresh.
var ErrLayout = errors.New("layout is damaged or of a newer version")

// layoutMagic begins every layout; its last byte is the format's version.
const layoutMagic = "HFL1"

// maxLayoutField caps one field of a layout before memory is taken for it.
const maxLayoutField = 512 << 20

// LayoutItem is one element of a JSON array, or one member of a JSON object, as
// it was written in a file.
type LayoutItem struct {
	Gap     []byte // what stands between the element before (or the bracket) and this one
	Head    []byte // an object member's key, colon and white space; else empty
	Ref     bool   // the value is kept elsewhere, under Name; else it is Literal
	Name    string // a reference's uuid or provider type
	Path    string // a reference's token file, relative to the directory; "" for none
	Literal []byte
}

// LayoutWriter writes a layout: how an array or object was written, without the
// values that are stored elsewhere.
//
//	"HFL1" prefix { item } 't' tail      item: kind [gap] head name path literal
//
// Each field is a varint length and its bytes. A kind in upper case has the same
// gap as the item before it, which is the usual case.
type LayoutWriter struct {
	w    io.Writer
	gap  []byte
	same bool
	err  error
}

// NewLayoutWriter starts a layout; prefix is all up to and including the opening
// bracket.
func NewLayoutWriter(w io.Writer, prefix []byte) *LayoutWriter {
	l := &LayoutWriter{w: w}
	l.write([]byte(layoutMagic))
	l.field(prefix)
	return l
}

// Item adds one element.
func (l *LayoutWriter) Item(it LayoutItem) {
	kind := byte('l')
	if it.Ref {
		kind = 'r'
	}
	if l.same && bytes.Equal(l.gap, it.Gap) {
		l.write([]byte{kind - 'a' + 'A'})
	} else {
		l.write([]byte{kind})
		l.field(it.Gap)
	}
	l.gap, l.same = append(l.gap[:0], it.Gap...), true
	l.field(it.Head)
	l.field([]byte(it.Name))
	l.field([]byte(it.Path))
	l.field(it.Literal)
}

// Close ends the layout; tail is all from the last element to the end. It gives
// back the first error of the writer.
func (l *LayoutWriter) Close(tail []byte) error {
	l.write([]byte{'t'})
	l.field(tail)
	return l.err
}

func (l *LayoutWriter) field(b []byte) {
	l.write(binary.AppendUvarint(nil, uint64(len(b))))
	l.write(b)
}

func (l *LayoutWriter) write(b []byte) {
	if l.err == nil && len(b) > 0 {
		_, l.err = l.w.Write(b)
	}
}

// LayoutReader reads what LayoutWriter wrote.
type LayoutReader struct {
	Prefix []byte
	Tail   []byte // valid after Next gave io.EOF
	r      *bufio.Reader
	gap    []byte
}

// NewLayoutReader reads a layout's start.
func NewLayoutReader(r io.Reader) (*LayoutReader, error) {
	l := &LayoutReader{r: bufio.NewReader(r)}
	magic := make([]byte, len(layoutMagic))
	if _, err := io.ReadFull(l.r, magic); err != nil || string(magic) != layoutMagic {
		return nil, fmt.Errorf("read its start: %w", ErrLayout)
	}
	var err error
	l.Prefix, err = l.field()
	return l, err
}

// Next gives the next element, io.EOF after the last one.
func (l *LayoutReader) Next() (it LayoutItem, err error) {
	kind, err := l.r.ReadByte()
	if err != nil {
		return it, fmt.Errorf("read an item: %w", ErrLayout)
	}
	switch kind {
	case 't':
		if l.Tail, err = l.field(); err != nil {
			return it, err
		}
		return it, io.EOF
	case 'r', 'l':
		if l.gap, err = l.field(); err != nil {
			return it, err
		}
	case 'R', 'L':
	default:
		return it, fmt.Errorf("read item kind %q: %w", kind, ErrLayout)
	}
	it.Gap, it.Ref = l.gap, kind == 'r' || kind == 'R'
	var name, path []byte
	for _, f := range []*[]byte{&it.Head, &name, &path, &it.Literal} {
		if *f, err = l.field(); err != nil {
			return it, err
		}
	}
	it.Name, it.Path = string(name), string(path)
	return it, nil
}

func (l *LayoutReader) field() ([]byte, error) {
	n, err := binary.ReadUvarint(l.r)
	if err != nil || n > maxLayoutField {
		return nil, fmt.Errorf("read a length: %w", ErrLayout)
	}
	if n == 0 {
		return nil, nil
	}
	var b bytes.Buffer // grows as bytes arrive, so a wrong length takes no memory
	if _, err := io.CopyN(&b, l.r, int64(n)); err != nil {
		return nil, fmt.Errorf("read %d bytes: %w", n, ErrLayout)
	}
	return b.Bytes(), nil
}

// LayoutRefs lists the names a layout refers to, in the order of the file. A
// layout that is absent or damaged gives what could be read.
func LayoutRefs(raw []byte) []string {
	l, err := NewLayoutReader(bytes.NewReader(raw))
	var names []string
	for err == nil {
		var it LayoutItem
		if it, err = l.Next(); err == nil && it.Ref {
			names = append(names, it.Name)
		}
	}
	return names
}
