// Command checks enforces rules of this repository that no linter knows: which packages
// may import which, how long files and functions may be, and how many methods a type and
// how many files a package may have.
// It prints every violation and exits with 1 when there is one.
package main

import (
	"fmt"
	"os"
)

func main() {
	var found []string
	for _, check := range []func(root string) ([]string, error){checkImports, checkSizes, checkCounts} {
		problems, err := check(".")
		if err != nil {
			fmt.Fprintf(os.Stderr, "checks: %v\n", err)
			os.Exit(1)
		}
		found = append(found, problems...)
	}
	for _, problem := range found {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}
