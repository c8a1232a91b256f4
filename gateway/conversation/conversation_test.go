package conversation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, change func(*Config)) (*Shelf, *redis.Client, *redistest.Server, *bytes.Buffer) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	log := &bytes.Buffer{}
	cfg := Config{Client: client, Prefix: "p:kept:", Lifetime: time.Hour, Timeout: time.Second, MaxValue: 1000, MaxTotal: 2000, Logger: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&cfg)
	}
	return New(cfg), client, server, log
}

func TestShelfIsBounded(t *testing.T) {
	s, client, _, _ := open(t, nil)
	ctx := t.Context()
	require.ErrorIs(t, s.Put(ctx, "large", make([]byte, 1001)), ErrTooLarge)
	for i := range 10 {
		require.NoError(t, s.Put(ctx, fmt.Sprint(i), make([]byte, 600)))
	}
	keys, err := client.Keys(ctx, "*").Result()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"p:kept:7", "p:kept:8", "p:kept:9"}, keys, "the oldest make room")
	ttl, err := client.TTL(ctx, "p:kept:9").Result()
	require.NoError(t, err)
	require.InDelta(t, time.Hour, ttl, float64(time.Minute))
	require.NoError(t, client.Expire(ctx, "p:kept:9", time.Minute).Err())
	require.NoError(t, s.Touch(ctx, "9"))
	require.Greater(t, client.TTL(ctx, "p:kept:9").Val(), 30*time.Minute)
	there, err := s.Delete(ctx, "9")
	require.NoError(t, err)
	require.True(t, there)
	got, err := s.Get(ctx, "8", "9")
	require.NoError(t, err)
	require.Len(t, got, 1)
	s.enter("later", 1, time.Now().Add(2*time.Hour))
	require.Len(t, s.kept, 1, "what has ended is not counted")
}

func TestShelfWithoutRedis(t *testing.T) {
	s, _, server, log := open(t, nil)
	server.Kill()
	for range 3 {
		require.Error(t, s.Put(t.Context(), "a", []byte("x")))
		_, err := s.Get(t.Context(), "a")
		require.Error(t, err)
	}
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("cannot be kept")), log)
}

func TestHistory(t *testing.T) {
	s, _, _, _ := open(t, func(c *Config) { c.MaxTotal, c.MaxValue = 64<<20, 40<<20 })
	r := NewResponses(s)
	ctx := t.Context()
	item := func(s string) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"content":%q}`, s)) }
	save := func(id, in, out string, chain ...string) {
		body := fmt.Sprintf(`{"id":%q,"output":[%s]}`, id, item(out))
		require.NoError(t, r.Save(ctx, id, Response{Body: json.RawMessage(body), Input: []json.RawMessage{item(in)}, Chain: chain}))
	}
	save("a", "1", "2")
	save("b", "3", "4", "a")
	save("c", "5", "6", "a", "b")
	save("fork", "7", "8", "a")
	items, chain, err := r.History(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, chain)
	require.Equal(t, []json.RawMessage{item("1"), item("2"), item("3"), item("4"), item("5"), item("6")}, items)
	items, _, err = r.History(ctx, "fork")
	require.NoError(t, err)
	require.Len(t, items, 4)
	_, _, err = r.History(ctx, "none")
	require.ErrorIs(t, err, ErrNotFound)
	gone, err := r.Delete(ctx, "b")
	require.NoError(t, err)
	require.True(t, gone)
	_, _, err = r.History(ctx, "c")
	require.ErrorIs(t, err, ErrNotFound)
	save("large", string(bytes.Repeat([]byte("x"), maxHistory)), "9")
	_, _, err = r.History(context.Background(), "large")
	require.ErrorIs(t, err, ErrTooLong)
}
