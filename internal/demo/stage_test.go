package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftDirectoriesAreRemoved(t *testing.T) {
	temp := t.TempDir()
	left := filepath.Join(temp, "haystream-demo-left")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	first, firstLock, err := newDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer firstLock.Close()
	second, secondLock, err := newDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer secondLock.Close()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	for _, dir := range []string{first, second} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%s of a running demo: %v", dir, err)
		}
	}
}
