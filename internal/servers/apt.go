package servers

import (
	"cmp"
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

// install installs the first of the Debian packages that is offered, where this process may; where it may not, the error is the
// command to type.
func install(ctx context.Context, store cache, packages ...string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("type: sudo apt-get install -y %s", cmp.Or(firstOffered(ctx, packages), packages[0]))
	}
	unlock, err := store.lock(ctx, "apt")
	if err != nil {
		return err
	}
	defer unlock()
	// The lists may be missing or too old to fetch from: in that case once more, with new ones.
	if err = aptInstall(ctx, packages); err == nil {
		return nil
	}
	if updateErr := apt(ctx, "update"); updateErr != nil {
		return updateErr
	}
	return aptInstall(ctx, packages)
}

func aptInstall(ctx context.Context, packages []string) error {
	name := firstOffered(ctx, packages)
	if name == "" {
		return fmt.Errorf("apt offers no %s", strings.Join(packages, ", no "))
	}
	return apt(ctx, "install", "--no-install-recommends", name)
}

// firstOffered returns the first package that apt knows a version of; empty: it knows none.
func firstOffered(ctx context.Context, packages []string) string {
	for _, name := range packages {
		output, err := exec.CommandContext(ctx, "apt-cache", "policy", name).Output()
		if err == nil && strings.Contains(string(output), "Candidate:") && !strings.Contains(string(output), "Candidate: (none)") {
			return name
		}
	}
	return ""
}

func apt(ctx context.Context, arguments ...string) error {
	options := []string{"-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"}
	command := exec.CommandContext(ctx, "apt-get", append(options, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return run(command)
}
