package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// Checkpoint remembers how far Redis got and which batch was sent last.
type Checkpoint struct {
	Stream    string `json:"stream,omitempty"` // of the journal whose numbers these are
	RunID     string `json:"runId"`
	From      uint64 `json:"from"` // the batch sent last
	To        uint64 `json:"to"`
	FenceSeen bool   `json:"fenceSeen"` // a fence was written once: one that is missing was lost
	Settled   uint64 `json:"settled"`   // Redis answered for all writes up to here
	Since     uint64 `json:"since"`     // the last write before the present outage

	HandedOver uint64 `json:"handedOver,omitempty"` // the last write before an embedded store got a Redis: none up to here was for it
	FailedFrom uint64 `json:"failedFrom,omitempty"` // some of these, of the batch, failed at Redis, and their letters
	FailedTo   uint64 `json:"failedTo,omitempty"`   // may not have been written: see replayer.file

	OnlineRun  string `json:"onlineRun,omitempty"`  // the server that the mirror followed last
	Current    uint64 `json:"current"`              // the number that a snapshot must bear to be what the mirror last saw; see sure.go
	Unsure     bool   `json:"unsure,omitempty"`     // since a restart the local state may be older than the outage:
	UnsureFrom uint64 `json:"unsureFrom,omitempty"` // what writes after this one found says nothing about Redis

	WipedRun string `json:"wipedRun,omitempty"` // the server that came back with neither fence nor beat: what it has is not ours

	Sum uint32 `json:"sum,omitempty"` // CRC-32C of this with a sum of 0; 0: of a release that made none
}

// Encode returns the mark with its sum.
func (m Checkpoint) Encode() ([]byte, error) {
	m.Sum = 0
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	m.Sum = max(crc32.Checksum(raw, markTable), 1)
	return json.Marshal(m)
}

var errMarkDamaged = errors.New("it is damaged")

// DecodeCheckpoint is the reverse; an empty file is a mark of nothing.
func DecodeCheckpoint(raw []byte) (m Checkpoint, err error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", errMarkDamaged, err)
	}
	if m.Sum == 0 {
		return m, nil
	}
	if again, err := m.Encode(); err != nil || !bytes.Equal(again, bytes.TrimSpace(raw)) {
		return Checkpoint{}, errMarkDamaged
	}
	m.Sum = 0
	return m, nil
}

// OfRedis reports whether anything is noted of a Redis. A mark that was reset, as
// that of a detached directory, still names the journal.
func (m Checkpoint) OfRedis() bool {
	m.Stream = ""
	return m != Checkpoint{}
}

// NothingSent reports that no batch went out since an embedded store got its Redis.
// A fence there that is beyond is then one of an earlier life of the directory.
func (m Checkpoint) NothingSent() bool { return m.HandedOver != 0 && m.To <= m.HandedOver }

const CheckpointBytes = 512 // one sector: written at once or not at all

// ReadReplayed is the number of the last write of a data directory that Redis has
// for certain, as far as is noted on disk: a replay under way is a batch ahead.
func ReadReplayed(dir string) (uint64, error) {
	mark, err := ReadCheckpoint(dir)
	return mark.Settled, err
}

// ServedRedis tells the directory of an embedded store, whose journal waits for
// nobody, from one that has, or had, a Redis.
func ServedRedis(dir string) (bool, error) {
	mark, err := ReadCheckpoint(dir)
	return mark.OfRedis(), err
}

func ReadCheckpoint(dir string) (mark Checkpoint, err error) {
	raw, err := os.ReadFile(Mark(dir))
	if errors.Is(err, os.ErrNotExist) {
		return mark, nil
	}
	if err == nil {
		mark, err = DecodeCheckpoint(raw)
	}
	if err != nil {
		return mark, fmt.Errorf("read replay mark %s: %w: start the proxy once, which sets it aside", Mark(dir), err)
	}
	return mark, nil
}

var markTable = crc32.MakeTable(crc32.Castagnoli)
