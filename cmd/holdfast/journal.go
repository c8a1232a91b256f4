package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"holdfast/fallback"
	"holdfast/fallback/journal"
)

func journalCommand() *cli.Command {
	dir := &cli.StringFlag{Name: "data-dir", Value: "./holdfast-data", Usage: "`DIR` of the proxy", EnvVars: env("data-dir")}
	asJSON := &cli.BoolFlag{Name: "json", Usage: "print JSON"}
	sub := func(name, usage string, run cli.ActionFunc) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Flags: []cli.Flag{dir, asJSON}, Action: onDataDir(run),
			Description: "Example: holdfast journal " + name + " --data-dir ./holdfast-data"}
	}
	return &cli.Command{
		Name:  "journal",
		Usage: "look at and mend the journal of queued writes",
		Subcommands: []*cli.Command{
			sub("ls", "figures of the journal", journalVerify),
			sub("dump", "print every queued write", journalDump),
			sub("verify", "check every byte; exit 1 when damaged", journalVerify),
			sub("repair", "make a damaged journal usable again; the proxy has to be stopped", journalRepair),
			sub("deadletters", "list writes that Redis refused at replay", journalDeadLetters),
			sub("retry", "queue the dead letters again; the proxy has to be stopped", journalRetry),
			sub("drop", "set the dead letters aside for good; the proxy has to be stopped", journalDrop),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("unknown journal command %q; see 'holdfast journal --help'", c.Args().First()), exitUsage)
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// onDataDir runs a command on the data directory that was meant: a name without
// its flag is not taken for the default.
func onDataDir(run cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := flagsOnly(c, "journal "+c.Command.Name); err != nil {
			return err
		}
		if err := fallback.CheckDataDir(c.String("data-dir")); err != nil {
			return err
		}
		return run(c)
	}
}

// flagsOnly refuses arguments that are no flags.
func flagsOnly(c *cli.Context, name string) error {
	if c.Args().Present() {
		return cli.Exit(fmt.Sprintf("unexpected argument %q: holdfast %s takes flags only", c.Args().First(), name), exitUsage)
	}
	return nil
}

func printReport(c *cli.Context, r journal.Report) {
	w := c.App.Writer
	if c.Bool("json") {
		_ = json.NewEncoder(w).Encode(r)
		return
	}
	fmt.Fprintf(w, "journal %s (stream %s)\n  segments        %d (%d bytes)\n  records kept    %d (sequence %d to %d; replayed ones are kept for a while, see 'holdfast status' for what waits)\n  settled up to   %d\n  torn bytes      %d\n",
		r.Dir, r.StreamID, r.Segments, r.Bytes, r.Records, r.FirstSeq, r.LastSeq, r.TruncatedTo, r.TornBytes)
	for _, p := range r.Problems {
		fmt.Fprintln(w, "  problem:", p)
	}
	for _, m := range r.Moved {
		fmt.Fprintln(w, "  kept aside:", m)
	}
}

func journalVerify(c *cli.Context) error {
	r, err := journal.Verify(fallback.JournalDir(c.String("data-dir")))
	if err == nil || len(r.Problems) > 0 {
		printReport(c, r)
	}
	return err
}

func journalRepair(c *cli.Context) error {
	r, err := journal.Repair(fallback.JournalDir(c.String("data-dir")))
	if err == nil {
		printReport(c, r)
	}
	return err
}

// dumped is one queued write as printed.
type dumped struct {
	Seq      uint64     `json:"seq"`
	Time     time.Time  `json:"time"`
	DB       int        `json:"db"`
	Commands [][]string `json:"commands"`
}

func journalDump(c *cli.Context) error {
	enc := json.NewEncoder(c.App.Writer)
	return journal.Dump(fallback.JournalDir(c.String("data-dir")), func(e journal.Entry) error {
		if e.Truncated {
			return nil
		}
		rec, err := fallback.DecodeRecord(e.Seq, e.Payload)
		if err != nil {
			return err
		}
		d := dumped{Seq: e.Seq, Time: e.Time, DB: rec.DB, Commands: printable(rec.Commands)}
		if c.Bool("json") {
			return enc.Encode(d)
		}
		printCommands(c.App.Writer, fmt.Sprintf("%d %s db%d", d.Seq, d.Time.Format(time.RFC3339), d.DB), d.Commands)
		return nil
	})
}

func printCommands(w io.Writer, head string, commands [][]string) {
	for _, argv := range commands {
		fmt.Fprint(w, head)
		for _, a := range argv {
			fmt.Fprint(w, " ", a)
		}
		fmt.Fprintln(w)
	}
}

// printable quotes arguments that are not plain text.
func printable(commands [][][]byte) [][]string {
	out := make([][]string, len(commands))
	for i, argv := range commands {
		for _, a := range argv {
			s := string(a)
			if quoted := strconv.Quote(s); s == "" || len(quoted) != len(s)+2 || !utf8.ValidString(s) {
				s = quoted
			}
			out[i] = append(out[i], s)
		}
	}
	return out
}

func journalDeadLetters(c *cli.Context) error {
	letters, err := fallback.ReadDeadLetters(c.String("data-dir"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.App.Writer)
	for _, l := range letters {
		if c.Bool("json") {
			_ = enc.Encode(l)
			continue
		}
		printCommands(c.App.Writer, fmt.Sprintf("%d db%d (%s)", l.Seq, l.DB, l.Reason), printable(l.Commands))
	}
	if len(letters) == 0 && !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, "no dead letters")
	}
	return nil
}

func journalRetry(c *cli.Context) error {
	n, err := fallback.RetryDeadLetters(c.String("data-dir"))
	if err == nil {
		fmt.Fprintf(c.App.Writer, "%d writes queued again; they are replayed when the proxy has Redis\n", n)
	}
	return err
}

func journalDrop(c *cli.Context) error {
	path, n, err := fallback.DropDeadLetters(c.String("data-dir"))
	if err == nil {
		fmt.Fprintf(c.App.Writer, "%d dead letters set aside in %s\n", n, path)
	}
	return err
}
