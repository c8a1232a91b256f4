// Package apps_test runs real applications behind Holdfast: with Redis there, over
// an outage, and on the embedded store. ./scripts/apps installs what they need.
package apps_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"holdfast/scripts/internal/procs"
)

// rig is a proxy, and the Redis behind it unless it is an embedded store.
type rig struct {
	t     *testing.T
	redis *procs.Redis
	proxy *procs.Holdfast
}

// modes are the ways in which every application runs.
var modes = []string{"online", "embedded"}

// start starts the processes of one mode; the keys under mirror are held
// completely while Redis is there.
func start(t *testing.T, mode, mirror string) *rig {
	t.Helper()
	binary := os.Getenv("HOLDFAST_BINARY")
	if binary == "" {
		t.Fatal("HOLDFAST_BINARY is not set: run ./scripts/apps, which builds it")
	}
	r := &rig{t: t}
	upstream := ""
	if mode != "embedded" {
		redis, err := procs.NewRedis(t.TempDir())
		check(t, err)
		r.redis = redis
		t.Cleanup(redis.Kill)
		check(t, redis.Start())
		upstream = redis.Addr()
	}
	proxy, err := procs.NewHoldfast(binary, t.TempDir(), upstream, "--mirror", mirror)
	check(t, err)
	r.proxy = proxy
	t.Cleanup(proxy.Kill)
	check(t, proxy.Start())
	if upstream != "" {
		r.await("the mirror", func(st procs.Status) bool { return st.Online() && st.Mirror.Complete })
	}
	return r
}

// kill ends Redis with SIGKILL and waits until the proxy serves without it.
func (r *rig) kill() {
	r.t.Helper()
	r.redis.Kill()
	r.await("the outage", func(st procs.Status) bool { return st.Mode == "offline" })
}

// restart brings Redis back and waits until everything queued is there.
func (r *rig) restart() {
	r.t.Helper()
	check(r.t, r.redis.Start())
	r.await("the replay", func(st procs.Status) bool { return st.Online() })
}

// noDeadLetters fails the test if the replay could not apply something.
func (r *rig) noDeadLetters() {
	r.t.Helper()
	st, err := r.proxy.Status(context.Background())
	check(r.t, err)
	if st.Replay.DeadLetters != 0 {
		r.t.Fatalf("%d dead letters, want 0", st.Replay.DeadLetters)
	}
}

func (r *rig) await(what string, ok func(procs.Status) bool) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		st, err := r.proxy.Status(context.Background())
		return err == nil && ok(st)
	})
}

// eventually polls until ok is true, for a minute at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// script starts a program of ./node with the proxy's address. It talks in lines;
// its errors are the test's.
func script(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("node", append([]string{"node/" + name}, args...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("NODE_PATH=%s", os.Getenv("NODE_PATH")))
	cmd.Stderr = os.Stderr
	return cmd
}
