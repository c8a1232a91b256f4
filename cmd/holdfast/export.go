package main

import (
	"github.com/urfave/cli/v2"

	"holdfast/gateway/transfer"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write what Redis holds as a configuration directory",
		Description: "The inverse of migrate: every file, byte for byte. Files that exist with other content are left\n" +
			"alone, all of them, unless forced.\n\n" +
			"Example: holdfast export --output-dir ./configs-backup --redis-url redis://localhost:6379",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "output-dir", Value: "./configs-backup", Usage: "target `DIR`", EnvVars: []string{"HOLDFAST_OUTPUT_DIR"}}, namedIn(),
		}, transferFlags("replace files that exist with other content")...),
		Action: orJSON(runExport),
	}
}

func runExport(c *cli.Context) error {
	client, opts, err := transferClient(c)
	if err != nil {
		return err
	}
	defer client.Close()
	dir := c.String("output-dir")
	show := newDisplay(c, opts.String(), dir, opts.KeyPrefix)
	rep, err := transfer.Export(c.Context, transfer.ExportConfig{
		Client: client, Prefix: opts.KeyPrefix, Dir: dir,
		DryRun: c.Bool("dry-run"), Force: c.Bool("force"),
		Plan: show.plan, Progress: show.progress,
	})
	return show.result(rep, err, func() { transfer.PrintExported(c.App.Writer, rep, dir) })
}
