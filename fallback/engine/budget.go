package engine

import "time"

// Everybody waits for the command that runs. So each has a budget: of time, of bytes
// that it answers, and of bytes of new state; what needs more gets an error, and has
// changed nothing. Commands compute first and change the state at their end, so that
// they may be given up at any step before that. Effects and loads have no budget: they
// were carried out once.

const (
	// commandTime is what a command may take, within the time-out that clients are
	// promised an answer in.
	commandTime = 900 * time.Millisecond
	// maxReply bounds what one command answers.
	maxReply = 512 << 20
	// stepsPerLook is how many steps lie between two looks at the clock.
	stepsPerLook = 1 << 13
)

// overBudget is panicked with by a command that is given up, and made its error reply.
type overBudget string

const (
	errTooLong  overBudget = "ERR command takes longer than the local store lets others wait, and was given up; ask for less at once"
	errTooLarge overBudget = "ERR reply is longer than the local store allows (512 MiB); ask for less at once"
)

// spend counts steps of the running command and gives it up when its time is over.
func (c *call) spend(n int) {
	if c.steps += n; c.steps >= stepsPerLook {
		c.look()
	}
}

func (c *call) look() {
	c.steps = 0
	now := time.Now()
	if c.until.IsZero() {
		c.until = now.Add(c.e.commandTime)
	}
	if now.After(c.until) && !c.unlimited {
		panic(errTooLong)
	}
}

// maxString is the length of the longest string, as in Redis's default configuration.
const maxString = 512 << 20
