package journal

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func sealed(id streamID, durable, first uint64, payloads ...string) []byte {
	var buf []byte
	for i, p := range payloads {
		buf = appendFrame(buf, first+uint64(i), 42, []byte(p))
	}
	sealFrames(buf, id.seed(), durable)
	return buf
}

func TestFrameRoundTrip(t *testing.T) {
	id := streamID{1, 2, 3}
	buf := sealed(id, 6, 7, "", "one", string(make([]byte, 100_000)))
	sc := newScanner(bytes.NewReader(buf), 0, int64(len(buf)), id.seed(), 4096)
	for i, want := range []string{"", "one", string(make([]byte, 100_000))} {
		h, payload, err := sc.next(i != 1)
		require.NoError(t, err)
		require.Equal(t, frameHeader{sum: h.sum, length: uint32(len(want)), seq: 7 + uint64(i), durable: 6, unixNano: 42}, h)
		if i != 1 {
			require.Equal(t, want, string(payload))
		}
	}
	_, _, err := sc.next(true)
	require.ErrorIs(t, err, io.EOF)
}

func TestHeadersRoundTripAndEveryBitCounts(t *testing.T) {
	want := segmentHeader{stream: streamID{9}, first: 5, created: 77, flags: flagGap}
	b := encodeSegmentHeader(want)
	got, err := decodeSegmentHeader(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	small := encodeSmall(magicMark, streamID{9}, 12)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		_, err := decodeSegmentHeader(b)
		require.ErrorIs(t, err, errBadHeader, "bit %d: damage must not look like a newer version", i)
		b[i/8] ^= 1 << (i % 8)
		small[i/8] ^= 1 << (i % 8)
		_, _, err = decodeSmall(small, magicMark)
		require.ErrorIs(t, err, errBadHeader, "bit %d", i)
		small[i/8] ^= 1 << (i % 8)
	}
	frame := sealed(streamID{9}, 4, 5, "payload")
	for i := range len(frame) * 8 {
		frame[i/8] ^= 1 << (i % 8)
		_, _, err := newScanner(bytes.NewReader(frame), 0, int64(len(frame)), streamID{9}.seed(), 64).next(true)
		require.ErrorIs(t, err, errBadFrame, "bit %d", i)
		frame[i/8] ^= 1 << (i % 8)
	}
}

// Whatever the bytes: no panic, no absurd allocation, both ways of reading agree,
// and salvage finds all that a scan finds.
func FuzzSegment(f *testing.F) {
	id := streamID{1, 2, 3}
	good := sealed(id, 0, 1, "one", "two", "")
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(bytes.Clone(good[:40]), good...))
	f.Add(append(bytes.Clone(good), make([]byte, 600)...))
	f.Add(append([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, good...))
	f.Add(encodeSegmentHeader(segmentHeader{stream: id, first: 1}))
	f.Add(encodeSmall(magicMeta, id, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeSegmentHeader(b)
		_, _, _ = decodeSmall(b, magicMeta)
		r, end := bytes.NewReader(b), int64(len(b))
		keep, skip := newScanner(r, 0, end, id.seed(), 64), newScanner(r, 0, end, id.seed(), 64)
		n := 0
		for {
			h1, _, err1 := keep.next(true)
			h2, _, err2 := skip.next(false)
			require.Equal(t, err1, err2)
			require.Equal(t, h1, h2)
			if err1 != nil {
				require.True(t, errors.Is(err1, io.EOF) || errors.Is(err1, errBadFrame))
				break
			}
			n++
		}
		require.LessOrEqual(t, cap(keep.buf), len(b))
		runs, err := salvage(r, 0, end, id.seed(), 1<<20)
		if err != nil {
			require.ErrorIs(t, err, errBadFrame)
			return
		}
		prev := run{}
		for _, r := range runs {
			require.GreaterOrEqual(t, r.offset, prev.end)
			require.LessOrEqual(t, r.end, end)
			prev = r
		}
		if n > 0 && decodeFrameHeader(b).seq == 1 {
			require.NotEmpty(t, runs)
		}
	})
}
