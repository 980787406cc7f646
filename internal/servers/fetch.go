package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrUnavailable says that a server could not be had on this machine. The error that wraps it says why and what to type.
var ErrUnavailable = errors.New("server not available")

const fetchTimeout = 10 * time.Minute

// Fetch returns the folder with the unpacked server, fetched and unpacked first when it is missing or damaged, with all that a
// start needs.
func Fetch(ctx context.Context, spec Spec) (string, error) {
	home, err := fetch(ctx, spec)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w: %w", spec, ErrUnavailable, err)
	}
	return home, nil
}

func fetch(ctx context.Context, spec Spec) (string, error) {
	found, err := findRelease(spec)
	if err != nil {
		return "", err
	}
	store, err := openCache()
	if err != nil {
		return "", err
	}
	if found.java > 0 {
		if _, err := findJava(ctx, store, found.java); err != nil {
			return "", err
		}
	}
	if found.debian {
		if home := debianPostgres(ctx, store, spec.Version, !store.has(found.name())); home != "" {
			return home, nil
		}
	}
	return store.entry(ctx, found.name(), func(ctx context.Context, dir string) error {
		return unpackRelease(ctx, store, found, dir)
	})
}

// FetchCompiler makes sure that there is a C compiler with its headers, which the race detector takes.
func FetchCompiler(ctx context.Context) error {
	if _, err := exec.LookPath("gcc"); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("no C compiler; type: sudo apt-get install -y gcc libc6-dev")
	}
	store, err := openCache()
	if err != nil {
		return err
	}
	for _, debian := range []string{"libc6-dev", "gcc"} {
		if err := install(ctx, store, debian); err != nil {
			return fmt.Errorf("fetch compiler: %w", err)
		}
	}
	return nil
}

// name is the release's folder in the cache: another artifact makes another name, or another suite
// where there is none.
func (r release) name() string {
	if r.archive.coordinates == "" {
		return fmt.Sprintf("%s-%s-%s", r.kind, r.version, r.packages.suite)
	}
	version := strings.Split(r.archive.coordinates, ":")[2]
	return fmt.Sprintf("%s-%s-%.8s", r.kind, version, r.archive.sha256)
}

// unpackRelease downloads the release and unpacks it into dir.
func unpackRelease(ctx context.Context, store cache, r release, dir string) error {
	if len(r.packages.names) > 0 {
		if err := r.packages.unpack(ctx, store, dir); err != nil {
			return err
		}
	}
	if r.archive.coordinates == "" {
		return nil
	}
	archive, err := download(ctx, store, dir, r.archive)
	if err != nil {
		return err
	}
	switch r.kind {
	case Postgres:
		if _, err := tool(ctx, store, "xz", "xz-utils"); err != nil {
			return err
		}
		return unpackInner(ctx, archive, dir, "*.txz")
	case MySQL:
		return unpackInner(ctx, archive, dir, "mysql-Linux-*.tar.gz")
	}
	if err := unzip(archive, dir, 1); err != nil {
		return err
	}
	for _, m := range r.modules {
		if err := addModule(ctx, store, m, dir); err != nil {
			return err
		}
	}
	return os.Remove(archive)
}

// unpackInner unpacks the tar archive inside the jar, which is all that is wanted of it.
func unpackInner(ctx context.Context, jar, dir, pattern string) error {
	outer := filepath.Join(dir, ".jar")
	if err := unzip(jar, outer, 0); err != nil {
		return err
	}
	inner, err := filepath.Glob(filepath.Join(outer, pattern))
	if err != nil || len(inner) != 1 {
		return fmt.Errorf("unpack %s: %d archives inside, want 1", filepath.Base(jar), len(inner))
	}
	if err := run(exec.CommandContext(ctx, "tar", "-xf", inner[0], "-C", dir, "--no-same-owner")); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(outer), os.Remove(jar))
}

// addModule puts a plugin's jar among the modules of OpenSearch, with a description like that of the module it ships.
func addModule(ctx context.Context, store cache, m module, home string) error {
	folder := filepath.Join(home, "modules", m.name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("make module: %w", err)
	}
	if _, err := download(ctx, store, folder, m.jar); err != nil {
		return err
	}
	model, err := os.ReadFile(filepath.Join(home, "modules", "transport-netty4", "plugin-descriptor.properties"))
	if err != nil {
		return fmt.Errorf("read module description: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(model)) {
		switch key, _, _ := strings.Cut(line, "="); key {
		case "name", "description":
			line = key + "=" + m.name + "\n"
		case "classname":
			line = key + "=" + m.class + "\n"
		case "extended.plugins":
			line = key + "=\n"
		}
		lines = append(lines, line)
	}
	path := filepath.Join(folder, "plugin-descriptor.properties")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		return fmt.Errorf("write module description: %w", err)
	}
	return nil
}
