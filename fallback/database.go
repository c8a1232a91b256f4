package fallback

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// needsDatabase files a record for a database that Redis does not have: one with
// fewer of them took over. A SELECT that fails inside EXEC does not stop EXEC: the
// commands behind it would change the database before it.
func (r *replayer) needsDatabase(ctx context.Context, rec *record.Record) error {
	if len(rec.Commands) == 0 || rec.DB == r.s.cfg.BaseDB {
		return nil
	}
	there, asked := r.dbs[rec.DB]
	if !asked {
		var err error
		if there, err = r.hasDatabase(ctx, rec.DB); err != nil {
			return err
		}
		if r.dbs == nil {
			r.dbs = map[int]bool{}
		}
		r.dbs[rec.DB] = there
	}
	if there {
		return nil
	}
	r.s.dead.Add(*rec, fmt.Sprintf("redis has no database %d", rec.DB), r.s.cfg.Now()) // flush writes it
	r.s.log.Error("journaled write is for a database that redis does not have: kept as a dead letter", "seq", rec.Seq, "db", rec.DB)
	r.count(0, 1)
	rec.Commands, rec.Bases = nil, nil
	return nil
}

// hasDatabase asks Redis. Of refusals only those count that do not pass.
func (r *replayer) hasDatabase(ctx context.Context, db int) (bool, error) {
	var sel *redis.Cmd
	_, err := r.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		sel = p.Do(ctx, "SELECT", db)
		p.Do(ctx, "SELECT", r.s.cfg.BaseDB)
		return nil
	})
	if no := sel.Err(); fetch.IsReply(no) && strings.HasPrefix(no.Error(), "ERR ") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for database %d: %w", db, err)
	}
	return true, nil
}
