package fallback

import (
	"regexp"
	"strconv"
	"sync"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// A script that asks for time or chance, or takes long, has another result here than at
// Redis. Its keys would be unknown until they were fetched, and refused if Redis goes
// away right then. So the values of its keys are read behind it, in the same unit
// (NeedsValues): what it did is followed as RESTORE, which is exact. That costs a copy
// of the values, so only scripts that need it get it, and only while the values are small.
const (
	valueScripts  = 1 << 10 // that are remembered
	valueKeys     = 8       // of one call
	valueElements = 1_000   // of a collection
	valueLength   = 64 << 10
)

// unfollowable says of scripts and functions whether their effects cannot be computed
// here: by their text at first, then by what was seen.
type unfollowable struct {
	mu   sync.Mutex
	seen map[uint64]bool // hash of EVAL's body, EVALSHA's digest or FCALL's name
}

// asksOther finds calls whose answers differ from one server to the next.
var asksOther = regexp.MustCompile(`(?i)call\s*\(?\s*['"](time|spop|srandmember|zrandmember|hrandfield|randomkey)['"]|math\.random`)

func (u *unfollowable) note(argv [][]byte, yes bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil || len(u.seen) >= valueScripts {
		u.seen = map[uint64]bool{}
	}
	u.seen[hashCall(argv[1:2])] = yes
}

func (u *unfollowable) has(argv [][]byte) (yes, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	yes, known = u.seen[hashCall(argv[1:2])]
	return yes, known
}

// followable reports whether the local state can compute what a script does.
func (s *Store) followable(c *command.Command, argv [][]byte) bool {
	yes, known := s.unfollowable.has(argv)
	if known {
		return !yes
	}
	body, ok := string(argv[1]), true
	if c.Name == "evalsha" {
		if body, ok = s.Script(body); !ok {
			return true // it will be known when it was run
		}
	}
	yes = c.Name != "fcall" && asksOther.MatchString(body)
	s.unfollowable.note(argv, yes)
	return !yes
}

// NeedsValues are the keys whose values have to be read behind a script, because the
// local state cannot compute what it does to them; nil: none. Tell what was read by
// AckedValues.
func (s *Store) NeedsValues(db int, c *command.Command, argv [][]byte) [][]byte {
	if c.Flags&command.Script == 0 || len(argv) < 3 || s.followable(c, argv) {
		return nil
	}
	keys := c.WriteKeys(nil, argv)
	if len(keys) == 0 || len(keys) > valueKeys {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	followed := false
	for _, k := range keys {
		id := record.KeyID{DB: db, Key: string(k)}
		followed = followed || db == s.cfg.BaseDB && s.cfg.mirroredKey(k) || s.res.resident(id)
		if n := s.eng.Size(db, k); n > valueElements && (n > valueLength || s.eng.Type(db, k) != "string") {
			return nil
		}
	}
	if !followed {
		return nil
	}
	return keys
}

// AckedValues is Acked for an acknowledged script whose keys were read behind it.
// replies are those to DUMP and PEXPIRETIME of each key. False: they are not that, and
// nothing was noted.
func (s *Store) AckedValues(db int, keys, replies [][]byte) bool {
	commands := make([][][]byte, 0, len(keys))
	for i, key := range keys {
		value, _, err := resp.Parse(replies[2*i])
		at, _, err2 := resp.Parse(replies[2*i+1])
		switch {
		case err != nil || err2 != nil || value.IsError() || at.Kind != resp.KindInt:
			return false
		case value.Null:
			commands = append(commands, [][]byte{[]byte("DEL"), key})
		default:
			commands = append(commands, [][]byte{[]byte("RESTORE"), key, strconv.AppendInt(nil, max(at.Int, 0), 10), value.Str, []byte("REPLACE"), []byte("ABSTTL")})
		}
	}
	s.Acked(db, commands, nil, false)
	return true
}
