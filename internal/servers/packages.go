package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are Debian's own, of one suite, with all that they depend on: the C library and its loader too, so that they run on
// any Linux. They are unpacked, not installed. What pins them is the suite's index, whose signature apt checks.
type packages struct {
	suite string // bookworm
	names []string
}

// mirrorVariable names a mirror of Debian where this machine's own apt has none.
const mirrorVariable = "HAYSTREAM_DEBIAN_MIRROR"

// assumed is the list of installed packages that apt is shown: only Perl, which servers depend on for scripts that nothing here runs.
const assumed = `Package: perl
Status: install ok installed
Version: 99
Architecture: amd64
Multi-Arch: allowed
Maintainer: none
Description: none
`

// aptConfig keeps apt away from the machine's own state. An index may be past its date, as those of small mirrors are.
const aptConfig = `Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s";
Dir::Cache::archives "%[1]s/archives";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "%[1]s/none";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "%[1]s/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "%[1]s/none";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
`

// unpack downloads the packages and unpacks them into dir.
func (p packages) unpack(ctx context.Context, store cache, dir string) error {
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("take packages of Debian: %w; it is there on Debian and Ubuntu", err)
		}
	}
	keyring, err := debianKeyring(ctx, store)
	if err != nil {
		return err
	}
	mirror, err := debianMirror(ctx)
	if err != nil {
		return fmt.Errorf("take %s of Debian %s: %w", strings.Join(p.names, ", "), p.suite, err)
	}
	archives, err := p.download(ctx, dir, mirror, keyring)
	if err != nil {
		return fmt.Errorf("take %s of Debian %s from %s: %w; type: sudo apt-get update; and try again", strings.Join(p.names, ", "), p.suite, mirror, err)
	}
	return unpackArchives(ctx, archives, dir)
}

// download fetches the packages by an apt of its own, in a folder inside dir, and returns the folder with them.
func (p packages) download(ctx context.Context, dir, mirror, keyring string) (string, error) {
	private := filepath.Join(dir, ".apt")
	if err := os.RemoveAll(private); err != nil {
		return "", fmt.Errorf("clear downloads: %w", err)
	}
	for _, folder := range []string{"lists/partial", "archives/partial", "none"} {
		if err := os.MkdirAll(filepath.Join(private, folder), 0o755); err != nil {
			return "", fmt.Errorf("make folder for apt: %w", err)
		}
	}
	files := map[string]string{
		"apt.conf":     fmt.Sprintf(aptConfig, private) + proxies(ctx),
		"status":       assumed,
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, p.suite),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(private, name), []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("configure apt: %w", err)
		}
	}
	for _, arguments := range [][]string{{"update"}, append([]string{"install", "--download-only"}, p.names...)} {
		command := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-y"}, arguments...)...)
		command.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(private, "apt.conf"), "LC_ALL=C")
		if err := run(command); err != nil {
			return "", err
		}
	}
	return filepath.Join(private, "archives"), nil
}

// unpackArchives unpacks the packages into dir and removes them with what no server reads.
func unpackArchives(ctx context.Context, archives, dir string) error {
	found, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}
	for _, path := range found {
		if err := run(exec.CommandContext(ctx, "dpkg-deb", "--extract", path, dir)); err != nil {
			return err
		}
	}
	for _, name := range []string{".apt", "usr/bin", "usr/share/doc", "usr/share/locale", "usr/share/man"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clear downloads: %w", err)
		}
	}
	return nil
}

// debianMirror is where packages come from: the mirror that the environment names, or that this machine's own apt uses.
func debianMirror(ctx context.Context) (string, error) {
	if mirror := os.Getenv(mirrorVariable); mirror != "" {
		return mirror, nil
	}
	output, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(SITE)",
		"Created-By: Packages", "Origin: Debian", "Label: Debian").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror: %w: %s", err, output)
	}
	for site := range strings.FieldsSeq(string(output)) {
		if !strings.HasPrefix(site, "cdrom:") {
			return site, nil
		}
	}
	return "", errors.New("apt knows no mirror of Debian; type: sudo apt-get update; or, on another system: export " + mirrorVariable + "=ADDRESS_OF_A_MIRROR")
}

// proxies returns the settings by which this machine's own apt reaches its mirrors.
func proxies(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return ""
	}
	var kept strings.Builder
	for line := range strings.Lines(string(output)) {
		if strings.HasPrefix(line, "Acquire::http") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// debianKeyring finds the keys that sign Debian's indexes, or installs them.
func debianKeyring(ctx context.Context, store cache) (string, error) {
	const pattern = "/usr/share/keyrings/debian-archive-keyring.[gp]*" // .gpg, or .pgp since Debian 13
	if found, _ := filepath.Glob(pattern); len(found) > 0 {
		return found[0], nil
	}
	if err := install(ctx, store, "debian-archive-keyring"); err != nil {
		return "", fmt.Errorf("find the keys of Debian: %w", err)
	}
	if found, _ := filepath.Glob(pattern); len(found) > 0 {
		return found[0], nil
	}
	return "", fmt.Errorf("find the keys of Debian: no %s", pattern)
}
