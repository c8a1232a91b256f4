package engine

import (
	"sort"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds of the scripts that are kept only because EVAL ran them: clients that
// paste values into bodies make endless new ones. Redis 7.4 keeps 500.
const (
	maxSeenScripts     = 500
	maxSeenScriptBytes = 8 << 20
)

// scriptCache holds script bodies by their SHA-1: those of SCRIPT LOAD until they
// are flushed, those of EVAL while they are among the last used.
type scriptCache struct {
	loaded map[string]string
	seen   *simplelru.LRU[string, string]
	bytes  int // of the bodies in seen
}

func newScriptCache() *scriptCache {
	c := &scriptCache{loaded: map[string]string{}}
	// The only error is a size below 1. The callback sees every way out of the LRU.
	c.seen, _ = simplelru.NewLRU(maxSeenScripts, func(_, body string) { c.bytes -= len(body) })
	return c
}

func (c *scriptCache) get(sha string) (body string, ok bool) {
	if body, ok = c.loaded[sha]; ok {
		return body, true
	}
	return c.seen.Get(sha)
}

// count is how many scripts are known.
func (c *scriptCache) count() int { return len(c.loaded) + c.seen.Len() }

// load keeps a script for good.
func (c *scriptCache) load(sha, body string) {
	c.seen.Remove(sha)
	c.loaded[sha] = body
}

// keep remembers a script that EVAL ran.
func (c *scriptCache) keep(sha, body string) {
	if _, ok := c.get(sha); ok || len(body) > maxSeenScriptBytes {
		return
	}
	c.bytes += len(body)
	c.seen.Add(sha, body)
	for c.bytes > maxSeenScriptBytes {
		c.seen.RemoveOldest()
	}
}

// bodies are those to be loaded with SCRIPT LOAD, in a fixed order.
func (c *scriptCache) bodies() []string {
	var out []string
	for _, body := range c.loaded {
		out = append(out, body)
	}
	sort.Strings(out)
	return out
}
