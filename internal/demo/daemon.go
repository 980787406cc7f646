package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The daemon promises to end within 10 seconds.
	daemonStopTimeout = 15 * time.Second

	defaultListen = "127.0.0.1:9600"
)

// daemon is Haystream, as a child process.
type daemon struct {
	binary string
	config string
	dir    string // for its state and its log
	env    []string

	process atomic.Pointer[os.Process]
	crashed atomic.Bool
}

// build compiles Haystream into dir.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "haystream")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "haystream").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build haystream: %w\n%s", err, out)
	}
	return binary, nil
}

// run keeps the daemon running until ctx ends, then stops it as an operator would, by SIGTERM. It returns an error when the daemon
// ends otherwise, or does not end well.
func (d *daemon) run(ctx context.Context) error {
	// The kernel ties a child that is to die with its parent to the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := os.Create(d.logPath())
	if err != nil {
		return fmt.Errorf("create the daemon's log: %w", err)
	}
	defer log.Close()
	for {
		err := d.runOnce(ctx, log)
		switch {
		case d.crashed.CompareAndSwap(true, false) && ctx.Err() == nil:
			continue
		case err != nil:
			return fmt.Errorf("run haystream: %w; the end of its log:\n%s", err, d.log())
		case ctx.Err() == nil:
			return fmt.Errorf("run haystream: it ended by itself; the end of its log:\n%s", d.log())
		}
		return nil
	}
}

// runOnce starts the process and waits for its end.
func (d *daemon) runOnce(ctx context.Context, log *os.File) error {
	command := exec.CommandContext(ctx, d.binary, "run", "-c", d.config)
	command.Env = append(os.Environ(), d.env...)
	command.Stdout, command.Stderr = log, log
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = daemonStopTimeout
	// A group of its own: Ctrl-C is for the demo, which then ends the daemon.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return err
	}
	d.process.Store(command.Process)
	err := command.Wait()
	if command.ProcessState.Success() {
		return nil // Wait reports the end of ctx even where the process ended well
	}
	return err
}

// dashboards writes what the configuration amounts to in Kibana into a file, whose name it returns.
func (d *daemon) dashboards(ctx context.Context) (string, error) {
	file := filepath.Join(d.dir, "dashboards.ndjson")
	command := exec.CommandContext(ctx, d.binary, "dashboards", "-c", d.config, "--for", "kibana-7", "--out", file)
	command.Env = append(os.Environ(), d.env...)
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("write dashboards: %w\n%s", err, out)
	}
	return file, nil
}

// crash ends the daemon by SIGKILL, as a power cut would; run starts it again.
func (d *daemon) crash() error {
	process := d.process.Load()
	if process == nil {
		return errors.New("kill haystream: it does not run")
	}
	d.crashed.Store(true)
	if err := process.Kill(); err != nil {
		return fmt.Errorf("kill haystream: %w", err)
	}
	return nil
}

func (d *daemon) logPath() string { return filepath.Join(d.dir, "haystream.log") }

// log is the end of what the daemon has logged.
func (d *daemon) log() string {
	const most = 3000
	text, err := os.ReadFile(d.logPath())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// freeListen is the daemon's usual address, or another where that one is taken.
func freeListen(ctx context.Context) (string, error) {
	var config net.ListenConfig
	for _, address := range []string{defaultListen, "127.0.0.1:0"} {
		if listener, err := config.Listen(ctx, "tcp", address); err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", errors.New("find a free port for the daemon's status")
}
