package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	logName      = "log"
	pidName      = "pid"
	pollInterval = 20 * time.Millisecond
)

// gate waits for leave to become the server, so that none runs before its guard does.
const gate = `read -r go && exec "$@" </dev/null`

// guard waits on a pipe that only its parent writes to. A line means that the server has ended well; the pipe's end means that the
// parent has died, and the server goes with it. Arguments: the process group, the signal to end it at once, the directory to remove.
const guard = `trap '' HUP INT TERM
read -r done && exit 0
kill -s CONT -- "-$1"; kill -s "$2" "$1"
n=0; while kill -s 0 "$1" && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
kill -s KILL -- "-$1"
n=0; until rm -rf "$3" || [ $n -ge 50 ]; do n=$((n+1)); sleep 0.1; done`

// process is a server's process with its guard. It has not been waited for, so its number cannot be given to another process,
// until ended says so.
type process struct {
	pid    int
	guard  *exec.Cmd
	parent *os.File // the guard's pipe
	done   bool
}

// startProcess starts the program in a session of its own, with its output in the run directory's log.
func startProcess(p program, run string, lock *os.File) (*process, error) {
	log, err := os.OpenFile(filepath.Join(run, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	enter, open, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make gate: %w", err)
	}
	defer enter.Close()
	defer open.Close()

	server := exec.Command("/bin/sh", append([]string{"-c", gate, "gate"}, p.args...)...) //nolint:noctx // it outlives its start
	server.Stdin, server.Stdout, server.Stderr = enter, log, log
	server.Env, server.Dir = append(os.Environ(), p.env...), run
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential()}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	started := &process{pid: server.Process.Pid}
	if err := started.stationGuard(p.abort, run, lock); err != nil {
		return nil, errors.Join(err, started.kill())
	}
	if _, err := open.WriteString("go\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("open gate: %w", err), started.kill())
	}
	return started, server.Process.Release()
}

// stationGuard starts the guard. It shares the lock of the run directory, which thereby is held until the last of both has gone.
func (p *process) stationGuard(abort syscall.Signal, run string, lock *os.File) error {
	watch, parent, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make guard's pipe: %w", err)
	}
	defer watch.Close()
	pid := strconv.Itoa(p.pid)
	if err := os.WriteFile(filepath.Join(run, pidName), []byte(pid), 0o644); err != nil {
		return errors.Join(err, parent.Close())
	}
	p.guard = exec.Command("/bin/sh", "-c", guard, "guard", pid, strconv.Itoa(int(abort)), run) //nolint:noctx // it outlives its parent
	p.guard.Stdin, p.guard.ExtraFiles = watch, []*os.File{lock}
	p.guard.Dir = "/"
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.guard.Start(); err != nil {
		p.guard = nil
		return errors.Join(fmt.Errorf("start guard: %w", err), parent.Close())
	}
	p.parent = parent
	return nil
}

// ended reports whether the process has gone; the first time it also dismisses the guard.
func (p *process) ended() bool {
	if p.done {
		return true
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil); pid == 0 || errors.Is(err, syscall.EINTR) {
		return false
	}
	p.done = true
	if p.guard != nil {
		_, _ = p.parent.WriteString("done\n")
		_ = p.parent.Close()
		_ = p.guard.Wait()
	}
	return true
}

// end sends the signal and reports whether the process has gone in time.
func (p *process) end(signal syscall.Signal, within time.Duration) bool {
	if p.ended() {
		return true
	}
	_ = syscall.Kill(p.pid, signal)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return poll(ctx, p.ended) == nil
}

// kill ends the process and its children by SIGKILL, and returns when all of them have gone.
func (p *process) kill() error {
	tree := p.signalTree(syscall.SIGSTOP) // frozen, it has no more children
	for _, pid := range tree {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout, errors.New("it does not die"))
	defer cancel()
	return poll(ctx, func() bool { return p.ended() && !slices.ContainsFunc(tree, alive) })
}

// signalTree sends the signal to the process, then to its descendants, and returns their numbers.
// PostgreSQL's children lead sessions of their own, so that a process group does not reach them.
func (p *process) signalTree(signal syscall.Signal) []int {
	if p.ended() {
		return nil
	}
	tree := []int{p.pid}
	for i := 0; i < len(tree); i++ {
		_ = syscall.Kill(tree[i], signal)
		tree = append(tree, children(tree[i])...)
	}
	return tree
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, path := range stats {
		if _, parent := processState(path); parent == pid {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, child)
		}
	}
	return found
}

// alive reports whether the process runs; one that has ended and was not waited for does not.
func alive(pid int) bool {
	state, _ := processState(fmt.Sprintf("/proc/%d/stat", pid))
	return state != "" && state != "Z" && state != "X"
}

// processState reads the state and the parent from a stat file (proc_pid_stat(5)): "PID (NAME) STATE PARENT …".
func processState(path string) (state string, parent int) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// poll waits until the condition holds.
func poll(ctx context.Context, condition func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
