package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"holdfast/proxy"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "state of a running proxy",
		Description: "Example: holdfast status --watch",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "admin", Value: "127.0.0.1:9380", Usage: "the proxy's admin `ADDRESS`", EnvVars: env("admin")},
			&cli.StringFlag{Name: "requirepass", Usage: "the proxy's password, for an admin address beyond loopback (better given in the environment)", EnvVars: env("requirepass")},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "watch", Usage: "print it again every second"},
		},
		Action: runStatus,
	}
}

func runStatus(c *cli.Context) error {
	if err := flagsOnly(c, "status"); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for {
		raw, err := fetchStatus(ctx, c.String("admin"), c.String("requirepass"))
		if err != nil {
			return err
		}
		if c.Bool("json") {
			fmt.Fprintln(c.App.Writer, string(raw))
		} else if err := printStatus(c.App.Writer, raw); err != nil {
			return err
		}
		if !c.Bool("watch") {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func fetchStatus(ctx context.Context, admin, password string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/status", nil)
	if err != nil {
		return nil, cli.Exit(fmt.Sprintf("--admin %q: %v", admin, err), exitUsage)
	}
	if password != "" {
		req.SetBasicAuth("default", password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the proxy at %s: %w: is it running, and is --admin its admin address?", admin, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	if res.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("ask the proxy at %s: it wants its password: set HOLDFAST_REQUIREPASS to it", admin)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the proxy at %s: HTTP %d", admin, res.StatusCode)
	}
	return raw, nil
}

func printStatus(w io.Writer, raw []byte) error {
	var st proxy.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("mode", fmt.Sprintf("%s since %s", st.Mode, st.Since.Local().Format(time.DateTime)))
	row("served from", st.Source)
	if st.Upstream != "" {
		row("redis", fmt.Sprintf("%s connected=%v", st.Upstream, st.Connected))
	}
	if st.LastError != "" && !st.Connected {
		row("last error", st.LastError)
	}
	queued := fmt.Sprint(st.Journal.QueuedWrites)
	if at := st.Journal.OldestAt; at != nil {
		queued += fmt.Sprintf(", the oldest since %s (%v)", at.Local().Format(time.DateTime), st.Journal.OldestAge().Round(time.Second))
	}
	row("queued writes", queued)
	row("journal", fmt.Sprintf("%d bytes full=%v failed=%v recovered=%d refused=%d", st.Journal.Bytes, st.Journal.Full, st.Journal.Failed, st.Journal.Recovered, st.Journal.Refused))
	row("replayed", fmt.Sprintf("%d, dead letters %d, conflicts %d, overwritten %d", st.Replay.Replayed, st.Replay.DeadLetters, st.Replay.Conflicts, st.Replay.Overwritten))
	row("local keys", fmt.Sprintf("%d complete=%v", st.Mirror.Keys, st.Mirror.Complete))
	row("cache", fmt.Sprintf("%d entries, %d bytes, %d hits, %d misses, coherent=%v", st.Cache.Entries, st.Cache.Bytes, st.Cache.Hits, st.Cache.Misses, st.Cache.Coherent))
	row("clients", st.Clients)
	for _, text := range st.Troubles {
		row("TROUBLE", text)
	}
	return t.Flush()
}
