package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// All numbers are little endian. Every file starts with the same 16 bytes, in
// all versions for ever, so that a newer file is told apart from a damaged one:
//
//	0        8         12         16
//	| magic  | version | ^version | …
//
// Segment header (64 bytes):
//
//	16          32         40           48      52         60      64
//	| stream id | firstSeq | created ns | flags | before | crc32c |
//
// Frame (32 bytes and the payload):
//
//	0     4        8     16        24        32
//	| crc | length | seq | durable | time ns | payload …
//
// The frame's crc32c is seeded with the stream id and covers all that follows
// it. The seed keeps bytes inside a payload that look like a frame (a client may
// store anything) from being taken for one when recovery searches damaged bytes.
// durable is the last sequence that was on disk before this frame was written:
// it proves to recovery that the frames up to there had been acknowledged.
const (
	formatVersion     = 1
	segmentHeaderSize = 64
	frameHeaderSize   = 32
	smallFileSize     = 64
	maxPayload        = 1 << 30
	streamIDSize      = 16
)

const (
	magicSegment = "HFJSEGM\n"
	magicMeta    = "HFJMETA\n"
	magicMark    = "HFJMARK\n"
	magicAcked   = "HFJACKD\n"
)

// flagGap marks a segment before which records are missing; repair and Advance set it.
const flagGap = 1

var (
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	errBadHeader = errors.New("bad file header")
	errBadFrame  = errors.New("no whole valid record")
)

type streamID [streamIDSize]byte

func (id streamID) seed() uint32 { return crc32.Checksum(id[:], castagnoli) }

type segmentHeader struct {
	stream  streamID
	first   uint64
	created int64
	flags   uint32
	before  uint64 // with flagGap: the last record before the gap; 0: not known, or none
}

type frameHeader struct {
	sum      uint32
	length   uint32
	seq      uint64
	durable  uint64
	unixNano int64
}

func (h frameHeader) size() int64 { return frameHeaderSize + int64(h.length) }

// putPreamble writes the 16 bytes that every file starts with.
func putPreamble(b []byte, magic string, version uint32) {
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], ^version)
}

func checkPreamble(b []byte, magic string) error {
	if len(b) < 16 || string(b[:8]) != magic {
		return errBadHeader
	}
	version := binary.LittleEndian.Uint32(b[8:])
	if binary.LittleEndian.Uint32(b[12:]) != ^version || version == 0 {
		return errBadHeader
	}
	if version > formatVersion {
		return fmt.Errorf("%w: version %d, this release reads up to %d; run the newer release", ErrNewerVersion, version, formatVersion)
	}
	return nil
}

func putSum(b []byte) {
	n := len(b) - 4
	binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli))
}

func sumValid(b []byte) bool {
	n := len(b) - 4
	return binary.LittleEndian.Uint32(b[n:]) == crc32.Checksum(b[:n], castagnoli)
}

func encodeSegmentHeader(h segmentHeader) []byte {
	b := make([]byte, segmentHeaderSize)
	putPreamble(b, magicSegment, formatVersion)
	copy(b[16:], h.stream[:])
	binary.LittleEndian.PutUint64(b[32:], h.first)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created))
	binary.LittleEndian.PutUint32(b[48:], h.flags)
	binary.LittleEndian.PutUint64(b[52:], h.before)
	putSum(b)
	return b
}

func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	var h segmentHeader
	if err := checkPreamble(b, magicSegment); err != nil {
		return h, err
	}
	if len(b) < segmentHeaderSize || !sumValid(b[:segmentHeaderSize]) {
		return h, errBadHeader
	}
	copy(h.stream[:], b[16:])
	h.first = binary.LittleEndian.Uint64(b[32:])
	h.created = int64(binary.LittleEndian.Uint64(b[40:]))
	h.flags = binary.LittleEndian.Uint32(b[48:])
	h.before = binary.LittleEndian.Uint64(b[52:])
	if h.first == 0 {
		return h, errBadHeader
	}
	return h, nil
}

// encodeSmall encodes the files meta, mark and acked: the stream and a number
// (meta: creation time in ns; mark: last truncated sequence; acked: see acked.go).
func encodeSmall(magic string, id streamID, number uint64) []byte {
	b := make([]byte, smallFileSize)
	putPreamble(b, magic, formatVersion)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], number)
	putSum(b)
	return b
}

func decodeSmall(b []byte, magic string) (streamID, uint64, error) {
	var id streamID
	if err := checkPreamble(b, magic); err != nil {
		return id, 0, err
	}
	if len(b) != smallFileSize || !sumValid(b) {
		return id, 0, errBadHeader
	}
	copy(id[:], b[16:])
	return id, binary.LittleEndian.Uint64(b[32:]), nil
}

// appendFrame adds a frame without durable and crc: sealFrames sets those when
// the batch is written.
func appendFrame(dst []byte, seq uint64, unixNano int64, payload []byte) []byte {
	var b [frameHeaderSize]byte
	binary.LittleEndian.PutUint32(b[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint64(b[24:], uint64(unixNano))
	return append(append(dst, b[:]...), payload...)
}

// sealFrames completes the frames of a buffer that appendFrame filled.
func sealFrames(buf []byte, seed uint32, durable uint64) {
	for len(buf) > 0 {
		n := decodeFrameHeader(buf).size()
		binary.LittleEndian.PutUint64(buf[16:], durable)
		binary.LittleEndian.PutUint32(buf, crc32.Update(seed, castagnoli, buf[4:n]))
		buf = buf[n:]
	}
}

// decodeFrameHeader reads the fields of a frame; b has frameHeaderSize bytes or
// more. Nothing is checked: the length must be capped and the crc compared.
func decodeFrameHeader(b []byte) frameHeader {
	return frameHeader{
		sum:      binary.LittleEndian.Uint32(b),
		length:   binary.LittleEndian.Uint32(b[4:]),
		seq:      binary.LittleEndian.Uint64(b[8:]),
		durable:  binary.LittleEndian.Uint64(b[16:]),
		unixNano: int64(binary.LittleEndian.Uint64(b[24:])),
	}
}

// plausible reports whether a frame of this header can lie in room bytes. It is
// asked before anything is allocated for the payload.
func (h frameHeader) plausible(room int64) bool {
	return h.length <= maxPayload && h.size() <= room && h.seq > 0 && h.durable < h.seq
}
