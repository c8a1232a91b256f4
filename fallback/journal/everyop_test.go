package journal_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

// Power is lost in every single operation of a workload that opens, appends,
// rotates, truncates and deletes, and once more in the recovery after it.
func TestPowerLostInEveryOperation(t *testing.T) {
	for _, mode := range []faultfs.CrashMode{faultfs.DropAll, faultfs.KeepPrefix, faultfs.KeepAll, faultfs.Holes} {
		for n, more := 1, true; more; n++ {
			r := newRig(t)
			rnd := rand.New(rand.NewPCG(uint64(n), uint64(mode)))
			r.powerLostAt(n, mode, rnd)
			more = !r.workload()
			r.fs.Kill()
			r.powerLostAt(1+rnd.IntN(20), mode, rnd)
			if j, err := journal.Open(r.cfg); err == nil {
				r.fs.Crash(mode, rnd)
				j.Close()
			} else {
				require.ErrorIs(t, err, faultfs.ErrCrashed, "%v operation %d", mode, n)
			}
			r.fs.OnOp(nil)
			r.fs.Kill()
			r.open()
			got := readAll(t, r.j)
			for seq, payload := range r.acked {
				if seq > r.j.Stats().TruncatedTo {
					require.Equal(t, payload, got[seq], "mode %v operation %d record %d", mode, n, seq)
				}
			}
			r.j.Close()
		}
	}
}

func (r *rig) powerLostAt(n int, mode faultfs.CrashMode, rnd *rand.Rand) {
	ops := 0
	r.fs.OnOp(func(faultfs.Kind, string) error {
		if ops++; ops == n {
			return &faultfs.CrashNow{Mode: mode, Rnd: rnd}
		}
		return nil
	})
}

// workload returns whether it came to its end.
func (r *rig) workload() bool {
	j, err := journal.Open(r.cfg)
	if err != nil {
		return false
	}
	defer j.Close()
	for i := range 40 {
		payload := r.payload()
		ticket, err := j.Append([]byte(payload))
		if err != nil || ticket.Wait() != nil {
			return false
		}
		r.last = ticket.Seq()
		r.acked[r.last] = payload
		if i == 25 && j.Truncate(22) != nil {
			return false
		}
	}
	return j.Close() == nil
}
