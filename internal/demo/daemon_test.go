package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newDaemon is one whose program is a shell script.
func newDaemon(t *testing.T, script string) *daemon {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "daemon")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &daemon{binary: binary, dir: dir}
}

func TestDaemonIsStoppedAndRestarted(t *testing.T) {
	d := newDaemon(t, "trap 'echo stopped; exit 0' TERM\necho started\nwhile :; do sleep 0.02; done\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	logged := func(text string, times int) {
		t.Helper()
		err := poll(t.Context(), func() (bool, error) { return strings.Count(d.log(), text) == times, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	logged("started", 1)
	if err := poll(t.Context(), func() (bool, error) { return d.process.Load() != nil, nil }); err != nil {
		t.Fatal(err)
	}
	if err := d.crash(); err != nil {
		t.Fatal(err)
	}
	logged("started", 2)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	logged("stopped", 1)
}

func TestDaemonThatEndsByItself(t *testing.T) {
	for script, want := range map[string]string{
		"echo no table; exit 1\n": "exit status 1; the end of its log:\nno table",
		"echo bye; exit 0\n":      "it ended by itself; the end of its log:\nbye",
	} {
		err := newDaemon(t, script).run(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: error = %v, want %q", script, err, want)
		}
	}
}

func TestDaemonThatDoesNotEndWell(t *testing.T) {
	d := newDaemon(t, "trap 'exit 3' TERM\necho started\nwhile :; do sleep 0.02; done\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	if err := poll(t.Context(), func() (bool, error) { return strings.Contains(d.log(), "started"), nil }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error = %v", err)
	}
}
