package apps_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// quiet drops asynq's log: it tells of each refused poll.
type quiet struct{}

func (quiet) Debug(...any) {}
func (quiet) Info(...any)  {}
func (quiet) Warn(...any)  {}
func (quiet) Error(...any) {}
func (quiet) Fatal(args ...any) {
	panic(fmt.Sprint(args...))
}

// asynqRun is a worker and what it has seen.
type asynqRun struct {
	client *asynq.Client
	server *asynq.Server
	mu     sync.Mutex
	seen   map[string]int
}

func startAsynq(t *testing.T, addr string) *asynqRun {
	t.Helper()
	opt := asynq.RedisClientOpt{Addr: addr}
	run := &asynqRun{client: asynq.NewClient(opt), seen: map[string]int{}}
	run.server = asynq.NewServer(opt, asynq.Config{
		Concurrency: 4, Logger: quiet{}, TaskCheckInterval: 50 * time.Millisecond,
		DelayedTaskCheckInterval: 100 * time.Millisecond,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("count", func(_ context.Context, task *asynq.Task) error {
		run.mu.Lock()
		defer run.mu.Unlock()
		run.seen[string(task.Payload())]++
		return nil
	})
	check(t, run.server.Start(mux))
	t.Cleanup(func() {
		run.server.Shutdown()
		_ = run.client.Close()
	})
	return run
}

// enqueue adds n tasks and gives the names of those that were acknowledged.
func (r *asynqRun) enqueue(t *testing.T, prefix string, n int, opts ...asynq.Option) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%d", prefix, i)
		_, err := r.client.Enqueue(asynq.NewTask("count", []byte(name)), opts...)
		check(t, err)
		names = append(names, name)
	}
	return names
}

func (r *asynqRun) awaitAll(t *testing.T, names []string) {
	t.Helper()
	eventually(t, "all tasks", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, name := range names {
			if r.seen[name] == 0 {
				return false
			}
		}
		return true
	})
}

func TestAsynq(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := start(t, mode, "asynq:")
			run := startAsynq(t, r.proxy.Addr())
			names := run.enqueue(t, "now", 100)
			names = append(names, run.enqueue(t, "later", 20, asynq.ProcessIn(300*time.Millisecond))...)
			run.awaitAll(t, names)
			for _, name := range names {
				if run.seen[name] != 1 {
					t.Errorf("task %s ran %d times, want 1", name, run.seen[name])
				}
			}
			inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: r.proxy.Addr()})
			defer inspector.Close()
			info, err := inspector.GetQueueInfo("default")
			check(t, err)
			if info.Processed != len(names) || info.Failed != 0 {
				t.Errorf("inspector: %d processed and %d failed, want %d and 0", info.Processed, info.Failed, len(names))
			}
		})
	}
}

// Every task that was acknowledged is run, those of the outage included.
func TestAsynqOverAnOutage(t *testing.T) {
	r := start(t, "online", "asynq:")
	run := startAsynq(t, r.proxy.Addr())
	names := run.enqueue(t, "before", 50)
	run.awaitAll(t, names)
	r.kill()
	names = append(names, run.enqueue(t, "away", 50)...)
	run.awaitAll(t, names)
	names = append(names, run.enqueue(t, "scheduled", 20, asynq.ProcessIn(time.Second))...)
	r.restart()
	names = append(names, run.enqueue(t, "after", 50)...)
	run.awaitAll(t, names)
	r.noDeadLetters()
}
