package fallback

import (
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/fallback/datadir"
	"holdfast/fallback/journal"
	"holdfast/fallback/snapshot"
)

// SnapshotState is what VerifySnapshot and Repair say of a snapshot.
type SnapshotState string

// The states of a snapshot.
const (
	SnapshotNone    SnapshotState = "none"
	SnapshotWhole   SnapshotState = "whole"
	SnapshotDamaged SnapshotState = "damaged"
)

// VerifySnapshot reads all of a data directory's snapshot and changes nothing. Damage
// is an error that matches ErrSnapshotDamaged.
func VerifySnapshot(dir string) (SnapshotState, error) {
	f, err := os.Open(datadir.Snapshot(dir))
	if errors.Is(err, os.ErrNotExist) {
		return SnapshotNone, nil
	}
	if err != nil {
		return SnapshotDamaged, fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	if err := snapshot.Verify(f); err != nil {
		return SnapshotDamaged, fmt.Errorf("verify snapshot %s: %w", f.Name(), err)
	}
	return SnapshotWhole, nil
}

// Repair makes the data directory of a stopped proxy usable again: the journal, see
// journal.Repair, and a damaged snapshot, which is set aside under the name that is
// returned, "" when it was whole. What only that held is lost; a store that was embedded
// goes on with the writes in its journal.
func Repair(dir string) (r journal.Report, aside string, err error) {
	if r, err = journal.Repair(datadir.Journal(dir)); err != nil {
		return r, "", err
	}
	lock, err := journal.Lock(datadir.Journal(dir))
	if err != nil {
		return r, "", err
	}
	defer lock.Close()
	if _, err = VerifySnapshot(dir); !errors.Is(err, snapshot.ErrDamaged) {
		return r, "", err
	}
	if aside, err = datadir.MoveAside(datadir.Snapshot(dir), time.Now()); err != nil {
		return r, "", err
	}
	mark, err := datadir.ReadCheckpoint(dir)
	if err != nil || r.TruncatedTo == 0 || mark.OfRedis() && !mark.NothingSent() {
		return r, aside, err
	}
	// Without it the start is refused: it looks as if the snapshot had been forgotten
	// when the directory was copied. This one says that nothing older is left.
	f, err := datadir.CreateTemp(datadir.Snapshot(dir))
	if err != nil {
		return r, aside, fmt.Errorf("write snapshot: %w", err)
	}
	w := snapshot.NewWriter(f)
	w.Header(r.TruncatedTo, time.Now(), snapshot.FlagEmbedded)
	return r, aside, datadir.Commit(f, datadir.Snapshot(dir), w.Finish())
}
