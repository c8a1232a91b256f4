package resp

import (
	"runtime/debug"
	"sync/atomic"
)

const (
	// Large is the size from which on a value is passed on, kept and written
	// without a copy wherever that can be.
	Large = 1 << 20
	// roomStep is how many bytes of large buffers are made between two collections.
	roomStep = 64 << 20
)

var madeSince atomic.Int64

// MakeRoom is called before a buffer of n bytes is made for one value. The
// collector lets garbage grow as large as what is in use: beside a value of 100 MB
// the dead buffers of the one before may stay. So for every 64 MiB of large
// buffers they are collected first; smaller ones cost nothing. A collection takes
// milliseconds where few small objects live, less than the transfer of so much.
func MakeRoom(n int64) {
	if n < Large {
		return
	}
	if before := madeSince.Load(); before+n < roomStep {
		madeSince.Add(n)
		return
	}
	madeSince.Store(0)
	// Not only collected: a buffer a little larger than a dead one does not fit in
	// its place, and the system would count both.
	debug.FreeOSMemory()
}
