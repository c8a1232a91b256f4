package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"holdfast/gateway/store"
)

func passwdCommand() *cli.Command {
	return &cli.Command{
		Name:  "passwd",
		Usage: "set the dashboard's password",
		Description: "Asks for it on a terminal, else reads a line from standard input. Everybody is logged out. The original\n" +
			"application compares what is stored as it is: for a password that it takes, too, use --form plain.\n\n" +
			"Example: holdfast passwd --redis-url redis://localhost:6379",
		Flags: append(redisFlags("a Redis or a proxy (default: redis://localhost:6379)"), namedIn(),
			&cli.StringFlag{Name: "password", Usage: "the new `PASSWORD` (better given in the environment)", EnvVars: []string{"HOLDFAST_PASSWORD"}},
			&cli.BoolFlag{Name: "generate", Usage: "make one up and print it once"},
			&cli.StringFlag{Name: "form", Value: store.FormBcrypt, Usage: "how it is stored: bcrypt, pbkdf2 or plain"},
		),
		Action: runPasswd,
	}
}

func runPasswd(c *cli.Context) error {
	k := &checker{}
	form := k.oneOf(c, "form", store.FormBcrypt, store.FormPBKDF2, store.FormPlain)
	if c.Bool("generate") && c.String("password") != "" {
		k.add(errors.New("--generate and --password: give one of them"))
	}
	if err := k.err(); err != nil {
		return err
	}
	client, opts, err := transferClient(c)
	if err != nil {
		return err
	}
	defer client.Close()
	password := c.String("password")
	switch {
	case c.Bool("generate"):
		password = rand.Text()
	case password == "":
		if password, err = askPassword(c.App.Reader, c.App.ErrWriter); err != nil {
			return failed(err)
		}
	}
	stored, err := store.StoredPassword(password, form)
	if err != nil {
		return failed(err)
	}
	ended, err := setPassword(c, store.New(client, opts.KeyPrefix), stored)
	if err != nil {
		return failed(err)
	}
	fmt.Fprintf(c.App.Writer, "the dashboard's password is set (%s), %d sessions ended\n", form, ended)
	if c.Bool("generate") {
		fmt.Fprintf(c.App.Writer, "Password (shown once): %s\n", password)
	}
	return nil
}

// setPassword stores the password and ends all sessions: they were begun with the
// one before.
func setPassword(c *cli.Context, st *store.Store, stored []byte) (ended int, err error) {
	if err := st.Set(c.Context, st.Password(), stored); err != nil {
		return 0, err
	}
	err = st.Scan(c.Context, st.SessionPrefix(), func(keys []string) error {
		if len(keys) == 0 {
			return nil
		}
		n, err := st.Client().Del(c.Context, keys...).Result()
		ended += int(n)
		return err
	})
	if err != nil {
		return ended, fmt.Errorf("end the sessions: %w; the password is set", err)
	}
	return ended, nil
}

// askPassword asks twice on a terminal, without showing it; else it reads a line.
func askPassword(in io.Reader, out io.Writer) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && line == "" {
			return "", errors.New("no password on standard input: give one there, in HOLDFAST_PASSWORD, or --generate")
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(text string) (string, error) {
		fmt.Fprint(out, text)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(out)
		return string(raw), err
	}
	first, err := ask("new password: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	again, err := ask("once more: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if first != again {
		return "", errors.New("the two differ: nothing was changed")
	}
	return first, nil
}
