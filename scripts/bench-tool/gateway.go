package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// openStreams is how many streams are open at a time in the measurement of memory.
const openStreams = 1000

// gatewayTarget is one way to the provider.
type gatewayTarget struct {
	name    string
	addr    string
	process *process
	// convert says that the client speaks another protocol than the provider.
	convert bool
	model   string
}

// gatewayField is the provider, the bare reverse proxy and the gateway.
type gatewayField struct {
	field
	targets []gatewayTarget
}

// newGatewayField starts everything. The gateway has a Redis of its own with one
// account for each protocol of the provider.
func newGatewayField(o options) (_ *gatewayField, err error) {
	f := &gatewayField{}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return nil, err
	}
	f.stops = append(f.stops, func() { _ = os.RemoveAll(f.dir) })
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	_, redis, err := f.start("redis-server", func(addr, dir string) []string {
		_, port, _ := strings.Cut(addr, ":")
		return []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}
	})
	if err != nil {
		return nil, err
	}
	provider, at, err := f.startHTTP(self, func(addr, _ string) []string { return []string{"-serve-provider", addr} })
	if err != nil {
		return nil, err
	}
	reverse, reverseAt, err := f.startHTTP(self, func(addr, _ string) []string { return []string{"-serve-reverse", addr, "-reverse-to", at} })
	if err != nil {
		return nil, err
	}
	if err := do(redis,
		encode("SET", "aiclient:config", fmt.Sprintf(`{"REQUIRED_API_KEY":%q,"MODEL_PROVIDER":"openai-custom,claude-custom"}`, gatewayKey)),
		encode("HSET", "aiclient:pools:openai-custom", "a", fmt.Sprintf(`{"uuid":"a","OPENAI_API_KEY":"sk-account","OPENAI_BASE_URL":"http://%s/v1"}`, at)),
		encode("HSET", "aiclient:pools:claude-custom", "a", fmt.Sprintf(`{"uuid":"a","CLAUDE_API_KEY":"sk-account","CLAUDE_BASE_URL":"http://%s/v1"}`, at))); err != nil {
		return nil, err
	}
	gateway, gatewayAt, err := f.startHTTP(o.holdfast, func(addr, dir string) []string {
		return []string{"gateway", "--listen", addr, "--redis-url", "redis://" + redis, "--config-dir", dir}
	})
	if err != nil {
		return nil, err
	}
	f.targets = []gatewayTarget{
		{name: "direct", addr: at, process: provider, model: "m"},
		{name: "reverse proxy", addr: reverseAt, process: reverse, model: "m"},
		{name: "gateway", addr: gatewayAt, process: gateway, model: "openai-custom:m"},
		{name: "gateway, converted", addr: gatewayAt, process: gateway, convert: true, model: "openai-custom:m"},
	}
	return f, nil
}

// startHTTP is start for a program that answers HTTP.
func (f *field) startHTTP(program string, args func(addr, dir string) []string) (*process, string, error) {
	p, addr, err := f.launch(program, args)
	if err != nil {
		return nil, "", err
	}
	err = until(startTimeout, func() error {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		err = fmt.Errorf("%s does not answer: %w: %s", p.name, err, p.tail())
	}
	return p, addr, err
}

// gatewayCell is what one target did in one case.
type gatewayCell struct {
	rates, ratios []float64 // ratios are to the reverse proxy in the same round
	p50, added    []float64 // µs; added is over direct in the same round
	ops           int64
	cpu           time.Duration
	failed        string
}

// gatewayRow is one case.
type gatewayRow struct {
	stream  bool
	clients int
	cells   map[string]*gatewayCell
}

func (r gatewayRow) String() string {
	return fmt.Sprintf("%s c=%d", map[bool]string{false: "plain", true: "streamed"}[r.stream], r.clients)
}

// measureGateway measures all cases, round by round, all targets in turn.
func measureGateway(o options) (rows []gatewayRow, names []string, memory string, err error) {
	f, err := newGatewayField(o)
	if err != nil {
		return nil, nil, "", err
	}
	defer f.stop()
	for _, t := range f.targets {
		names = append(names, t.name)
	}
	for _, stream := range []bool{false, true} {
		for _, clients := range []int{1, 50} {
			row := gatewayRow{stream: stream, clients: clients, cells: map[string]*gatewayCell{}}
			log.Printf("gateway, %v", row)
			for _, t := range f.targets {
				row.cells[t.name] = &gatewayCell{}
			}
			for round := range o.rounds {
				f.round(row, round, o.measure)
			}
			rows = append(rows, row)
		}
	}
	memory, err = f.memory()
	return rows, names, memory, err
}

func (f *gatewayField) round(row gatewayRow, round int, d time.Duration) {
	rates, p50s := map[string]float64{}, map[string]float64{}
	for i := range f.targets {
		t := f.targets[(i+round)%len(f.targets)]
		c := row.cells[t.name]
		before, err := t.process.cpuTime()
		rate, p50, ops, loadErr := 0.0, time.Duration(0), int64(0), error(nil)
		if err == nil {
			rate, p50, ops, loadErr = loadHTTP(t.addr, row.clients, newCall(t.convert, row.stream, t.model), d)
		}
		after, cpuErr := t.process.cpuTime()
		for _, err := range []error{err, loadErr, cpuErr} {
			if err != nil && c.failed == "" {
				c.failed = err.Error()
				log.Printf("!!! %s, %v: %v", t.name, row, err)
			}
		}
		if c.failed != "" {
			continue
		}
		rates[t.name], p50s[t.name] = rate, float64(p50.Microseconds())
		c.rates, c.p50 = append(c.rates, rate), append(c.p50, float64(p50.Microseconds()))
		c.ops, c.cpu = c.ops+ops, c.cpu+after-before
	}
	for name, rate := range rates {
		c := row.cells[name]
		if rates["reverse proxy"] > 0 {
			c.ratios = append(c.ratios, rate/rates["reverse proxy"])
		}
		if p50s["direct"] > 0 {
			c.added = append(c.added, p50s[name]-p50s["direct"])
		}
	}
}

// memory is what open streams that are converted take over the gateway at rest.
func (f *gatewayField) memory() (string, error) {
	t := f.targets[len(f.targets)-1]
	idle := t.process.memory("VmRSS")
	call := newCall(true, true, "openai-custom:"+holdModel)
	for range openStreams {
		c, err := dialHTTP(t.addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return "", err
		}
		if _, err := c.Write(call.wire); err != nil {
			return "", err
		}
		if line, err := c.in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			return "", fmt.Errorf("a stream answered %q: %w", line, err)
		}
	}
	over := t.process.memory("VmRSS") - idle
	return fmt.Sprintf("%d open streams, converted: %.0f MB over %.0f MB at rest (promised: %d MB at most): %s.", openStreams, over, idle, gatewayMemory, kept(over <= gatewayMemory)), nil
}

// gatewayBars are the promises of the gateway.
const (
	gatewayRatio  = 0.6 // of the bare reverse proxy's throughput with 50 clients
	gatewayMemory = 120 // MB over what it takes at rest, for openStreams
	gatewayAdded  = 300 // µs at p50 with one client, over calling the provider directly
)

// addGateway writes the table.
func (r *report) addGateway(rows []gatewayRow, names []string, memory string, err error) {
	fmt.Fprint(&r.b, "\n## The gateway\n\n")
	if err != nil {
		fmt.Fprintf(&r.b, "Not measured: %v\n", err)
		return
	}
	fmt.Fprintf(&r.b, "A provider that answers at once, called directly, through Go's own reverse proxy (httputil) with nothing else, and\n"+
		"through the gateway, in the provider's protocol and converted (Claude to Chat Completions). A stream has %d pieces.\n"+
		"A cell is: requests a second, the ratio to the reverse proxy, the time to the first word of the answer at p50 and what\nthat adds to direct, and the processor time of the target's process for one request.\n\n", streamChunks)
	fmt.Fprintf(&r.b, "| case | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, row := range rows {
		fmt.Fprintf(&r.b, "| %v |", row)
		for _, name := range names {
			fmt.Fprintf(&r.b, " %s |", row.cells[name])
		}
		r.b.WriteString("\n")
	}
	fmt.Fprintf(&r.b, "\n%s\n\n| promised | measured (least to most of the rounds) | |\n|---|---|---|\n", memory)
	for _, row := range rows {
		for _, name := range names[2:] {
			c := row.cells[name]
			if c.failed != "" {
				continue
			}
			if row.clients > 1 {
				m, least, most := spread(c.ratios)
				fmt.Fprintf(&r.b, "| %s, %v: %.1fx of the reverse proxy | %.2fx (%.2f–%.2f) | %s |\n", name, row, gatewayRatio, m, least, most, kept(m >= gatewayRatio))
				continue
			}
			m, least, most := spread(c.added)
			fmt.Fprintf(&r.b, "| %s, %v: +%d µs at most at p50 | %+.0f µs (%+.0f–%+.0f) | %s |\n", name, row, gatewayAdded, m, least, most, kept(m <= gatewayAdded))
		}
	}
}

func kept(ok bool) string {
	if ok {
		return "kept"
	}
	return "**missed**"
}

// String is the cell's text in the table.
func (c *gatewayCell) String() string {
	if c.failed != "" || c.ops == 0 {
		return "failed"
	}
	rate, _, _ := spread(c.rates)
	ratio, least, most := spread(c.ratios)
	p50, _, _ := spread(c.p50)
	added, _, _ := spread(c.added)
	return fmt.Sprintf("%.0f · %.2fx (%.2f–%.2f) · %.0f µs (%+.0f) · %.0f µs", rate, ratio, least, most, p50, added, float64(c.cpu.Microseconds())/float64(c.ops))
}
