package proxy

import "github.com/prometheus/client_golang/prometheus"

// metric is one figure of the status, with its name and meaning in one place.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(s *Server, st *Status) float64
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var metrics = []metric{
	{"holdfast_upstream_up", "1 while the real Redis answers this proxy's clients.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return flag(st.Connected) }},
	{"holdfast_clients", "Connected clients.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Clients) }},
	{"holdfast_auth_failures_total", "Logins refused: wrong password, or no such user.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.AuthFailures) }},
	{"holdfast_commands_total", "Commands received from clients.", prometheus.CounterValue,
		func(s *Server, _ *Status) float64 { return float64(s.commands.Load()) }},
	{"holdfast_cache_entries", "Replies in the cache.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Cache.Entries) }},
	{"holdfast_cache_bytes", "Memory of the cache, bytes.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Cache.Bytes) }},
	{"holdfast_cache_hits_total", "Reads answered from the cache.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Cache.Hits) }},
	{"holdfast_cache_misses_total", "Cacheable reads that were not in the cache.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Cache.Misses) }},
	{"holdfast_cache_invalidations_total", "Keys dropped because the server announced a change.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Cache.Invalidations) }},
	{"holdfast_cache_coherent", "1 while the server announces changes to this proxy.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return flag(st.Cache.Coherent) }},
	{"holdfast_mirror_keys", "Keys held locally.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Mirror.Keys) }},
	{"holdfast_mirror_complete", "1 when every key under the mirrored prefixes is held.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return flag(st.Mirror.Complete) }},
	{"holdfast_journal_queued_writes", "Acknowledged writes that wait for Redis.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Journal.QueuedWrites) }},
	{"holdfast_journal_oldest_write_age_seconds", "How long the oldest of them has waited, 0 when none waits.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return st.Journal.OldestAge().Seconds() }},
	{"holdfast_journal_bytes", "Size of the journal on disk.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Journal.Bytes) }},
	{"holdfast_journal_failed", "1 when the journal cannot be written and writes are refused.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return flag(st.Journal.Failed) }},
	{"holdfast_journal_full", "1 when the journal reached its bound and writes are refused.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return flag(st.Journal.Full) }},
	{"holdfast_journal_refused_writes_total", "Writes refused because the journal was full or had failed.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Journal.Refused) }},
	{"holdfast_journal_recoveries_total", "How often the journal went on by itself after it had failed.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Journal.Recovered) }},
	{"holdfast_troubles", "What an operator has to look at, by number; status has the texts.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(len(st.Troubles)) }},
	{"holdfast_replayed_writes_total", "Journaled writes brought to Redis.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Replay.Replayed) }},
	{"holdfast_replay_conflicts_total", "Journaled writes whose keys had changed at Redis meanwhile.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Replay.Conflicts) }},
	{"holdfast_replay_overwritten_total", "Keys whose other value at Redis gave way to a journaled write.", prometheus.CounterValue,
		func(_ *Server, st *Status) float64 { return float64(st.Replay.Overwritten) }},
	{"holdfast_dead_letters", "Journaled writes that Redis refused and that wait for somebody to look.", prometheus.GaugeValue,
		func(_ *Server, st *Status) float64 { return float64(st.Replay.DeadLetters) }},
}

// collector reads the status once for each scrape.
type collector struct {
	s     *Server
	descs []*prometheus.Desc
	mode  *prometheus.Desc
}

func newCollector(s *Server) *collector {
	c := &collector{s: s, mode: prometheus.NewDesc("holdfast_mode", "1 for the mode the proxy is in.", []string{"mode"}, nil)}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, nil, nil))
	}
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.mode
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Status()
	for i, m := range metrics {
		ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, m.value(c.s, &st))
	}
	for _, mode := range []string{"online", "offline", "replaying", "embedded"} {
		ch <- prometheus.MustNewConstMetric(c.mode, prometheus.GaugeValue, flag(mode == st.Mode), mode)
	}
}
