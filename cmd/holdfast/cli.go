package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"holdfast/gateway/store"
)

// proxyAddr is where 'holdfast up' and 'holdfast proxy' listen unless told
// otherwise.
const proxyAddr = "127.0.0.1:6380"

func cliCommand() *cli.Command {
	return &cli.Command{
		Name:      "cli",
		Usage:     "a minimal prompt for Redis commands, for those without redis-tools",
		UsageText: "holdfast cli [options] [command [argument…]]",
		Description: "Without a command it asks for one after the other. On a terminal replies are shown with their types, else bare.\n" +
			"Subscriptions and MONITOR need redis-cli.\n\nExample: holdfast cli KEYS 'aiclient:*'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "redis-url", Value: "redis://" + proxyAddr, Usage: "a proxy or a Redis: redis://, rediss:// or unix:// `URL`; the password may be given in REDIS_PASSWORD or HOLDFAST_REQUIREPASS"},
			&cli.BoolFlag{Name: "x", Usage: "take the last argument from standard input"},
			&cli.StringFlag{Name: "pipe", Usage: "send the commands in `FILE`, which are in Redis's protocol, and count the errors"},
		},
		Action: runCLI,
	}
}

func runCLI(c *cli.Context) error {
	opts, err := store.Resolve(store.Sources{FlagURL: c.String("redis-url"), Getenv: func(name string) string {
		if name != "REDIS_PASSWORD" {
			return "" // the flag names the server
		}
		if password := os.Getenv(name); password != "" {
			return password
		}
		return os.Getenv("HOLDFAST_REQUIREPASS") // in the container of the proxy
	}})
	if err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	opts.CommandTimeout = transferTimeout
	client, err := opts.Client()
	if err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	defer client.Close()
	single, ok := client.(*redis.Client)
	if !ok {
		return cli.Exit("this kind of server has no single connection to talk on: name one server with --redis-url", exitUsage)
	}
	p := &prompt{conn: single.Conn(), out: c.App.Writer, name: opts.String(), pretty: isTerminal(c.App.Writer)}
	defer p.conn.Close()
	if err := p.conn.Ping(c.Context).Err(); err != nil && !isReply(err) {
		return cli.Exit(fmt.Sprintf("connect to %s: %v; %s", opts, err, remedy(err)), exitFailed)
	}
	args := c.Args().Slice()
	switch {
	case c.String("pipe") != "":
		return p.pipe(c.Context, c.String("pipe"))
	case len(args) == 0:
		return failed(p.run(c.Context, c.App.Reader))
	case c.Bool("x"):
		raw, err := io.ReadAll(c.App.Reader)
		if err != nil {
			return failed(err)
		}
		args = append(args, strings.TrimSuffix(string(raw), "\n"))
	}
	if !p.do(c.Context, args) {
		return cli.Exit("", exitFailed)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isReply reports an error that the server answered with.
func isReply(err error) bool {
	var answered redis.Error
	return errors.As(err, &answered)
}

// prompt sends commands on one connection and shows the replies.
type prompt struct {
	conn   *redis.Conn
	out    io.Writer
	name   string
	pretty bool // with types and quotes, for people
}

// run asks for commands until the end of the input, exit or quit.
func (p *prompt) run(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for {
		if p.pretty {
			fmt.Fprintf(p.out, "%s> ", strings.TrimPrefix(p.name, "redis://"))
		}
		if !lines.Scan() {
			return lines.Err()
		}
		args, err := splitWords(lines.Text())
		switch {
		case err != nil:
			fmt.Fprintln(p.out, err)
		case len(args) == 0:
		case len(args) == 1 && (strings.EqualFold(args[0], "exit") || strings.EqualFold(args[0], "quit")):
			return nil
		default:
			p.do(ctx, args)
		}
	}
}

// neverEnding are the commands whose answers go on: they do not fit a prompt.
var neverEnding = map[string]bool{"subscribe": true, "psubscribe": true, "ssubscribe": true, "monitor": true, "sync": true, "psync": true}

// do runs one command; false for an error.
func (p *prompt) do(ctx context.Context, args []string) bool {
	if neverEnding[strings.ToLower(args[0])] {
		fmt.Fprintf(p.out, "(error) %s needs redis-cli: its answer goes on\n", args[0])
		return false
	}
	cmd := make([]any, len(args))
	for i, a := range args {
		cmd[i] = a
	}
	v, err := p.conn.Do(ctx, cmd...).Result()
	if errors.Is(err, redis.Nil) {
		v, err = nil, nil
	}
	if err != nil {
		fmt.Fprintf(p.out, "(error) %v\n", err)
		return false
	}
	p.show(v, "")
	return true
}

// show prints a reply as redis-cli does.
func (p *prompt) show(v any, indent string) {
	switch v := v.(type) {
	case nil:
		fmt.Fprintln(p.out, map[bool]string{true: "(nil)"}[p.pretty])
	case int64:
		fmt.Fprintf(p.out, "%s%d\n", map[bool]string{true: "(integer) "}[p.pretty], v)
	case string:
		if p.pretty && v != "OK" && v != "QUEUED" {
			v = quoteReply(v)
		}
		fmt.Fprintln(p.out, v)
	case error:
		fmt.Fprintf(p.out, "(error) %v\n", v)
	case []any:
		if len(v) == 0 {
			fmt.Fprintln(p.out, map[bool]string{true: "(empty array)"}[p.pretty])
		}
		for i, item := range v {
			if p.pretty {
				if i > 0 {
					fmt.Fprint(p.out, indent)
				}
				fmt.Fprintf(p.out, "%d) ", i+1)
			}
			p.show(item, indent+"   ")
		}
	default:
		fmt.Fprintln(p.out, v)
	}
}

// quoteReply is a text in quotes, with what a terminal would take for its own
// escaped, and everything else as it is.
func quoteReply(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String() + `"`
}

// errQuotes is a line that cannot be taken apart.
var errQuotes = errors.New("(error) unbalanced quotes")

// splitWords takes a line apart at white space. Double quotes know \n, \r, \t,
// \xHH, \" and \\, single quotes only \'.
func splitWords(line string) (words []string, err error) {
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		if line == "" {
			return words, nil
		}
		word, rest := "", ""
		switch line[0] {
		case '"', '\'':
			if word, rest, err = quoted(line); err != nil {
				return nil, err
			}
			if rest != "" && !strings.ContainsAny(rest[:1], " \t\r\n") {
				return nil, errQuotes
			}
		default:
			end := strings.IndexAny(line, " \t\r\n")
			if end < 0 {
				end = len(line)
			}
			word, rest = line[:end], line[end:]
		}
		words, line = append(words, word), rest
	}
}

// quoted reads a quoted word at the beginning of a line.
func quoted(line string) (word, rest string, err error) {
	mark := line[0]
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		c := line[i]
		switch {
		case c == mark:
			return b.String(), line[i+1:], nil
		case c != '\\' || i+1 == len(line), mark == '\'' && line[i+1] != '\'':
			b.WriteByte(c)
			continue
		}
		i++
		if n, err := strconv.ParseUint(line[min(i+1, len(line)):min(i+3, len(line))], 16, 8); line[i] == 'x' && err == nil && i+3 <= len(line) {
			b.WriteByte(byte(n))
			i += 2
			continue
		}
		if at := strings.IndexByte("nrtab", line[i]); at >= 0 {
			b.WriteByte("\n\r\t\a\b"[at])
		} else {
			b.WriteByte(line[i])
		}
	}
	return "", "", errQuotes
}

// pipe sends the commands of a file.
func (p *prompt) pipe(ctx context.Context, name string) error {
	commands, err := readCommands(name)
	if err == nil && commands == nil {
		_, err = os.Stat(name)
	}
	if err != nil {
		return failed(err)
	}
	bad := 0
	for _, argv := range commands {
		cmd := make([]any, len(argv))
		for i, a := range argv {
			cmd[i] = a
		}
		err := p.conn.Do(ctx, cmd...).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			if !isReply(err) {
				return failed(err)
			}
			bad++
			fmt.Fprintf(p.out, "(error) %s %s: %v\n", argv[0], argv[1], err)
		}
	}
	fmt.Fprintf(p.out, "%d commands, %d errors\n", len(commands), bad)
	if bad > 0 {
		return cli.Exit("", exitFailed)
	}
	return nil
}
