package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"holdfast/fallback"
	"holdfast/gateway/transfer"
	"holdfast/proxy"
)

// startFromFiles fills an empty local state from a configuration directory, so
// that a cold start with neither Redis nor snapshot has what migrate would have
// stored. Nothing of it is journaled: Redis, when it comes, is right.
func (st *stack) startFromFiles() error {
	dir := st.settings.configDir
	if dir == "" || st.upstream == nil || !st.store.Empty() {
		return nil
	}
	if err := checkDir(dir); err != nil {
		return err
	}
	commands, _, err := migrateAside(context.Background(), st.settings.prefix, dir)
	if err == nil { // all keys at once: none is taken over before it is known which there are
		err = st.store.Warm(st.upstream.DB(), commands, true)
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", dir, err)
	}
	st.fromFiles = true
	st.settings.logger.Info("started from configuration files", "dir", dir)
	return nil
}

// migrateAside runs the same migration as 'holdfast migrate' into a store of
// its own, so that both agree in every detail, and returns the commands that
// recreate what came out.
func migrateAside(ctx context.Context, prefix, dir string) (commands [][][]byte, rep *transfer.Report, err error) {
	tmp, err := os.MkdirTemp("", "holdfast-files-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(tmp)
	local, err := fallback.Open(fallback.Config{Dir: filepath.Join(tmp, "data"), Embedded: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	socket := filepath.Join(tmp, "s")
	srv, err := proxy.Open(proxy.Config{Listen: []string{"unix:" + socket}, Local: local})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	client := redis.NewClient(&redis.Options{
		Network: "unix", Addr: socket, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	rep, err = transfer.Migrate(ctx, transfer.MigrateConfig{Client: client, Prefix: prefix, Dir: dir})
	err = errors.Join(err, client.Close())
	cancel()
	if err = errors.Join(err, <-done); err != nil {
		return nil, nil, err
	}
	err = local.Dump(func(_ int, argv [][]byte) error {
		if string(argv[0]) != "SCRIPT" { // the migration's own
			commands = append(commands, argv)
		}
		return nil
	})
	return commands, rep, err
}

// loadFiles stores a configuration directory in an embedded store that holds
// nothing under the prefix yet. It is the database, so this is a migration like
// any other, through the proxy: journaled.
func (st *stack) loadFiles(ctx context.Context, opts *redis.Options) error {
	dir, prefix := st.settings.configDir, st.settings.prefix
	if dir == "" || st.upstream != nil {
		return nil
	}
	patient := *opts
	patient.ReadTimeout, patient.WriteTimeout = transferTimeout, transferTimeout
	client := redis.NewClient(&patient)
	defer client.Close()
	held, err := holdsAny(ctx, client, prefix)
	if err != nil || held {
		return err
	}
	report, err := transfer.Migrate(ctx, transfer.MigrateConfig{Client: client, Prefix: prefix, Dir: dir})
	if err != nil {
		return fmt.Errorf("load --config-dir %s: %w", dir, err)
	}
	st.settings.logger.Info("first start: configuration files loaded", "dir", dir, "items", report.Total(), "failed", report.Troubles())
	return nil
}

// holdsAny reports whether there is any key under the prefix.
func holdsAny(ctx context.Context, client *redis.Client, prefix string) (bool, error) {
	for cursor := uint64(0); ; {
		keys, next, err := client.Scan(ctx, cursor, escapeGlob(prefix)+"*", 1000).Result()
		if err != nil {
			return false, fmt.Errorf("look at the store: %w", err)
		}
		if len(keys) > 0 || next == 0 {
			return len(keys) > 0, nil
		}
		cursor = next
	}
}

// escapeGlob makes a text match itself only in a pattern of Redis.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(s)
}
