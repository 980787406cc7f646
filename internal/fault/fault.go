// Package fault is for tests of the built program: it kills the process at a
// named point, or plants a known bug. Neither happens unless one of two
// environment variables is set when the process starts:
//
//	HAYSTREAM_FAULT=name[:nth]  SIGKILL to itself, at a point, when it is passed for the nth time
//	HAYSTREAM_BUG=name          behaves wrong in one way, which tests must find
//
// Otherwise a point costs the test of one variable.
package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	armed = parse(os.Getenv("HAYSTREAM_FAULT"))
	bug   = os.Getenv("HAYSTREAM_BUG")
)

// A deadly point ends the process.
type deadly struct {
	name string
	left atomic.Int64 // times that it may still be passed
}

// parse reads name[:nth]; nil where it is empty.
func parse(text string) *deadly {
	if text == "" {
		return nil
	}
	name, times, _ := strings.Cut(text, ":")
	d := &deadly{name: name}
	if n, err := strconv.ParseInt(times, 10, 64); err == nil {
		d.left.Store(n - 1)
	}
	return d
}

// Point ends the process here where HAYSTREAM_FAULT says so.
func Point(name string) {
	if armed != nil {
		armed.pass(name)
	}
}

// pass says on standard error that it kills, so that a test can tell it from
// another one's SIGKILL.
func (d *deadly) pass(name string) {
	if name != d.name || d.left.Add(-1) >= 0 {
		return
	}
	_, _ = os.Stderr.WriteString("fault: " + name + "\n") // nobody is there to tell
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing may happen until the signal arrives
}

// Planted reports whether HAYSTREAM_BUG names the bug.
func Planted(name string) bool { return bug != "" && bug == name }
