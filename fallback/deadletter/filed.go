package deadletter

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"holdfast/fallback/datadir"
)

// Filed are the sequence numbers of the records that were filed instead of being
// applied: as dead letters, or with a conflict. They are never sent to Redis
// again, not even to one that lost its tail, and never filed again. Retried dead
// letters have new numbers; their old ones still count.
type Filed struct {
	Stream string // numbers of another journal mean nothing
	mu     sync.Mutex
	seqs   map[uint64]struct{}
}

// Has reports whether the record with this number was filed.
func (f *Filed) Has(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.seqs[seq]
	return ok
}

// Add notes that it was.
func (f *Filed) Add(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seqs[seq] = struct{}{}
}

// Last is the highest of the numbers.
func (f *Filed) Last() (seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.seqs {
		seq = max(seq, s)
	}
	return seq
}

// ReadFiled reads the numbers from a data directory, files set aside included.
func ReadFiled(dir, stream string) (*Filed, error) {
	f := &Filed{Stream: stream, seqs: map[uint64]struct{}{}}
	paths, err := filepath.Glob(filepath.Join(datadir.EscapeGlob(dir), "deadletters.jsonl*"))
	if err != nil {
		return nil, fmt.Errorf("look for dead letters: %w", err)
	}
	for _, path := range paths {
		if err := f.readLetters(path); err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
	}
	return f, ReadConflicts(dir, func(c ConflictRecord) error {
		if c.Commands != nil && !c.NoReply && c.Stream == stream {
			f.seqs[c.Seq] = struct{}{}
		}
		return nil
	})
}

func (f *Filed) readLetters(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return datadir.EachLine(bufio.NewReader(file), func(line []byte) error {
		parts := pieces(line)
		for i, part := range parts {
			var l struct {
				Seq    uint64
				Stream string
			}
			if json.Unmarshal(part, &l) != nil {
				if i < len(parts)-1 {
					continue // never written whole, so it was not filed then
				}
				// It was filed, and is damaged: its number is at the beginning.
				if n, _ := fmt.Sscanf(string(part), `{"seq":%d,"stream":%q`, &l.Seq, &l.Stream); n < 2 {
					continue
				}
			}
			if l.Stream == f.Stream {
				f.seqs[l.Seq] = struct{}{}
			}
		}
		return nil
	})
}
