package engine

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Facts are what INFO tells and the engine does not know; zero values are told as they are.
type Facts struct {
	Version   string // of the Redis that it stands in for
	RunID     string
	Port      int
	Clients   int
	Blocked   int
	Started   time.Time
	Commands  int64 // executed since the start
	Refused   int64 // connections
	Accepted  int64 // connections
	LastSave  time.Time
	Persisted bool // what is acknowledged is on disk

	Counted map[string]CommandStat // commands that the engine does not execute
	Errors  map[string]int64       // replies to them by code
	Tracked Tracked
}

// Tracked is what INFO tells of clients that track keys.
type Tracked struct{ Clients, Keys, Items, Prefixes int }

// infoSections are those of INFO, in their order.
var infoSections = []struct {
	name string
	text func(e *Engine, f Facts) string
}{
	{"server", (*Engine).infoServer}, {"clients", (*Engine).infoClients}, {"memory", (*Engine).infoMemory},
	{"persistence", (*Engine).infoPersistence}, {"stats", (*Engine).infoStats}, {"replication", (*Engine).infoReplication},
	{"cpu", (*Engine).infoCPU}, {"modules", func(*Engine, Facts) string { return "" }}, {"commandstats", (*Engine).infoCommandStats}, {"errorstats", (*Engine).infoErrorStats},
	{"cluster", func(*Engine, Facts) string { return "cluster_enabled:0\r\n" }}, {"keyspace", (*Engine).infoKeyspace},
}

// Info is the text of INFO for sections by name, in any case; none means all.
func (e *Engine) Info(sections []string, f Facts) string {
	e.tick()
	want := map[string]bool{}
	for _, s := range sections {
		want[strings.ToLower(s)] = true
	}
	all := want["all"] || want["everything"]
	byDefault := len(want) == 0 || want["default"]
	var out []string
	for _, s := range infoSections {
		if all || byDefault && s.name != "commandstats" || want[s.name] {
			title := strings.ToUpper(s.name[:1]) + s.name[1:]
			if s.name == "cpu" {
				title = "CPU"
			}
			out = append(out, "# "+title+"\r\n"+s.text(e, f))
		}
	}
	return strings.Join(out, "\r\n")
}

func (e *Engine) infoServer(f Facts) string {
	up := int64(0)
	if !f.Started.IsZero() {
		up = int64(time.Since(f.Started).Seconds())
	}
	return fmt.Sprintf("redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_mode:standalone\r\nos:%s\r\narch_bits:64\r\n"+
		"process_id:%d\r\nrun_id:%s\r\ntcp_port:%d\r\nserver_time_usec:%d\r\nuptime_in_seconds:%d\r\nuptime_in_days:%d\r\nhz:10\r\nconfigured_hz:10\r\nexecutable:\r\nconfig_file:\r\n",
		f.Version, runtime.GOOS, os.Getpid(), f.RunID, f.Port, e.nowMS*1000, up, up/86400)
}

func (e *Engine) infoClients(f Facts) string {
	return fmt.Sprintf("connected_clients:%d\r\ncluster_connections:0\r\nmaxclients:10000\r\nclient_recent_max_input_buffer:0\r\nclient_recent_max_output_buffer:0\r\n"+
		"blocked_clients:%d\r\ntracking_clients:%d\r\nclients_in_timeout_table:0\r\n", f.Clients, f.Blocked, f.Tracked.Clients)
}

// memoryInUse is what the process uses: the heap in use, its peak, and what it has from the
// system.
func (e *Engine) memoryInUse() (used, peak, rss uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.peak = max(e.peak, m.HeapAlloc)
	return m.HeapAlloc, e.peak, m.Sys - m.HeapReleased
}

func human(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if n >= u.size {
			return fmt.Sprintf("%.2f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

func (e *Engine) infoMemory(Facts) string {
	used, peak, rss := e.memoryInUse()
	return fmt.Sprintf("used_memory:%d\r\nused_memory_human:%s\r\nused_memory_rss:%d\r\nused_memory_rss_human:%s\r\nused_memory_peak:%d\r\nused_memory_peak_human:%s\r\n"+
		"used_memory_peak_perc:%.2f%%\r\nused_memory_overhead:0\r\nused_memory_startup:0\r\nused_memory_dataset:%d\r\nused_memory_dataset_perc:100.00%%\r\n"+
		"total_system_memory:0\r\ntotal_system_memory_human:0B\r\nused_memory_lua:0\r\nused_memory_lua_human:0B\r\nused_memory_scripts:0\r\nused_memory_scripts_human:0B\r\n"+
		"maxmemory:%d\r\nmaxmemory_human:%s\r\nmaxmemory_policy:noeviction\r\nmem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%d\r\n"+
		"mem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r\nmem_clients_normal:0\r\nmem_aof_buffer:0\r\nmem_allocator:go\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n",
		used, human(used), rss, human(rss), peak, human(peak), 100*float64(used)/float64(peak), used,
		e.maxmemory.most.Load(), human(uint64(e.maxmemory.most.Load())), float64(rss)/float64(used), int64(rss)-int64(used)) + fmt.Sprintf("number_of_cached_scripts:%d\r\nnumber_of_functions:%d\r\nnumber_of_libraries:%d\r\n",
		e.scripts.count(), len(e.libs.names), len(e.libs.list))
}

func (e *Engine) infoPersistence(f Facts) string {
	save := int64(0)
	if !f.LastSave.IsZero() {
		save = f.LastSave.Unix()
	}
	aof := 0
	if f.Persisted {
		aof = 1
	}
	return fmt.Sprintf("loading:0\r\nasync_loading:0\r\ncurrent_cow_size:0\r\nrdb_changes_since_last_save:%d\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:%d\r\n"+
		"rdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\nrdb_saves:0\r\naof_enabled:%d\r\naof_rewrite_in_progress:0\r\n"+
		"aof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n", e.dirty, save, aof)
}

func (e *Engine) infoStats(f Facts) string {
	return fmt.Sprintf("total_connections_received:%d\r\ntotal_commands_processed:%d\r\ninstantaneous_ops_per_sec:0\r\ntotal_net_input_bytes:0\r\ntotal_net_output_bytes:0\r\n"+
		"rejected_connections:%d\r\nsync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:%d\r\nexpired_stale_perc:0.00\r\nexpired_time_cap_reached_count:0\r\n"+
		"evicted_keys:0\r\nevicted_clients:0\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\npubsub_channels:0\r\npubsub_patterns:0\r\nlatest_fork_usec:0\r\n"+
		"tracking_total_keys:%d\r\ntracking_total_items:%d\r\ntracking_total_prefixes:%d\r\ntotal_error_replies:%d\r\n",
		f.Accepted, f.Commands, f.Refused, e.expired, f.Tracked.Keys, f.Tracked.Items, f.Tracked.Prefixes, errorReplies(e, f))
}

func (e *Engine) infoReplication(f Facts) string {
	return "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:" + f.RunID +
		"\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n"
}

func (e *Engine) infoCPU(Facts) string {
	sys, user := cpuTimes()
	return fmt.Sprintf("used_cpu_sys:%f\r\nused_cpu_user:%f\r\nused_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n", sys, user)
}

func (e *Engine) infoKeyspace(Facts) string {
	var out strings.Builder
	ids := make([]int, 0, len(e.dbs))
	for id := range e.dbs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	timed := map[uint8]int{}
	for _, en := range e.due {
		if en.deadline != 0 {
			timed[en.db]++
		}
	}
	for _, id := range ids {
		if n := len(e.dbs[id].keys); n > 0 {
			fmt.Fprintf(&out, "db%d:keys=%d,expires=%d,avg_ttl=0\r\n", id, n, timed[uint8(id)])
		}
	}
	return out.String()
}

// info is INFO.
func (c *call) info() {
	r := c.buf()
	r.verbatim(c.e.Info(c.args[1:], Facts{}))
	c.reply = r.b
}

// verbatim writes a text that is meant for people.
func (r *replyBuf) verbatim(s string) {
	if !r.v3 {
		r.bulk(s)
		return
	}
	r.head('=', int64(len(s)+4))
	r.b = append(append(append(r.b, "txt:"...), s...), '\r', '\n')
}
