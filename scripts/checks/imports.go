package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

const module = "holdfast"

// leaves are packages that others may share. They import the standard library
// only.
var leaves = map[string]bool{"backend/resp": true, "backend/command": true, "backend/descriptors": true, "backend/hostguard": true}

// mayImport says which other parts of this module each part may import, beside
// the leaves listed for it. A part is the first element of a package's path.
var mayImport = map[string]struct {
	parts, leaves []string
}{
	"cmd":      {parts: []string{"backend", "fallback", "gateway", "proxy"}, leaves: []string{"backend/resp", "backend/command", "backend/descriptors"}},
	"proxy":    {parts: []string{"backend", "fallback"}, leaves: []string{"backend/resp", "backend/command", "backend/descriptors", "backend/hostguard"}},
	"backend":  {leaves: []string{"backend/resp", "backend/command", "backend/descriptors"}},
	"fallback": {leaves: []string{"backend/resp", "backend/command"}},
	"gateway":  {leaves: []string{"backend/descriptors", "backend/hostguard"}},
	"scripts":  {leaves: []string{"backend/resp", "backend/command"}},
	"testdata": {},
}

// within says which other packages of its own part a package may import; one without
// a row may import none, and tests may import all. What is not listed here cannot grow
// back together.
var within = map[string][]string{
	"backend": {"backend/command", "backend/descriptors", "backend/hostguard", "backend/resp"},

	"fallback": {"fallback/clock", "fallback/datadir", "fallback/deadletter", "fallback/engine", "fallback/fetch",
		"fallback/journal", "fallback/record", "fallback/snapshot"},
	"fallback/deadletter":      {"fallback/datadir", "fallback/journal", "fallback/record"},
	"fallback/engine":          {"fallback/engine/lua", "fallback/engine/stream"},
	"fallback/fetch":           {"fallback/record"},
	"fallback/journal/faultfs": {"fallback/journal"},
	"fallback/snapshot":        {"fallback/record"},

	"gateway":          {"gateway/conversation", "gateway/convert", "gateway/store"},
	"gateway/transfer": {"gateway/store"},
	"proxy":            {"proxy/cache", "proxy/embedded", "proxy/front", "proxy/syncstream"},
}

// testHelpers are imported by tests only, of any part.
var testHelpers = map[string]bool{"backend/redistest": true}

// listed is what go list says about one package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func checkImports(root string) ([]string, error) {
	// With a profile, go list names the packages of a program by it as well.
	cmd := exec.Command("go", "list", "-pgo=off", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var found []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		found = append(found, importProblems(p)...)
	}
}

// importProblems judges one package. Tests may use the test helpers besides.
func importProblems(p listed) []string {
	from := strings.TrimPrefix(p.ImportPath, module+"/")
	var found []string
	for _, path := range p.Imports {
		if why := forbidden(from, path, false); why != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", p.ImportPath, path, why))
		}
	}
	for _, path := range append(append([]string(nil), p.TestImports...), p.XTestImports...) {
		if why := forbidden(from, path, true); why != "" {
			found = append(found, fmt.Sprintf("%s imports %s in a test: %s", p.ImportPath, path, why))
		}
	}
	return found
}

// forbidden says why package from may not import path; "" when it may.
func forbidden(from, path string, test bool) string {
	to, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		if leaves[from] && !test && strings.Contains(strings.Split(path, "/")[0], ".") {
			return "shared packages use the standard library only"
		}
		return ""
	}
	if testHelpers[to] {
		if test || from == to {
			return ""
		}
		return "it is for tests"
	}
	part := strings.Split(from, "/")[0]
	rule, known := mayImport[part]
	switch {
	case !known:
		return "unknown part " + part + ": give it a rule in scripts/checks/imports.go"
	case leaves[from] && !test:
		return "shared packages use the standard library only"
	case strings.Split(to, "/")[0] == part && part != "scripts" && !leaves[to]:
		if !test && to != from && !has(within[from], to) {
			return "give it a row under within in scripts/checks/imports.go, if the layers allow it"
		}
		return ""
	case leaves[to] && has(rule.leaves, to), strings.Split(to, "/")[0] == part, has(rule.parts, strings.Split(to, "/")[0]):
		return ""
	}
	return part + " may not depend on it"
}

func has(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
