package conf

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file("target", 3), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{file("full", 100), ""},
		{file("over", 101), "is larger than 100B"},
		{link, ""},
		{pipe, "is not a regular file"},
		{"/dev/zero", "is not a regular file"},
		{"/proc/self/maps", "is larger than 100B"}, // which says that it is empty
		{dir, "is a directory"},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		text, err := ReadFile(c.path, 100)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d bytes, %v; want %q", c.path, len(text), err, c.want)
		}
	}
	if text, err := ReadFileIn(os.DirFS("/dev"), "zero", 100); err == nil {
		t.Errorf("%d bytes of /dev/zero", len(text))
	}
}
