package deadletter_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A line that cannot be read is told of; the others are there, and one that a crash cut
// short is no damage.
func TestDamagedConflictsAreTold(t *testing.T) {
	dir := t.TempDir()
	read := func(content string) (seqs []uint64, err error) {
		require.NoError(t, os.WriteFile(datadir.Conflicts(dir), []byte(content), 0o600))
		err = deadletter.ReadConflicts(dir, func(r deadletter.ConflictRecord) error { seqs = append(seqs, r.Seq); return nil })
		return seqs, err
	}
	seqs, err := read("{\"seq\":1}\n{\"seq\":2}\n{\"seq\":")
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 2}, seqs)
	seqs, err = read("{\"seq\":1}\nXX\x00\n{\"seq\":3}\n")
	require.ErrorIs(t, err, deadletter.ErrDamagedLines)
	require.ErrorContains(t, err, "conflicts.jsonl")
	require.Equal(t, []uint64{1, 3}, seqs)
}
