package main

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/backend/command"
)

// TestScriptsAreByteEqual sends the scripts of testdata/differential straight to
// a Redis and, on another one, through the proxy.
func TestScriptsAreByteEqual(t *testing.T) {
	p := startPair(t)
	rng := rand.New(rand.NewPCG(1, 2))
	replies := 0
	for _, file := range scriptFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		script := readScript(t, file)
		for _, proto := range []string{"2", "3"} {
			start := [][]string{{"HELLO", proto}}
			for _, warm := range []bool{false, true} {
				cmds := append(start, script...)
				label := name + "/resp" + proto
				if warm {
					cmds, label = doubled(cmds), label+"/warm"
				}
				for _, ch := range chunkings {
					if warm && ch.name == "bytes" {
						continue
					}
					t.Run(label+"/"+ch.name, func(t *testing.T) {
						q := *p
						q.t = t
						q.reset()
						replies += q.comparePipelined(cmds, ch, rng)
					})
				}
				if name == "pubsub" {
					continue // its commands have any number of replies
				}
				t.Run(label+"/stepwise", func(t *testing.T) {
					q := *p
					q.t = t
					q.reset()
					replies += q.compareStepwise(cmds)
				})
			}
		}
	}
	t.Logf("%d replies compared", replies)
}

// doubled repeats each cacheable read, so that the second one is a hit.
func doubled(cmds [][]string) (out [][]string) {
	for _, c := range cmds {
		out = append(out, c)
		if cmd := command.ByName(nameOf(c)); cmd != nil && cmd.Has(command.Cacheable) {
			out = append(out, c)
		}
	}
	return out
}
