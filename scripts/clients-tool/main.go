// Clients-tool runs real clients, from npm, against the gateway with each of the four
// kinds of pools behind it, and writes docs/clients.md. ./scripts/clients installs
// what it needs and keeps it from every network but loopback.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"holdfast/scripts/clients-tool/fakes"
)

// kinds are what each client does.
var kinds = []string{"prompt", "tool", "loop", "image", "stream", "count"}

type options struct {
	holdfast, packages, table string
	clients, pools, kinds     string
	keep                      bool
	patience                  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.holdfast, "holdfast", "", "the binary to test")
	flag.StringVar(&o.packages, "packages", "", "where the clients are installed")
	flag.StringVar(&o.table, "table", "", "file for the table of results; none: it is printed")
	flag.StringVar(&o.clients, "clients", "", "pattern of the clients' names; none: all")
	flag.StringVar(&o.pools, "pools", "", "pattern of the pools: chat, responses, claude, gemini")
	flag.StringVar(&o.kinds, "cases", "", "pattern of the cases: prompt, tool, loop, image, stream, count")
	flag.BoolVar(&o.keep, "keep", false, "keep the logs")
	flag.DurationVar(&o.patience, "patience", 90*time.Second, "how long a client may take for a case")
	flag.Parse()
	failed, err := o.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(2)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "clients: %d cases failed\n", failed)
		os.Exit(1)
	}
}

func (o options) run() (failed int, err error) {
	patterns := map[string]*regexp.Regexp{}
	for _, p := range []string{o.clients, o.pools, o.kinds} {
		if patterns[p], err = regexp.Compile("(?i)" + p); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "holdfast-clients-")
	if err != nil {
		return 0, err
	}
	if o.keep {
		fmt.Println("logs are in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	r, err := newRig(o.holdfast, dir)
	if err != nil {
		return 0, err
	}
	defer r.close()
	t := table{}
	for _, c := range clients {
		if !patterns[o.clients].MatchString(c.name) {
			continue
		}
		for _, p := range pools {
			if !patterns[o.pools].MatchString(p.name) {
				continue
			}
			for _, kind := range kinds {
				if !patterns[o.kinds].MatchString(kind) {
					continue
				}
				res := o.try(r, c, p, kind)
				t.add(c, p, kind, res)
				if res.why != "" {
					failed++
				}
				fmt.Printf("%-20s %-10s %-7s %-4s %5.1fs %s\n", c.name, p.name, kind, res.mark(), res.took.Seconds(), res.why)
			}
		}
		if o.table != "" { // what was run is there, whatever comes
			if err := t.write(o.table); err != nil {
				return failed, err
			}
		}
	}
	return failed, t.write(o.table)
}

// result is how a case went; why is empty where it went well.
type result struct {
	why     string
	skipped bool
	took    time.Duration
}

func (r result) mark() string {
	switch {
	case r.skipped:
		return "-"
	case r.why != "":
		return "FAIL"
	}
	return "ok"
}

// try runs one case.
func (o options) try(r *rig, c client, p pool, kind string) result {
	if kind == "count" && !c.counts || strings.Contains(c.lacks, kind) {
		return result{skipped: true}
	}
	one, err := newRun(r, c, p, kind)
	if err != nil {
		return result{why: err.Error()}
	}
	if !o.keep {
		defer os.RemoveAll(one.home)
	}
	_, _ = r.refused()
	start := time.Now()
	out, err := o.execute(one)
	took := time.Since(start)
	why, images := r.refused()
	ok := one.satisfied(out)
	if ok && kind == "image" && images == 0 {
		ok, why = false, "the provider saw no image"
	}
	if ok {
		return result{took: took}
	}
	if why == "" {
		why = fmt.Sprintf("%v: ", err)
	}
	return result{why: why + " | " + tail(out, one.home), took: took}
}

func newRun(r *rig, c client, p pool, kind string) (*run, error) {
	var b [4]byte
	_, _ = rand.Read(b[:])
	one := &run{client: c, pool: p, kind: kind, id: hex.EncodeToString(b[:]), base: r.url + "/" + p.typ}
	var err error
	if one.home, err = os.MkdirTemp(r.dir, "run-"); err != nil {
		return nil, err
	}
	work := filepath.Join(one.home, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	note, other := filepath.Join(work, "note.txt"), filepath.Join(work, "other.txt")
	one.picture = filepath.Join(work, "picture.png")
	if err := os.WriteFile(note, []byte("SECRET-"+one.id+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(other, []byte("SECRET-"+one.id+"2\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(one.picture, picture(), 0o600); err != nil {
		return nil, err
	}
	one.prompt = "CASE-" + kind + "-" + one.id + ": " + map[string]string{
		"prompt": "say the word", "tool": "read the file " + note + " and tell what it says",
		"loop":  "read the file " + note + " and then the file " + other + " and tell what they say",
		"image": "look at the file " + one.picture + " and tell what it shows", "stream": "count", "count": "count these tokens",
	}[kind]
	return one, nil
}

// execute runs the client; nothing of this process's environment reaches it.
func (o options) execute(r *run) (string, error) {
	args, err := r.client.command(r)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(o.packages, r.client.dir)
	ctx, cancel := context.WithTimeout(context.Background(), o.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.Join(r.home, "work")
	if args[0] == "node" {
		cmd.Dir = dir
	} else {
		cmd.Path, cmd.Err = filepath.Join(dir, args[0]), nil
	}
	const nowhere = "http://127.0.0.1:9"
	cmd.Env = append(r.client.env(r), "HOME="+r.home, "PATH="+os.Getenv("PATH"), "TERM=dumb", "NO_COLOR=1", "LANG=C.UTF-8", "TMPDIR="+filepath.Join(r.home, "tmp"),
		"HTTP_PROXY="+nowhere, "HTTPS_PROXY="+nowhere, "http_proxy="+nowhere, "https_proxy="+nowhere,
		"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost", "DO_NOT_TRACK=1", "OTEL_SDK_DISABLED=true")
	if err := os.MkdirAll(filepath.Join(r.home, "tmp"), 0o700); err != nil {
		return "", err
	}
	// What a client leaves behind ends with it: they are one process group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %v", o.patience)
	}
	return string(out), err
}

// satisfied reports whether the client showed what the model said.
func (r *run) satisfied(out string) bool {
	switch r.kind {
	case "prompt":
		return strings.Contains(out, "PONG-"+r.id)
	case "tool":
		return strings.Contains(out, "SECRET-"+r.id)
	case "loop":
		return strings.Contains(out, "SECRET-"+r.id+" and SECRET-"+r.id+"2")
	case "image":
		return strings.Contains(out, "IMAGE-"+r.id)
	case "count":
		return strings.Contains(out, fmt.Sprintf("TOKENS-%d", fakes.Tokens)) || r.pool.name == "chat" && regexp.MustCompile(`TOKENS-[1-9]`).MatchString(out)
	}
	for i := range fakes.Words {
		if !strings.Contains(out, strings.TrimSpace(fakes.Word(i))) {
			return false
		}
	}
	return strings.Contains(out, "END-"+r.id)
}

// tail is the end of an output, in one line.
func tail(out, home string) string {
	out = strings.Join(strings.Fields(strings.ReplaceAll(out, home, "~")), " ")
	if len(out) > 300 {
		out = "…" + out[len(out)-300:]
	}
	return out
}
