package endtoend

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A witness is a test that keeps why it fails, to be said again in its last lines: of a long output the middle may get cut.
type witness struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (w *witness) keep(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

func (w *witness) kept() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

func (w *witness) Errorf(format string, args ...any) {
	w.Helper()
	w.keep(fmt.Sprintf(format, args...))
	w.TB.Errorf(format, args...)
}

func (w *witness) Error(args ...any) {
	w.Helper()
	w.Errorf("%s", fmt.Sprint(args...))
}

func (w *witness) Fatalf(format string, args ...any) {
	w.Helper()
	w.Errorf(format, args...)
	w.FailNow()
}

func (w *witness) Fatal(args ...any) {
	w.Helper()
	w.Fatalf("%s", fmt.Sprint(args...))
}
