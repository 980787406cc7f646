package endtoend

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullVolume fills the volume of the row store under a running daemon, ends
// and starts the daemon while it is full, and makes room again: each time the
// daemon says what is wrong, ends when it is told to, and goes on by itself.
func TestFullVolume(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(w.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("NOT TESTED: a volume cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		w.stop()
		if err := syscall.Unmount(state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	joined(w, 10, 500)
	ballast := filepath.Join(state, "ballast")
	fillVolume(t, ballast)
	full := func() bool {
		code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/healthz", w.port))
		return code == http.StatusServiceUnavailable && strings.Contains(string(body), "is full") &&
			strings.Contains(string(body), "make room on the volume of "+filepath.Join(state, w.name, "rows")) && !w.ready()
	}
	for n := 0; !full() && n < 100; n++ {
		w.exec(fmt.Sprintf("UPDATE note SET title = repeat('%d ', 400) || id", n))
	}
	w.within(20*time.Second, "the daemon says that the volume is full", full)
	endsWell := func() {
		t.Helper()
		began := time.Now()
		if code := w.stop(); code != 0 || time.Since(began) > 10*time.Second {
			t.Errorf("the daemon has ended with %d after %s", code, time.Since(began))
		}
	}
	endsWell()
	w.start()
	w.within(20*time.Second, "the started daemon says that the volume is full", full)
	endsWell()
	w.start()
	w.within(20*time.Second, "the started daemon says that the volume is full", full)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.within(40*time.Second, "the daemon goes on by itself", w.ready)
	w.exec("UPDATE author SET name = name || '!'")
	w.settle()
	w.compare(writtenDocuments)
}

// fillVolume writes a file until there is no room.
func fillVolume(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrShortWrite) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
