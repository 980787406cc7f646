package servers

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// Optional reports whether the error means that the server cannot be had on this machine, rather than that it failed.
func Optional(err error) bool { return errors.Is(err, ErrUnavailable) }

// MaySkip reports whether a run goes on without the server that the error is about: it cannot be had, and is optional by design.
func (s Spec) MaySkip(err error) bool {
	found, findErr := findRelease(s)
	return findErr == nil && found.optional && Optional(err)
}

// Test starts a server for one test and stops it when the test ends. The test fails when it cannot be started, and is skipped
// when it may go without.
func Test(t testing.TB, spec Spec) *Server {
	t.Helper()
	server, err := start(t.Context(), &Server{Spec: spec, brief: true})
	if err != nil {
		giveUp(t, spec, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", spec, server.Log())
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// giveUp ends a test that has no server.
func giveUp(t testing.TB, spec Spec, err error) {
	t.Helper()
	if spec.MaySkip(err) {
		t.Skipf("NOT TESTED on %s, which is optional: %v", spec, err)
	}
	t.Fatal(err)
}

// Shared is a server that the tests of one package share: the first Get starts it. TestMain stops it after the last test:
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		search.Stop()
//		os.Exit(code)
//	}
//
// Tests that use it must not disturb each other: each takes index or table names of its own.
type Shared struct {
	Spec Spec

	once   sync.Once
	server *Server
	err    error
}

// Get returns the server, started if it is the first call. The test fails or is skipped as with Test.
func (s *Shared) Get(t testing.TB) *Server {
	t.Helper()
	// Not the test's own context: the server outlives the test.
	s.once.Do(func() { s.server, s.err = start(context.Background(), &Server{Spec: s.Spec, brief: true}) })
	if s.err != nil {
		giveUp(t, s.Spec, s.err)
	}
	return s.server
}

// Stop stops the server if a test has started it.
func (s *Shared) Stop() {
	if s.server != nil {
		_ = s.server.Stop()
	}
}
