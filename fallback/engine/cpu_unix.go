//go:build unix

package engine

import "syscall"

// cpuTimes is the processor time of the process so far, in s.
func cpuTimes() (system, user float64) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	return float64(u.Stime.Nano()) / 1e9, float64(u.Utime.Nano()) / 1e9
}
