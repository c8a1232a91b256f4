package engine

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// memoryLimit is CONFIG SET maxmemory with the policy noeviction: commands that need
// memory are refused while the process holds more. What it holds is what the garbage
// collector found alive the last time; that is looked for again when the heap, garbage
// included, is beyond the limit. Any goroutine may ask.
type memoryLimit struct {
	most    atomic.Int64 // bytes; 0: no limit
	over    atomic.Bool
	next    atomic.Int64 // when to look again, in Unix nanoseconds
	collect atomic.Bool  // a collection is under way
}

const (
	memoryLook    = 5 * time.Millisecond
	errOutOfSpace = "OOM command not allowed when used memory > 'maxmemory'."
)

// OutOfMemory reports whether what needs memory is refused now. Any goroutine may ask.
func (e *Engine) OutOfMemory() bool { return e.maxmemory.exceeded() }

func (m *memoryLimit) exceeded() bool {
	most := m.most.Load()
	if most == 0 {
		return false
	}
	now, next := time.Now().UnixNano(), m.next.Load()
	if now < next || !m.next.CompareAndSwap(next, now+int64(memoryLook)) {
		return m.over.Load()
	}
	heap, live := heapBytes()
	if heap > most && m.collect.CompareAndSwap(false, true) {
		go func() { // nobody waits for it; the next look finds what is left
			runtime.GC()
			m.collect.Store(false)
		}()
	}
	m.over.Store(min(heap, live) > most)
	return m.over.Load()
}

// set changes the limit. It takes effect at once, as in Redis.
func (m *memoryLimit) set(most int64) {
	m.most.Store(most)
	if most != 0 {
		runtime.GC()
	}
	m.next.Store(0)
}

// heapBytes are the bytes of the heap in use, and those of them that the last
// collection found alive.
func heapBytes() (heap, live int64) {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64()), int64(s[1].Value.Uint64())
}

func maxmemoryParam() *param {
	return &param{
		name: "maxmemory",
		get:  func(e *Engine) string { return itoa(e.maxmemory.most.Load()) },
		set: func(e *Engine, v string) string {
			n, ok := parseMemory(v)
			if !ok {
				return "argument must be a memory value"
			}
			e.maxmemory.set(n)
			return ""
		},
	}
}

// refusedForMemory refuses to run a script that has declared flags and not allow-oom, nor
// that it only reads.
func (c *call) refusedForMemory(flags scriptFlags) bool {
	if flags&flagDeclared == 0 || flags&(flagAllowOOM|flagNoWrites) != 0 || c.unlimited || !c.e.OutOfMemory() {
		return false
	}
	c.fail(errOutOfSpace)
	return true
}

// lacksMemory reports whether the script must not call what needs memory: there was none
// left when it began, and it has not written yet.
func (r *scriptRun) lacksMemory() bool { return r.noMemory && !r.e.running.Load().dirty.Load() }
