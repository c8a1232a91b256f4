package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"holdfast/gateway/transfer"
)

func initCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "api-key", Usage: "client `KEY` (default: a generated one; better given in the environment)", EnvVars: []string{"HOLDFAST_API_KEY"}},
		&cli.StringFlag{Name: "password", Usage: "dashboard `PASSWORD` (default: a generated one; better given in the environment)", EnvVars: []string{"HOLDFAST_PASSWORD"}},
		&cli.IntFlag{Name: "port", Value: 3000, Usage: "gateway `PORT`"}, namedIn(),
	}
	return &cli.Command{
		Name:  "init",
		Usage: "write a fresh configuration into an empty Redis",
		Description: "Generated secrets are printed once. A prefix that holds anything is refused without --force.\n\n" +
			"Example: holdfast init --redis-url redis://localhost:6379 --port 3000",
		Flags:  append(flags, transferFlags("remove everything under the prefix first")...),
		Action: orJSON(runInit),
	}
}

func runInit(c *cli.Context) error {
	port := c.Int("port")
	if port < 1 || port > 65535 {
		return cli.Exit(fmt.Sprintf("read --port: %d is not from 1 to 65535", port), 2)
	}
	client, opts, err := transferClient(c)
	if err != nil {
		return err
	}
	defer client.Close()
	res, err := transfer.Init(c.Context, transfer.InitConfig{
		Client: client, Prefix: opts.KeyPrefix, APIKey: c.String("api-key"), Password: c.String("password"),
		Port: port, Force: c.Bool("force"), DryRun: c.Bool("dry-run"),
	})
	w := c.App.Writer
	if err != nil {
		if res != nil && !c.Bool("json") {
			for _, key := range res.Existing {
				fmt.Fprintf(w, "exists: %q\n", key)
			}
		}
		return failed(err)
	}
	if c.Bool("json") {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return failed(enc.Encode(res))
	}
	would := ""
	if res.DryRun {
		would = "would be "
	}
	if res.Removed > 0 {
		fmt.Fprintf(w, "%d keys %sremoved\n", res.Removed, would)
	}
	for _, key := range res.Keys {
		fmt.Fprintf(w, "%s %swritten\n", key, would)
	}
	if res.DryRun {
		return nil
	}
	if res.APIKeyGenerated {
		fmt.Fprintf(w, "API key (shown once): %s\n", res.APIKey)
	}
	if res.PasswordGenerated {
		fmt.Fprintf(w, "Password (shown once): %s\n", res.Password)
	}
	return nil
}
