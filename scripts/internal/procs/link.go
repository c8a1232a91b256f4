package procs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Link is the network between a proxy and its Redis. Safe for concurrent use.
type Link struct {
	mu sync.Mutex
	p  *toxiproxy.Proxy
}

// NewLink starts a link that leads to addr.
func NewLink(addr string) (*Link, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have a logger of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &Link{p: toxiproxy.NewProxy(server, "link", "127.0.0.1:0", addr)}
	return l, l.p.Start()
}

// Addr is the near end.
func (l *Link) Addr() string { return l.p.Listen }

// Cut closes every connection; until Mend new ones are refused.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.p.Stop()
}

// Mend takes connections again.
func (l *Link) Mend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	// A connection of somebody else may hold the port for a moment.
	for range 100 {
		if err = l.p.Start(); err == nil || err == toxiproxy.ErrProxyAlreadyStarted {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("mend the link: %w", err)
}

// Toxic adds a fault: kind is one of toxiproxy's, up says in which direction
// (true: to Redis), attributes are JSON. Faults last until Heal.
func (l *Link) Toxic(kind string, up bool, attributes string) error {
	stream := "downstream"
	if up {
		stream = "upstream"
	}
	return l.bounded("add "+kind, func() error {
		_, err := l.p.Toxics.AddToxicJson(strings.NewReader(
			fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":%s}`, kind, stream, attributes)))
		if err == toxiproxy.ErrToxicAlreadyExists {
			return nil
		}
		return err
	})
}

// Heal removes all faults and mends the link.
func (l *Link) Heal() error {
	err := l.bounded("remove toxics", func() error {
		l.p.Toxics.ResetToxics(context.Background())
		return nil
	})
	if err != nil {
		return err
	}
	return l.Mend()
}

// bounded runs a change of the toxics. A connection whose far end reads nothing
// can hold it up; then all connections are closed, which lets it go on.
func (l *Link) bounded(what string, change func() error) error {
	done := make(chan error, 1)
	go func() { done <- change() }()
	for range 2 {
		select {
		case err := <-done:
			return err
		case <-time.After(3 * time.Second):
			l.Cut()
		}
	}
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%s: toxiproxy hangs", what)
	}
}
