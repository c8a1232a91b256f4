package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// results are the tests of one unit in one mode, by name: true for a test that
// passed each time that it ran.
type results struct {
	passed map[string]bool
	errors map[string]string // first line of what the suite says of a failure
	broken string            // why the unit did not come to its end; "" if it did
}

var (
	okLine  = regexp.MustCompile(`^\[ok\]: (.*) \(\d+ ms\)$`)
	errLine = regexp.MustCompile(`^\[err\]: (.*) in tests/\S+\.tcl$`)
	badLine = regexp.MustCompile(`^\[(exception|timeout)\]: (.*)$`)
	nowLine = regexp.MustCompile(`^\[testing\]: (.*)$`) // see watchable
)

// parseOutput reads what the suite printed.
func parseOutput(out string) results {
	r := results{passed: map[string]bool{}, errors: map[string]string{}}
	lines, now := strings.Split(out, "\n"), ""
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if m := okLine.FindStringSubmatch(line); m != nil {
			if _, seen := r.passed[m[1]]; !seen {
				r.passed[m[1]] = true
			}
		} else if m := errLine.FindStringSubmatch(line); m != nil {
			r.passed[m[1]] = false
			if i+1 < len(lines) && r.errors[m[1]] == "" {
				r.errors[m[1]] = strings.TrimSpace(lines[i+1])
			}
		} else if m := nowLine.FindStringSubmatch(line); m != nil {
			now = m[1]
		} else if m := badLine.FindStringSubmatch(line); m != nil && r.broken == "" {
			r.broken = fmt.Sprintf("%s in %q: %s", m[1], now, m[2])
		}
	}
	return r
}

// exception is a test that may fail in some modes.
type exception struct{ modes, reason string }

// readExceptions reads lines "modes | test name | reason"; modes is "local"
// (embedded and offline), "all", or a mode. Empty lines and those that begin
// with # are comments. A line without a reason is an error.
func readExceptions(path string) (map[string][]exception, error) {
	found := map[string][]exception{}
	if path == "" {
		return found, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 3 || strings.TrimSpace(parts[2]) == "" {
			return nil, fmt.Errorf("%s:%d: %q is not \"modes | test name | reason\"", path, n, line)
		}
		found[parts[1]] = append(found[parts[1]], exception{modes: parts[0], reason: parts[2]})
	}
	return found, lines.Err()
}

// report gathers all results. Counts are of distinct names, over all units.
type report struct {
	modes    []mode
	excepted map[string][]exception
	units    []string
	all      map[string]map[mode]results
}

func newReport(modes []mode, excepted map[string][]exception) *report {
	return &report{modes: modes, excepted: excepted, all: map[string]map[mode]results{}}
}

func (r *report) add(unit string, m mode, res results) {
	if r.all[unit] == nil {
		r.all[unit] = map[mode]results{}
		r.units = append(r.units, unit)
	}
	r.all[unit][m] = res
}

// reference gives the names that count in mode m: those that pass directly, and
// for the local modes without DEBUG as well.
func (r *report) reference(unit string, m mode) []string {
	var names []string
	if slices.Contains(apart[m], unit) {
		return nil
	}
	for name, ok := range r.all[unit][direct].passed {
		if ok && r.all[unit][m.reference()].passed[name] && !strings.Contains(r.all[unit][m].errors[name], isApart) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (r *report) isExcepted(m mode, name string) bool {
	for _, e := range r.excepted[name] {
		if e.modes == "all" || e.modes == m.String() || e.modes == "local" && m.local() {
			return true
		}
	}
	return false
}

// missing gives the names of a unit that count and do not pass in mode m.
func (r *report) missing(unit string, m mode) (names []string, counted int) {
	reference := r.reference(unit, m)
	for _, name := range reference {
		if !r.all[unit][m].passed[name] {
			names = append(names, name)
		}
	}
	return names, len(reference)
}

// printUnit prints one row of the table.
func (r *report) printUnit(w io.Writer, unit string) {
	fmt.Fprintf(w, "%-26s direct %4d", unit, len(r.reference(unit, direct)))
	for _, m := range r.modes {
		missing, counted := r.missing(unit, m)
		fmt.Fprintf(w, "   %s %d/%d", m, counted-len(missing), counted)
		if broken := r.all[unit][m].broken; broken != "" {
			fmt.Fprintf(w, " (%s)", broken)
		}
	}
	fmt.Fprintln(w)
}

// print prints the sums and the names, and reports whether one of them is no
// exception, or a unit did not come to its end.
func (r *report) print(w io.Writer) (failed bool) {
	for _, m := range r.modes {
		total, passed := 0, 0
		fmt.Fprintf(w, "\n%s: tests that pass directly and not here\n", m)
		for _, unit := range r.units {
			missing, counted := r.missing(unit, m)
			total += counted
			passed += counted - len(missing)
			unseen := 0
			failed = failed || r.all[unit][m].broken != "" // a hang is no exception
			for _, name := range missing {
				mark := "FAIL "
				if r.isExcepted(m, name) {
					mark = "known"
				} else {
					failed = true
				}
				why := r.all[unit][m].errors[name]
				if _, ran := r.all[unit][m].passed[name]; !ran && r.all[unit][m].broken != "" {
					unseen++
					continue
				}
				fmt.Fprintf(w, "  %s %s: %s -- %.200s\n", mark, unit, name, why)
			}
			if unseen > 0 {
				fmt.Fprintf(w, "  and %d of %s that did not run: %.200s\n", unseen, unit, r.all[unit][m].broken)
			}
		}
		if total > 0 {
			fmt.Fprintf(w, "%s: %d of %d (%.1f %%)\n", m, passed, total, 100*float64(passed)/float64(total))
		}
	}
	return failed
}
