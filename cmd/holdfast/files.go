package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("--config-dir: %w", err)
	}
	commands, _, err := migrateAside(context.Background(), st.settings.keyPrefix(), dir)
	for i := 0; err == nil && i < len(commands); i++ {
		err = st.store.Warm(st.upstream.DB(), commands[i:i+1], true)
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", dir, err)
	}
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

// keyPrefix is the first mirrored prefix: the one the application's keys have.
func (s *proxySettings) keyPrefix() string {
	if len(s.mirror) == 0 {
		return "aiclient:"
	}
	return s.mirror[0]
}
