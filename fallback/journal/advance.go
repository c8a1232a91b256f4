package journal

import (
	"errors"
	"fmt"
	"time"
)

// Advance makes the numbers up to upTo count as used: the next record gets the one
// after. It is for a journal that is older than what was made of its records, and
// has to be called before the first Append. The new segment that says so is durable
// when it returns.
func (j *Journal) Advance(upTo uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.unusable(); err != nil {
		return err
	}
	if upTo < j.nextSeq {
		return nil
	}
	if j.pending != nil || j.inflight != nil {
		return errors.New("advance journal: records are on their way")
	}
	f, seg, err := createSegment(j.fs, j.cfg.Dir, segmentHeader{stream: j.id, first: upTo + 1, created: time.Now().UnixNano(), flags: flagGap, before: j.last})
	if err != nil {
		return fmt.Errorf("advance journal: %w", err)
	}
	// The committer waits for records: it takes the new file from here.
	old := j.active
	j.active, j.segments, j.bytes = f, append(j.segments, seg), j.bytes+seg.size
	j.nextSeq, j.last = upTo+1, upTo
	return old.Close()
}
