package transfer

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
)

// childEnv makes the test binary a migrate to be killed: "address prefix dir".
const childEnv = "HOLDFAST_TEST_MIGRATE"

func TestMain(m *testing.M) {
	var addr, prefix, dir string
	if n, _ := fmt.Sscan(os.Getenv(childEnv), &addr, &prefix, &dir); n == 3 {
		c := client(addr)
		_, err := Migrate(context.Background(), MigrateConfig{Client: c, Prefix: prefix, Dir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("30") // each makes a directory and talks to a real server; -rapid.checks=N for more
	}
	goleak.VerifyTestMain(m)
}

func client(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1, DisableIdentity: true,
		ReadTimeout: time.Minute, WriteTimeout: time.Minute})
}

// env is a Redis and helpers around it. Every use has a prefix of its own.
type env struct {
	t      require.TestingT
	c      *redis.Client
	addr   string
	prefix string
}

func newEnv(t *testing.T) *env {
	s := redistest.Start(t)
	c := client(s.Addr())
	t.Cleanup(func() { _ = c.Close() })
	return &env{t: t, c: c, addr: s.Addr(), prefix: "p0:"}
}

var prefixes int

// fresh is the same Redis with a prefix that is not in use.
func (e *env) fresh(t require.TestingT) *env {
	prefixes++
	cp := *e
	cp.t, cp.prefix = t, fmt.Sprintf("p%d:", prefixes)
	return &cp
}

func (e *env) migrate(dir string, change ...func(*MigrateConfig)) *Report {
	rep, err := e.tryMigrate(dir, change...)
	require.NoError(e.t, err)
	return rep
}

func (e *env) tryMigrate(dir string, change ...func(*MigrateConfig)) (*Report, error) {
	cfg := MigrateConfig{Client: e.c, Prefix: e.prefix, Dir: dir}
	for _, f := range change {
		f(&cfg)
	}
	return Migrate(context.Background(), cfg)
}

func (e *env) export(dir string, change ...func(*ExportConfig)) *Report {
	cfg := ExportConfig{Client: e.c, Prefix: e.prefix, Dir: dir}
	for _, f := range change {
		f(&cfg)
	}
	rep, err := Export(context.Background(), cfg)
	require.NoError(e.t, err)
	return rep
}

func (e *env) key(k string) string { return e.prefix + k }

// dump is every key of the prefix with a digest of its value; meta's time is
// left out.
func (e *env) dump() map[string]string {
	ctx, out := context.Background(), map[string]string{}
	keys, err := e.c.Keys(ctx, e.prefix+"*").Result()
	require.NoError(e.t, err)
	for _, k := range keys {
		switch kind := e.c.Type(ctx, k).Val(); kind {
		case "string":
			out[k] = e.c.Get(ctx, k).Val()
		case "hash":
			h := e.c.HGetAll(ctx, k).Val()
			delete(h, "migratedAt")
			out[k] = fmt.Sprint(h)
		default:
			m := e.c.SMembers(ctx, k).Val()
			sort.Strings(m)
			out[k] = fmt.Sprint(m)
		}
	}
	return out
}

func force(c *MigrateConfig)  { c.Force = true }
func dryRun(c *MigrateConfig) { c.DryRun = true }
func verify(c *MigrateConfig) { c.Verify = true }

// write makes a directory of files.
func write(t require.TestingT, dir string, files map[string]string) string {
	for name, data := range files {
		full := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(data), 0o600))
	}
	return dir
}

// read gives every file of a directory.
func read(t require.TestingT, dir string) map[string]string {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		raw, err := os.ReadFile(p)
		out[rel] = string(raw)
		return err
	})
	require.NoError(t, err)
	return out
}

func digest(files map[string]string) string {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%q %q\n", n, files[n])
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func reasons(r *Report, outcome string) (out []string) {
	for _, it := range r.Items {
		if it.Outcome == outcome {
			out = append(out, it.What+" ("+it.File+"): "+it.Reason)
		}
	}
	return out
}
