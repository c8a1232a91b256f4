package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// target is one column of the table.
type target struct {
	name     string
	addr     string
	prefix   string   // of its keys
	process  *process // whose processor time counts; nil: none of its own
	only     map[string]bool
	upstream bool // answers from Redis, so its data has to be there
}

// Keys under this prefix are never cached by Holdfast: the forwarding path.
const forwardPrefix = "fwd:"

// field is everything that runs for one table.
type field struct {
	dir     string
	targets []target
	stops   []func()
}

// newField starts a Redis, with rtt in front of it when that is not 0, and all
// proxies that go to it.
func newField(o options, rtt time.Duration) (_ *field, err error) {
	f := &field{}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return nil, err
	}
	f.stops = append(f.stops, func() { _ = os.RemoveAll(f.dir) })
	redis, redisAddr, err := f.start("redis-server", func(addr, dir string) []string {
		_, port, _ := strings.Cut(addr, ":")
		return []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}
	})
	if err != nil {
		return nil, err
	}
	upstream := redisAddr
	if rtt > 0 {
		if upstream, err = f.delay(redisAddr, rtt); err != nil {
			return nil, err
		}
	}
	f.targets = []target{{name: "direct", addr: upstream, prefix: "direct:", process: redis, upstream: true}}
	for _, add := range []func(options, string) error{f.addTwemproxy, f.addHaproxy, f.addRedcon, f.addHoldfast} {
		if err := add(o, upstream); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// stop ends everything, last started first.
func (f *field) stop() {
	for i := len(f.stops) - 1; i >= 0; i-- {
		f.stops[i]()
	}
	f.stops = nil
}

// start runs program on a free address, in a directory of its own.
func (f *field) start(program string, args func(addr, dir string) []string) (*process, string, error) {
	p, addr, err := f.launch(program, args)
	if err != nil {
		return nil, "", err
	}
	return p, addr, p.waitReady(addr)
}

// launch is start that does not wait until the program answers.
func (f *field) launch(program string, args func(addr, dir string) []string) (*process, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp(f.dir, filepath.Base(program)+"-")
	if err != nil {
		return nil, "", err
	}
	p, err := startProcess(dir, program, args(addr, dir)...)
	if err != nil {
		return nil, "", err
	}
	f.stops = append(f.stops, p.stop)
	return p, addr, nil
}

// delay puts a proxy in front of addr that holds every answer back for rtt.
func (f *field) delay(addr string, rtt time.Duration) (string, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", addr)
	if err := proxy.Start(); err != nil {
		return "", fmt.Errorf("start toxiproxy: %w", err)
	}
	f.stops = append(f.stops, proxy.Stop)
	toxic := fmt.Sprintf(`{"name":"rtt","type":"latency","stream":"downstream","attributes":{"latency":%d}}`, rtt.Milliseconds())
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return "", fmt.Errorf("delay by %v: %w", rtt, err)
	}
	return proxy.Listen, nil
}

func (f *field) addTwemproxy(_ options, upstream string) error {
	p, addr, err := f.start("nutcracker", func(addr, dir string) []string {
		conf := filepath.Join(dir, "nutcracker.yml")
		text := fmt.Sprintf("bench:\n  listen: %s\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - %s:1\n", addr, upstream)
		_ = os.WriteFile(conf, []byte(text), 0o600) // an error shows as a process that does not start
		_, stats, _ := strings.Cut(mustFree(), ":")
		return []string{"-c", conf, "-p", filepath.Join(dir, "pid"), "-a", "127.0.0.1", "-s", stats, "-m", "16384"}
	})
	f.targets = append(f.targets, target{name: "twemproxy", addr: addr, prefix: "tw:", process: p, upstream: true})
	return err
}

func (f *field) addHaproxy(_ options, upstream string) error {
	p, addr, err := f.start("haproxy", func(addr, dir string) []string {
		conf := filepath.Join(dir, "haproxy.cfg")
		text := fmt.Sprintf("global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"+
			"listen bench\n  bind %s\n  server redis %s\n", addr, upstream)
		_ = os.WriteFile(conf, []byte(text), 0o600)
		return []string{"-db", "-f", conf}
	})
	f.targets = append(f.targets, target{name: "haproxy", addr: addr, prefix: "ha:", process: p, upstream: true})
	return err
}

func (f *field) addRedcon(options, string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, addr, err := f.start(self, func(addr, _ string) []string { return []string{"-serve-redcon", addr} })
	f.targets = append(f.targets, target{name: "redcon", addr: addr, prefix: "rc:", process: p})
	return err
}

// addHoldfast starts one Holdfast and makes three columns of it: forwarding,
// cache hits, and the same commands on the store without any Redis.
func (f *field) addHoldfast(o options, upstream string) error {
	if o.holdfast == "" {
		return nil
	}
	args := func(extra ...string) func(addr, dir string) []string {
		return func(addr, dir string) []string {
			return append([]string{"proxy", "--listen", addr, "--admin", "off", "--data-dir", filepath.Join(dir, "data"), "--log-level", "warn"}, extra...)
		}
	}
	p, addr, err := f.start(o.holdfast, args("--redis-url", "redis://"+upstream, "--no-cache", forwardPrefix))
	if err != nil {
		log.Printf("!!! holdfast does not start: the table will be WITHOUT it: %v", err)
		return nil
	}
	f.targets = append(f.targets,
		target{name: "holdfast", addr: addr, prefix: forwardPrefix, process: p, upstream: true},
		target{name: "holdfast hit", addr: addr, prefix: "hit:", process: p, only: reads, upstream: true})
	p, addr, err = f.start(o.holdfast, args())
	if err != nil {
		log.Printf("!!! holdfast without a Redis does not start: no such column: %v", err)
		return nil
	}
	f.targets = append(f.targets, target{name: "holdfast embedded", addr: addr, prefix: "emb:", process: p})
	return nil
}

// mustFree is a free address, or one that will be refused with a clear error.
func mustFree() string {
	addr, err := freeAddr()
	if err != nil {
		return "127.0.0.1:0"
	}
	return addr
}
