package backend

import (
	"strconv"
	"time"

	"holdfast/backend/resp"
)

// timeSamples is how often the server is asked for its time at a connect, one
// round trip each.
const timeSamples = 5

// ServerTime is a look at the server's clock.
type ServerTime struct {
	Time time.Time     // what it showed; zero: it does not tell
	At   time.Time     // when, by the local clock
	Off  time.Duration // by how much that can be wrong
}

// Now is the server's clock at a local time. Between times that were read in this
// process, the local clock being set does not count.
func (s ServerTime) Now(local time.Time) time.Time { return s.Time.Add(local.Sub(s.At)) }

// proves reports whether a later look shows that the clock is not where an earlier
// one and the time elapsed since have it: one of the two was set, or drifts, or
// this machine was asleep.
func (s ServerTime) proves(earlier ServerTime) bool {
	return s.Time.Sub(earlier.Now(s.At)).Abs() > s.Off+earlier.Off
}

// lookAtTime asks the server for its time. The answer belongs to the middle of its
// round trip, and can be wrong by half of it.
func lookAtTime(clock Clock, ask func() (resp.Value, error)) (ServerTime, error) {
	start := clock.Now()
	v, err := ask()
	if err != nil {
		return ServerTime{}, err
	}
	half := clock.Now().Sub(start) / 2
	return ServerTime{Time: timeOf(v), At: start.Add(half), Off: half}, nil
}

// bestTime is the answer of several that was back soonest, however slow the others.
func bestTime(clock Clock, ask func() (resp.Value, error)) (best ServerTime, err error) {
	for i := range timeSamples {
		s, err := lookAtTime(clock, ask)
		if err != nil {
			return ServerTime{}, err
		}
		if i == 0 || s.Off < best.Off {
			best = s
		}
	}
	return best, nil
}

// timeOf reads the reply of TIME; zero for any other, such as a refusal.
func timeOf(v resp.Value) time.Time {
	if len(v.Elems) != 2 {
		return time.Time{}
	}
	sec, err1 := strconv.ParseInt(v.Elems[0].Text(), 10, 64)
	usec, err2 := strconv.ParseInt(v.Elems[1].Text(), 10, 64)
	if err1 != nil || err2 != nil {
		return time.Time{}
	}
	return time.Unix(sec, usec*1000)
}

// checkTime looks at the server's clock again, and tells of one that is not where
// it should be.
func (k *control) checkTime() error {
	clock := k.g.u.cfg.Clock
	now, err := lookAtTime(clock, func() (resp.Value, error) { return k.ask(ownTime) })
	if err != nil || now.Time.IsZero() {
		return err
	}
	if last := k.info.Time; last.Time.IsZero() || now.proves(last) {
		k.info.Time = now
		k.g.ev.Time(now.Now(clock.Now()))
	}
	return nil
}
