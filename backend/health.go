package backend

import "time"

// State is how the upstream is seen.
type State string

// The states. Calls are taken in Up and Suspect only.
const (
	StateDown    State = "down"    // waiting for the next attempt
	StateProbing State = "probing" // connecting
	StateSyncing State = "syncing" // connected; Events.Connected replays and loads
	StateUp      State = "up"
	StateSuspect State = "suspect" // up, but a doubt is being checked
	StateClosed  State = "closed"
)

type event int

const (
	evTry       event = iota // the back-off is over
	evConnected              // the control connection is set up
	evSynced                 // Events.Connected returned nil
	evDoubt                  // a refusing reply, or an idle connection was closed
	evCleared                // the doubt was checked and is gone
	evLost                   // the link is lost, or could not be made
	evClosed                 // for good
)

// next is the state after e. An event that has no place in s leaves it as it
// is: events of several goroutines may cross.
func (s State) next(e event) State {
	switch {
	case s == StateClosed || e == evClosed:
		return StateClosed
	case e == evLost:
		return StateDown
	case s == StateDown && e == evTry:
		return StateProbing
	case s == StateProbing && e == evConnected:
		return StateSyncing
	case s == StateSyncing && e == evSynced:
		return StateUp
	case s == StateUp && e == evDoubt:
		return StateSuspect
	case s == StateSuspect && e == evCleared:
		return StateUp
	}
	return s
}

const (
	backoffFirst = 50 * time.Millisecond
	// backoffMax is below a second, so that a server which is back, is back for clients.
	backoffMax = 800 * time.Millisecond
	// steadyAfter is how long an upstream must have been up for the next outage
	// to start with a short back-off again; a flapping one is spared.
	steadyAfter = 2 * time.Second
)

// backoff gives the waits between attempts: doubling, with half of it random,
// so that many sidecars do not meet at a server that has just come back.
type backoff struct {
	tries int
	rand  func() float64
}

func (b *backoff) reset() { b.tries = 0 }

func (b *backoff) next() time.Duration {
	d := backoffMax
	if b.tries < 6 {
		d = min(backoffMax, backoffFirst<<b.tries)
	}
	b.tries++
	return d/2 + time.Duration(b.rand()*float64(d/2))
}
