package fallback

import (
	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// An embedded store that gets a Redis brings its keys there. Where Redis has
// another value of a key, nobody said which is right, and the one at Redis is what
// others work with: it stays, unless the operator chose a policy. Either way both
// values are recorded.

// claim is what a queued write says of a key at Redis before it.
type claim struct {
	seq  uint64
	base record.Base
	own  [][][]byte // of a hand-over: the commands that recreate the key
}

// claimsOf are those of one record.
func claimsOf(rec *record.Record) (out []claim) {
	if rec.HandOver && len(rec.Commands) > 0 {
		return []claim{{rec.Seq, record.Base{Key: rec.Commands[0][1]}, rec.Commands[1:]}}
	}
	for _, b := range rec.Bases {
		out = append(out, claim{seq: rec.Seq, base: b})
	}
	return out
}

// taken reports whether Redis has another value of a key that is handed over.
func taken(own [][][]byte, there fetch.Value) bool {
	if there.Busy {
		return true // it has one that cannot be compared
	}
	theirs, _ := record.DigestOf(there.Commands)
	ours, _ := record.DigestOf(own)
	return theirs != record.Digest{} && theirs != ours
}

// policyFor is what happens to a record: Ours if none of its keys conflicts.
func (r *replayer) policyFor(rec *record.Record) deadletter.Conflict {
	switch {
	case len(rec.Commands) == 0:
		return deadletter.Ours
	case !rec.HandOver && (r.s.cfg.Conflict == deadletter.Ours || !r.touches(*rec, deadletter.Theirs, deadletter.ToLetter)):
		return deadletter.Ours
	case !rec.HandOver:
		return r.s.cfg.Conflict
	case r.s.replay.changed[record.KeyID{DB: rec.DB, Key: string(rec.Commands[0][1])}] == "":
		return deadletter.Ours
	}
	return r.s.cfg.handOver
}

// later is the policy for the other writes to a key that was found changed. What
// clients wrote since the store has a Redis is theirs to decide, as in any outage.
func (r *replayer) later(c deadletter.ConflictRecord) deadletter.Conflict {
	if c.HandOver {
		return r.s.cfg.Conflict
	}
	return c.Policy
}
