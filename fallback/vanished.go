package fallback

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/fallback/datadir"
)

// A Redis may come back without its data: replaced, wiped, or started with an
// empty disk. What it has counts, so the load that follows drops what was held
// here, and with it the only copy that is left. So where it may have happened the
// snapshot from before the load is put aside, and kept if most of the keys under
// the mirrored prefixes are gone.

// keptSnapshot begins the name of a snapshot that was kept; the time follows.
const keptSnapshot = "snapshot.before-"

// vanished is what a load has to look at. The mirror's lock guards suspected; the
// rest belongs to the goroutine that loads.
type vanished struct {
	suspected bool // since the last complete load Redis was another process, or without its fence
	had       int  // mirrored keys held before the load; 0: not looked yet
	aside     error
}

// suspect notes that Redis may have lost its data, if so is true.
func (m *mirror) suspect(so bool) {
	m.mu.Lock()
	m.vanished.suspected = m.vanished.suspected || so
	m.mu.Unlock()
}

// beforeLoad puts the snapshot aside if Redis may have lost what is held here. A
// load that is tried again finds it there: by then the state is mixed.
func (m *mirror) beforeLoad() {
	s, v := m.s, &m.vanished
	m.mu.Lock()
	suspected := v.suspected
	m.mu.Unlock()
	if !suspected || v.had > 0 {
		return
	}
	s.mu.Lock()
	s.eng.ForEachKey(func(db int, key string) bool {
		if db == s.cfg.BaseDB && s.cfg.mirrored(key) {
			v.had++
		}
		return true
	})
	s.mu.Unlock()
	if v.had > 0 {
		v.aside = s.putAside()
	}
}

// putAside saves the state, unless the snapshot has it already, and gives the
// file a second name. Nothing writes to a snapshot: the next one replaces it.
func (s *Store) putAside() error {
	if err := s.saveSnapshot(); err != nil {
		return err
	}
	from, to := datadir.Snapshot(s.cfg.Dir), datadir.SnapshotAside(s.cfg.Dir)
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put snapshot aside: %w", err)
	}
	if os.Link(from, to) == nil {
		return nil
	}
	return datadir.Copy(from, to) // a file system without links
}

// afterLoad is told how many of the mirrored keys that were held are gone. If
// those are most of them it says so, once, and keeps what was put aside; an
// older such copy goes.
func (m *mirror) afterLoad(gone int) {
	s, v := m.s, &m.vanished
	m.mu.Lock()
	v.suspected = false
	m.mu.Unlock()
	s.mu.Lock()
	s.changes.all() // what is absent changed as well
	s.mu.Unlock()
	had, err := v.had, v.aside
	v.had, v.aside = 0, nil
	if had == 0 {
		return
	}
	if 2*gone <= had {
		_ = os.Remove(datadir.SnapshotAside(s.cfg.Dir))
		return
	}
	path := ""
	if err == nil {
		path, err = s.keepAside()
	}
	args := []any{"vanished", gone, "of", had, "kept_snapshot", path}
	if err != nil {
		args = append(args, "error", err)
	}
	s.log.Warn("redis came back without most of the mirrored keys: what it has now counts, they are gone here, too; see README on the kept snapshot", args...)
}

// keepAside gives the snapshot that was put aside its name, and removes the one
// that was kept before.
func (s *Store) keepAside() (path string, err error) {
	old, err := filepath.Glob(filepath.Join(datadir.EscapeGlob(s.cfg.Dir), keptSnapshot+"*"))
	if err != nil {
		return "", fmt.Errorf("keep snapshot: %w", err)
	}
	path = filepath.Join(s.cfg.Dir, keptSnapshot+s.cfg.Now().UTC().Format("20060102T150405Z"))
	if err := os.Rename(datadir.SnapshotAside(s.cfg.Dir), path); err != nil {
		return "", fmt.Errorf("keep snapshot: %w", err)
	}
	for _, o := range old {
		if o != path {
			_ = os.Remove(o)
		}
	}
	return path, datadir.SyncDir(s.cfg.Dir)
}
