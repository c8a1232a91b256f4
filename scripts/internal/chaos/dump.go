package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// dump reads keys of any type in one form.
func dump(ctx context.Context, c *redis.Client, keys []string) map[string]string {
	out := map[string]string{}
	for chunk := range slices.Chunk(keys, 200) {
		p := c.Pipeline()
		cmds := make([]redis.Cmder, len(chunk))
		for i, key := range chunk {
			switch {
			case strings.Contains(key, ":list"):
				cmds[i] = p.LRange(ctx, key, 0, -1)
			case strings.Contains(key, ":set"):
				cmds[i] = p.SMembersMap(ctx, key)
			case strings.Contains(key, ":stream"):
				cmds[i] = p.XRange(ctx, key, "-", "+")
			case strings.HasSuffix(key, ":counts"), strings.HasSuffix(key, ":values"), strings.HasSuffix(key, ":json"):
				cmds[i] = p.HGetAll(ctx, key)
			case strings.HasSuffix(key, ":scores"):
				cmds[i] = p.ZRangeWithScores(ctx, key, 0, -1)
			default:
				cmds[i] = p.Get(ctx, key)
			}
		}
		_, _ = p.Exec(ctx) // the errors are in the commands
		for i, key := range chunk {
			out[key] = show(cmds[i])
		}
	}
	return out
}

// show gives the same text for the same content; maps print in sorted order.
func show(c redis.Cmder) string {
	if c.Err() != nil {
		return "error " + c.Err().Error()
	}
	switch v := c.(type) {
	case *redis.StringSliceCmd:
		return fmt.Sprint(v.Val())
	case *redis.StringStructMapCmd:
		return fmt.Sprint(v.Val())
	case *redis.MapStringStringCmd:
		return fmt.Sprint(v.Val())
	case *redis.ZSliceCmd:
		return fmt.Sprint(v.Val())
	case *redis.XMessageSliceCmd:
		return fmt.Sprint(v.Val())
	case *redis.StringCmd:
		return v.Val()
	}
	return fmt.Sprintf("unexpected %T", c)
}
