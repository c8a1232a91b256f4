package procs

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// patience is how long a change of the network may take. Toxiproxy can block
// for ever when a connection ends while a fault is being removed from it.
const patience = 2 * time.Second

// Link is the network between a proxy and its Redis. Not safe for concurrent use.
type Link struct {
	near, far string
	p         *toxiproxy.Proxy
}

// NewLink starts a link that leads to addr.
func NewLink(addr string) (*Link, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have a logger of their own
	near, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	l := &Link{near: near, far: addr}
	l.renew()
	return l, l.Mend()
}

// renew gives up the network as it is, connections and all, for a new one that
// is not started yet.
func (l *Link) renew() {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l.p = toxiproxy.NewProxy(server, "link", l.near, l.far)
}

// Addr is the near end.
func (l *Link) Addr() string { return l.near }

// Cut closes every connection; until Mend new ones are refused.
func (l *Link) Cut() {
	old := l.p
	if !within(func() { old.Stop() }) {
		l.renew() // its listener is closed; its connections hang, as real ones do at times
	}
}

// Mend takes connections again.
func (l *Link) Mend() error {
	var err error
	// A connection of somebody else may hold the port for a moment.
	for range 200 {
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
	p, result := l.p, make(chan error, 1)
	done := within(func() {
		_, err := p.Toxics.AddToxicJson(strings.NewReader(
			fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":%s}`, kind, stream, attributes)))
		result <- err
	})
	if !done {
		l.Cut() // a fault as well
		return nil
	}
	return <-result
}

// Heal removes all faults and mends the link. Connections live on where
// toxiproxy can do that.
func (l *Link) Heal() error {
	p := l.p
	if !within(func() { p.Toxics.ResetToxics(context.Background()) }) {
		l.Cut()
		l.renew()
	}
	return l.Mend()
}

// within reports whether f ended in time; else it goes on alone.
func within(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
