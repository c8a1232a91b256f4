package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// CLIENT LIST has the fields that Redis's has, and says of each client what it is at.
func TestClientListTellsWhatClientsDo(t *testing.T) {
	srv, p := online(t)
	names := func(line string) (out []string) {
		for _, f := range strings.Fields(line) {
			name, _, _ := strings.Cut(f, "=")
			out = append(out, name)
		}
		return out
	}
	direct, err := directClient(t, srv).Do(bg, "CLIENT", "INFO").Text()
	require.NoError(t, err)
	own, err := p.client().Do(bg, "CLIENT", "INFO").Text()
	require.NoError(t, err)
	assert.Subset(t, names(own), names(direct))
	for where, p := range map[string]*running{"online": p, "embedded": startProxy(t, "")} {
		multi := dialRaw(t, p.addr())
		id := strings.Trim(multi.do("CLIENT", "ID"), ":\r\n")
		multi.do("MULTI")
		multi.do("SET", "aiclient:a", "1")
		multi.do("SET", "aiclient:a", "2")
		assert.Regexp(t, `flags=x .*multi=2 `, clientLine(t, p, id), where)
		multi.do("EXEC")
		assert.Regexp(t, `flags=N .*multi=-1 qbuf=`, clientLine(t, p, id), where)
		multi.do("WATCH", "aiclient:a", "aiclient:b")
		if strings.Contains(direct, "watch=") { // since 7.4
			redistest.Eventually(t, patience, "watches", func() bool {
				return regexp.MustCompile(`watch=[1-9]`).MatchString(clientLine(t, p, id))
			})
		}
		multi.do("UNWATCH")

		tracker := dialRaw(t, p.addr())
		tracker.do("HELLO", "3")
		id = strings.Trim(tracker.do("CLIENT", "ID"), ":\r\n")
		tracker.do("CLIENT", "TRACKING", "ON", "BCAST")
		assert.Regexp(t, `flags=tB .*redir=0 resp=3`, clientLine(t, p, id), where)
		tracker.do("CLIENT", "TRACKING", "OFF")
		assert.Regexp(t, `flags=N .*redir=-1`, clientLine(t, p, id), where)

		blocked := dialRaw(t, p.addr())
		id = strings.Trim(blocked.do("CLIENT", "ID"), ":\r\n")
		blocked.send("BLPOP", "aiclient:none", "0")
		redistest.Eventually(t, patience, "blocked", func() bool { return strings.Contains(clientLine(t, p, id), "flags=b ") })
		p.client().RPush(bg, "aiclient:none", "x")
		blocked.next()
		redistest.Eventually(t, patience, "served", func() bool { return strings.Contains(clientLine(t, p, id), "flags=N ") })
		assert.Equal(t, "+OK\r\n", blocked.do("SCRIPT", "DEBUG", "NO"), where)
	}
}

func clientLine(t *testing.T, p *running, id string) string {
	out, err := p.client().Do(bg, "CLIENT", "LIST", "ID", id).Text()
	require.NoError(t, err)
	return out
}
