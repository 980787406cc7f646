package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	runPrefix = "haystream-server-"
	lockName  = "lock"
	nobodyID  = 65534
)

// newRunDir makes a server's temporary directory, locked for as long as this process or the server's guard lives.
func newRunDir(kind string) (string, *os.File, error) {
	temp := os.TempDir()
	if os.Geteuid() == 0 && !reachable(temp) {
		return "", nil, fmt.Errorf("%s cannot be entered by the unprivileged user that servers run as: set TMPDIR to a directory that can", temp)
	}
	hidden, err := os.MkdirTemp(temp, "."+runPrefix+kind+"-")
	if err != nil {
		return "", nil, fmt.Errorf("make run directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(hidden, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil && !tryLock(lock) {
		err = errors.New("it is locked")
	}
	// It gets its name once it is locked, so that no sweep takes it for an abandoned one.
	dir := filepath.Join(temp, strings.TrimPrefix(filepath.Base(hidden), "."))
	if err == nil {
		err = errors.Join(own(hidden), os.Rename(hidden, dir))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("make run directory: %w", err), os.RemoveAll(hidden))
	}
	return dir, lock, nil
}

// sweep removes what servers left whose process and guard both died, by a power cut for example.
func sweep(temp string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, runPrefix+"*"))
	for _, dir := range dirs {
		// One without a lock is what a removal could not finish.
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			continue
		}
		if tryLock(lock) {
			killStray(dir)
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

// killStray ends the server of an abandoned directory, if its number still belongs to a process that works there.
func killStray(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, pidName))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return
	}
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if strings.Contains(string(command), "HOME="+dir) {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// credential is the user that servers run as: PostgreSQL, Elasticsearch and MySQL refuse root. For others nil: the user itself.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return nobody()
}

var nobody = sync.OnceValue(func() *syscall.Credential {
	none := &syscall.Credential{Uid: nobodyID, Gid: nobodyID}
	account, err := user.Lookup("nobody")
	if err != nil {
		return none
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return none
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return none
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
})

// own gives a file or directory to the user that servers run as.
func own(path string) error {
	user := credential()
	if user == nil {
		return nil
	}
	if err := os.Chown(path, int(user.Uid), int(user.Gid)); err != nil {
		return fmt.Errorf("give %s away: %w", path, err)
	}
	return nil
}

// copyTemplate makes a data directory of one that was initialised before.
func copyTemplate(ctx context.Context, template, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := own(dir); err != nil {
		return err
	}
	return runAsServer(ctx, "cp", "-a", template+"/.", dir)
}

// runAsServer runs the command as the user that servers run as.
func runAsServer(ctx context.Context, name string, arguments ...string) error {
	return run(asServer(ctx, name, arguments...))
}

func asServer(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = "/"
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	return command
}

// freePort picks a port below the range from which Linux takes those of outgoing connections, so that a server finds its own again
// after a restart.
func freePort() (int, error) {
	const low, high, tries = 20000, 32000, 100
	for range tries {
		port := low + rand.IntN(high-low)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // it is closed at once
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, errors.New("find a free port: all that were tried are taken")
}
