package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"holdfast/fallback"
	"holdfast/gateway/transfer"
	"holdfast/proxy"
)

// startFromFiles fills a local state that holds no configuration from a directory,
// so that a cold start with neither Redis nor snapshot has what migrate would have
// stored. Nothing of it is journaled: the seeder brings it to a Redis that is empty.
func (st *stack) startFromFiles() error {
	dir := st.settings.configDir
	if dir == "" {
		return nil
	}
	pending, err := readCommands(servedPath(st.settings.dataDir))
	if err != nil {
		return err
	}
	local, err := st.link.seed.local()
	if err != nil || len(local) > 0 {
		st.fromFiles = len(pending) > 0
		return err
	}
	read, err := st.readFiles()
	commands, derr := st.withoutHeld(read) // such as a password that was set in the embedded store before
	err = errors.Join(err, derr)
	if err == nil && len(commands) > 0 {
		err = writeCommands(servedPath(st.settings.dataDir), commands) // first: what is written on top of it must find it
	}
	if err == nil && len(commands) > 0 { // all keys at once: none is taken over before it is known which there are
		err = st.store.Warm(st.upstream.DB(), commands, st.store.Empty() || st.store.HandingOver())
		st.fromFiles = true
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", dir, err)
	}
	return nil
}

// withoutHeld leaves out the keys that the local state has.
func (st *stack) withoutHeld(commands [][][]byte) (out [][][]byte, err error) {
	held := map[string]bool{}
	err = st.store.Dump(func(db int, argv [][]byte) error {
		if db == st.upstream.DB() && len(argv) > 1 {
			held[keyOf(argv)] = true
		}
		return nil
	})
	for _, argv := range commands {
		if !held[keyOf(argv)] {
			out = append(out, argv)
		}
	}
	return out, err
}

// readFiles reads the configuration directory. One that holds no configuration is
// none, so that a start with an empty volume is a start without files.
func (st *stack) readFiles() ([][][]byte, error) {
	dir, log := st.settings.configDir, st.settings.logger
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	commands, report, err := migrateAside(context.Background(), st.settings.prefix, dir)
	if _, derr := os.ReadDir(dir); derr != nil {
		return nil, notAllowed(derr, "configuration directory", dir)
	}
	if errors.Is(err, transfer.ErrNothing) {
		log.Warn("the configuration directory holds neither config.json nor provider_pools.json: it is not used", "dir", dir)
		return nil, nil
	}
	if err != nil {
		return nil, notAllowed(err, "configuration directory", dir)
	}
	for _, it := range report.Items {
		if it.Outcome == transfer.Failed || it.Outcome == transfer.Refused {
			log.Warn("configuration file not used", "what", it.What, "file", it.File, "why", it.Reason)
		}
	}
	n := countCommands(st.settings.prefix, commands)
	log.Info("configuration files read", append([]any{"dir", dir, "items", report.Total(), "failed", report.Troubles()}, n.args("")...)...)
	return commands, nil
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

// loadFiles stores a configuration directory in an embedded store that holds no
// configuration yet, or the sample as it was made. It is the database, so this is
// a write like any other, as one unit.
func (st *stack) loadFiles() error {
	if st.settings.configDir == "" || st.upstream != nil {
		return nil
	}
	held, sample, err := st.embedded()
	if err != nil {
		return err
	}
	if mine := countCommands(st.settings.prefix, held); len(sample) == 0 && !mine.none() {
		st.settings.logger.Info("the store has a configuration of its own: the files are not used; 'holdfast migrate' imports them",
			append([]any{"dir", st.settings.configDir}, mine.args("")...)...)
		return nil
	}
	commands, err := st.readFiles()
	if err != nil || len(commands) == 0 {
		return err
	}
	unit := [][][]byte{}
	for _, key := range sample {
		unit = append(unit, [][]byte{[]byte("DEL"), []byte(key)})
	}
	stays := map[string]bool{} // such as a password that was set meanwhile
	for _, argv := range held {
		stays[keyOf(argv)] = !slices.Contains(sample, keyOf(argv))
	}
	for _, argv := range commands {
		if !stays[keyOf(argv)] {
			unit = append(unit, argv)
		}
	}
	_, pending, err := st.store.Do(fallback.Request{Proto: 2, Unit: true, Commands: unit})
	if err == nil {
		err = pending.Wait()
	}
	if err != nil {
		return fmt.Errorf("load --config-dir %s: %w", st.settings.configDir, err)
	}
	st.settings.logger.Info("configuration files loaded", "dir", st.settings.configDir, "instead_of_the_sample", len(sample) > 0)
	return nil
}

// embedded is the configuration of an embedded store. sample are its keys where all
// that can be served of it is the sample that nobody touched.
func (st *stack) embedded() (held [][][]byte, sample []string, err error) {
	prefix := st.settings.prefix
	err = st.store.Dump(func(db int, argv [][]byte) error {
		if db == 0 && len(argv) > 1 && isConfiguration(prefix, keyOf(argv)) {
			held = append(held, cloneArgs(argv))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if _, sample, err = st.store.UntouchedSample(); err != nil {
		return nil, nil, err
	}
	for _, argv := range held {
		if key := keyOf(argv); isCore(prefix, key) && !slices.Contains(sample, key) {
			return held, nil, nil
		}
	}
	return held, sample, nil
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
