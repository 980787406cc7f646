package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build builds the daemon, or the one that profiles itself.
func (b *bench) build(ctx context.Context) error {
	program := "haystream"
	if profiles() != "" {
		program = "haystream/internal/bench/profiled"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.binary, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", program, err, out)
	}
	return nil
}

// profiles is the directory for CPU profiles; empty where none are wanted.
func profiles() string { return os.Getenv("HAYSTREAM_BENCH_PROFILE") }

// A daemon is one pipeline's configuration and, while it runs, its process.
type daemon struct {
	name   string
	dir    string
	binary string
	listen string // address
	cmd    *exec.Cmd
	began  time.Time
	ended  chan error
}

// daemon writes the configuration of a pipeline that feeds the sink with every
// row but for those that where excludes.
func (b *bench) daemon(ctx context.Context, name, sink, where string) (*daemon, error) {
	definition := fmt.Sprintf("indexes:\n  %s_%s: {table: bench, fields: \"*\", where: %q}\n", b.product.server.Kind, name, where)
	return b.pipeline(ctx, name, sink, definition)
}

// pipeline writes the configuration of a pipeline that feeds the sink with what is
// defined; all else is as it is by default.
func (b *bench) pipeline(ctx context.Context, name, sink, definitions string) (*daemon, error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	name = b.product.server.Kind + "_" + name
	d := &daemon{name: name, dir: filepath.Join(b.dir, name), binary: b.binary, listen: listen}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	text := fmt.Sprintf("name: %s\nsource: {url: %q}\nsink: %s\nhttp: {listen: %s}\n%s", name, b.db.url(), sink, listen, definitions)
	if err := os.WriteFile(filepath.Join(d.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return d, nil
}

// start runs the daemon.
func (d *daemon) start(ctx context.Context) error {
	log, err := os.OpenFile(d.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), d.binary, "run") // stop ends it
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = d.dir, log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.began = time.Now()
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	ended := make(chan error, 1)
	d.ended = ended
	go func(cmd *exec.Cmd) { ended <- cmd.Wait() }(d.cmd)
	return nil
}

func (d *daemon) log() string { return filepath.Join(d.dir, "log") }

// stop asks the daemon to end, and waits. It may be called when it has ended.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	err := <-d.ended
	d.cmd = nil
	if err != nil {
		return d.failed(err)
	}
	return nil
}

// failed adds the end of the daemon's log.
func (d *daemon) failed(err error) error {
	text, _ := os.ReadFile(d.log())
	return fmt.Errorf("the daemon: %w; the end of its log:\n%s", err, text[max(0, len(text)-4000):])
}

// await measures the daemon from its start until done reports true.
func (d *daemon) await(ctx context.Context, done func(context.Context) (bool, error)) (measured, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("not done in 10 minutes"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond) // each look takes the daemon some CPU time
	defer tick.Stop()
	var m measured
	for {
		select {
		case <-ctx.Done():
			return m, d.failed(context.Cause(ctx))
		case err := <-d.ended:
			d.cmd = nil
			return m, d.failed(fmt.Errorf("it ended early: %w", err))
		case <-tick.C:
		}
		if m.startup == 0 {
			if s, err := d.status(ctx); err != nil || s.State != "running" {
				continue
			}
			m.startup = time.Since(d.began)
		}
		ok, err := done(ctx)
		if err != nil {
			return m, d.failed(err)
		}
		if ok {
			m.took = time.Since(d.began)
			return m, d.usage(&m)
		}
	}
}

// loaded reports whether the daemon's snapshot is done.
func (d *daemon) loaded(ctx context.Context) (bool, error) {
	s, err := d.status(ctx)
	return err == nil && len(s.Indexes) == 1 && s.Indexes[0].Snapshot.State == "done", nil
}

// delivered waits until the sink holds so many documents of this start. The
// position itself moves on later, every few seconds.
func (d *daemon) delivered(documents int) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		s, err := d.status(ctx)
		return err == nil && len(s.Indexes) == 1 && s.Indexes[0].Written >= documents, nil
	}
}

// status is the part of /status that the benchmark reads.
type status struct {
	State  string `json:"state"`
	Source struct {
		Changes int `json:"changes"`
	} `json:"source"`
	Store struct {
		Pending int `json:"documents_pending"`
	} `json:"row_store"`
	Indexes []struct {
		Physical string `json:"physical_index"`
		Written  int    `json:"documents_written"`
		Snapshot struct {
			State string `json:"state"`
		} `json:"snapshot"`
	} `json:"indexes"`
}

func (d *daemon) status(ctx context.Context) (status, error) {
	var s status
	err := getJSON(ctx, fmt.Sprintf("http://%s/status", d.listen), &s)
	return s, err
}

// getJSON decodes the answer of a GET request.
func getJSON(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: status %d", url, response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("decode answer of %s: %w", url, err)
	}
	return nil
}

// clockTick is the unit of CPU time in /proc (proc_pid_stat(5)); 100 on every Linux that Go runs on.
const clockTick = time.Second / 100

// usage reads the process's CPU time and its highest resident memory so far.
func (d *daemon) usage(m *measured) error {
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return fmt.Errorf("read CPU time: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the state on, field 3
	const user, system = 14 - 3, 15 - 3
	for _, i := range []int{user, system} {
		ticks, err := strconv.Atoi(fields[i])
		if err != nil {
			return fmt.Errorf("read CPU time: %w", err)
		}
		m.cpu += time.Duration(ticks) * clockTick
	}
	text, err := os.ReadFile(proc + "status")
	if err != nil {
		return fmt.Errorf("read memory: %w", err)
	}
	_, text, _ = bytes.Cut(text, []byte("VmHWM:"))
	kib, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		return fmt.Errorf("read memory: %w", err)
	}
	m.peak = kib << 10
	return nil
}

// freeAddress is one of this machine that nobody listens at.
func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
