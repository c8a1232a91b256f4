package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/scripts/internal/procs"
)

// mode is what the suite talks to.
type mode int

const (
	direct   mode = iota // Redis itself
	plain                // Redis itself without DEBUG: what fails here only needs DEBUG
	single               // the same, with one database, as that of the URL is mirrored and no other
	online               // the proxy, with Redis there
	embedded             // the proxy without any Redis
	offline              // the proxy, everything mirrored, Redis killed
)

var modeNames = map[mode]string{
	direct: "direct", plain: "plain", single: "single", online: "online", embedded: "embedded", offline: "offline",
}

func (m mode) String() string { return modeNames[m] }

// local reports whether the commands run in Holdfast's own engine.
func (m mode) local() bool { return m == embedded || m == offline }

// parseModes reads a list such as "online,embedded".
func parseModes(list string) ([]mode, error) {
	var modes []mode
	for _, name := range strings.Split(list, ",") {
		found := false
		for m, n := range modeNames {
			if n == name && m > single {
				modes = append(modes, m)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("--modes: %q is none of online, embedded, offline", name)
		}
	}
	return modes, nil
}

// reference is the run that a mode is compared with beside the direct one.
func (m mode) reference() mode {
	switch m {
	case embedded:
		return plain
	case offline:
		return single
	}
	return direct
}

// servers are the processes that one unit runs against.
type servers struct {
	addr  string
	redis *procs.Redis
	proxy *procs.Holdfast
}

// startServers starts what mode m needs and waits until it takes commands.
func startServers(holdfast, dir string, m mode) (*servers, error) {
	s := &servers{}
	upstream := ""
	if m != embedded {
		redis, err := procs.NewRedis(dir)
		if err != nil {
			return nil, err
		}
		s.redis = redis
		// The suite runs on a server with its default configuration.
		extra := []string{"--appendonly", "no"}
		if m == plain || m == single {
			extra = append(extra, "--enable-debug-command", "no")
		}
		if err := redis.Start(extra...); err != nil {
			return nil, err
		}
		s.addr, upstream = redis.Addr(), redis.Addr()
	}
	if m <= single {
		return s, nil
	}
	var extra []string
	if m == offline {
		extra = append(extra, "--mirror", "")
	}
	proxy, err := procs.NewHoldfast(holdfast, dir, upstream, extra...)
	if err != nil {
		return nil, err
	}
	s.proxy, s.addr = proxy, proxy.Addr()
	if err := proxy.Start(); err != nil {
		s.stop()
		return nil, err
	}
	if m == offline {
		return s, s.goOffline()
	}
	return s, nil
}

// goOffline waits until the mirror is complete, kills Redis and waits until the
// proxy serves locally.
func (s *servers) goOffline() error {
	if err := s.awaitStatus(func(st procs.Status) bool { return st.Mirror.Complete }); err != nil {
		return fmt.Errorf("wait for the mirror: %w", err)
	}
	s.redis.Kill()
	return s.awaitStatus(func(st procs.Status) bool { return st.Mode == "offline" })
}

func (s *servers) awaitStatus(ok func(procs.Status) bool) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		st, err := s.proxy.Status(context.Background())
		if err == nil && ok(st) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within 30 s; last status %+v, error %v", st, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *servers) stop() {
	if s.proxy != nil {
		s.proxy.Kill()
	}
	if s.redis != nil {
		s.redis.Kill()
	}
}

// isApart is the error of a test that is not counted while Redis is away. The suite does
// not print the first ten characters of what it does not expect.
const isApart = "a blocking command is not for when Redis is away"

// offlineHook is loaded into the suite while Redis is away. FLUSHALL, FUNCTION FLUSH
// and CONFIG are refused then, on purpose, and the suite uses them to set up its tests:
// it empties the databases with DEL, deletes libraries, and goes on without the setting.
// Blocking commands wait for Redis: no test of theirs is run.
const offlineHook = `
proc ::redis::__empty__ {id} {
    foreach key [::redis::__dispatch__raw__ $id keys {*}] { ::redis::__dispatch__raw__ $id del [list $key] }
    return OK
}
proc ::redis::__method__flushall {id fd args} { ::redis::__empty__ $id }
proc ::redis::__method__flushdb {id fd args} { ::redis::__empty__ $id }
rename ::redis::__dispatch__raw__ ::redis::__dispatch__hooked__
set ::redis::apart {blpop brpop brpoplpush blmove blmpop bzpopmin bzpopmax bzmpop wait}
proc ::redis::__dispatch__raw__ {id method argv} {
    if {[lsearch $::redis::apart [string tolower $method]] >= 0
        || [string match -nocase xread* $method] && [lsearch -nocase $argv block] >= 0} {
        if {![info exists ::redis::inside($id)]} { error "not here: ` + isApart + `" }
    }
    if {[string equal -nocase $method multi]} { set ::redis::inside($id) 1 }
    if {[lsearch {exec discard reset} [string tolower $method]] >= 0} { unset -nocomplain ::redis::inside($id) }
    set failed [catch {::redis::__dispatch__hooked__ $id $method $argv} reply]
    if {$failed && [string equal -nocase $method config]} {
        if {[string equal -nocase [lindex $argv 0] set]} { return OK }
        return [list [lindex $argv 1] {}]
    }
    if {$failed && [string equal -nocase $method function] && [string equal -nocase [lindex $argv 0] flush]} {
        catch {
            foreach library [::redis::__dispatch__hooked__ $id function list] {
                ::redis::__dispatch__hooked__ $id function [list delete [lindex $library 1]]
            }
        }
        return OK
    }
    return -code $failed $reply
}
`

// watchable makes the suite say which test it begins, when it begins it.
func watchable(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const begins = `set ::active_clients_task($fd) "(IN PROGRESS) $data"`
	said := strings.Replace(string(source), begins, begins+"\n        puts \"\\[testing\\]: $data\"", 1)
	if said == string(source) {
		return fmt.Errorf("%s does not have the line %q", path, begins)
	}
	return os.WriteFile(path, []byte("fconfigure stdout -buffering line\n"+said), 0o600)
}

// copySuite gives each run a copy of the suite, as it writes beside its sources.
func copySuite(suite, dir string, m mode) (string, error) {
	dst := filepath.Join(dir, "suite")
	if err := os.MkdirAll(filepath.Join(dst, "src"), 0o700); err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(dst, "tests"), os.DirFS(filepath.Join(suite, "tests"))); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dst, "tests", "tmp"), 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"redis-cli", "redis-benchmark", "redis-server"} {
		_ = os.Symlink("/usr/bin/"+name, filepath.Join(dst, "src", name))
	}
	if err := watchable(filepath.Join(dst, "tests", "test_helper.tcl")); err != nil || m != offline {
		return dst, err
	}
	f, err := os.OpenFile(filepath.Join(dst, "tests", "support", "redis.tcl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.WriteString(offlineHook)
	return dst, err
}
