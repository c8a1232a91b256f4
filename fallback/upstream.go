package fallback

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holdfast/fallback/datadir"
)

// A data directory holds writes that were acknowledged for one Redis. Opened with another
// one, by a wrong address say, it must not write them there. What proves that a Redis is
// the one is the fence: ours is there, whatever it is called now and whoever was
// promoted. A Redis without it is taken for the same one that lost its data only if it
// has the same address, or is the same process.

// ErrOtherRedis says that writes are queued for another Redis than the one that is there.
var ErrOtherRedis = errors.New("the queued writes are for another redis")

// upstreamNote is the file that names the Redis of a data directory.
type upstreamNote struct {
	Address string `json:"address"` // without user and password
}

func upstreamPath(dir string) string { return filepath.Join(dir, "upstream.json") }

func readUpstream(dir string) (n upstreamNote, err error) {
	raw, err := os.ReadFile(upstreamPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("read the note of the redis: %w", err)
	}
	_ = json.Unmarshal(raw, &n) // damaged: as with a directory that never had one
	return n, nil
}

// noteUpstream notes that what is queued from now on is for the configured Redis.
func (s *Store) noteUpstream() error {
	if s.cfg.Upstream == "" || s.upstream.Address == s.cfg.Upstream {
		return nil
	}
	n := upstreamNote{Address: s.cfg.Upstream}
	err := datadir.Replace(upstreamPath(s.cfg.Dir), func(w io.Writer) error { return json.NewEncoder(w).Encode(n) })
	if err == nil {
		s.upstream = n
	}
	return err
}

// openUpstream reads which Redis the queued writes are for. Where none wait it is the
// configured one.
func (s *Store) openUpstream() (err error) {
	if s.upstream, err = readUpstream(s.cfg.Dir); err != nil || s.cfg.Embedded {
		return err
	}
	if s.upstream.Address != "" && s.cfg.Upstream != "" && s.upstream.Address != s.cfg.Upstream && s.jr.Count(s.settled.Load()) > 0 {
		s.log.Warn("the queued writes are for a redis at another address: they are replayed if this one has their fence", "queued_for", s.upstream.Address, "now", s.cfg.Upstream)
		return nil
	}
	return s.noteUpstream()
}

// checkUpstream refuses a Redis without our fence that is not known to be the one that
// the queued writes are for.
func (r *replayer) checkUpstream() error {
	s := r.s
	of, mark := s.upstream.Address, s.mark()
	queued := s.jr.Count(s.settled.Load())
	switch {
	case queued == 0, of == "", s.cfg.Upstream == "", of == s.cfg.Upstream, s.cfg.AdoptUpstream:
		return nil
	case r.server.RunID != "" && (r.server.RunID == mark.OnlineRun || r.server.RunID == mark.RunID):
		return nil
	}
	return fmt.Errorf("%w: %d writes in %s were acknowledged for %s, and %s has no fence of theirs: nothing was written to it; "+
		"give the address of that Redis, or another --data-dir; or --adopt-upstream, which writes them to this one",
		ErrOtherRedis, queued, s.cfg.Dir, of, s.cfg.Upstream)
}

// noteVerdict tells status of a Redis that was refused, and the caller of Refused.
func (s *Store) noteVerdict(err error) {
	if !errors.Is(err, ErrOtherRedis) {
		s.troubles.set("upstream", "")
		s.refusedBy.Store(nil)
		return
	}
	s.refusedBy.Store(&err)
	if s.troubles.set("upstream", err.Error()) {
		s.log.Error("redis is not used", "error", err)
	}
}

// Refused returns an error that matches ErrOtherRedis while the Redis that is there is
// not the one that the queued writes are for. The store stays Offline then.
func (s *Store) Refused() error {
	if err := s.refusedBy.Load(); err != nil {
		return *err
	}
	return nil
}
