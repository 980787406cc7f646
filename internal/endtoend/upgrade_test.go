package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// upgraded has this program go on where the last release's was killed: it reads what that has left, or builds anew.
func upgraded(m *trial) {
	m.kill()
	m.change()
	m.binary = ""
	m.start()
	m.again()
}

// lastRelease is the program of the last tag.
func lastRelease(t *testing.T) string {
	tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0").CombinedOutput()
	if err != nil {
		t.Skipf("NOT TESTED: there is no release yet, or no git to tell of one: git describe: %v: %s", err, tag)
	}
	path, err := buildRelease(strings.TrimSpace(string(tag)))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var building sync.Mutex

// buildRelease builds a tag's program beside this one, once.
func buildRelease(tag string) (string, error) {
	building.Lock()
	defer building.Unlock()
	dir := filepath.Dir(binary)
	path := filepath.Join(dir, "haystream-"+tag)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.Command("sh", "-c", `mkdir "$1" && git archive "$2" | tar -x -C "$1" && cd "$1" && go build -o "$3" .`, "sh", filepath.Join(dir, "release"), tag, path)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", tag, err, out)
	}
	return path, nil
}
