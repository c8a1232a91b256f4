package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// What applications send, as recorded: each line of docs/recipes is held to here.
// The npm packages run themselves in scripts/recipes.

// Laravel's queue takes a job with the first and gives it back with the second.
const (
	laravelPush = `redis.call('rpush', KEYS[1], ARGV[1]) redis.call('rpush', KEYS[2], 1)`
	laravelPop  = `local job = redis.call('lpop', KEYS[1])
local reserved = false
if job ~= false then
  reserved = cjson.decode(job)
  reserved['attempts'] = reserved['attempts'] + 1
  reserved = cjson.encode(reserved)
  redis.call('zadd', KEYS[2], ARGV[1], reserved)
  redis.call('lpop', KEYS[3])
end
return {job, reserved}`
	// A sliding window of a limiter.
	window = `local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return n`
)

func TestRecipesOfRecordedCommands(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL(), func(s *proxySettings) {
		s.mirror = []string{"aiclient:", "spend:", "litellm:", "laravel:", "queue:", "queues", "schedule", "stat:", "processed"}
	})
	p.awaitMode(fallback.Online)
	c, d := p.client(), directClient(t, srv)
	do := func(args ...any) any {
		t.Helper()
		v, err := c.Do(ctx, args...).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatalf("%v: %v", args, err)
		}
		return v
	}
	limiter := c.ScriptLoad(ctx, window).Val()
	round := func() {
		do("INCRBYFLOAT", "spend:team:a", "0.25") // LiteLLM: spend counters, in pipelines
		do("EXPIRE", "spend:team:a", "3600")
		do("EVALSHA", limiter, 1, "litellm:rpm:key", 60) // and its limiters
		do("EVAL", laravelPush, 2, "laravel:queues:default", "laravel:queues:default:notify", `{"id":"j","attempts":0}`)
		do("MULTI") // Sidekiq: push
		do("SADD", "queues", "default")
		do("LPUSH", "queue:default", `{"jid":"j"}`)
		do("EXEC")
		do("ZADD", "schedule", "1900000000", "later")
		do("HINCRBY", "stat:sidekiq", "processed", 1)
	}
	conn := c.Conn()
	_ = conn.Close()
	single := redis.NewClient(&redis.Options{Addr: p.addr(), PoolSize: 1, MaxRetries: -1}) // MULTI needs one connection
	defer single.Close()
	c = single
	round()
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	for range 4 {
		round()
	}
	assert.Equal(t, "1.25", do("GET", "spend:team:a"))
	popped := do("EVAL", laravelPop, 3, "laravel:queues:default", "laravel:queues:default:reserved", "laravel:queues:default:notify", 1900000000).([]any)
	assert.Contains(t, popped[1], `"attempts":1`)
	assert.Nil(t, do("SET", "litellm:lock", "me", "NX", "EX", 30), "a lock is not given while nobody can see it")
	for _, blocking := range [][]any{{"BLPOP", "laravel:queues:default:notify", 1}, {"BRPOP", "queue:default", 1}} {
		err := c.Do(ctx, blocking...).Err()
		require.Error(t, err, "%v", blocking)
		assert.True(t, strings.HasPrefix(err.Error(), "UPSTREAMDOWN"), "%v: %v", blocking, err)
	}
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Equal(t, "1.25", d.Get(ctx, "spend:team:a").Val())
	assert.Equal(t, "5", d.Get(ctx, "litellm:rpm:key").Val())
	assert.Positive(t, d.TTL(ctx, "litellm:rpm:key").Val())
	assert.EqualValues(t, 4, d.LLen(ctx, "laravel:queues:default").Val())
	assert.EqualValues(t, 1, d.ZCard(ctx, "laravel:queues:default:reserved").Val())
	assert.EqualValues(t, 5, d.LLen(ctx, "queue:default").Val())
	assert.Equal(t, "5", d.HGet(ctx, "stat:sidekiq", "processed").Val())
	assert.Equal(t, []string{"queue:default", `{"jid":"j"}`}, c.BRPop(ctx, 0, "queue:default").Val())
	assert.Equal(t, "OK", do("SET", "litellm:lock", "me", "NX", "EX", 30))
}
