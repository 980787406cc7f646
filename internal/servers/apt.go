package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tool finds a program, or installs the Debian package that has it.
func tool(ctx context.Context, store cache, program, debian string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if err := install(ctx, store, debian); err != nil {
		return "", err
	}
	return exec.LookPath(program)
}

// install installs a Debian package where this process may; where it may not, the error is the command to type.
func install(ctx context.Context, store cache, debian string) error {
	manual := fmt.Errorf("%s is missing; type: sudo apt-get install -y %s", debian, debian)
	if os.Geteuid() != 0 {
		return manual
	}
	unlock, err := store.lock(ctx, "apt")
	if err != nil {
		return err
	}
	defer unlock()
	if !offered(ctx, debian) {
		if err := apt(ctx, "update"); err != nil {
			return fmt.Errorf("%w: %w", manual, err)
		}
	}
	err = apt(ctx, "install", "--no-install-recommends", debian)
	if err != nil && apt(ctx, "update") == nil {
		err = apt(ctx, "install", "--no-install-recommends", debian)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", manual, err)
	}
	return nil
}

// offered reports whether apt knows a version of the package that it could install.
func offered(ctx context.Context, debian string) bool {
	output, err := exec.CommandContext(ctx, "apt-cache", "policy", debian).Output()
	return err == nil && strings.Contains(string(output), "Candidate:") && !strings.Contains(string(output), "Candidate: (none)")
}

func apt(ctx context.Context, arguments ...string) error {
	options := []string{"-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"}
	command := exec.CommandContext(ctx, "apt-get", append(options, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return run(command)
}
