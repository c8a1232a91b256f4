package procs

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds the holdfast binary of this module into dir.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "holdfast")
	out, err := exec.Command("go", "build", "-o", path, "holdfast/cmd/holdfast").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build holdfast: %w: %s", err, out)
	}
	return path, nil
}
