package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// outageRow is one promise about an outage, or about memory, and what came out.
type outageRow struct {
	text, promised, measured string
	kept                     bool
}

// measureOutage measures each promise with processes of its own.
func measureOutage(o options) []outageRow {
	var rows []outageRow
	for _, m := range []struct {
		name    string
		measure func(options) ([]outageRow, error)
	}{
		{"offline speed", offlineSpeed}, {"gaps", gaps}, {"replay", replaySpeed},
		{"start-up", startUp}, {"memory of the cache", cacheMemory},
	} {
		log.Print(m.name)
		got, err := m.measure(o)
		if err != nil {
			log.Printf("!!! %s: %v", m.name, err)
			got = append(got, outageRow{text: m.name, measured: "failed"})
		}
		rows = append(rows, got...)
	}
	return rows
}

func (r *report) addOutage(rows []outageRow) {
	fmt.Fprint(&r.b, "\n## Without Redis, and memory\n\n| what | promised | measured | |\n|---|---|---|---|\n")
	for _, row := range rows {
		verdict := "kept"
		if !row.kept {
			verdict = "**missed**"
		}
		fmt.Fprintf(&r.b, "| %s | %s | %s | %s |\n", row.text, row.promised, row.measured, verdict)
	}
}

func offlineSpeed(o options) (rows []outageRow, err error) {
	s, err := newScene(o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.startRedis(); err != nil {
		return nil, err
	}
	if _, err := s.startHoldfast(); err != nil {
		return nil, err
	}
	read := testCase{op: "GET", size: 64}
	var ratios, writes []float64
	for range o.rounds {
		if err := errors.Join(s.online(), do(s.addr, read.setup(offlinePrefix)...)); err != nil {
			return nil, err
		}
		hits, _, err := load(s.addr, outageClients, 16, read.request(offlinePrefix), o.measure)
		if err != nil {
			return nil, err
		}
		if err := s.offline(); err != nil {
			return nil, err
		}
		away, _, err := load(s.addr, outageClients, 16, read.request(offlinePrefix), o.measure)
		if err != nil {
			return nil, err
		}
		ratios = append(ratios, away/hits)
		rate, _, err := load(s.addr, outageClients, 1, testCase{op: "SET", size: 64}.request(offlinePrefix), o.measure)
		if err != nil {
			return nil, err
		}
		writes = append(writes, rate)
		if err := s.startRedis(); err != nil {
			return nil, err
		}
	}
	ratio, least, most := spread(ratios)
	rate, slow, fast := spread(writes)
	return []outageRow{
		{"offline GET to cached GET, 50 clients, P=16", "0.5x", fmt.Sprintf("%.2fx (%.2f–%.2f)", ratio, least, most), ratio >= 0.5},
		{"offline SET, on disk before the answer, 50 clients, P=1", "20k/s", fmt.Sprintf("%.1fk/s (%.1f–%.1f)", rate/1000, slow/1000, fast/1000), rate >= 20000},
	}, nil
}

// gaps takes the time without an answer when Redis is killed and when it hangs.
// Later pauses are those of the disk: they say what this machine does to a write.
func gaps(o options) ([]outageRow, error) {
	var killed, hung, later []float64
	for i := range 2 * o.rounds {
		s, err := newScene(o)
		if err != nil {
			return nil, err
		}
		happen, to := s.killRedis, &killed
		if i%2 == 1 {
			happen, to = s.pauseRedis, &hung
		}
		err = s.startRedis()
		if err == nil {
			_, err = s.startHoldfast()
		}
		if err == nil {
			err = s.online()
		}
		var g gap
		if err == nil {
			g, err = s.longestGap(happen, 4*time.Second)
			s.signalRedis(syscall.SIGCONT)
		}
		s.stop()
		if err != nil {
			return nil, err
		}
		*to = append(*to, float64(g.around.Milliseconds()))
		later = append(later, float64(g.later.Milliseconds()))
	}
	k, kl, km := spread(killed)
	h, hl, hm := spread(hung)
	l, ll, lm := spread(later)
	return []outageRow{
		{"first local answer after Redis is killed, a write, on disk", "50 ms each time", fmt.Sprintf("%.0f ms (%.0f–%.0f)", k, kl, km), km <= 50},
		{"first local answer after Redis hangs", "1 s, the command time-out, each time", fmt.Sprintf("%.2f s (%.2f–%.2f)", h/1000, hl/1000, hm/1000), hm <= 1000},
		{"longest wait of a write for the disk in the 3 s after that", "none", fmt.Sprintf("%.0f ms (%.0f–%.0f)", l, ll, lm), true},
	}, nil
}

func (s *scene) killRedis() { _ = s.redis.cmd.Process.Kill() }

// replaySpeed compares the replay of queued writes with redis-cli --pipe.
func replaySpeed(o options) ([]outageRow, error) {
	n := o.scale(300_000)
	next := func(i int) []byte { return encode("SET", offlinePrefix+"r:"+strconv.Itoa(i), strings.Repeat("x", 64)) }
	s, err := newScene(o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if _, err := s.startHoldfast(); err != nil {
		return nil, err
	}
	if _, err := fill(s.addr, n, next); err != nil {
		return nil, err
	}
	if err := s.startRedis(); err != nil {
		return nil, err
	}
	var first time.Time
	err = until(2*time.Minute, func() error {
		size, err := ask(s.redisAddr, "DBSIZE")
		if err != nil {
			return err
		}
		if first.IsZero() && size != "0" {
			first = time.Now()
		}
		if have, _ := strconv.Atoi(size); have < n {
			return fmt.Errorf("%s of %d keys", size, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(first)
	if err := do(s.redisAddr, encode("FLUSHALL")); err != nil {
		return nil, err
	}
	var commands bytes.Buffer
	for i := range n {
		commands.Write(next(i))
	}
	piped, err := pipe(s.redisAddr, commands.Bytes())
	if err != nil {
		return nil, err
	}
	ratio := piped.Seconds() / took.Seconds()
	return []outageRow{{fmt.Sprintf("replay of %d SETs to redis-cli --pipe", n), "0.5x",
		fmt.Sprintf("%.2fx (%.0fk/s to %.0fk/s)", ratio, float64(n)/took.Seconds()/1000, float64(n)/piped.Seconds()/1000), ratio >= 0.5}}, nil
}

// startUp kills a proxy with many queued writes and starts it again.
func startUp(o options) (rows []outageRow, err error) {
	n := o.scale(1_000_000)
	for _, c := range []struct {
		text string
		next func(i int) []byte
	}{
		{"SETs of as many keys", func(i int) []byte { return encode("SET", offlinePrefix+"q:"+strconv.Itoa(i), strings.Repeat("x", 64)) }},
		{"INCRs of 1,000 keys", func(i int) []byte { return encode("INCR", offlinePrefix+"n:"+strconv.Itoa(i%1000)) }},
	} {
		s, err := newScene(o)
		if err != nil {
			return nil, err
		}
		row, err := s.restart(n, c.text, c.next)
		s.stop()
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s *scene) restart(n int, text string, next func(i int) []byte) (outageRow, error) {
	if err := s.startRedis(); err != nil { // so that the mirror is complete, and INCR of an absent key known
		return outageRow{}, err
	}
	if _, err := s.startHoldfast(); err != nil {
		return outageRow{}, err
	}
	if err := errors.Join(s.online(), s.mirrored(), s.offline()); err != nil {
		return outageRow{}, err
	}
	if _, err := fill(s.addr, n, next); err != nil {
		return outageRow{}, err
	}
	before := s.holdfast.memory("VmRSS")
	s.holdfast.kill()
	took, err := s.startHoldfast()
	if err != nil {
		return outageRow{}, err
	}
	return outageRow{fmt.Sprintf("start-up after kill -9 with %d queued %s", n, text), "5 s",
		fmt.Sprintf("%.1f s; memory %.0f MB before, %.0f MB after", took.Seconds(), before, s.holdfast.memory("VmRSS")), took <= 5*time.Second}, nil
}

// cacheMemory fills the cache with a million replies of 64 B.
func cacheMemory(o options) ([]outageRow, error) {
	n := o.scale(1_000_000)
	s, err := newScene(o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.startRedis(); err != nil {
		return nil, err
	}
	key := func(i int) string { return fmt.Sprintf("k:%07d", i) }
	value := strings.Repeat("x", 64)
	if _, err := fill(s.redisAddr, n, func(i int) []byte { return encode("SET", key(i), value) }); err != nil {
		return nil, err
	}
	if _, err := s.startHoldfast("--cache-bytes", "1GB", "--mirror-bytes", "1MB"); err != nil {
		return nil, err
	}
	if err := s.online(); err != nil {
		return nil, err
	}
	if _, err := fill(s.addr, n, func(i int) []byte { return encode("GET", key(i)) }); err != nil {
		return nil, err
	}
	peak, now := s.holdfast.memory("VmHWM"), s.holdfast.memory("VmRSS")
	return []outageRow{{fmt.Sprintf("process memory with %d cached replies of 64 B", n), "220 MB", fmt.Sprintf("%.0f MB, %.0f MB at most", now, peak), now <= 220}}, nil
}

// scale makes a quick run's numbers smaller.
func (o *options) scale(n int) int {
	if o.quick {
		return n / 10
	}
	return n
}
