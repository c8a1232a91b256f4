package procs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// Holdfast is the proxy as a process of its own, with fixed addresses.
type Holdfast struct {
	p           process
	addr, admin string
	http        *http.Client
	logStart    atomic.Int64 // length of the log when the process started
}

// NewHoldfast prepares a proxy that finds its Redis at upstream (host:port; "" is
// an embedded store) and keeps its files and log in dir; Start runs it.
func NewHoldfast(binary, dir, upstream string, extra ...string) (*Holdfast, error) {
	h := &Holdfast{http: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	var err error
	if h.addr, err = FreeAddr(); err != nil {
		return nil, err
	}
	if h.admin, err = FreeAddr(); err != nil {
		return nil, err
	}
	args := []string{"proxy", "--listen", h.addr, "--admin", h.admin, "--data-dir", filepath.Join(dir, "data")}
	if upstream != "" {
		args = append(args, "--redis-url", "redis://"+upstream)
	}
	h.p = process{path: binary, log: filepath.Join(dir, "holdfast.log"), args: append(args, extra...)}
	return h, nil
}

// Addr is where Redis clients connect.
func (h *Holdfast) Addr() string { return h.addr }

// Start runs the proxy, if it does not run, and waits until it takes clients.
func (h *Holdfast) Start() error {
	if info, err := os.Stat(h.p.log); err == nil && h.Ended() == nil {
		h.logStart.Store(info.Size())
	}
	// A connection of somebody else may hold the port for a moment.
	for try := 0; ; try++ {
		if err := h.p.start(); err != nil {
			return err
		}
		err := h.p.await("start holdfast", h.listens)
		if err == nil || try == 3 {
			return err
		}
		h.Kill()
		time.Sleep(100 * time.Millisecond)
	}
}

func (h *Holdfast) listens() bool {
	conn, err := net.DialTimeout("tcp", h.addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Kill ends the proxy with SIGKILL; idempotent.
func (h *Holdfast) Kill() { h.p.stop(syscall.SIGKILL, startTimeout) }

// Shutdown stops the proxy with SIGTERM, so that it drains its clients.
func (h *Holdfast) Shutdown() { h.p.stop(syscall.SIGTERM, 20*time.Second) }

// Dump makes the proxy write its goroutines to its log and end.
func (h *Holdfast) Dump() { h.p.stop(syscall.SIGQUIT, 5*time.Second) }

// Ended is closed when the process that runs now ends; nil when none runs.
func (h *Holdfast) Ended() <-chan struct{} { return h.p.ended() }

// Logged reports whether the process that was started last has logged text.
func (h *Holdfast) Logged(text string) bool {
	f, err := os.Open(h.p.log)
	if err != nil {
		return false
	}
	defer f.Close()
	log, err := io.ReadAll(io.NewSectionReader(f, h.logStart.Load(), 1<<30))
	return err == nil && bytes.Contains(log, []byte(text))
}

// Status is what the proxy says about itself; the fields that judges need.
type Status struct {
	Mode      string `json:"mode"`
	Since     string `json:"since"`
	Connected bool   `json:"connected"`
	Mirror    struct {
		Complete    bool       `json:"complete"`
		RefreshedAt *time.Time `json:"refreshedAt"`
	} `json:"mirror"`
	Cache struct {
		Hits          int64 `json:"hits"`
		Misses        int64 `json:"misses"`
		Invalidations int64 `json:"invalidations"`
		Coherent      bool  `json:"coherent"`
	} `json:"cache"`
	Journal struct {
		QueuedWrites int64 `json:"queuedWrites"`
		Full         bool  `json:"full"`
		Failed       bool  `json:"failed"`
	} `json:"journal"`
	Replay struct {
		Replayed    int64 `json:"replayed"`
		Conflicts   int64 `json:"conflicts"`
		DeadLetters int64 `json:"deadLetters"`
	} `json:"replay"`
}

// Status asks the proxy's admin address.
func (h *Holdfast) Status(ctx context.Context) (Status, error) {
	var st Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.admin+"/status", nil)
	if err != nil {
		return st, err
	}
	res, err := h.http.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		return st, fmt.Errorf("read status: %w", err)
	}
	return st, nil
}

// Online reports whether Redis answers and nothing waits for it.
func (st Status) Online() bool {
	return st.Mode == "online" && st.Connected && st.Journal.QueuedWrites == 0
}
