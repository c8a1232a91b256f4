// These tests check the Dockerfile and docker-compose.yml as far as that goes
// without an engine: they parse, every source of a COPY is there and not ignored,
// the build's step works on what is copied and nothing else, and the entrypoint
// runs as the image's user.
package image

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const root = "../../.."

// imageUser is the user of the image's processes.
const imageUser = 10001

// instruction is one of a Dockerfile, its lines joined.
type instruction struct{ name, args string }

func dockerfile(t *testing.T) (out []instruction) {
	raw, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	joined := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(raw), ""), " ")
	for s := bufio.NewScanner(strings.NewReader(joined)); s.Scan(); {
		if name, args, ok := strings.Cut(strings.TrimSpace(s.Text()), " "); ok {
			out = append(out, instruction{name, strings.TrimSpace(args)})
		}
	}
	return out
}

// ignored reports whether .dockerignore leaves a path of the context out.
func ignored(t *testing.T, path string) bool {
	raw, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	out := false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		pattern, keep := strings.CutPrefix(line, "!")
		name := path
		if rest, any := strings.CutPrefix(pattern, "**/"); any {
			pattern, name = rest, filepath.Base(path)
		}
		if ok, _ := filepath.Match(pattern, name); line != "" && line[0] != '#' && ok {
			out = !keep
		}
	}
	return out
}

// build runs the build stage in a clean directory, and gives the binary and what
// the last stage says.
func build(t *testing.T) (binary string, env []string, entrypoint []string) {
	src := t.TempDir()
	binary = filepath.Join(t.TempDir(), "holdfast")
	for _, in := range dockerfile(t) {
		words := strings.Fields(in.args)
		switch in.name {
		case "COPY":
			for _, from := range words[:len(words)-1] {
				if strings.HasPrefix(from, "--from=") {
					break
				}
				assert.False(t, ignored(t, from), "%s is copied and ignored", from)
				st, err := os.Stat(filepath.Join(root, from))
				require.NoError(t, err, "COPY %s", from)
				if !st.IsDir() {
					raw, err := os.ReadFile(filepath.Join(root, from))
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(filepath.Join(src, from), raw, 0o644))
					continue
				}
				require.NoError(t, os.CopyFS(filepath.Join(src, from), os.DirFS(filepath.Join(root, from))))
			}
		case "RUN":
			if !strings.Contains(in.args, "go build") {
				continue // go mod download and the packages of Alpine need their registries
			}
			cmd := exec.Command("sh", "-c", strings.ReplaceAll(in.args, "-o /holdfast", "-o "+binary))
			cmd.Dir, cmd.Env = src, append(os.Environ(), "VERSION=7.8.9-test", "GOFLAGS=-pgo=off") // the profile is not what is checked, and costs minutes
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		case "ENV":
			for _, w := range words {
				env = append(env, strings.ReplaceAll(w, `"`, ""))
			}
		case "ENTRYPOINT":
			require.NoError(t, yaml.Unmarshal([]byte(in.args), &entrypoint))
		}
	}
	return binary, env, entrypoint
}

func TestTheImage(t *testing.T) {
	binary, env, entrypoint := build(t)
	version, err := exec.Command(binary, "--version").Output()
	require.NoError(t, err)
	assert.Contains(t, string(version), "7.8.9-test")
	require.Len(t, entrypoint, 4)
	labels, license := "", false
	for _, in := range dockerfile(t) {
		if in.name == "LABEL" {
			labels += in.args
		}
		license = license || in.name == "COPY" && strings.HasPrefix(in.args, "LICENSE ")
	}
	assert.Contains(t, labels, "org.opencontainers.image.version")
	assert.Contains(t, labels, "org.opencontainers.image.licenses")
	assert.True(t, license)

	place, err := os.MkdirTemp("", "image-") // not t.TempDir: another user has to get there
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	require.NoError(t, os.Chmod(place, 0o755))
	raw, err := os.ReadFile(binary)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(place, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(place, "bin/holdfast"), raw, 0o755))
	data, configs := filepath.Join(place, "data"), filepath.Join(place, "configs")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.CopyFS(configs, os.DirFS(filepath.Join(root, "testdata/configs"))))
	port := freePort(t)
	run := func(more ...string) *exec.Cmd {
		cmd := exec.Command(entrypoint[0], append(entrypoint[1:], "--listen", "127.0.0.1:0", "--admin", "off")...)
		cmd.Dir = place
		cmd.Env = append([]string{"PATH=" + filepath.Join(place, "bin") + ":/usr/bin:/bin"}, env...)
		cmd.Env = append(cmd.Env, "HOLDFAST_DATA_DIR="+data, "HOLDFAST_CONFIG_DIR="+configs, "REDIS_ENABLED=false", fmt.Sprintf("HOLDFAST_GATEWAY_LISTEN=127.0.0.1:%d", port))
		cmd.Env = append(cmd.Env, more...)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
		}
		return cmd
	}

	if os.Geteuid() == 0 { // bind mounts of somebody else are told as such
		out, err := run().CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "data directory "+data)
		assert.Contains(t, string(out), "chown 10001")
		require.NoError(t, os.Chown(data, imageUser, imageUser))
		require.NoError(t, os.Chmod(configs, 0o700))
		out, err = run().CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "configuration directory "+configs)
		require.NoError(t, os.Chmod(configs, 0o755))
		require.NoError(t, filepath.WalkDir(configs, func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				return os.Chmod(p, 0o644)
			}
			return err
		}))
	}
	cmd := run("ARGS=--api-key YOUR_API_KEY")
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer logs.Close()
	cmd.Stdout, cmd.Stderr = logs, logs
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	models := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && !strings.Contains(models, "fake-opus"); time.Sleep(50 * time.Millisecond) {
		models = get(fmt.Sprintf("http://127.0.0.1:%d/v1/models", port), "YOUR_API_KEY")
	}
	said, _ := os.ReadFile(logs.Name())
	require.Contains(t, models, "fake-opus", "%s", said)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM)) // reaches it through exec
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		assert.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the entrypoint does not stop")
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func get(url, key string) string {
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return string(raw)
}

func TestTheComposeFile(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	var file struct {
		Services map[string]struct {
			Build       any
			Environment []string
			Volumes     []string
			Healthcheck struct{ Test []string }
			Expose      []string
		}
		Volumes map[string]any
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	for name, s := range file.Services {
		assert.NotEmpty(t, s.Healthcheck.Test, "%s has a healthcheck", name)
		for _, v := range s.Volumes {
			if source, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(source, ".") {
				assert.Contains(t, file.Volumes, source)
			}
		}
	}
	api := file.Services["aiclient-api"]
	env := strings.Join(api.Environment, "\n")
	assert.Contains(t, api.Volumes, "./configs:/configs:ro")
	assert.Contains(t, env, "HOLDFAST_CONFIG_DIR=/configs")
	assert.Contains(t, env, "HOLDFAST_LISTEN=0.0.0.0:6380")
	assert.Contains(t, env, "HOLDFAST_REQUIREPASS=")
	assert.Contains(t, api.Expose, "6380")
	// Every variable is one that holdfast reads.
	help, err := exec.Command("grep", "-rhoE", `"(HOLDFAST|REDIS)_[A-Z_]+"|env\("[a-z-]+"\)|str\("[a-z-]+"|list\("[a-z-]+"`, filepath.Join(root, "cmd/holdfast"), filepath.Join(root, "gateway/store"), "--include=*.go").Output()
	require.NoError(t, err)
	known := strings.ToUpper(strings.ReplaceAll(string(help), "-", "_"))
	for _, e := range api.Environment {
		name, _, _ := strings.Cut(e, "=")
		assert.Contains(t, known, strings.TrimPrefix(strings.TrimPrefix(name, "HOLDFAST_"), "REDIS_"), name)
	}
}
