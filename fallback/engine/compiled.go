package engine

import (
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"holdfast/fallback/engine/lua"
)

// compiled is a script that compiled, with what its first line declares.
type compiled struct {
	fn    *lua.Function // without globals
	flags scriptFlags
	size  int
}

// Bounds of the compiled scripts that are kept, by the size of their bodies: they
// take some fifty times as much.
const (
	maxCompiled      = 500
	maxCompiledBytes = 2 << 20
)

// compiler keeps compiled scripts by their SHA-1. It has a lock of its own, so that
// a large script is compiled while nobody waits; see Engine.Prepare.
type compiler struct {
	mu    sync.Mutex
	cache *simplelru.LRU[string, *compiled]
	bytes int
}

func newCompiler() *compiler {
	c := &compiler{}
	// The only error is a size below 1. The callback sees every way out of the LRU.
	c.cache, _ = simplelru.NewLRU(maxCompiled, func(_ string, s *compiled) { c.bytes -= s.size })
	return c
}

// script compiles a script, or finds it compiled. The error is Redis's.
func (c *compiler) script(sha, body string) (s *compiled, failed string) {
	c.mu.Lock()
	s, ok := c.cache.Get(sha)
	c.mu.Unlock()
	if ok {
		return s, ""
	}
	flags, skip, failed := scriptHeader(body)
	if failed != "" {
		return nil, "ERR " + failed
	}
	fn, err := lua.Compile(body[skip:], "@user_script", nil)
	if err != nil {
		return nil, "ERR Error compiling script (new function): " + err.Error()
	}
	s = &compiled{fn: fn, flags: flags, size: len(body)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cache.Contains(sha) {
		c.bytes += s.size
		c.cache.Add(sha, s)
		for c.bytes > maxCompiledBytes && c.cache.Len() > 1 {
			c.cache.RemoveOldest()
		}
	}
	return s, ""
}

// prepareFrom is the size from which on a script is worth being compiled before
// the engine's lock is taken.
const prepareFrom = 16 << 10

// Prepare compiles the large scripts among commands. Unlike other methods it may be
// called without the lock, by any goroutine: compiling takes a second per some 10 MiB.
func (e *Engine) Prepare(commands [][][]byte) {
	for _, argv := range commands {
		if len(argv) < 3 {
			continue
		}
		body := argv[1]
		switch name := strings.ToUpper(string(argv[0][:min(len(argv[0]), 8)])); {
		case name == "SCRIPT" && strings.EqualFold(string(argv[1]), "load"):
			body = argv[2]
		case name != "EVAL" && name != "EVAL_RO":
			continue
		}
		if len(body) >= prepareFrom {
			e.compiler.script(sha1Hex(string(body)), string(body))
		}
	}
}

// scriptFlags are what a script or a function declares of itself.
type scriptFlags uint8

const (
	flagNoWrites scriptFlags = 1 << iota
	flagAllowOOM
	flagAllowStale
	flagNoCluster
	flagAllowCrossSlot
	flagDeclared // it has a first line, or is a function: without it the old rules hold
)

var flagNames = []struct {
	name string
	flag scriptFlags
}{
	{"no-writes", flagNoWrites}, {"allow-oom", flagAllowOOM}, {"allow-stale", flagAllowStale},
	{"no-cluster", flagNoCluster}, {"allow-cross-slot-keys", flagAllowCrossSlot},
}

// scriptHeader reads the first line of a script, if it is a "#!". skip is its length;
// the line feed stays, so that lines keep their numbers.
func scriptHeader(body string) (flags scriptFlags, skip int, failed string) {
	if !strings.HasPrefix(body, "#!") {
		return 0, 0, ""
	}
	head, _, found := strings.Cut(body, "\n")
	if !found {
		return 0, 0, "Invalid script shebang"
	}
	parts, ok := splitArgs(head)
	if !ok || len(parts) == 0 {
		return 0, 0, "Invalid engine in script shebang"
	}
	if parts[0] != "#!lua" {
		return 0, 0, "Unexpected engine in script shebang: " + parts[0]
	}
	flags = flagDeclared
	for _, p := range parts[1:] {
		names, ok := strings.CutPrefix(p, "flags=")
		if !ok {
			return 0, 0, "Unknown lua shebang option: " + p
		}
		if names == "" {
			continue
		}
		for _, name := range strings.Split(names, ",") {
			f := flagNamed(name)
			if f == 0 {
				return 0, 0, "Unexpected flag in script shebang: " + name
			}
			flags |= f
		}
	}
	return flags, len(head), ""
}

func flagNamed(name string) scriptFlags {
	for _, f := range flagNames {
		if f.name == name {
			return f.flag
		}
	}
	return 0
}
