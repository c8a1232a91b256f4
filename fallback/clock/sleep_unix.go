//go:build linux || darwin

package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// SleepSinceNow gives the time that the machine was asleep since this call, or
// less: two clocks cannot be read at once, and the order of the readings is such
// that a pause between them only makes the result smaller.
func SleepSinceNow() func() time.Duration {
	before := -clockGap(clockAwake, clockAlways)
	return func() time.Duration { return clockGap(clockAlways, clockAwake) - before }
}

// clockGap is one clock, read first, minus the other. A system without these
// clocks counts no sleep.
func clockGap(first, second int32) time.Duration {
	var a, b unix.Timespec
	if unix.ClockGettime(first, &a) != nil || unix.ClockGettime(second, &b) != nil {
		return 0
	}
	return time.Duration(a.Nano() - b.Nano())
}
