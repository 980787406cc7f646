package servers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brokenApt puts an apt-get in front of PATH that reaches no mirror.
func brokenApt(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho no route to the mirror\nexit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestOnlyAnOptionalServerMayBeMissing(t *testing.T) {
	root, err := os.MkdirTemp("", "haystream-cache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HAYSTREAM_CACHE", root)
	brokenApt(t)
	for _, spec := range []Spec{{Kind: MySQL, Version: "9.7"}, {Kind: MariaDB, Version: "11.8"}} {
		_, err := Fetch(t.Context(), spec)
		if err == nil || !strings.Contains(err.Error(), "no route to the mirror") {
			t.Errorf("%s: error = %v, want apt's own words", spec, err)
		}
		if got, want := spec.MaySkip(err), spec.Kind == MySQL; got != want {
			t.Errorf("%s: may skip = %t, want %t", spec, got, want)
		}
	}
}
