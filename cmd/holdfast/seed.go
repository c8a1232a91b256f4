package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback"
	"holdfast/gateway/transfer"
)

// A configuration directory and a Redis may both be there, and come and go in any
// order; docs/first-start.md has the table. The rule behind it: what is at Redis
// counts, and an empty Redis is given a configuration, as one atomic unit, before
// anything that was queued goes there. Given is, in this order,
//
//	what was started from files and never met a Redis (servedPath)
//	what was served when Redis went away and came back without it
//	the files
//
// Whatever does not get there is kept beside the data, with a warning.

// servedPath is the configuration that was loaded from files while Redis was away,
// as commands. It is there from before it is served until Redis has answered for
// it: queued writes are on top of it.
func servedPath(dataDir string) string { return filepath.Join(dataDir, "configuration.served") }

// seeder gives an empty Redis its configuration.
type seeder struct {
	dir     string // of the files; "" for none
	dataDir string // "" for none
	prefix  string
	db      int
	store   *fallback.Store // nil: none of our own, there are only the files
	log     *slog.Logger

	away bool // Redis was away since this process started
	told bool // that the files are not used
}

// seedTries bounds how often it looks again after others wrote meanwhile.
const seedTries = 3

// connected looks at a Redis before it is used. An error means that Redis must not
// be used yet: what is served would be gone. late says that it was away before.
func (s *seeder) connected(ctx context.Context, client redis.UniversalClient, late bool) error {
	s.away = s.away || late
	var pending [][][]byte
	if s.dataDir != "" {
		var err error
		if pending, err = readCommands(servedPath(s.dataDir)); err != nil {
			return err
		}
	}
	if s.dir == "" && len(pending) == 0 {
		return nil
	}
	for range seedTries {
		there, err := redisConfiguration(ctx, client, s.prefix)
		if err == nil && !there.none() {
			return s.yield(ctx, client, there, pending)
		}
		if err == nil {
			err = s.give(ctx, client, pending)
		}
		switch {
		case errors.Is(err, errTaken) || errors.Is(err, redis.TxFailedErr):
			continue
		case redis.HasErrorPrefix(err, "NOPERM"):
			s.log.Warn("redis is empty, and its user may not put the configuration there", "error", err)
			return nil
		case err != nil:
			return fmt.Errorf("give the empty redis its configuration: %w", err)
		}
		return s.settled()
	}
	return errors.New("give the empty redis its configuration: others write to it all the time")
}

// give puts the configuration into an empty Redis.
func (s *seeder) give(ctx context.Context, client redis.UniversalClient, pending [][][]byte) error {
	local, err := s.local()
	if err != nil {
		return err
	}
	commands, from := pending, "what was served from files while redis was away"
	if len(pending) == 0 {
		queued := s.store != nil && s.store.Status().QueuedWrites > 0
		switch {
		case len(local) > 0 && s.store.HandingOver():
			return nil // the replay creates them
		case len(local) > 0 && s.away && !queued:
			commands, from = local, "what was served before"
		default:
			commands, _, err = migrateAside(ctx, s.prefix, s.dir)
			if err != nil && !errors.Is(err, transfer.ErrNothing) {
				return fmt.Errorf("read %s: %w", s.dir, err)
			}
			from = s.dir
		}
	}
	if len(commands) == 0 {
		return nil
	}
	if err := createAll(ctx, client, commands); err != nil {
		return err
	}
	given := countCommands(s.prefix, commands)
	s.log.Info("redis was empty: it has the configuration now", append([]any{"from", from}, given.args("")...)...)
	if served := countCommands(s.prefix, local); from == s.dir && !served.none() && served.counts() != given.counts() {
		return s.keep(local, "redis lost its configuration, and writes are queued on top of it: it was given the files; what was served before is kept", served, given)
	}
	return nil
}

// yield makes way for the configuration that Redis has.
func (s *seeder) yield(ctx context.Context, client redis.UniversalClient, there configuration, pending [][][]byte) error {
	if len(pending) == 0 {
		return nil
	}
	differs, err := differ(ctx, client, s.prefix, pending)
	if err != nil {
		return err
	}
	served := countCommands(s.prefix, pending)
	switch {
	case !differs:
		s.log.Info("redis has the configuration of the files", there.args("")...)
	case s.away:
		local, err := s.local()
		if err != nil {
			return err
		}
		if err := s.keep(local, "redis came with a configuration of its own, which counts: what was served from files is kept", served, there); err != nil {
			return err
		}
	case !s.told:
		s.told = true
		s.log.Info("redis has a configuration of its own: the files are not used; 'holdfast migrate' imports them",
			append(append([]any{"dir", s.dir}, there.args("redis_")...), served.args("files_")...)...)
	}
	return s.settled()
}

// settled forgets what waited for a Redis.
func (s *seeder) settled() error {
	if s.dataDir == "" {
		return nil
	}
	if err := os.Remove(servedPath(s.dataDir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what was served from files: %w", err)
	}
	return nil
}

// keep stores the loser of two configurations.
func (s *seeder) keep(commands [][][]byte, text string, lost, won configuration) error {
	name := filepath.Join(s.dataDir, "configuration.before-"+time.Now().UTC().Format("20060102T150405.000Z")+".resp")
	if err := writeCommands(name, commands); err != nil {
		return fmt.Errorf("keep what was served: %w", err)
	}
	args := append([]any{"kept", name, "remedy", "see docs/first-start.md"}, won.args("redis_")...)
	s.log.Warn(text, append(args, lost.args("kept_")...)...)
	return nil
}

// local are the commands that recreate the configuration that is held here.
func (s *seeder) local() (commands [][][]byte, err error) {
	if s.store == nil {
		return nil, nil
	}
	found := false
	err = s.store.Dump(func(db int, argv [][]byte) error {
		if db == s.db && len(argv) > 1 && isConfiguration(s.prefix, keyOf(argv)) {
			commands = append(commands, cloneArgs(argv))
			found = found || isCore(s.prefix, keyOf(argv))
		}
		return nil
	})
	if !found {
		return nil, err
	}
	return commands, err
}
