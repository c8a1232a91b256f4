package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/backend/resp"
	"holdfast/gateway/store"
)

// configuration says how much of a service's configuration is somewhere.
type configuration struct {
	config          bool
	other           bool // a password, plugins, tokens, files: no accounts
	types, accounts int
}

func (c configuration) none() bool { return !c.config && !c.other && c.types == 0 && c.accounts == 0 }

// counts is what people compare.
func (c configuration) counts() [2]int { return [2]int{c.types, c.accounts} }

func (c configuration) args(prefix string) []any {
	return []any{prefix + "types", c.types, prefix + "accounts", c.accounts, prefix + "config", c.config}
}

// isConfiguration reports whether a key is what migrate imports, sessions and
// counters left out: those come and go, and say nothing of a configuration.
func isConfiguration(prefix, key string) bool {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return false
	}
	switch rest {
	case "config", "pwd", "plugins", "meta", "pool-types", "usage:cache":
		return true
	}
	for _, family := range []string{"pools:", "tokens:", "files:", "layout:"} {
		if strings.HasPrefix(rest, family) {
			return true
		}
	}
	return false
}

// isCore reports whether a key alone makes a configuration that can be served.
func isCore(prefix, key string) bool {
	return key == prefix+"config" || strings.HasPrefix(key, prefix+"pools:")
}

// keyOf is the key of a command that recreates one.
func keyOf(argv [][]byte) string {
	if strings.EqualFold(string(argv[0]), "XGROUP") && len(argv) > 2 {
		return string(argv[2])
	}
	return string(argv[1])
}

func cloneArgs(argv [][]byte) [][]byte {
	out := make([][]byte, len(argv))
	for i, a := range argv {
		out[i] = bytes.Clone(a)
	}
	return out
}

// countCommands counts what commands recreate.
func countCommands(prefix string, commands [][][]byte) (c configuration) {
	types := map[string]bool{}
	for _, argv := range commands {
		key := keyOf(argv)
		typ, pool := strings.CutPrefix(key, prefix+"pools:")
		switch {
		case pool:
			types[typ] = true
			c.accounts += (len(argv) - 2) / 2 // HSET key (field value)…
		case key == prefix+"config":
			c.config = true
		case isConfiguration(prefix, key):
			c.other = true
		}
	}
	c.types = len(types)
	return c
}

// redisConfiguration looks at what a Redis has. The keyspace is scanned only
// where none of the usual keys is there.
func redisConfiguration(ctx context.Context, client redis.UniversalClient, prefix string) (c configuration, err error) {
	st := store.New(client, prefix)
	n, err := client.Exists(ctx, st.Keys.Config(), st.Keys.Meta(), st.PoolIndex(), st.OldPoolIndex()).Result()
	if err != nil {
		return c, fmt.Errorf("look for a configuration: %w", err)
	}
	if n == 0 {
		err := st.Scan(ctx, prefix, func(keys []string) error {
			for _, key := range keys {
				c.other = c.other || isConfiguration(prefix, key)
			}
			return nil
		})
		if err != nil || !c.other {
			return c, err
		}
	}
	c.other = true
	if n, err = client.Exists(ctx, st.Keys.Config()).Result(); err != nil {
		return c, err
	}
	c.config = n == 1
	types, err := st.FindTypes(ctx)
	if err != nil {
		return c, err
	}
	for _, typ := range types {
		n, err := client.HLen(ctx, st.Keys.Pool(typ)).Result()
		if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return c, err
		}
		if n > 0 {
			c.types, c.accounts = c.types+1, c.accounts+int(n)
		}
	}
	return c, nil
}

// errTaken says that a key is there already.
var errTaken = errors.New("a key of it exists")

// createAll executes commands that create keys, all of them or none, and only
// where none of the keys exists.
func createAll(ctx context.Context, client redis.UniversalClient, commands [][][]byte) error {
	var keys []string
	seen := map[string]bool{}
	for _, argv := range commands {
		if key := keyOf(argv); !seen[key] {
			seen[key], keys = true, append(keys, key)
		}
	}
	return client.Watch(ctx, func(tx *redis.Tx) error {
		if n, err := tx.Exists(ctx, keys...).Result(); err != nil || n > 0 {
			return errors.Join(err, map[bool]error{true: errTaken}[n > 0])
		}
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			for _, argv := range commands {
				for _, c := range plainForm(argv) {
					p.Do(ctx, c...)
				}
			}
			return nil
		})
		return err
	}, keys...)
}

// plainForm is a command as every Redis knows it: SET with PXAT needs 6.2.
func plainForm(argv [][]byte) [][]any {
	args := make([]any, len(argv))
	for i, a := range argv {
		args[i] = a
	}
	if len(argv) == 5 && strings.EqualFold(string(argv[0]), "SET") && strings.EqualFold(string(argv[3]), "PXAT") {
		return [][]any{args[:3], {"PEXPIREAT", argv[1], argv[4]}}
	}
	return [][]any{args}
}

// differ reports whether Redis lacks, or has otherwise, a configuration or an
// account that the commands recreate.
func differ(ctx context.Context, client redis.UniversalClient, prefix string, commands [][][]byte) (bool, error) {
	for _, argv := range commands {
		key := keyOf(argv)
		switch {
		case key == prefix+"config" && len(argv) >= 3:
			have, err := client.Get(ctx, key).Bytes()
			if err != nil && !errors.Is(err, redis.Nil) || !store.Equal(have, argv[2]) {
				return true, nil
			}
		case strings.EqualFold(string(argv[0]), "HSET") && strings.HasPrefix(key, prefix+"pools:"):
			have, err := client.HGetAll(ctx, key).Result()
			if err != nil {
				return true, nil
			}
			for i := 2; i+1 < len(argv); i += 2 {
				if raw, ok := have[string(argv[i])]; !ok || !store.Equal([]byte(raw), argv[i+1]) {
					return true, nil
				}
			}
		}
	}
	return false, ctx.Err()
}

// writeCommands stores commands as Redis's protocol has them: what 'redis-cli
// --pipe' and 'holdfast cli --pipe' take. It is on disk when this returns.
func writeCommands(name string, commands [][][]byte) error {
	var out []byte
	for _, argv := range commands {
		for _, form := range plainForm(argv) {
			args := make([][]byte, len(form))
			for i, a := range form {
				switch v := a.(type) {
				case []byte:
					args[i] = v
				case string:
					args[i] = []byte(v)
				}
			}
			out = resp.AppendCommand(out, args...)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(out)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// readCommands reads what writeCommands wrote; none where there is no such file.
func readCommands(name string) (commands [][][]byte, err error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for len(raw) > 0 {
		v, n, err := resp.Parse(raw)
		if err != nil || n == 0 || len(v.Elems) < 2 {
			return nil, fmt.Errorf("read %s: it is damaged; remove it, and the configuration of the files is not brought to Redis", name)
		}
		argv := make([][]byte, len(v.Elems))
		for i, e := range v.Elems {
			argv[i] = e.Str
		}
		commands, raw = append(commands, argv), raw[n:]
	}
	return commands, nil
}
