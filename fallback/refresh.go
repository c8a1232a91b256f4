package fallback

import (
	"context"
	"fmt"

	"holdfast/fallback/record"
)

// Bounds of what is fetched while clients wait at the cut-over.
const (
	refreshMax     = 4096    // keys
	refreshLargest = 1 << 20 // bytes of one string
	refreshTries   = 3       // cut-overs in a row that are given up for it
)

// refresh fetches, at the cut-over, what the local state is known not to have as
// Redis has it: keys that were found changed, and keys with a write of ours of
// which nobody knew the outcome; after a restart that may be any. From here on
// the mirror executes what Redis acknowledges, and must not build on an old
// value: clients would get answers in the next outage that were made up.
//
// It is best effort, within the time of the cut-over: the load that follows
// fetches everything anyway. What is known to differ, and after a restart all else,
// is given up where there was no time to look at it: it is unknown then, not old. Redis has every write of ours by now and the
// store's lock is held, so that what is fetched is the newest.
//
// An error means that the link failed, or was too slow, and nothing was given up: on a
// link that flaps these keys would be refused in the outage that begins just now. The
// cut-over is to be tried again, but not for ever.
func (r *replayer) refresh(ctx context.Context) error {
	s := r.s
	all := s.mark().Unsure
	batches, old := r.toRefresh(all)
	seen := map[string]struct{}{} // mirrored keys that were looked at
	looked, err := r.look(ctx, batches, old, seen)
	if err == nil && len(old) > 0 {
		err = ctx.Err()
	}
	if err != nil && !(all && looked > 0) { // behind a restart it may be any key: those that there was time for
		if s.replay.unrefreshed++; s.replay.unrefreshed <= refreshTries {
			return fmt.Errorf("look at keys of unknown value: %w", err)
		}
	}
	s.replay.unrefreshed = 0
	if all {
		s.res.onlyKnown(s.cfg.BaseDB, seen)
	}
	for id := range old {
		s.mirror.unlearn(id.DB, [][]byte{[]byte(id.Key)})
	}
	return nil
}

// look fetches keys in batches, and takes out of old those that it has looked at. It
// returns how many keys it fetched.
func (r *replayer) look(ctx context.Context, batches map[int][]string, old map[record.KeyID]struct{}, seen map[string]struct{}) (looked int, err error) {
	s := r.s
	for db, keys := range batches {
		for len(keys) > 0 && ctx.Err() == nil {
			part := keys[:min(len(keys), fetchBatch)]
			keys = keys[len(part):]
			values, err := r.src.Fetch(ctx, db, part, func(string) int64 { return refreshLargest }, s.serverNow)
			if err != nil {
				s.log.Debug("refresh at the cut-over ended early", "error", err)
				return looked, err
			}
			looked += len(part)
			for i, key := range part {
				if values[i].Busy || values[i].Large {
					continue
				}
				s.mirror.store(record.KeyID{DB: db, Key: key}, values[i])
				delete(old, record.KeyID{DB: db, Key: key})
				if db == s.cfg.BaseDB && s.cfg.mirrored(key) {
					seen[key] = struct{}{}
				}
			}
		}
	}
	return looked, nil
}

// toRefresh is what refresh looks at, by database, and what of it is given up
// unless it was looked at. all: any key may differ.
func (r *replayer) toRefresh(all bool) (batches map[int][]string, old map[record.KeyID]struct{}) {
	s := r.s
	batches, old = map[int][]string{}, map[record.KeyID]struct{}{}
	for id := range s.inDoubt {
		old[id] = struct{}{}
	}
	for id := range s.replay.changed {
		old[id] = struct{}{}
	}
	n := len(old)
	for id := range old {
		batches[id.DB] = append(batches[id.DB], id.Key)
	}
	if !all && s.unsure.n == 0 {
		return batches, old
	}
	s.eng.ForEachKey(func(db int, key string) bool {
		id := record.KeyID{DB: db, Key: key}
		if _, twice := old[id]; twice {
			return true
		}
		unsure := s.unsure.holds(id)
		if unsure || all && (db != s.cfg.BaseDB || !s.cfg.mirrored(key)) {
			old[id] = struct{}{}
		}
		if n <= refreshMax && (all || unsure) {
			batches[db] = append(batches[db], key)
			n++
		}
		return true
	})
	return batches, old
}
