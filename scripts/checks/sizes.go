package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
)

// A reader who has never seen this code should hold a function on one screen
// and a file in the head. Tests and generated code are free.
const (
	maxFileLines = 400
	maxFuncLines = 60
)

func checkSizes(root string) ([]string, error) {
	var found []string
	err := eachSource(root, func(path string) error {
		problems, err := sizeProblems(path)
		found = append(found, problems...)
		return err
	})
	return found, err
}

// eachSource calls fn for every file of Go below root that is no test.
func eachSource(root string, fn func(path string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		return fn(path)
	})
}

func sizeProblems(path string) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	var found []string
	if n := set.File(file.Pos()).LineCount(); n > maxFileLines {
		found = append(found, fmt.Sprintf("%s: %d lines, at most %d", path, n, maxFileLines))
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := set.Position(f.Pos()), set.Position(f.End())
		if n := last.Line - first.Line + 1; n > maxFuncLines {
			found = append(found, fmt.Sprintf("%s: function %s has %d lines, at most %d", first, f.Name.Name, n, maxFuncLines))
		}
	}
	return found, nil
}
