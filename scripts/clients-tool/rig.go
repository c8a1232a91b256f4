package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/scripts/clients-tool/fakes"
	"holdfast/scripts/internal/procs"
)

// clientKey is what clients present to the gateway.
const clientKey = "sk-client-of-the-tests"

// pool is a pool of the gateway with one account, and the model it is asked for.
type pool struct {
	name, typ, key, url, model string
}

var pools = []pool{
	{"chat", "openai-custom", "OPENAI_API_KEY", "OPENAI_BASE_URL", "gpt-4o"},
	{"responses", "openaiResponses-custom", "OPENAI_API_KEY", "OPENAI_BASE_URL", "gpt-5.1"},
	{"claude", "claude-custom", "CLAUDE_API_KEY", "CLAUDE_BASE_URL", "claude-sonnet-4-5"},
	{"gemini", "gemini-custom", "GEMINI_API_KEY", "GEMINI_BASE_URL", "gemini-3-pro-preview"},
}

// rig is a gateway with its Redis and the four providers.
type rig struct {
	dir       string
	url       string
	providers map[string]*fakes.Provider
	redis     *procs.Redis
	gateway   *exec.Cmd
	trace     *os.File
}

func newRig(binary, dir string) (*rig, error) {
	r := &rig{dir: dir, providers: map[string]*fakes.Provider{}}
	var err error
	if r.trace, err = os.Create(filepath.Join(dir, "providers.log")); err != nil {
		return nil, err
	}
	for _, p := range fakes.Protocols {
		r.providers[p.Name] = fakes.Start(p, r.trace)
	}
	if err := r.startRedis(); err != nil {
		r.close()
		return nil, err
	}
	if err := r.startGateway(binary); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// startRedis starts Redis with the configuration and the pools in it.
func (r *rig) startRedis() error {
	dir := filepath.Join(r.dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if r.redis, err = procs.NewRedis(dir); err != nil {
		return err
	}
	if err := r.redis.Start(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: r.redis.Addr()})
	defer client.Close()
	ctx, types := context.Background(), ""
	for _, p := range pools {
		types += "," + p.typ
		entry := fmt.Sprintf(`{"uuid":"a","%s":"sk-account-%s","%s":"%s"}`, p.key, p.name, p.url, r.providers[p.name].URL)
		if err := client.HSet(ctx, "aiclient:pools:"+p.typ, "a", entry).Err(); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(`{"REQUIRED_API_KEY":%q,"MODEL_PROVIDER":%q,"MAX_ERROR_COUNT":1000}`, clientKey, types[1:])
	return client.Set(ctx, "aiclient:config", config, 0).Err()
}

func (r *rig) startGateway(binary string) error {
	addr, err := procs.FreeAddr()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.dir, "gateway.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.url = "http://" + addr
	r.gateway = exec.Command(binary, "gateway", "--listen", addr, "--redis-url", "redis://"+r.redis.Addr())
	r.gateway.Stdout, r.gateway.Stderr = log, log
	r.gateway.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.gateway.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := http.Get(r.url + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start the gateway: it is not ready after 20 s: see %s", log.Name())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// refused is the first thing that a provider refused since the last time, and
// images how many they saw.
func (r *rig) refused() (why string, images int) {
	for name, p := range r.providers {
		list, n := p.Take()
		images += n
		if len(list) > 0 && why == "" {
			why = name + " refuses: " + list[0]
		}
	}
	return why, images
}

func (r *rig) close() {
	if r.gateway != nil && r.gateway.Process != nil {
		_ = r.gateway.Process.Kill()
		_ = r.gateway.Wait()
	}
	if r.redis != nil {
		r.redis.Kill()
	}
	for _, p := range r.providers {
		p.Close()
	}
	_ = r.trace.Close()
}
