package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"holdfast/fallback/record"
)

// ReadFrames calls add for the frames up to the closing one.
func ReadFrames(r *bufio.Reader, add func(seq uint64, payload []byte) error) error {
	var buf []byte
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil || n == 0 {
			return err
		}
		if uint64(cap(buf)) < n {
			buf = make([]byte, n) // the checksum vouches for n
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		if err := add(0, buf); err != nil {
			return err
		}
	}
}

// Verify checks magic, version and checksum of the whole file.
func Verify(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(Magic)+1)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(Magic)]) != Magic {
		return ErrDamaged
	}
	if info.Size() < int64(len(head))+4 {
		return ErrDamaged
	}
	sum := crc32.New(Castagnoli)
	_, _ = sum.Write(head)
	if _, err := io.CopyN(sum, f, info.Size()-int64(len(head))-4); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var want uint32
	if err := binary.Read(f, binary.BigEndian, &want); err != nil || want != sum.Sum32() {
		return ErrDamaged
	}
	if head[len(Magic)] > Version {
		return record.ErrNewerFormat
	}
	return nil
}

// ErrDamaged says that the snapshot file does not carry its checksum.
var ErrDamaged = errors.New("snapshot is damaged")
