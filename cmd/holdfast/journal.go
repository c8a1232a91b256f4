package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"holdfast/fallback"
	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

func journalCommand() *cli.Command {
	dir := &cli.StringFlag{Name: "data-dir", Value: "./holdfast-data", Usage: "`DIR` of the proxy", EnvVars: env("data-dir")}
	asJSON := &cli.BoolFlag{Name: "json", Usage: "print JSON"}
	sub := func(name, usage string, run cli.ActionFunc, more ...cli.Flag) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Flags: append([]cli.Flag{dir, asJSON}, more...), Action: onDataDir(run),
			Description: "Example: holdfast journal " + name + " --data-dir ./holdfast-data"}
	}
	return &cli.Command{
		Name:  "journal",
		Usage: "look at and mend the journal of queued writes",
		Subcommands: []*cli.Command{
			sub("ls", "figures of the journal", journalVerify),
			sub("dump", "print every queued write", journalDump, &cli.BoolFlag{Name: "all", Usage: "also those that Redis has already and that are kept for a while"}),
			sub("verify", "check every byte of journal and snapshot; exit 1 when damaged", journalVerify),
			sub("repair", "make a damaged journal or snapshot usable again; the proxy has to be stopped", journalRepair),
			sub("deadletters", "list writes that Redis refused at replay", journalDeadLetters),
			sub("conflicts", "list keys that had another value at Redis, with both values, and writes that were not applied for it", journalConflicts),
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
		if err := datadir.Check(c.String("data-dir")); err != nil {
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

// printReport tells of a journal, and of which records Redis has already.
func printReport(c *cli.Context, r journal.Report, snapshot string) error {
	replayed, err := datadir.ReadReplayed(c.String("data-dir"))
	if err != nil {
		return err
	}
	served, err := datadir.ServedRedis(c.String("data-dir"))
	if err != nil {
		return err
	}
	w, waiting := c.App.Writer, r.After(replayed)
	if c.Bool("json") {
		return json.NewEncoder(w).Encode(struct {
			journal.Report
			Waiting, Replayed uint64
			Snapshot          string
		}{r, waiting, r.Records - waiting, snapshot})
	}
	fmt.Fprintf(w, "journal %s (stream %s)\n  segments        %d (%d bytes)\n  records kept    %d (sequence %d to %d)\n  of them         %s\n  forgotten up to %d\n  torn bytes      %d\n  snapshot        %s\n",
		r.Dir, r.StreamID, r.Segments, r.Bytes, r.Records, r.FirstSeq, r.LastSeq, whatWaits(waiting, r.Records-waiting, served), r.TruncatedTo, r.TornBytes, snapshot)
	for _, p := range r.Problems {
		fmt.Fprintln(w, "  problem:", p)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "  note:", n)
	}
	printLost(w, r, replayed)
	for _, m := range r.Moved {
		fmt.Fprintln(w, "  kept aside:", m)
	}
	return nil
}

func whatWaits(waiting, replayed uint64, served bool) string {
	if !served {
		return "none waits for a Redis: the store is embedded, and its snapshot will have them"
	}
	return fmt.Sprintf("%d wait, %d are replayed and kept for a while", waiting, replayed)
}

// printLost names the acknowledged writes that a repair found no more. Of those that
// Redis has, nothing is lost.
func printLost(w io.Writer, r journal.Report, replayed uint64) {
	for _, l := range r.Lost {
		if from := max(l[0], replayed+1); from <= l[1] {
			fmt.Fprintf(w, "  lost: acknowledged writes %d to %d (%d), not replayed and not readable\n", from, l[1], l[1]-from+1)
		}
	}
	if r.LostAfter > 0 {
		fmt.Fprintf(w, "  lost: acknowledged writes after %d, if there were any\n", r.LostAfter)
	}
}

func journalVerify(c *cli.Context) error {
	dir := c.String("data-dir")
	r, err := journal.Verify(datadir.Journal(dir))
	if err != nil && len(r.Problems) == 0 {
		return err
	}
	state, serr := fallback.VerifySnapshot(dir)
	if errors.Is(serr, snapshot.ErrDamaged) {
		serr = fmt.Errorf("%w; stop holdfast, then 'holdfast journal repair --data-dir %q' sets it aside", serr, dir)
	}
	return errors.Join(printReport(c, r, string(state)), err, serr)
}

func journalRepair(c *cli.Context) error {
	r, aside, err := fallback.Repair(c.String("data-dir"))
	if err != nil {
		return err
	}
	snapshot := "not damaged"
	if aside != "" {
		snapshot = "damaged and set aside as " + aside + ": what neither Redis nor the journal has of it is lost"
	}
	return printReport(c, r, snapshot)
}

// dumped is one journaled write as printed.
type dumped struct {
	Seq      uint64     `json:"seq"`
	Time     time.Time  `json:"time"`
	DB       int        `json:"db"`
	Replayed bool       `json:"replayed,omitempty"` // Redis has it
	Commands [][]string `json:"commands"`
}

func journalDump(c *cli.Context) error {
	enc := json.NewEncoder(c.App.Writer)
	replayed, err := datadir.ReadReplayed(c.String("data-dir"))
	if err != nil {
		return err
	}
	return journal.Dump(datadir.Journal(c.String("data-dir")), func(e journal.Entry) error {
		done := e.Seq <= replayed
		if e.Truncated || done && !c.Bool("all") {
			return nil
		}
		rec, err := record.Decode(e.Seq, e.Payload)
		if err != nil {
			return err
		}
		d := dumped{Seq: e.Seq, Time: e.Time, DB: rec.DB, Replayed: done, Commands: printable(rec.Commands)}
		if c.Bool("json") {
			return enc.Encode(d)
		}
		head := fmt.Sprintf("%d %s db%d", d.Seq, d.Time.Format(time.RFC3339), d.DB)
		if done {
			head += " (replayed)"
		}
		printCommands(c.App.Writer, head, d.Commands)
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

func journalRetry(c *cli.Context) error {
	n, err := deadletter.RetryDeadLetters(c.String("data-dir"))
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Fprintln(c.App.Writer, "no dead letters")
		return nil
	}
	fmt.Fprintf(c.App.Writer, "%d dead letters queued again; they are replayed when the proxy has Redis\n", n)
	return nil
}

func journalDrop(c *cli.Context) error {
	path, n, err := deadletter.Drop(c.String("data-dir"))
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Fprintln(c.App.Writer, "no dead letters")
		return nil
	}
	fmt.Fprintf(c.App.Writer, "%d dead letters set aside in %s\n", n, path)
	return nil
}
