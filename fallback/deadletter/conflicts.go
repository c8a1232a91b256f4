package deadletter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/fallback/datadir"
)

// ConflictRecord is a line of conflicts.jsonl. Byte strings are base64 there.
type ConflictRecord struct {
	Seq      uint64     `json:"seq"`              // of the first write to the key in the outage
	Stream   string     `json:"stream,omitempty"` // of the journal that numbered it
	DB       int        `json:"db"`
	Key      []byte     `json:"key,omitempty"`
	FiledAt  time.Time  `json:"filedAt"`
	Policy   Conflict   `json:"policy"`
	Ours     [][][]byte `json:"ours,omitempty"`     // commands that recreate the local value
	Theirs   [][][]byte `json:"theirs,omitempty"`   // the same for the value at Redis; none: absent
	Omitted  bool       `json:"omitted,omitempty"`  // a value was too long to be recorded
	Commands [][][]byte `json:"commands,omitempty"` // a write that was not applied (theirs), or NoReply
	Unsure   bool       `json:"unsure,omitempty"`   // the difference may come from our own writes: applied whatever the policy
	HandOver bool       `json:"handOver,omitempty"` // the local value is that of a store that was embedded
	NoReply  bool       `json:"noReply,omitempty"`  // the write was executed and its reply lost: it may have failed on the changed key
}

// Needed reports whether the record is the only place of an acknowledged write.
func (c *ConflictRecord) Needed() bool { return c.Commands != nil && !c.NoReply }

// ReadConflicts calls fn for every recorded conflict of a data directory, oldest
// first. A torn line (a crash while filing) is left out. Lines that are damaged are told
// of in the end, as ErrDamagedLines: the others were given to fn.
func ReadConflicts(dir string, fn func(ConflictRecord) error) error {
	f, err := os.Open(datadir.Conflicts(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open conflicts: %w", err)
	}
	defer f.Close()
	damaged := 0
	err = datadir.EachLine(f, func(line []byte) error {
		var r ConflictRecord
		if json.Unmarshal(line, &r) != nil {
			damaged++
			return nil
		}
		return fn(r)
	})
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%s: %w: %d of them; what they said of conflicts cannot be shown", f.Name(), ErrDamagedLines, damaged)
	}
	return err
}

// ErrDamagedLines says that a file has lines that cannot be read.
var ErrDamagedLines = errors.New("lines are damaged")
