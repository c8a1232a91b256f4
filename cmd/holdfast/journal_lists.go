package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"holdfast/fallback/deadletter"
)

// listedLetter is a dead letter as printed.
type listedLetter struct {
	Seq      uint64     `json:"seq"`
	Stream   string     `json:"stream,omitempty"`
	DB       int        `json:"db"`
	TimeMs   int64      `json:"timeMs"`
	FiledAt  time.Time  `json:"filedAt"`
	Reason   string     `json:"reason"`
	Commands [][]string `json:"commands"`
}

func journalDeadLetters(c *cli.Context) error {
	letters, err := deadletter.Read(c.String("data-dir"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.App.Writer)
	for _, l := range letters {
		commands := printable(l.Commands)
		if !c.Bool("json") {
			printCommands(c.App.Writer, fmt.Sprintf("%d db%d (%s)", l.Seq, l.DB, l.Reason), commands)
		} else if err := enc.Encode(listedLetter{l.Seq, l.Stream, l.DB, l.TimeMs, l.FiledAt, l.Reason, commands}); err != nil {
			return err
		}
	}
	if len(letters) == 0 && !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, "no dead letters")
	}
	return nil
}

// listedConflict is a conflict as printed: a key with both values, or, without a
// key, a write.
type listedConflict struct {
	Seq      uint64              `json:"seq"`
	Stream   string              `json:"stream,omitempty"`
	DB       int                 `json:"db"`
	Key      string              `json:"key,omitempty"`
	FiledAt  time.Time           `json:"filedAt"`
	Policy   deadletter.Conflict `json:"policy"`
	Ours     [][]string          `json:"ours,omitempty"`
	Theirs   [][]string          `json:"theirs,omitempty"`
	Omitted  bool                `json:"omitted,omitempty"`
	Commands [][]string          `json:"commands,omitempty"`
	Unsure   bool                `json:"unsure,omitempty"`
	HandOver bool                `json:"handOver,omitempty"`
	NoReply  bool                `json:"noReply,omitempty"`
}

func journalConflicts(c *cli.Context) error {
	enc := json.NewEncoder(c.App.Writer)
	any := false
	err := deadletter.ReadConflicts(c.String("data-dir"), func(r deadletter.ConflictRecord) error {
		any = true
		l := listedConflict{
			Seq: r.Seq, Stream: r.Stream, DB: r.DB, FiledAt: r.FiledAt, Policy: r.Policy, Ours: printable(r.Ours), Theirs: printable(r.Theirs),
			Omitted: r.Omitted, Commands: printable(r.Commands), Unsure: r.Unsure, HandOver: r.HandOver, NoReply: r.NoReply,
		}
		if r.Key != nil {
			l.Key = printable([][][]byte{{r.Key}})[0][0]
		}
		if c.Bool("json") {
			return enc.Encode(l)
		}
		printConflict(c.App.Writer, l)
		return nil
	})
	if err == nil && !any && !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, "no conflicts")
	}
	return err
}

func printConflict(w io.Writer, l listedConflict) {
	head := fmt.Sprintf("%d db%d", l.Seq, l.DB)
	switch {
	case l.Key == "" && l.NoReply:
		printCommands(w, head+" (executed, its reply was lost)", l.Commands)
		return
	case l.Key == "":
		printCommands(w, fmt.Sprintf("%s (not applied, policy %s)", head, l.Policy), l.Commands)
		return
	}
	why := "changed at redis"
	if l.HandOver {
		why = "another value at redis than in the embedded store"
	}
	if l.Unsure {
		why = "not as last seen here, maybe by our own writes"
	}
	fmt.Fprintf(w, "%s %s %s (%s, policy %s)\n", head, l.FiledAt.UTC().Format(time.RFC3339), l.Key, why, l.Policy)
	for _, v := range []struct {
		name  string
		value [][]string
	}{{"  ours:  ", l.Ours}, {"  theirs:", l.Theirs}} {
		switch {
		case len(v.value) > 0:
			printCommands(w, v.name, v.value)
		case l.Omitted:
			fmt.Fprintln(w, v.name, "(not recorded, or absent)")
		default:
			fmt.Fprintln(w, v.name, "(absent)")
		}
	}
}
