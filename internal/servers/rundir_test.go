package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func TestSweepRemovesOnlyTheAbandoned(t *testing.T) {
	temp, err := os.MkdirTemp("", "haystream-sweep-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	held, lock, err := newRunDir(Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	abandoned, dead, err := newRunDir(Postgres)
	if err != nil {
		t.Fatal(err)
	}
	stray := exec.Command("sleep", "1000")
	stray.Env = []string{"HOME=" + abandoned}
	stray.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(abandoned, pidName), []byte(strconv.Itoa(stray.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(temp, runPrefix+"postgres-1")
	if err := os.MkdirAll(filepath.Join(unfinished, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	sweep(temp)
	if _, err := os.Stat(held); err != nil {
		t.Errorf("a directory in use was swept: %v", err)
	}
	for _, dir := range []string{abandoned, unfinished} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there", dir)
		}
	}
	if err := stray.Wait(); err == nil {
		t.Error("the stray ended by itself")
	}
}
