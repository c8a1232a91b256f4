package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"holdfast/gateway"
	"holdfast/gateway/store"
)

// fileValues are the settings of the --config file that have sources besides
// flags and HOLDFAST_ variables, so their strength is judged elsewhere.
type fileValues struct {
	redisURL  string
	keyPrefix *string
}

// resolveRedis says which Redis is meant, the same for every command: flags over
// environment over files. configDir may have a config.json whose "redis" block
// names it.
func resolveRedis(c *cli.Context, configDir string, file fileValues) (store.Options, error) {
	src := store.Sources{FlagURL: c.String("redis-url"), Getenv: redisEnv, FileURL: file.redisURL, FilePrefix: file.keyPrefix}
	if c.IsSet("key-prefix") {
		prefix := c.String("key-prefix")
		src.FlagPrefix = &prefix
	}
	if name := filepath.Join(configDir, "config.json"); configDir != "" && isRegular(name) {
		raw, err := os.ReadFile(name)
		if err != nil {
			return store.Options{}, fmt.Errorf("read config.json for its redis block: %w", err)
		}
		src.ConfigJSON = raw
	}
	return store.Resolve(src)
}

// redisEnv is the environment, with HOLDFAST_REDIS_URL for whoever names all
// variables alike.
func redisEnv(name string) string {
	v := os.Getenv(name)
	if v == "" && name == "REDIS_URL" {
		v = os.Getenv("HOLDFAST_REDIS_URL")
	}
	return v
}

// redisFlags are --redis-url and --key-prefix. They have no EnvVars: the
// environment has several variables that belong together.
func redisFlags(what string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "redis-url", Usage: what + ": redis://, rediss://, unix:// or redis-sentinel:// `URL`; one with a password is better given in the environment (REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_DB)"},
		&cli.StringFlag{Name: "key-prefix", Usage: "`PREFIX` of the application's keys (REDIS_KEY_PREFIX; aiclient:)"},
	}
}

// usualDir is where the original application has its configuration.
const usualDir = "./configs"

// usualConfigDir is the directory that is used where none is named: the usual one,
// if what lies there is this application's. The name is common, and a stranger's
// files must not get into a Redis.
func usualConfigDir(log *slog.Logger) string {
	if !isRegular(filepath.Join(usualDir, "provider_pools.json")) {
		raw, err := os.ReadFile(filepath.Join(usualDir, "config.json"))
		if err != nil || !gateway.IsConfiguration(raw) {
			return ""
		}
	}
	log.Info("configuration directory found; --config-dir names another", "dir", usualDir)
	return usualDir
}

// checkDir is the error of a --config-dir that is no directory.
func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("--config-dir: %w: name a directory that exists", err)
	case !st.IsDir():
		return fmt.Errorf("--config-dir %q is not a directory: name the one with config.json", dir)
	}
	return nil
}
