package deadletter

import (
	"fmt"
)

// Conflict says what happens to a key's queued writes when somebody else changed
// the key at Redis during the outage.
type Conflict string

// The conflict policies. Each conflict is recorded with both values whatever
// the policy.
const (
	Ours     Conflict = "ours"        // the writes are applied on top
	Theirs   Conflict = "theirs"      // the value at Redis stays; the writes are filed with the conflict
	ToLetter Conflict = "dead-letter" // the value at Redis stays; the writes become dead letters
)

// ParseConflict checks a conflict policy's name.
func ParseConflict(name string) (Conflict, error) {
	switch c := Conflict(name); c {
	case Ours, Theirs, ToLetter:
		return c, nil
	}
	return "", fmt.Errorf("conflict policy %q: use ours, theirs or dead-letter", name)
}

const ConflictFileBytes = 16 << 20 // values are recorded up to here, later ones only counted
