package clock

import "golang.org/x/sys/unix"

// The clocks that go on and that stand still while the machine is asleep. Go's
// monotonic clock is the second.
const clockAlways, clockAwake = unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC
