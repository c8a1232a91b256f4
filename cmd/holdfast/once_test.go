package main

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// What Redis did is not done again because a write before it had to be: a message
// reaches its subscribers once.
func TestMessageBehindARefusedWriteIsSentOnce(t *testing.T) {
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Do(bg, "ACL", "SETUSER", "app", "on", ">secret", "~aiclient:*", "~{holdfast}:*", "&*", "+@all").Err())
	p := startProxy(t, "redis://app:secret@"+srv.Addr()+"/0")
	p.awaitMode(fallback.Online)
	sub := dialRaw(t, srv.Addr())
	sub.do("SUBSCRIBE", "news")
	var heard *redis.IntCmd
	_, _ = p.client().Pipelined(bg, func(pipe redis.Pipeliner) error {
		pipe.Incr(bg, "other") // refused, and with it the fence around both
		pipe.Incr(bg, "aiclient:k")
		heard = pipe.Publish(bg, "news", "first")
		return nil
	})
	assert.EqualValues(t, 1, heard.Val())
	assert.Equal(t, "1", d.Get(bg, "aiclient:k").Val())
	require.NoError(t, d.Publish(bg, "news", "second").Err())
	assert.Contains(t, string(sub.next()), "first")
	assert.Contains(t, string(sub.next()), "second")
}

// A message that Redis may have sent is not sent again, and the client hears so.
func TestMessageUnderWayIsInDoubt(t *testing.T) {
	srv := redistest.Start(t)
	d := directClient(t, srv)
	l := newPushLink(t, srv.Addr())
	p := startProxy(t, l.url())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	sub := dialRaw(t, srv.Addr())
	sub.do("SUBSCRIBE", "news")
	c := p.client()
	require.NoError(t, c.Publish(bg, "none", "x").Err())
	l.mute.Store(true)
	answer := make(chan error, 1)
	go func() { answer <- c.Publish(bg, "news", "first").Err() }()
	assert.Contains(t, string(sub.next()), "first")
	l.cut()
	l.mute.Store(false)
	assert.Contains(t, fmt.Sprint(<-answer), "may or may not")
	p.awaitMode(fallback.Online)
	require.NoError(t, d.Publish(bg, "news", "second").Err())
	assert.Contains(t, string(sub.next()), "second")
}
