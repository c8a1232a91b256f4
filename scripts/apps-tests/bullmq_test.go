package apps_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// bull is a BullMQ queue with its worker in a process of its own. It takes a
// command a line and answers each with a line.
type bull struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func startBull(t *testing.T, addr string) *bull {
	t.Helper()
	cmd := script(t, "bullmq.cjs", addr)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &bull{t: t, in: in, out: bufio.NewScanner(out)}
}

// say sends a command and returns the answer.
func (b *bull) say(command string) string {
	b.t.Helper()
	if _, err := fmt.Fprintln(b.in, command); err != nil {
		b.t.Fatal(err)
	}
	if !b.out.Scan() {
		b.t.Fatalf("%s: BullMQ's process ended", command)
	}
	answer := b.out.Text()
	if strings.HasPrefix(answer, "error") {
		b.t.Fatalf("%s: %s", command, answer)
	}
	return answer
}

func (b *bull) awaitDone(n int) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%d jobs", n), func() bool { return b.say("done") == fmt.Sprint(n) })
}

func TestBullMQ(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := start(t, mode, "bull:")
			b := startBull(t, r.proxy.Addr())
			b.say("add now 50 0")
			b.say("add later 10 300")
			b.awaitDone(60)
			b.say("repeat 100")
			eventually(t, "a repeated job", func() bool { return b.say("repeated") >= "3" })
			if got := b.say("twice"); got != "0" {
				t.Errorf("%s jobs ran twice, want 0", got)
			}
		})
	}
}

// Jobs that were acknowledged are run, those of the outage at last when Redis is back.
func TestBullMQOverAnOutage(t *testing.T) {
	r := start(t, "online", "bull:")
	b := startBull(t, r.proxy.Addr())
	b.say("add before 20 0")
	b.awaitDone(20)
	r.kill()
	b.say("add away 20 0")
	r.restart()
	b.say("add after 20 0")
	b.awaitDone(60)
	r.noDeadLetters()
}
