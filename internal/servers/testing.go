package servers

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// Optional reports whether the error means that the server cannot be had on this machine, rather than that it failed.
func Optional(err error) bool { return errors.Is(err, ErrUnavailable) }

// Test starts a server for one test and stops it when the test ends. The test fails when it cannot be started.
func Test(t testing.TB, spec Spec) *Server {
	t.Helper()
	server, err := start(t.Context(), &Server{Spec: spec, brief: true})
	if err != nil {
		t.Fatal(err)
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

// Get returns the server, started if it is the first call. The test fails when it cannot be started.
func (s *Shared) Get(t testing.TB) *Server {
	t.Helper()
	// Not the test's own context: the server outlives the test.
	s.once.Do(func() { s.server, s.err = start(context.Background(), &Server{Spec: s.Spec, brief: true}) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Stop stops the server if a test has started it.
func (s *Shared) Stop() {
	if s.server != nil {
		_ = s.server.Stop()
	}
}
