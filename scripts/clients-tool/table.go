package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"
)

// table collects results.
type table struct {
	rows  []client
	cells map[[2]string][]string // client and pool: marks in the order of the cases
}

func (t *table) add(c client, p pool, kind string, r result) {
	if t.cells == nil {
		t.cells = map[[2]string][]string{}
	}
	if len(t.rows) == 0 || t.rows[len(t.rows)-1].name != c.name {
		t.rows = append(t.rows, c)
	}
	key := [2]string{c.name, p.name}
	switch {
	case r.skipped:
	case r.why != "":
		t.cells[key] = append(t.cells[key], "**"+kind+" fails**")
	default:
		t.cells[key] = append(t.cells[key], kind)
	}
}

// head says how to read the table, and that nobody writes it by hand.
const head = `# Real clients

Written by ` + "`./scripts/clients`" + `, which installs these clients from npm and runs them against the gateway, with a pool of each
protocol behind it whose provider refuses what the real one refuses. A case is listed where it went well:

- prompt: a question and its answer; stream: an answer of 2,000 pieces, all of which the client shows
- tool: the model calls a tool of the client's that reads a file, and gets to see what is in it
- loop: two such calls, one after the other, with a model that thinks in between where the pool has one
- image: the provider gets an image that the client read
- count: the number of tokens; of a pool of Chat Completions, which has no such question, an estimate

| client | version | speaks | chat | responses | claude | gemini |
|---|---|---|---|---|---|---|
`

// write writes the table to a file, or prints it. Rows that the file has of clients
// that were not run stay.
func (t *table) write(path string) error {
	rows := map[string]string{}
	old, _ := os.ReadFile(path) // none: there are no rows
	for line := range strings.Lines(string(old)) {
		rows[rowName(line)] = line
	}
	for _, c := range t.rows {
		var row strings.Builder
		fmt.Fprintf(&row, "| %s | %s | %s |", c.name, version(c), c.protocol)
		for _, p := range pools {
			fmt.Fprintf(&row, " %s |", strings.Join(t.cells[[2]string{c.name, p.name}], ", "))
		}
		rows[c.name] = row.String() + "\n"
	}
	out := head
	for _, c := range clients {
		out += rows[c.name]
	}
	if path == "" {
		fmt.Print(out)
		return nil
	}
	return os.WriteFile(path, []byte(out), 0o644)
}

// rowName is the client of a row.
func rowName(line string) string {
	cells := strings.SplitN(line, "|", 3)
	if len(cells) < 3 {
		return ""
	}
	return strings.TrimSpace(cells[1])
}

// versions are those of ./scripts/clients, which names them in CLIENT_VERSIONS.
var versions = func() map[string]string {
	out := map[string]string{}
	for _, pair := range strings.Fields(os.Getenv("CLIENT_VERSIONS")) {
		if dir, version, ok := strings.Cut(pair, "="); ok {
			out[dir] = version
		}
	}
	return out
}()

// version is a client's; an SDK is named by its package.
func version(c client) string {
	name, _, _ := strings.Cut(c.name, " ")
	if v, ok := versions[name]; ok {
		return v
	}
	return versions[c.dir]
}

// picture is a small image: a red square.
func picture() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		img.Set(i%64, i/64, color.RGBA{R: 200, A: 255})
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // into memory
	return out.Bytes()
}
