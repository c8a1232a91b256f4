package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are all figures of the gateway, in a registry of its own. Labels hold
// routes, provider types and outcomes: never keys, models or uuids.
type metrics struct {
	registry *prometheus.Registry

	requests   *prometheus.CounterVec   // route, code
	duration   *prometheus.HistogramVec // route
	inFlight   prometheus.Gauge
	attempts   *prometheus.CounterVec // provider, outcome
	putAside   *prometheus.CounterVec // provider
	redisUp    prometheus.Gauge
	redisFails prometheus.Counter
	reloads    prometheus.Counter
	countFails prometheus.Counter
	countsSent prometheus.Counter
	renewals   *prometheus.CounterVec // provider, outcome
	checks     *prometheus.CounterVec // provider, outcome
}

// newMetrics registers everything; pending and unsaved are asked for the number
// of counts and of tokens that wait for Redis.
func newMetrics(pending, unsaved func() int64) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	m.requests = counters("holdfast_gateway_requests_total", "Requests by route and status; 499 is a client that went away.", "route", "code")
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "holdfast_gateway_request_seconds", Help: "Time to the end of the answer, streams included.",
		Buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"route"})
	m.inFlight = gauge("holdfast_gateway_requests_in_flight", "API requests being answered.")
	m.attempts = counters("holdfast_gateway_upstream_attempts_total", "Attempts on provider accounts by outcome.", "provider", "outcome")
	m.putAside = counters("holdfast_gateway_accounts_put_aside_total", "Times an account was put aside after errors.", "provider")
	m.redisUp = gauge("holdfast_gateway_redis_connected", "1 while the Redis behind the gateway answers.")
	m.redisFails = counter("holdfast_gateway_redis_failures_total", "Polls of Redis that failed.")
	m.reloads = counter("holdfast_gateway_reloads_total", "Changed states taken over.")
	m.countFails = counter("holdfast_gateway_count_delivery_failures_total", "Deliveries of counts that failed and are tried again.")
	m.countsSent = counter("holdfast_gateway_counts_delivered_total", "Counts delivered to Redis.")
	m.renewals = counters("holdfast_gateway_token_refreshes_total", "Refreshes of access tokens by outcome; adopted is one that another gateway made.", "provider", "outcome")
	m.checks = counters("holdfast_gateway_health_checks_total", "Scheduled health checks by outcome.", "provider", "outcome")
	asked := func(name, help string, ask func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(ask()) })
	}
	m.registry.MustRegister(m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		asked("holdfast_gateway_counts_pending", "Counts waiting for Redis.", pending),
		asked("holdfast_gateway_tokens_unsaved", "Renewed tokens waiting for Redis.", unsaved))
	return m
}
