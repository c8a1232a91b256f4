// Package snapshot is the file format of a dump of the local state: its writer, its
// reader and its checksum.
package snapshot

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"time"

	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// A snapshot is the local state as of one journal sequence number:
//
//	magic    8 bytes  "HFSNAP\r\n"
//	version  1 byte   Version
//	seq      uvarint  journaled writes up to here are contained
//	savedAt  uvarint  Unix milliseconds
//	flags    uvarint  FlagEmbedded
//	then frames: uvarint length > 0 and an encoded Record, and at the end
//	0        1 byte   and 4 bytes CRC-32C of everything before it
//
// A record with commands recreates a key. One whose command has an empty name is
// a note: kind, then its fields.
const (
	Magic        = "HFSNAP\r\n"
	Version      = 2
	FlagEmbedded = 2 // this is the database itself, not a mirror of one
)

// The kinds of notes.
const (
	NoteComplete = "complete" // prefixes whose keys are all here
	NoteDoubt    = "doubt"    // key: its value is not known
	NoteLock     = "lock"     // key, value, expiry: see lock
	NoteWritten  = "written"  // hashes of keys, 8 bytes each: see keySet
	NoteCurrent  = "current"  // number: see snapshotNumber
	NoteChanges  = "changes"  // numbers: see changes.encode
	NoteOffset   = "offset"   // server clock minus wall clock, nanoseconds
)

// Castagnoli is the table of the checksum.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer encodes a snapshot; err sticks.
type Writer struct {
	file *os.File
	sum  hash.Hash32
	w    *bufio.Writer
	buf  []byte
	Err  error
}

// NewWriter makes a Writer of a new file, which the caller closes.
func NewWriter(f *os.File) *Writer {
	sum := crc32.New(Castagnoli)
	return &Writer{file: f, sum: sum, w: bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)}
}

func (w *Writer) write(b []byte) {
	if w.Err == nil {
		_, w.Err = w.w.Write(b)
	}
}

// Header writes what comes first. The snapshot has all journaled writes up to seq.
func (w *Writer) Header(seq uint64, now time.Time, flags uint64) {
	head := append([]byte(Magic), Version)
	head = binary.AppendUvarint(head, seq)
	head = binary.AppendUvarint(head, uint64(now.UnixMilli()))
	w.write(binary.AppendUvarint(head, flags))
}

// Frame writes one record. Large arguments are written as they are, between the
// encoded parts.
func (w *Writer) Frame(db int, argv [][]byte) {
	type cut struct {
		at  int // in buf
		arg []byte
	}
	var cuts []cut
	size := 0
	w.buf = record.Encode(w.buf[:0], record.Record{DB: db, Commands: [][][]byte{argv}}, func(dst, arg []byte) []byte {
		if len(arg) < resp.Large {
			return append(dst, arg...)
		}
		cuts = append(cuts, cut{len(dst), arg})
		size += len(arg)
		return dst
	})
	var n [binary.MaxVarintLen64]byte
	w.write(n[:binary.PutUvarint(n[:], uint64(size+len(w.buf)))])
	from := 0
	for _, c := range cuts {
		w.write(w.buf[from:c.at])
		w.write(c.arg)
		from = c.at
	}
	w.write(w.buf[from:])
}

// Finish writes the end and the checksum, and reports the first error there was.
func (w *Writer) Finish() error {
	w.write([]byte{0})
	if w.Err == nil {
		w.Err = w.w.Flush()
	}
	if w.Err != nil {
		return fmt.Errorf("write snapshot: %w", w.Err)
	}
	return binary.Write(w.file, binary.BigEndian, w.sum.Sum32())
}
