package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Python returns the interpreter of a virtual environment that has what a requirements file lists, and the further
// requirements. It is made by the first call, and kept in the cache for as long as the file stays as it is.
func Python(ctx context.Context, requirements string, further ...string) (string, error) {
	store, err := openCache()
	if err != nil {
		return "", err
	}
	list, err := os.ReadFile(requirements)
	if err != nil {
		return "", fmt.Errorf("read requirements: %w", err)
	}
	base, err := tool(ctx, store, "python3", "python3")
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, base, "-c", "import sys; print(sys.version, sys.base_prefix)").Output()
	if err != nil {
		return "", fmt.Errorf("ask Python for its version: %w", err)
	}
	sum := sha256.Sum256([]byte(string(version) + string(list) + strings.Join(further, "\n")))
	home, err := store.entry(ctx, "python-"+hex.EncodeToString(sum[:6]), func(ctx context.Context, dir string) error {
		return makeVirtualEnvironment(ctx, store, base, dir, append([]string{"-r", requirements}, further...))
	})
	if err != nil {
		return "", fmt.Errorf("make a virtual environment: %w", err)
	}
	return filepath.Join(home, "bin", "python"), nil
}

// makeVirtualEnvironment fills dir, which may be moved afterwards: its interpreter finds its packages by its own place.
func makeVirtualEnvironment(ctx context.Context, store cache, base, dir string, requirements []string) error {
	build := func() error { return run(exec.CommandContext(ctx, base, "-m", "venv", "--clear", dir)) }
	if err := build(); err != nil { // Debian has it in a package of its own
		if installErr := install(ctx, store, "python3-venv"); installErr != nil {
			return errors.Join(err, installErr)
		}
		if err := build(); err != nil {
			return err
		}
	}
	python := filepath.Join(dir, "bin", "python")
	return run(exec.CommandContext(ctx, python, append([]string{"-m", "pip", "install", "-q", "--disable-pip-version-check"}, requirements...)...))
}
